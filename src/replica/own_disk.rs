//! A disk that fails a leader without failing a write: it stands still, or can't be read where a member needs it. Others may
//! be able to lead better.

use crate::ids::{MemberId, ProcessId};

use super::group::Replica;
use super::node::Node;
use super::output::{Event, Severity};

/// A leader leads no more when its disk has stood still for so many election timeouts. A disk under load does so for some
/// hundred milliseconds now and then, and what is queued is lost with the leadership: so not after one.
const STALL_ELECTIONS: u64 = 4;
/// The disk is asked again for entries that it could not give: a follower's messages alone would ask all the time.
const READ_AGAIN_MS: u64 = 1_000;

impl Replica {
    /// Looks whether the disk stands still while a majority has on theirs what it lacks. A leader then leads no more:
    /// its heartbeats leave all the same, so nobody would take over, and raft-rs applies nothing that is not on its own disk.
    /// Where the majority needs this disk, nobody has more on theirs, and nobody could lead better.
    pub(super) fn mind_own_disk(&mut self) {
        let Some(node) = self.node() else { return };
        let (at, leads) = (node.outpaced_at(), node.is_leader());
        // Ticks, since after a pause of this process its disk may have gone on long ago.
        let ticks = self.outpaced.filter(|&(before, _)| Some(before) == at).map_or(0, |(_, ticks)| ticks + 1);
        self.outpaced = at.map(|at| (at, ticks));
        if !leads || !self.disk_stands_for(STALL_ELECTIONS) {
            return;
        }
        let text = format!(
            "the disk has not finished a write for {} ms, and a majority has on theirs what is missing here: leading no more, \
             so that another one can; look at the disk of raft.data_dir",
            ticks * self.config.timing.tick_ms
        );
        self.out.events.push(Event::Notice(Severity::Warning, text));
        if let Some(node) = self.node_mut() {
            node.step_down();
        }
        self.observe();
    }

    /// What is to be applied here could not be read, and may be now.
    pub(super) fn mind_put_off(&mut self) {
        let Some(error) = self.node().and_then(|node| node.log().take_put_off()) else { return };
        if self.put_off_repeats.take_turn(self.now) {
            let text = format!("what is to be delivered here waits until this disk gives it: {error}; it is tried again");
            self.out.events.push(Event::Notice(Severity::Warning, text));
        }
    }

    /// Old entries on this leader's disk that a member needs can't be read. That member gets them from a leader with a good
    /// copy, so leadership goes to one, by an orderly hand-over, as the host would ask for it: this process still serves,
    /// and may be the second of a majority. Once per run: where it comes back, the others' copies are no better.
    pub(super) fn mind_unread(&mut self) {
        let Some(unread) = self.node().filter(|_| self.now >= self.read_again).and_then(Node::take_unread) else { return };
        self.read_again = self.now.plus_millis(READ_AGAIN_MS);
        if self.unread_repeats.take_turn(self.now) {
            let severity = if unread.is_passing { Severity::Warning } else { Severity::Error };
            let text = format!("a member can't be sent what it needs, since this disk does not give it: {}", unread.error);
            self.out.events.push(Event::Notice(severity, text));
        }
        if unread.is_passing || self.passed_on || !self.leads() {
            return;
        }
        if let Some(to) = self.who_has(unread.lows.last().copied().unwrap_or_default()) {
            self.passed_on = true;
            let text = format!(
                "asking that {to} lead, which has those entries on a disk of its own; once another process leads and all \
                 replicas vote, stop this one, move its raft.data_dir away and start it again"
            );
            self.out.events.push(Event::Notice(Severity::Error, text));
            self.set_preferred(Some(to));
        }
    }

    /// The voter process in reach that has most of the log, and more than the entry `index`, and may be given leadership.
    fn who_has(&self, index: u64) -> Option<ProcessId> {
        let node = self.node()?;
        let formation = node.formation().id;
        let voters = node.log().conf_state().voters.iter().filter_map(|&id| MemberId::new(id)).filter(|&id| id != node.id());
        let with_log = voters.filter_map(|id| {
            let (matched, process) = (node.progress(id)?.matched, self.peers.process_of(formation, id)?);
            let peer = self.peers.get(process)?;
            let may_lead = !peer.is_leaving() && !peer.report.is_some_and(|report| report.lost_accepted);
            (may_lead && matched > index).then_some((matched, process))
        });
        with_log.max_by_key(|&(matched, _)| matched).map(|(_, process)| process)
    }

    /// This disk has stood still for so many election timeouts while a majority has on theirs what it lacks.
    pub(super) fn disk_stands_for(&self, elections: u64) -> bool {
        let timing = &self.config.timing;
        self.outpaced.is_some_and(|(_, ticks)| ticks * timing.tick_ms >= elections * timing.election_ms)
    }
}
