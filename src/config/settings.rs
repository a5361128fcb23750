//! The `raft` section: every key with its type, default, unit and range, in one table.

use std::path::PathBuf;

use crate::ids::SiteId;

/// The checked settings. Times in milliseconds, sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How often a replica's clock ticks.
    pub tick_ms: u64,
    /// How often a leader says that it is alive.
    pub heartbeat_ms: u64,
    /// Shortest time without a leader before a replica campaigns; randomised up to twice that.
    pub election_ms: u64,
    /// How long others leave the designated process the first move.
    pub form_wait_ms: u64,
    /// A member not heard for so long doesn't hold back the log's truncation.
    pub absent_ms: u64,
    /// How long `pre_shutdown_step` waits for accepted logs.
    pub drain_ms: u64,
    /// How long a submission waits at a full queue.
    pub submit_wait_ms: u64,
    /// Who should lead.
    pub preferred_leader: PreferredLeader,
    /// Which partitions share a Raft group.
    pub grouping: Grouping,
    /// What the election callback is called with.
    pub election_codes: ElectionCodes,
    /// Accepted and not yet committed, per partition.
    pub queue_bytes: u64,
    /// The Raft log in memory, per process.
    pub log_memory_bytes: u64,
    /// The longest log that is accepted.
    pub max_log_bytes: u64,
    /// A longer log travels in pieces of this size.
    pub fragment_bytes: u64,
    /// Where durable logs live; `None` keeps the log in memory only.
    pub data_dir: Option<PathBuf>,
    /// What a durable log waits for before it is acknowledged.
    pub durability: Durability,
    /// The status endpoint's port, where the key is given; see [`super::Configuration::status_port`].
    pub control_port: Option<u16>,
}

/// `raft.preferred_leader`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreferredLeader {
    /// The group's designated process.
    Designated,
    /// Nobody: whoever leads goes on leading.
    Nobody,
    /// The process that runs this site. It votes in each partition that it holds.
    Site(SiteId),
}

/// `raft.grouping`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// All partitions with the same replica processes share one Raft group.
    Shard,
    /// Each partition is a Raft group of its own.
    Partition,
}

/// `raft.election_codes`: what the election callback is called with; `None` keeps it silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElectionCodes {
    /// First leadership after a fresh formation.
    pub first: Option<i32>,
    /// Any later leadership.
    pub gained: Option<i32>,
    /// Leadership lost to another run.
    pub lost: Option<i32>,
}

/// `raft.durability`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Acknowledged once it is on disk: survives a power cut.
    Fsync,
    /// Acknowledged once the operating system has it: survives the death of the process only.
    Os,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tick_ms: 10,
            heartbeat_ms: 50,
            election_ms: 300,
            form_wait_ms: 5_000,
            absent_ms: 30_000,
            drain_ms: 5_000,
            submit_wait_ms: 30_000,
            preferred_leader: PreferredLeader::Designated,
            grouping: Grouping::Shard,
            election_codes: ElectionCodes { first: Some(1), gained: Some(1), lost: Some(0) },
            queue_bytes: 64 << 20,
            log_memory_bytes: 1 << 30,
            max_log_bytes: 1 << 30,
            fragment_bytes: 512 << 10,
            data_dir: None,
            durability: Durability::Fsync,
            control_port: None,
        }
    }
}
