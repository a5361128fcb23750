//! When a formation begins, and what becomes of one that can't.
//!
//! A formation is decided in memory, and its members come to stand on their disks one by one. A power cut in between leaves it
//! with too few of them, who are *blank*: they have no term, no vote and no entry of it.
//!
//! **The first election** of a formation takes more than a majority of its members: so many of them in reach that they are a
//! majority of all voter processes, each with its membership on disk ([`Replica::sees_enough_to_begin`]). Where a majority of
//! the voters formed, and one more was lost before that, too many runs without memory would be left beside the others: behind
//! a partition they would form, and begin, a second shard.
//!
//! **A blank member leaves** its formation in two cases, both decided by what it is itself at that moment.
//!
//! - A leader of another formation admits it ([`Replica::follows_welcome`]). It had no part in anything.
//! - Every voter process is connected, each unformed or blank, and those that stand in this formation, or may still come to, are
//!   too few to begin it. That has held for a while, in which each was heard. Then it is unformed again; once all are, a new
//!   formation is agreed on, and the membership in it takes the place of the old one on disk.
//!
//! Why no two formations begin, however many processes crash: let two be the first that did. A majority of the voters said, each of
//! itself and before the first election, that the one was on its disk, and a majority that the other was. Some process said
//! both, so it left one of them, X, for the other. Not for a leader's admission: until the second begins only the first has
//! a leader, and who it admits was not among those with whom it began. So as the second case has it. Let P be the first that
//! left X like that. Of each voter process it knew the connected run, heard it after it stood in X itself, and counted too few.
//! Who stands in X on its disk says so from its start on; who may still come to is a run that X names, and a run that P heard so
//! late is not older than that one. P counted both. So too few stood in X, and never more did. What was told of the others
//! may be old, but not as old as X: who said that it was blank in X and has voted since was counted, and who was unformed and not
//! named does not come to stand in X before X has begun. (This takes it that no message is under way for longer than [`HEARD_MS`]
//! among processes that crash just then.)
//!
//! Where disks, or memories without disks, are lost as well: what was committed in X is remembered by a member that has voted,
//! unless a majority lost theirs. It never says again that it is blank or unformed. Others may know an older word of it, which is
//! why leaving permits nothing by itself: a run that has met a formation forms only when all voter processes *have said
//! since* that they are unformed, and each says that of what it is then.

use crate::ids::{MemberId, ProcessId, RunId, Time};

use super::campaigns::Campaigns;
use super::formation::Formation;
use super::forming::majority_of;
use super::group::{Phase, Replica};
use super::node::Node;
use super::output::Severity;
use super::peers::Peer;
use super::planted::{self, Bug};

/// Who was heard within this time is there: every process repeats where it stands twice as often.
const HEARD_MS: u64 = 1_000;
/// Nobody has had anything for so long, longer than [`HEARD_MS`]: what each said last was said, or repeated, in that time.
const BLANK_MS: u64 = 2_000;

/// The connected run of `process` stands in `formation`, or may come to: it is named there, and stands in none.
fn is_of(peer: &Peer, process: ProcessId, formation: &Formation) -> bool {
    let theirs = peer.standing.as_ref().and_then(|standing| standing.member.as_ref());
    let is_named = |run: RunId| formation.member_of(process, run).is_some();
    peer.run.is_some_and(|run| theirs.map_or_else(|| is_named(run), |(theirs, _)| theirs.id == formation.id))
}

impl Replica {
    /// For a formation that has not begun: enough of its members are in reach, each with its membership on disk.
    pub(super) fn sees_enough_to_begin(&self, node: &Node) -> bool {
        let formation = node.formation().id;
        let others = self.config.voters.iter().filter_map(|&voter| self.peers.get(voter)?.member_in(formation));
        let own = usize::from(self.seat.as_ref().is_some_and(|(its, _)| its.id == formation));
        own + others.count() >= majority_of(self.config.voters.len())
    }

    /// It has not begun, and so many are there that stand in its formation, or are about to, that it can.
    pub(super) fn may_still_begin(&self, node: &Node) -> bool {
        let formation = node.formation();
        let is_ours = |&&voter: &&ProcessId| self.peers.get(voter).is_some_and(|peer| is_of(peer, voter, formation));
        let others = self.config.voters.iter().filter(|&&voter| voter != self.config.me).filter(is_ours);
        node.is_blank() && 1 + others.count() >= majority_of(self.config.voters.len())
    }

