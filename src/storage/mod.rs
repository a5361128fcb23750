//! The Raft log and hard state: in memory ([`memory`]), and durable on disk ([`disk`]).
//!
//! This room never touches sockets or callbacks. Open [`memory`] first: it is what raft-rs reads.

pub mod disk;
pub mod memory;

use raft::eraftpb::Entry;

/// Reads log entries that are no longer held in memory.
pub trait OlderEntries: Send {
    /// Entries `low..high` (at least one), stopping once `max_bytes` of data are exceeded.
    fn read(&self, low: u64, high: u64, max_bytes: u64) -> std::io::Result<Vec<Entry>>;
    /// The term of the entry at `index`.
    fn term(&self, index: u64) -> std::io::Result<u64>;
}
