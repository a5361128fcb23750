//! The durable Raft log: what a replica asks to be written becomes records in segment files, and comes
//! back as [`Recovered`](crate::replica::config::Recovered) when the process starts again.
//!
//! Owns the data directory of one group. It decides nothing about Raft: it keeps what it is given, in
//! order, and says honestly what it found. It never drops anything that was synced, and never guesses:
//! damage that a crash can't explain is an error that names the file and the offset.
//!
//! ```text
//! LOCK                      the process number of who has the directory open and locked
//! META                      format, fingerprints of the shard, process, group, its partitions, how often it was opened: 0 until
//!                           there is a segment
//! segment-0000000001.log    records from byte 4096 on, up to `segment_bytes`; a larger record has a
//! segment-0000000002.log    segment of its own, longer than the others
//! spare.log                 is to become the next segment
//! ```
//!
//! Open `append.rs` first for the way in, `recovery.rs` for the way back, `record.rs` for the bytes. The
//! log is kept from its beginning: nothing is ever removed but what was never acknowledged.
//!
//! One damage can't be told from a crash: of the very last synced append of a process that was killed,
//! as long as nothing was written after it. [`DiskLog::close`] leaves a mark, so that a log closed in good
//! order has no such blind spot.

mod append;
mod directory;
pub mod error;
pub mod files;
mod index;
mod layout;
mod meta;
mod prepare;
mod presence;
mod progress;
mod reader;
mod record;
mod recovery;
mod room;
mod segment;
pub mod simulated;
#[cfg(test)]
mod tests;

use crate::ids::{GroupId, PartitionId, ProcessId};

pub use append::DiskLog;
pub use error::DiskError;
pub use files::{FileSystem, RealFiles};
pub use layout::{check_layout, group_directory};
pub use presence::Presence;

/// What an acknowledged write has survived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A power cut: `append` returns after fdatasync where a write asks for it.
    Fsync,
    /// The end of this process, but no power cut: the operating system writes when it likes.
    Os,
}

/// How the next segment is made ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prepare {
    /// By a thread of the log's own, ahead of time, and filled with zeros: overwriting written blocks
    /// makes fdatasync about twice as fast as filling reserved ones.
    InBackground,
    /// At the moment it is needed, by the caller of `append`; no thread. For the simulator.
    OnDemand,
}

/// How a log directory is opened.
#[derive(Clone, Debug)]
pub struct DiskOptions {
    /// Length of a segment file in bytes: 8 KiB to 1 GiB.
    pub segment_bytes: u64,
    /// What an acknowledged write has survived.
    pub durability: Durability,
    /// How the next segment is made ready.
    pub prepare: Prepare,
    /// [`Recovered::tail`](crate::replica::config::Recovered::tail) takes at most so much memory in
    /// bytes, but holds at least one entry.
    pub memory_tail_bytes: u64,
    /// A number for what the log depends on in the shard's configuration: a directory written under another one is refused.
    pub shard_fingerprint: u64,
    /// One for hosts and ports too, which alone tells two shards with the same names apart: a directory with another one is
    /// refused as well.
    pub addressed_fingerprint: u64,
    /// The operator's order: a directory with this one in place of `addressed_fingerprint` is taken, and has that from then on.
    pub moved_from: Option<u64>,
    /// This process.
    pub process: ProcessId,
    /// The group.
    pub group: GroupId,
    /// Its partitions, ascending: a directory that was written for others is refused.
    pub partitions: Vec<PartitionId>,
}

impl DiskOptions {
    /// The usual settings for a group of one partition: 64 MiB segments, fsync, prepared in the background.
    pub fn new(shard_fingerprint: u64, process: ProcessId, group: GroupId) -> Self {
        Self {
            segment_bytes: 64 << 20,
            durability: Durability::Fsync,
            prepare: Prepare::InBackground,
            memory_tail_bytes: 256 << 20,
            shard_fingerprint,
            addressed_fingerprint: shard_fingerprint,
            moved_from: None,
            process,
            group,
            partitions: vec![PartitionId(0)],
        }
    }
}