    /// Called on each tick of a member.
    pub(super) fn mind_a_vain_formation(&mut self) {
        if !self.can_not_begin() || planted::has(Bug::KeepVainFormation) {
            self.vain_since = None;
            return;
        }
        let since = *self.vain_since.get_or_insert(self.now);
        if self.now.millis_since(since) < BLANK_MS {
            return;
        }
        let text = format!(
            "formation {:016x} never began: too few of its members are left, all voter processes are connected, and nobody has \
             anything of it or of another one: forming anew",
            self.seat.as_ref().map_or(0, |(formation, _)| formation.id)
        );
        self.note("vain formation", 0, Severity::Warning, text);
        self.leave_formation();
        self.announce_standing();
    }

    /// No voter process has anything of any formation, and this one's has too few members left to begin.
    fn can_not_begin(&self) -> bool {
        let Some(node) = self.node().filter(|node| node.is_blank() && !self.leaving && self.may_vote()) else { return false };
        let Some((formation, _)) = self.seat.as_ref().filter(|(seat, _)| seat.id == node.formation().id) else { return false };
        let others = self.config.voters.iter().filter(|&&voter| voter != self.config.me);
        let ours: Option<Vec<bool>> = others.map(|&voter| self.is_blank_and_ours(voter, formation)).collect();
        ours.is_some_and(|ours| 1 + ours.iter().filter(|&&ours| ours).count() < majority_of(self.config.voters.len()))
    }

    /// `None`: `process` is not there, leaves, or has something. Else whether it stands in `formation`, or may come to.
    fn is_blank_and_ours(&self, process: ProcessId, formation: &Formation) -> Option<bool> {
        let peer = self.peers.get(process)?;
        peer.run?;
        let is_heard = peer.heard.is_some_and(|at| self.now.millis_since(at) <= HEARD_MS);
        let standing = peer.standing.as_ref().filter(|standing| is_heard && !standing.leaving)?;
        (standing.member.is_none() || standing.blank).then(|| is_of(peer, process, formation))
    }

    /// Whether to become the member that `from` says this run is. One that left a formation never had anything of it, and the
    /// others no longer count on it there.
    pub(super) fn follows_welcome(&self, from: ProcessId, formation: &Formation, id: MemberId) -> bool {
        match &self.phase {
            Phase::Unformed(_) => !self.left.contains(&(formation.id, id)),
            Phase::Member(node) => {
                let standing = self.peers.get(from).and_then(|peer| peer.standing.as_ref());
                let has_begun = |its: &Formation| its.id == formation.id && standing.is_some_and(|standing| !standing.blank);
                let is_from_a_leader = standing.and_then(|standing| standing.member.as_ref()).is_some_and(|(its, _)| has_begun(its));
                node.is_blank() && node.formation().id != formation.id && is_from_a_leader
            }
            Phase::Stopped => false,
        }
    }

    /// Unformed again, as at the start. On disk the membership stays until another takes its place.
    pub(super) fn leave_formation(&mut self) {
        let mut shaping = self.new_shaping();
        let formed = self.peers.connected().filter(|(_, peer)| peer.standing.as_ref().is_some_and(|its| its.member.is_some()));
        shaping.formed_met = formed.filter_map(|(process, peer)| Some((process, peer.run?))).collect();
        match std::mem::replace(&mut self.phase, Phase::Stopped) {
            Phase::Member(node) => {
                self.left.insert((node.formation().id, node.id()));
                shaping.former_writes = node.last_write();
                self.config.older = node.into_log().into_older();
            }
            // There is nothing to leave.
            phase => return self.phase = phase,
        }
        self.phase = Phase::Unformed(Box::new(shaping));
        self.seat = None;
        (self.vain_since, self.stuck_since) = (None, None);
        // All of it was said of the member that is no more.
        (self.cut_off, self.superseded) = (None, false);
        self.wait_repeats.clear();
        self.formed_the_shard = false;
        let first_move_after: Time = self.now.plus_millis(self.config.timing.form_wait_ms);
        self.campaigns = Campaigns::new(&self.config.timing, first_move_after);
    }
}
