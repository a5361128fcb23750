//! Threads and queues: wires the other rooms into a running replica process.
//!
//! Owns every thread but the host's, and every hand-over between them. It decides nothing about Raft
//! (that is `replica`) or about Mako (that is `helper`).
//!
//! ```text
//! submitting threads --intake--> event loop --lane--> one thread per partition, calls the host
//!                                 |      |---election--> election thread, calls the host
//!                                 |      '---log_writer--> log writer, one per durable group
//!                                 '-- sockets (transport), replicas, the clock
//! ```
//!
//! Open `replica_process.rs` for start and shutdown, `event_loop.rs` for a turn (`group_run.rs` is a group in it, `together.rs`
//! brings several groups' leaders together), `intake.rs` and `lane.rs` for the two ends of a log's journey.

mod buffers;
mod busy_poll;
mod callbacks;
#[cfg(test)]
mod cluster_tests;
mod connection_lines;
mod disk_pace;
mod election;
mod event_loop;
mod failure;
mod group_run;
mod intake;
mod lane;
mod ledger;
mod log_writer;
mod replica_process;
mod roster;
mod shared;
pub(crate) mod throttle;
mod ticks;
mod together;
mod wake_chain;
mod wakeup;
mod watch;

pub(crate) use callbacks::inside_callback;
pub use callbacks::{
    in_callback, CallbackRole, ElectionCallback, ElectionSlot, LogCall, LogCallback, Outcome, OutcomeCallback,
    OutcomeSlot, PartitionCallbacks,
};
pub use election::ElectionCodes;
pub use intake::Refusal;
pub use ledger::{PartitionCounters, Waited};
#[cfg(test)]
pub(crate) use replica_process::bulk_queue_bytes;
pub use replica_process::{
    Bound, Callbacks, GroupConfig, NoAnswer, NotRestored, NotSought, Runtime, RuntimeConfig, StartError, Storage,
    Threads, Unfinished, SHUTDOWN_PATIENCE,
};
pub use shared::Port;
