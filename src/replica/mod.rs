//! One Raft group as a state machine without I/O.
//!
//! Owns the raft-rs node, the partition streams in its log, what an entry's bytes mean, how a
//! shard forms, who is a member, and who should lead. It never looks at a clock, a socket, a
//! thread or a file, and takes its randomness as a seed: a test can run a whole cluster of these in
//! one thread, and a run replays exactly.
//!
//! Everything goes in through the methods of [`Replica`] and comes out of [`Replica::advance`].
//! Open `group.rs` first.

pub mod config;
pub mod control;
pub mod formation;
pub mod group;
pub mod message;
pub mod output;
pub mod payload;
#[doc(hidden)]
pub mod planted;
pub mod wire;

mod admission;
mod beginning;
mod campaigns;
mod forming;
mod handing_over;
mod judging;
mod leadership;
mod leading;
mod members;
mod node;
mod outbox;
mod own_disk;
mod pace;
mod passes;
mod peers;
mod preference;
mod restoring;
mod retention;
mod shaping;
mod status;
mod streams;
mod waiting;

pub use config::{Limits, NotResumed, Recovered, ReplicaConfig, RestoreOrder, Timing};
pub use group::Replica;
pub use leadership::NeverLeads;
