//! What a leader does for its members: admit runs, promote learners, remove who can't follow, ask anew who restarted.
//!
//! One membership change at a time; raft-rs turns a refused one into an empty entry without a word, so
//! nothing is remembered: each tick looks at what *is* and asks again.

use raft::eraftpb::Message;

use crate::ids::{LogIndex, MemberId, ProcessId, RunId, Time};

use super::formation::Member;
use super::group::Replica;
use super::members;
use super::message::PeerMessage;
use super::node::Node;
use super::output::Severity;
use super::planted::{self, Bug};

/// A learner so many entries behind the leader's last one counts as caught up: what is missing then is on
/// its way. See [`Marks`] for a log that grows fast.
const CAUGHT_UP_ENTRIES: u64 = 64;

/// Where the log's end and the commit index were a moment ago. Under load a follower is never level with the
/// leader, and a number of entries says little about time: who has what was there at the mark keeps up.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// `None` until the clock has run for long enough: then nobody is known to keep up.
    older: Option<(LogIndex, LogIndex)>,
    newer: Option<(LogIndex, LogIndex)>,
    newer_since: Time,
}

impl Marks {
    /// Called on each tick. The older mark is then `every_ms` to twice that old.
    pub(super) fn note(&mut self, now: Time, every_ms: u64, last: LogIndex, commit: LogIndex) {
        if self.newer.is_none() || now.millis_since(self.newer_since) >= every_ms {
            self.older = self.newer.replace((last, commit));
            self.newer_since = now;
        }
    }

    /// `matched` reaches the log's end as it was at the mark.
    fn has_caught_up(&self, matched: u64) -> bool {
        self.older.is_some_and(|(last, _)| matched >= last.0) && !planted::has(Bug::CaughtUpByNumber)
    }

    /// `delivered` reaches the commit index as it was at the mark.
    pub(super) fn keeps_delivering(&self, delivered: LogIndex) -> bool {
        self.older.is_some_and(|(_, commit)| delivered >= commit)
    }
}

/// One membership change that is due.
enum Change {
    Admit(Member),
    Promote(MemberId, ProcessId),
    Remove(MemberId),
    LeaveJoint,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Change::Admit(m) => write!(f, "admitting run {} of {} as {} (learner first)", m.run, m.process, m.id),
            Change::Promote(id, process) => write!(f, "{id} of {process} has caught up: making it a voter"),
            Change::Remove(id) => write!(f, "removing {id}: its next entry is no longer in this leader's log"),
            Change::LeaveJoint => f.write_str("leaving the joint configuration that an earlier leader entered"),
        }
    }
}

/// Who is cut off is told again after so long.
pub(super) const CUT_OFF_REPEAT_MS: u64 = 1_000;

impl Replica {
    /// Called on each tick of a leader.
    pub(super) fn tend_members(&mut self) {
        self.welcome_admitted();
        self.turn_away_who_cannot_be_rebuilt();
        let Some(change) = self.due_change() else { return };
        if planted::has(Bug::AskOnce) && self.last_change_noted == change.to_string() {
            return;
        }
        let Some(node) = self.node_mut() else { return };
        propose(node, &change);
        self.observe();
        self.note_change(&change);
    }

    fn note_change(&mut self, change: &Change) {
        let text = change.to_string();
        // One change follows another within milliseconds; only a repeated one is no news.
        if self.last_change_noted != text {
            self.last_note.remove("membership");
            self.last_change_noted.clone_from(&text);
        }
        self.note("membership", 1_000, Severity::Info, text);
    }

    /// Unformed or blank processes whose connected run is a member already: tell them (again).
    fn welcome_admitted(&mut self) {
        let Some(node) = self.node() else { return };
        let welcomes: Vec<(ProcessId, PeerMessage)> = self
            .peers
            .connected()
            .filter(|(_, peer)| peer.may_be_admitted_to(node.formation().id))
            .filter_map(|(process, peer)| {
                let member = seat_of(node, process, peer.run?)?;
                Some((process, PeerMessage::Welcome(node.formation().clone(), member)))
            })
            .collect();
        for (process, welcome) in welcomes {
            if self.may_repeat(process, 200) {
                self.send(process, welcome);
            }
        }
    }

