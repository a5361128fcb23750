//! The replica of one group: its inputs, and one pass that turns them into outputs.

use crate::ids::{PartitionId, ProcessId, RunId, Slot, Time};

use super::config::{Recovered, ReplicaConfig};
use super::message::PeerMessage;
use super::output::{Outputs, Status};
use super::payload::Chunk;

/// One replica of one Raft group, without I/O.
pub struct Replica {}

#[allow(unused_variables, missing_docs)]
impl Replica {
    /// A replica that knows nobody yet, or the member that `recovered` describes.
    pub fn new(config: ReplicaConfig, recovered: Option<Recovered>) -> Result<Self, String> {
        todo!()
    }
    /// The clock moved. Call every `tick_ms`.
    pub fn tick(&mut self, now: Time) {
        todo!()
    }
    /// An authenticated connection to this run of `peer` is up (it replaces any former one).
    pub fn peer_up(&mut self, peer: ProcessId, run: RunId) {
        todo!()
    }
    /// The connection to `peer` is gone.
    pub fn peer_down(&mut self, peer: ProcessId) {
        todo!()
    }
    /// A message from the connected run of `from`.
    pub fn receive(&mut self, from: ProcessId, message: PeerMessage) {
        todo!()
    }
    /// Accepted logs, in submission order per partition. Never refused: after the gate closed they come
    /// out as lost.
    pub fn submit(&mut self, chunk: Chunk) {
        todo!()
    }
    /// Whether the outbox of `partition` wants more chunks now. Leave logs in the intake otherwise, so
    /// that small ones gather.
    pub fn wants(&self, partition: PartitionId) -> bool {
        todo!()
    }
    /// The write with this id, and all before it, are on disk.
    pub fn persisted(&mut self, write: u64) {
        todo!()
    }
    /// The callbacks of `partition` have returned for all slots through `slot`.
    pub fn delivered(&mut self, partition: PartitionId, slot: Slot) {
        todo!()
    }
    /// Contract section 6, `set_preferred_leader`: repeated until it is seen in the log.
    pub fn set_preferred(&mut self, preferred: Option<ProcessId>) {
        todo!()
    }
    /// Contract section 6, `upgrade_p1_to_leader`.
    pub fn seek_leadership(&mut self) {
        todo!()
    }
    /// While set, the leader hands leadership to this process (keeps the leaders of several groups of one
    /// process together). `None` returns to the preference.
    pub fn set_companion(&mut self, leader: Option<ProcessId>) {
        todo!()
    }
    /// Contract section 3.7: say goodbye, never campaign again, go on acknowledging and delivering.
    pub fn say_goodbye(&mut self) {
        todo!()
    }
    /// Logs accepted here and neither committed nor lost yet (outbox and proposals).
    pub fn undecided_logs(&self) -> u64 {
        todo!()
    }
    /// True when draining can't succeed any more: no leadership and none to come, or so many members said
    /// goodbye and left that no quorum is reachable.
    pub fn drain_is_hopeless(&self) -> bool {
        todo!()
    }
    /// Ends the accepted logs that are not decided as lost (drain time is over).
    pub fn abandon_undecided(&mut self) {
        todo!()
    }
    /// The operator's act for a survivor that can't find a majority of its members: begins generation + 1
    /// from its log, alone. Refused with the reason when this replica is not in that state.
    pub fn restore_alone(&mut self) -> Result<(), String> {
        todo!()
    }
    /// True when `advance` has something to do.
    pub fn has_work(&self) -> bool {
        todo!()
    }
    /// Proposes from the outboxes, runs raft-rs until it is quiet, and puts what is to be done into `out`.
    pub fn advance(&mut self, out: &mut Outputs) {
        todo!()
    }
    /// A moment's view.
    pub fn status(&self) -> Status {
        todo!()
    }
}
