//! Drives forming, and the ways into a formation: decided, told, welcomed.

use crate::ids::{MemberId, ProcessId};

use super::formation::{Formation, Kinship};
use super::forming::{Progress, Unformed};
use super::group::{Phase, Replica};
use super::message::{PeerMessage, Standing};
use super::output::Severity;
use super::planted::{self, Bug};

/// With a majority connected, the designated process waits so long for the rest: a normal start brings all
/// voters within milliseconds, and then all of them are members from the first entry on.
const GATHER_MS: u64 = 150;
/// A Paxos round that got no majority is tried again after so long, and up to twice that.
const ROUND_MS: u64 = 150;
/// Others form although the designated process is connected once it let so many waits pass.
const PATIENCE_WAITS: u64 = 3;

impl Replica {
    /// Connected, unformed runs of voter processes, this one included where it may vote.
    pub(super) fn unformed(&self) -> Unformed {
        let mut out: Unformed = self
            .peers
            .connected()
            .filter(|(process, peer)| peer.is_unformed() && self.config.voters.contains(process))
            .filter_map(|(process, peer)| Some((process, peer.run?)))
            .collect();
        if self.config.voters.contains(&self.config.me) && !self.leaving {
            out.insert(self.config.me, self.config.run);
        }
        out
    }

    /// Called on each tick while unformed.
    pub(super) fn tick_forming(&mut self) {
        let unformed = self.unformed();
        let now = self.now;
        let designated_here = self
            .config
            .designated
            .is_some_and(|d| self.peers.get(d).is_some_and(|p| p.run.is_some()));
        let Phase::Unformed(shaping) = &mut self.phase else { return };
        if designated_here {
            shaping.designated_seen = Some(now);
        }
        if shaping.forming.has_majority(&unformed) {
            shaping.majority_since.get_or_insert(now);
        } else {
            shaping.majority_since = None;
        }
        if !unformed.contains_key(&self.config.me) || now < shaping.round_until {
            return;
        }
        if self.may_form(&unformed) {
            self.start_round(&unformed);
        }
    }

    fn may_form(&self, unformed: &Unformed) -> bool {
        let Phase::Unformed(shaping) = &self.phase else { return false };
        let Some(since) = shaping.majority_since else { return false };
        if shaping.knows_of_a_formation(unformed) {
            return false;
        }
        let all = shaping.forming.all_unformed(unformed);
        let wait_ms = self.config.timing.form_wait_ms;
        if !self.config.campaign_at_start {
            // Later than anybody else, even than those who leave the first move to this very process; but
            // not never: all may have been told so.
            return self.now.millis_since(self.started) >= (PATIENCE_WAITS + 1) * wait_ms;
        }
        if self.config.designated == Some(self.config.me) {
            return all || self.now.millis_since(since) >= GATHER_MS;
        }
        let alone_since = shaping.designated_seen.unwrap_or(self.started);
        self.now.millis_since(alone_since.max(self.started)) >= wait_ms
            || self.now.millis_since(self.started) >= PATIENCE_WAITS * wait_ms
    }

    fn start_round(&mut self, unformed: &Unformed) {
        let fresh = self.random();
        let jitter = self.random() % ROUND_MS;
        let now = self.now;
        let Phase::Unformed(shaping) = &mut self.phase else { return };
        shaping.round_until = now.plus_millis(ROUND_MS + jitter);
        let progress = shaping.forming.propose(unformed, fresh);
        self.follow(progress);
    }

    fn follow(&mut self, progress: Progress) {
        self.out.messages.extend(progress.messages);
        if let Phase::Unformed(shaping) = &mut self.phase {
            shaping.needs_all |= progress.waits_for_all;
        }
        if let Some(formation) = progress.decided {
            self.on_decided(formation);
        }
    }

    /// This run's proposal was accepted by a majority: the members are told, and it becomes one itself.
    fn on_decided(&mut self, formation: Formation) {
        for member in &formation.members {
            let connected = self.peers.get(member.process).and_then(|p| p.run);
            if connected == Some(member.run) {
                self.send(member.process, PeerMessage::Welcome(formation.clone(), member.id));
            }
        }
        if let Some(id) = formation.member_of(self.config.me, self.config.run) {
            self.note_formation(&formation);
            self.formed_the_shard = true;
            self.join(formation, id);
        }
    }

    fn note_formation(&mut self, formation: &Formation) {
        let voters = self.config.voters.len();
        let members = formation.members.len();
        let text = format!("formed {} of {voters} voters (formation {:016x})", members, formation.id);
        self.note("formed", 0, Severity::Info, text);
        if members < voters {
            let spare = (members - 1) / 2;
            let text = format!(
                "only {members} of {voters} voters are members until the others are admitted: the shard \
                 stops when {} of them is lost",
                if spare == 0 { "any one".to_owned() } else { format!("more than {spare}") }
            );
            self.note("formed with few", 0, Severity::Warning, text);
        }
    }