    fn turn_away_who_cannot_be_rebuilt(&mut self) {
        let Some(node) = self.node() else { return };
        let log = node.log();
        let mut turned: Vec<(ProcessId, String)> = Vec::new();
        for (process, peer) in self.peers.connected() {
            let lost_memory = peer.may_be_admitted_to(node.formation().id)
                && peer.run.is_some_and(|run| needs_a_seat(node, process, run))
                && !log.reaches_back_to_the_start();
            let member = peer.member_in(node.formation().id);
            let outrun = member.is_some_and(|id| node.has_outrun(id));
            // Removed through the log, which it will never receive: nobody sends it anything any more. Whom this
            // leader never knew was admitted by a later one.
            let is_known = |id: MemberId| node.members().get(id.get()).is_some() || planted::has(Bug::BelieveDeposedLeader);
            let removed = member.is_some_and(|id| {
                node.may_change_members() && is_known(id) && node.progress(id).is_none() && !planted::has(Bug::RemoveUntold)
            });
            if removed {
                let text = "was removed from the shard: it fell too far behind, or another run took its place";
                turned.push((process, format!("{process} {text}; restart it")));
            } else if lost_memory || outrun {
                turned.push((
                    process,
                    format!(
                        "{process} can't be rebuilt: the log in memory begins at entry {}, it would need an earlier one \
                         (raise raft.log_memory_bytes, or set raft.data_dir)",
                        log.first_in_memory()
                    ),
                ));
            }
        }
        let (formation, term) = (node.formation().id, node.term());
        for (process, reason) in turned {
            if self.may_repeat(process, CUT_OFF_REPEAT_MS) {
                self.send(process, PeerMessage::CutOff { formation, term, reason: reason.clone() });
                self.turned_away.extend(self.peers.get(process).and_then(|peer| peer.run));
                self.note("cut off", 10_000, Severity::Warning, reason);
            }
        }
    }

    /// What a former run of `peer` acknowledged may be gone with an older copy of its data directory.
    pub(super) fn ask_anew(&mut self, peer: ProcessId) {
        let Some(node) = self.node_mut() else { return };
        let conf = node.log().conf_state();
        let ids: Vec<u64> = conf.voters.iter().chain(&conf.voters_outgoing).chain(&conf.learners).copied().collect();
        let members: Vec<MemberId> = node.members().of_process(&ids, peer, None).collect();
        members.into_iter().for_each(|member| node.ask_anew(member));
    }

    pub(super) fn note_forgotten(&mut self, from: ProcessId, formation: u64, answer: &Message) {
        let Some(node) = self.node_mut() else { return };
        let Some(acknowledged) = node.has_forgotten(answer) else { return };
        let reproach = node.reproach(answer.from);
        self.send(from, PeerMessage::Raft(formation, Box::new(reproach)));
        let text = format!(
            "{from} acknowledged entries through {} and came back with those through {}: its data directory is an older copy, or \
             it lost what was not synced. What it forgot doesn't count and is sent to it again; until now it could have voted \
             for a leader without it",
            acknowledged.0, answer.reject_hint
        );
        self.note("forgotten", 1_000, Severity::Warning, text);
    }

    fn due_change(&self) -> Option<Change> {
        let node = self.node()?;
        if !node.may_change_members() {
            return None;
        }
        if node.is_stuck_in_joint() {
            return Some(Change::LeaveJoint);
        }
        self.due_removal(node).or_else(|| self.due_promotion(node)).or_else(|| self.due_admission(node))
    }

    fn due_removal(&self, node: &Node) -> Option<Change> {
        let conf = node.log().conf_state();
        conf.voters
            .iter()
            .chain(&conf.learners)
            .filter_map(|&id| MemberId::new(id))
            .filter(|&id| id != node.id())
            .find(|&id| node.has_outrun(id))
            .map(Change::Remove)
    }

