//! One Raft group as the event loop runs it: its replica, and the queues and the log that other threads have a part in.
//! What the loop asks of all groups alike is here; what it does with their outputs is in `event_loop.rs`.

use std::sync::Arc;

use crate::ids::{GroupId, ProcessId, Slot};
use crate::replica::output::{Gate, Write};
use crate::replica::Replica;

use super::log_writer::LogWriter;
use super::shared::{GroupView, Port};

/// Why a group did not go on alone.
pub(super) struct NotAlone {
    pub(super) reason: String,
    /// It has a leader, or is about to: this process need not go on alone there.
    pub(super) serves: bool,
}

/// One group in the loop.
pub(super) struct GroupRun {
    pub(super) id: GroupId,
    pub(super) replica: Replica,
    /// Voters and learners.
    pub(super) peers: Vec<ProcessId>,
    pub(super) ports: Vec<Arc<Port>>,
    /// Progress that the replica was told of, per port.
    reported: Vec<Slot>,
    pub(super) writer: Option<Arc<LogWriter>>,
    /// Writes of this turn that the loop makes by itself, once everything else is done.
    pub(super) held_writes: Vec<Write>,
    /// The last write that the replica was told of.
    persisted: u64,
    pub(super) view: Arc<GroupView>,
    /// The group's place among those that this process votes in.
    pub(super) voting_index: Option<usize>,
    pub(super) gate: Gate,
    /// What submitters meet: the gate, where this process leads the shard.
    door: Option<Gate>,
}

impl GroupRun {
    pub(super) fn new(
        replica: Replica,
        peers: Vec<ProcessId>,
        ports: Vec<Arc<Port>>,
        view: Arc<GroupView>,
        voting_index: Option<usize>,
        writer: Option<Arc<LogWriter>>,
    ) -> Self {
        Self {
            id: view.group,
            replica,
            peers,
            reported: vec![Slot(0); ports.len()],
            ports,
            writer,
            held_writes: Vec::new(),
            persisted: 0,
            view,
            voting_index,
            gate: Gate::Closed { leader: None },
            door: None,
        }
    }

    /// From here on no submission meets another gate than this. `leads`: this process was told that it leads the shard.
    pub(super) fn set_door(&mut self, door: Gate, leads: bool) {
        self.view.set_shard_led(leads);
        if self.door.replace(door) != Some(door) {
            self.ports.iter().for_each(|port| port.intake.set_gate(door));
        }
    }

    /// See [`Replica::restore_alone`]. A group that this run has let go on alone before, and that serves or is about to,
    /// is left as it is: the act can be repeated for the sake of the others.
    pub(super) fn restore_alone(&mut self, me: ProcessId) -> Result<(), NotAlone> {
        self.replica.restore_alone().or_else(|reason| self.not_alone(me, reason))
    }

    /// Whether that would be obeyed.
    pub(super) fn could_restore_alone(&self, me: ProcessId) -> Result<(), NotAlone> {
        self.replica.could_restore_alone().or_else(|reason| self.not_alone(me, reason))
    }

    fn not_alone(&self, me: ProcessId, reason: String) -> Result<(), NotAlone> {
        let status = self.replica.status();
        // Of the members: a process that came back with nothing is in reach, and none of them.
        let sees_a_majority = self.replica.sees_a_majority();
        let is_out = status.leaving || matches!(status.role, "superseded" | "cut off");
        if status.restored && !is_out && (status.leader.is_some() || sees_a_majority) {
            return Ok(());
        }
        // A leader that died is named for a moment still.
        let leader_is_gone = status.leader.is_some_and(|leader| leader != me && !status.connected.contains(&leader));
        Err(NotAlone { reason, serves: sees_a_majority && !leader_is_gone && !is_out })
    }

    pub(super) fn drain_intakes(&mut self) {
        for port in &self.ports {
            while port.intake.is_filled() && self.replica.wants(port.partition) {
                let Some(chunk) = port.intake.take() else { break };
                self.replica.submit(chunk);
            }
        }
        if self.gate == Gate::Hold && !self.has_filled_intake() {
            self.replica.intakes_drained();
        }
    }

    /// All that the group wanted written is on disk.
    pub(super) fn writes_nothing(&self) -> bool {
        self.held_writes.is_empty() && self.writer.as_ref().is_none_or(|writer| writer.is_idle())
    }

    pub(super) fn has_filled_intake(&self) -> bool {
        self.ports.iter().any(|port| port.intake.is_filled())
    }

    /// Gives the replica all that is queued, wanted or not: it ends there as lost.
    pub(super) fn surrender_intakes(&mut self) {
        for port in &self.ports {
            while let Some(chunk) = port.intake.take() {
                self.replica.surrender(chunk);
            }
        }
    }

    pub(super) fn report_progress(&mut self) {
        for (port, reported) in self.ports.iter().zip(&mut self.reported) {
            let delivered = port.lane.delivered();
            if delivered > *reported {
                *reported = delivered;
                self.replica.delivered(port.partition, delivered);
            }
        }
        if let Some(persisted) = self.writer.as_ref().map(|writer| writer.persisted()) {
            if persisted > self.persisted {
                self.persisted = persisted;
                self.replica.persisted(persisted);
            }
        }
    }

    /// Something that the replica would act on now has arrived from another thread.
    pub(super) fn has_arrivals(&self) -> bool {
        self.writer.as_ref().is_some_and(|writer| writer.persisted() > self.persisted)
            || self.ports.iter().any(|port| port.intake.is_filled() && self.replica.wants(port.partition))
    }

    pub(super) fn has_unreported_progress(&self) -> bool {
        self.ports.iter().zip(&self.reported).any(|(port, &reported)| port.lane.delivered() > reported)
    }

    /// A lane's progress would let this group go on: a full outbox holds back submissions, or leadership
    /// waits for the logs of earlier leaders; or a replay waits for its callbacks.
    pub(super) fn waits_for_lanes(&self, me: ProcessId) -> bool {
        let announcing = self.view.leader() == Some(me) && !matches!(self.gate, Gate::Open | Gate::Hold);
        announcing || self.has_filled_intake() || self.replica.waits_for_deliveries()
    }

    /// Nothing is left to wait for: everything accepted is decided, or can't be any more, and everything
    /// committed is delivered. `abandoning`: what is not decided yet is not waited for.
    pub(super) fn is_drained(&self, abandoning: bool) -> bool {
        let decided = self.replica.undecided_logs() == 0 || self.replica.drain_is_hopeless();
        (decided || abandoning)
            && !self.has_filled_intake()
            && !self.replica.has_work()
            && !self.replica.waits_for_deliveries()
            // It may let a replay go on.
            && !self.has_unreported_progress()
            && self.ports.iter().all(|port| port.lane.is_idle())
    }
}