    /// Messages of the formation protocol. Who is a member already answers with where it stands.
    pub(super) fn on_forming(&mut self, from: ProcessId, message: PeerMessage) {
        let unformed = self.unformed();
        let Phase::Unformed(shaping) = &mut self.phase else {
            let standing = PeerMessage::Standing(self.standing());
            return self.send(from, standing);
        };
        if !unformed.contains_key(&self.config.me) {
            return;
        }
        // A proposer that has met nobody needs this run for a majority: it must not have it while a
        // formed run may be alive (DESIGN "Forming": who has met one does not form).
        let helps_forming = matches!(message, PeerMessage::Prepare(_) | PeerMessage::Accept(..));
        if helps_forming && shaping.knows_of_a_formation(&unformed) && !planted::has(Bug::HelpFormingAgain) {
            return;
        }
        let forming = &mut shaping.forming;
        match message {
            PeerMessage::Prepare(ballot) => {
                let reply = forming.on_prepare(ballot);
                self.send(from, reply);
            }
            PeerMessage::Accept(ballot, formation) => {
                let reply = forming.on_accept(ballot, formation);
                self.send(from, reply);
            }
            PeerMessage::Refused(ballot) => forming.on_refused(ballot),
            PeerMessage::Promise(ballot, accepted) => {
                let progress = forming.on_promise(from, ballot, accepted, &unformed);
                self.follow(progress);
            }
            PeerMessage::Accepted(ballot) => {
                let progress = forming.on_accepted(from, ballot);
                self.follow(progress);
            }
            _ => {}
        }
    }

    /// Where a peer stands. A formation that names this very run makes it a member.
    pub(super) fn on_standing(&mut self, from: ProcessId, standing: Standing) {
        let Some(peer) = self.peers.connected_mut(from) else { return };
        let run = peer.run;
        (peer.standing, peer.standing_heard) = (Some(standing.clone()), self.now);
        match (&mut self.phase, standing.member) {
            (Phase::Unformed(shaping), Some((formation, _))) => {
                match run {
                    Some(run) if !standing.leaving => shaping.formed_met.insert(from, run),
                    _ => shaping.formed_met.remove(&from),
                };
                let named = formation.member_of(self.config.me, self.config.run);
                if let Some(id) = named.filter(|&id| self.follows_welcome(from, &formation, id)) {
                    self.join(formation, id);
                }
            }
            (Phase::Unformed(shaping), None) if standing.leaving => {
                shaping.formed_met.remove(&from);
            }
            (Phase::Member(node), Some((theirs, _))) if theirs.id != node.formation().id => {
                let ours = node.formation().clone();
                let kinship = ours.kinship_of(&theirs);
                self.note_foreign(from, &ours, &theirs, kinship, standing.blank);
                if kinship == Kinship::Descendant {
                    self.yield_to_descendant();
                }
            }
            _ => {}
        }
    }

    fn note_foreign(&mut self, from: ProcessId, ours: &Formation, theirs: &Formation, kinship: Kinship, is_blank: bool) {
        let again = if self.config.durable { "started again without its data directory" } else { "restarted" };
        let (kind, severity) = match kinship {
            _ if is_blank && self.is_blank() => ("neither has begun here".to_owned(), Severity::Info),
            _ if is_blank => ("it has nothing of its own, and may be admitted to ours".to_owned(), Severity::Info),
            _ if self.is_blank() => ("this process has nothing of ours, and may be admitted to theirs".to_owned(), Severity::Info),
            Kinship::Descendant => {
                (format!("a later generation of ours, which wins: this process serves no more and must be {again}"), Severity::Error)
            }
            Kinship::Ancestor => {
                (format!("a generation before ours: it must be {again} to be admitted"), Severity::Warning)
            }
            Kinship::Sibling(id) => (
                format!("two survivors of formation {id:016x} went on alone, each may hold logs: all processes of one side must be {again}"),
                Severity::Error,
            ),
            Kinship::Unrelated => ("unrelated to ours: two shards were formed, each may hold logs".to_owned(), Severity::Error),
        };
        let text = format!(
            "{from} belongs to formation {:016x} (generation {}), ours is {:016x} (generation {}): {kind}",
            theirs.id, theirs.generation, ours.id, ours.generation
        );
        self.note("foreign formation", 10_000, severity, text);
    }

    /// A leader, or the proposer of the formation, says which member this run is.
    pub(super) fn on_welcome(&mut self, from: ProcessId, formation: Formation, id: MemberId) {
        if !self.follows_welcome(from, &formation, id) {
            return;
        }
        self.leave_formation();
        let text = format!("{from} admits this run as {id} of formation {:016x}", formation.id);
        self.note("welcome", 0, Severity::Info, text);
        self.join(formation, id);
    }
}