    fn due_promotion(&self, node: &Node) -> Option<Change> {
        let last = node.last_index().0;
        node.log().conf_state().learners.iter().find_map(|&raw| {
            let member = node.members().get(raw)?;
            let is_voter_process = self.config.voters.contains(&member.process);
            let here = self.peers.get(member.process)?.member_in(node.formation().id) == Some(member.id);
            let matched = node.progress(member.id)?.matched;
            let caught_up = matched + CAUGHT_UP_ENTRIES >= last || self.marks.has_caught_up(matched);
            let can_go_on = node.can_go_on_from(matched) || planted::has(Bug::PromoteUnheard);
            (is_voter_process && here && caught_up && can_go_on)
                .then_some(Change::Promote(member.id, member.process))
        })
    }

    fn due_admission(&self, node: &Node) -> Option<Change> {
        if !node.log().reaches_back_to_the_start() {
            return None;
        }
        self.peers.connected().find_map(|(process, peer)| {
            let run: RunId = peer.run.filter(|_| peer.may_be_admitted_to(node.formation().id))?;
            let quiet = peer
                .former_heard
                .is_none_or(|at| self.now.millis_since(at) >= self.config.timing.election_ms);
            let new = needs_a_seat(node, process, run);
            let ids = &node.log().conf_state().voters;
            let former = node.members().of_process(ids, process, None).next();
            let id = former.filter(|_| planted::has(Bug::ReuseMemberId)).unwrap_or(node.members().next_id());
            (quiet && new).then_some(Change::Admit(Member { process, run, id }))
        })
    }
}

/// The member that `run` is *now*. A run that was admitted, never heard of it, and was removed since has said
/// nothing under its former id: it has no seat, and may be given another.
fn seat_of(node: &Node, process: ProcessId, run: RunId) -> Option<MemberId> {
    let conf = node.log().conf_state();
    let current = |id: &MemberId| conf.voters.contains(&id.get()) || conf.learners.contains(&id.get());
    node.members().of_run(process, run).find(current)
}

/// `run` is no member now.
fn needs_a_seat(node: &Node, process: ProcessId, run: RunId) -> bool {
    let was_one = planted::has(Bug::SeatForLife) && node.members().of_run(process, run).next().is_some();
    seat_of(node, process, run).is_none() && !was_one
}

fn propose(node: &mut Node, change: &Change) {
    let conf = node.log().conf_state().clone();
    match *change {
        Change::Admit(member) => {
            let former: Vec<MemberId> =
                node.members().of_process(&conf.learners, member.process, None).collect();
            let entry = members::admit_learner(member.id, former.into_iter());
            node.propose_change(&entry, &members::encode_member(&member));
        }
        Change::Promote(id, process) => {
            let ids: Vec<u64> = conf.voters.iter().chain(&conf.learners).copied().collect();
            let former: Vec<MemberId> = node.members().of_process(&ids, process, Some(id)).collect();
            node.propose_change(&members::promote(id, former.into_iter()), &[]);
        }
        Change::Remove(id) => {
            node.propose_change(&members::remove(id), &[]);
        }
        Change::LeaveJoint => {
            node.propose_change(&Default::default(), &[]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_known_to_keep_up_before_there_was_time_to_see_it() {
        let (mut marks, ms) = (Marks::default(), |ms| Time(0).plus_millis(ms));
        let keeps_up = |marks: &Marks| (marks.has_caught_up(7), marks.keeps_delivering(LogIndex(5)));
        assert_eq!(keeps_up(&marks), (false, false));
        marks.note(ms(0), 150, LogIndex(7), LogIndex(5));
        marks.note(ms(140), 150, LogIndex(9), LogIndex(9));
        assert_eq!(keeps_up(&marks), (false, false), "it may have been there for a moment only");
        marks.note(ms(150), 150, LogIndex(9), LogIndex(9));
        assert_eq!(keeps_up(&marks), (true, true));
        marks.note(ms(300), 150, LogIndex(20), LogIndex(20));
        assert_eq!(keeps_up(&marks), (false, false));
    }
}
