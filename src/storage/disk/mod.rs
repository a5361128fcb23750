//! The durable Raft log: what a replica asks to be written becomes records in segment files, and comes
//! back as [`Recovered`] when the process starts again.
//!
//! Owns the data directory of one group. It decides nothing about Raft: it keeps what it is given, in
//! order, and says honestly what it found. It never drops anything that was synced, and never guesses:
//! damage that a crash can't explain is an error that names the file and the offset.

pub mod error;
pub mod files;
pub mod simulated;

use std::path::Path;
use std::sync::Arc;

use crate::ids::{GroupId, ProcessId};
use crate::replica::config::Recovered;
use crate::replica::output::Write;
use crate::storage::OlderEntries;

pub use error::DiskError;
pub use files::{FileSystem, RealFiles};

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
    /// Length of a segment file in bytes.
    pub segment_bytes: u64,
    /// What an acknowledged write has survived.
    pub durability: Durability,
    /// How the next segment is made ready.
    pub prepare: Prepare,
    /// [`Recovered::tail`] holds at most so many bytes of data (and at least one entry).
    pub memory_tail_bytes: u64,
    /// A number for the shard's configuration: a directory written under another one is refused.
    pub shard_fingerprint: u64,
    /// This process.
    pub process: ProcessId,
    /// The group.
    pub group: GroupId,
}

/// The durable log of one group, open for appending. One thread appends; readers are independent.
pub struct DiskLog {}

#[allow(unused_variables)]
impl DiskLog {
    /// Opens or creates the log in `directory`, locks it, and recovers what it holds; `None` when
    /// nothing was ever written to it.
    pub fn open(
        directory: &Path,
        options: DiskOptions,
        files: Arc<dyn FileSystem>,
    ) -> Result<(Option<Recovered>, DiskLog), DiskError> {
        todo!()
    }

    /// Writes all of `writes` in order, then syncs once if one of them must be and the log's durability
    /// is [`Durability::Fsync`]. After an error every later call fails.
    pub fn append(&mut self, writes: &[Write]) -> Result<(), DiskError> {
        todo!()
    }

    /// Reads entries, from any thread, while this log goes on appending.
    pub fn reader(&self) -> Box<dyn OlderEntries> {
        todo!()
    }
}
