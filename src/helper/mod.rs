//! What Mako's contract means: life cycle, which callback, epochs, status codes, waiting.
//!
//! One library per process; these functions are what `ffi` exposes one to one. None of them panics
//! or exits; each failure is a [`HelperError`] whose text names what was wrong and what would be right.
//! No `unsafe` and no raw pointers here.

pub use crate::runtime::{
    CallbackRole, ElectionCallback, LogCall, LogCallback, Outcome, OutcomeCallback, PartitionCounters,
};

/// Why a call failed. `Display` is the message for `mako_raft_last_error`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HelperError {
    /// An argument, file, key or value is wrong; the text says which, where, and what was expected.
    Invalid(String),
    /// The call is not allowed now (second `setup`, `setup2` before `setup`, shutdown from a callback, ...).
    Order(String),
    /// This process does not lead; the site id of the leader's site in that partition where it is known.
    NotLeader {
        /// Site id.
        leader: Option<u16>,
    },
    /// The queue stayed full for `raft.submit_wait_ms`.
    QueueFull(String),
    /// The library is shutting down or was shut down.
    ShutDown,
    /// An address can't be bound, a directory can't be written, ...
    Io(String),
    /// Shutdown left something running; the text says what.
    Unfinished(String),
    /// A panic was caught at the boundary, or the replica stopped itself.
    Internal(String),
}

#[allow(unused_variables, missing_docs)]
mod skeleton {
    use super::*;
    use std::collections::BTreeMap;
    /// Contract 3.2: site names of this process, the last site of the file first.
    pub fn setup(arguments: &[String]) -> Result<Vec<String>, HelperError> { todo!() }
    /// Contract 3.4.
    pub fn setup2(action: i32, shard_index: i32) -> Result<(), HelperError> { todo!() }
    pub fn register_log(role: CallbackRole, partition: u32, callback: LogCallback) -> Result<(), HelperError> { todo!() }
    pub fn register_election(callback: Option<ElectionCallback>) -> Result<(), HelperError> { todo!() }
    pub fn register_outcome(callback: Option<OutcomeCallback>) -> Result<(), HelperError> { todo!() }
    /// The ticket: 1, 2, 3, ... per partition in acceptance order.
    pub fn submit(log: &[u8], partition: u32) -> Result<u64, HelperError> { todo!() }
    /// Counts and warns, at a bounded rate, a submission that the boundary already refused (null, negative length).
    pub fn refuse(partition: u32, reason: &str) { todo!() }
    /// `None` for an unknown partition.
    pub fn outstanding(partition: u32) -> Option<u64> { todo!() }
    pub fn wait_for_submit(partition: u32) -> Result<(), HelperError> { todo!() }
    pub fn pre_shutdown_step() -> Result<(), HelperError> { todo!() }
    pub fn shutdown() -> Result<(), HelperError> { todo!() }
    pub fn epoch() -> i32 { todo!() }
    pub fn set_epoch(epoch: i32) { todo!() }
    pub fn upgrade_to_leader() -> Result<(), HelperError> { todo!() }
    pub fn set_preferred_leader(site: i32) -> Result<(), HelperError> { todo!() }
    /// `send_no_ops_for_mark`: an epoch outside 0..=9 is an error.
    pub fn send_no_ops_for_mark(epoch: i32) -> Result<(), HelperError> { todo!() }
    pub fn send_no_ops_to_all_workers(epoch: i32) -> Result<(), HelperError> { todo!() }
    pub fn worker_info_stats(partitions: usize) { todo!() }
    pub fn microbench() -> Result<(), HelperError> { todo!() }
    pub fn hosts(file: &str) -> Result<BTreeMap<String, String>, HelperError> { todo!() }
    pub fn is_leader(partition: u32) -> bool { todo!() }
    pub fn leader_site(partition: u32) -> Option<u16> { todo!() }
    pub fn partitions() -> u32 { todo!() }
    pub fn counters(partition: u32) -> Option<PartitionCounters> { todo!() }
    /// The C++ part's un-replayed queue of a partition now holds so many logs.
    pub fn set_unreplayed(partition: u32, logs: u64) { todo!() }
    /// True on a thread that is inside one of the library's callbacks. Must work in thread_local destructors.
    pub fn in_callback() -> bool { todo!() }
    /// The operator's act (DESIGN "Too many lost at once").
    pub fn restore_alone() -> Result<(), HelperError> { todo!() }
    /// Decodes a callback's return value: (timestamp, status), contract section 5.
    pub fn decode_value(value: u32, log: &[u8]) -> (u32, u32) { todo!() }
}
pub use skeleton::*;
