//! What a replica is told when it starts.

use std::fmt;

use crate::ids::{GroupId, MemberId, PartitionId, ProcessId, RunId, Time};
use crate::storage::OlderEntries;

use super::formation::Formation;
use super::node::{IN_FLIGHT_MESSAGES, MESSAGE_BYTES_MAX};

/// One group as this process sees it, and the limits it keeps.
pub struct ReplicaConfig {
    /// The group's number, for messages to the operator.
    pub group: GroupId,
    /// This process.
    pub me: ProcessId,
    /// This start of this process.
    pub run: RunId,
    /// Processes that may vote, in locale order. A majority of *these* is needed to form.
    pub voters: Vec<ProcessId>,
    /// Processes that receive everything and count for nothing.
    pub learners: Vec<ProcessId>,
    /// The group's partitions.
    pub partitions: Vec<PartitionId>,
    /// The process that Mako submits on: it forms and campaigns first.
    pub designated: Option<ProcessId>,
    /// The preferred leader at start; `None` for no preference. Usually the designated process.
    pub preferred: Option<ProcessId>,
    /// `false` is Mako's `setup2(1, ..)`: leave forming and the first campaign to others.
    pub campaign_at_start: bool,
    /// Whether outputs must be written to disk and reported by [`super::Replica::persisted`]
    /// before anything is acknowledged. `false`: the log lives in memory only.
    pub durable: bool,
    /// Reads what was written, once it has left memory; `None` when not durable.
    pub older: Option<Box<dyn OlderEntries>>,
    /// The operator's act, given to this process at its start.
    pub restore: Option<RestoreOrder>,
    /// Timing.
    pub timing: Timing,
    /// Bounds.
    pub limits: Limits,
    /// Seeds every random choice of this replica (election timeouts, formation ids).
    pub seed: u64,
    /// The clock now.
    pub now: Time,
}

/// Why a replica does not go on from what was recovered.
#[derive(Debug)]
pub enum NotResumed {
    /// It can't be right.
    Refused(String),
    /// More of it could not be read, for now or for good.
    Unread(String),
}

impl From<String> for NotResumed {
    fn from(reason: String) -> Self {
        Self::Refused(reason)
    }
}

impl fmt::Display for NotResumed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Refused(reason) | Self::Unread(reason)) = self;
        f.write_str(reason)
    }
}

/// After too many were lost at once: who may go on alone, and from what (DESIGN "Too many lost at once").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreOrder {
    /// The process that has the log.
    pub survivor: ProcessId,
    /// The formations that it may continue; one per group. The next generation has another id, so an order
    /// that is left in a file does nothing the second time.
    pub formations: Vec<u64>,
}

/// Times in milliseconds (contract section 8).
#[derive(Clone, Debug)]
pub struct Timing {
    /// How often `tick` is called.
    pub tick_ms: u64,
    /// Heartbeat interval of a leader.
    pub heartbeat_ms: u64,
    /// Shortest election timeout; randomised up to twice that.
    pub election_ms: u64,
    /// How long others leave the designated process the first move.
    pub form_wait_ms: u64,
    /// A member not heard for so long does not hold back the log's truncation.
    pub absent_ms: u64,
    /// In microseconds: while logs come closer than this to each other, a commit index waits for the next entries, and no
    /// longer than this after the last log (`pace.rs`). 0: it is sent at once.
    pub commit_wait_us: u64,
}

/// Bounds in bytes.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The Raft log in memory; beyond it the part that all live members have delivered is dropped.
    pub log_memory_bytes: usize,
    /// Proposed and not yet committed: keeps a 50 MB log from standing in front of small ones.
    pub in_flight_bytes: usize,
    /// One append message carries at most so much payload, and always at least one entry. More than the default
    /// would not fit the transport's bound for a peer (`node.rs`).
    pub message_bytes: u64,
    /// Append messages on the way to one follower. The groups of a process share the transport's bound for a peer.
    pub in_flight_messages: usize,
    /// Messages for followers whose entries are read from disk in one turn of the loop. raft-rs would read a window of them
    /// at once, during which no heartbeat leaves.
    pub reads_per_turn: u32,
    /// Committed entries handed out per pass, at least one: after a restart each pass reads so much from disk.
    pub committed_bytes: u64,
    /// Waiting in the outbox of one partition before [`super::Replica::wants`] says no.
    pub outbox_bytes: usize,
}

impl Default for Timing {
    fn default() -> Self {
        Self { tick_ms: 10, heartbeat_ms: 50, election_ms: 300, form_wait_ms: 5_000, absent_ms: 30_000, commit_wait_us: 1_000 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            log_memory_bytes: 1 << 30,
            in_flight_bytes: 8 << 20,
            message_bytes: MESSAGE_BYTES_MAX,
            in_flight_messages: IN_FLIGHT_MESSAGES,
            reads_per_turn: 2,
            committed_bytes: 2 << 20,
            outbox_bytes: 1 << 20,
        }
    }
}

/// What a durable replica finds on disk when it starts again.
pub struct Recovered {
    /// The formation that it belongs to.
    pub formation: Formation,
    /// Its member id there.
    pub member: MemberId,
    /// Term, vote and commit index.
    pub hard_state: raft::eraftpb::HardState,
    /// The log's last index; 0 when empty. Entries 1..=last are read through `older`.
    pub last_index: u64,
    /// Entries of the tail that are kept in memory, ending at `last_index`; may be all of them.
    pub tail: Vec<raft::eraftpb::Entry>,
    /// Reads entries that are not in memory any more; where it is missing, `ReplicaConfig::older` does.
    pub older: Option<Box<dyn OlderEntries>>,
}
