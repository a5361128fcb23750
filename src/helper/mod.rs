//! What Mako's contract means: life cycle, which callback, epochs, status codes, waiting.
//!
//! One library per process; these functions are what `ffi` exposes one to one. None of them panics
//! or exits; each failure is a [`HelperError`] whose text names what was wrong and what would be right.
//! No `unsafe` and no raw pointers here. Open `lifecycle.rs` first.

mod directory;
mod epoch;
mod leadership;
mod lifecycle;
mod microbench;
mod noops;
mod registration;
mod run_id;
mod runtime_config;
mod stats;
pub mod status_endpoint;
mod status_value;
mod submission;

pub(crate) use crate::runtime::inside_callback;
pub use crate::runtime::{
    in_callback, CallbackRole, ElectionCallback, LogCall, LogCallback, Outcome, OutcomeCallback, PartitionCounters,
};
pub use epoch::{epoch, set_epoch};
pub(crate) use directory::is_set_up;
pub use leadership::{is_leader, leader_site, restore_alone, set_preferred_leader, upgrade_to_leader};
pub use lifecycle::{hosts, pre_shutdown_step, setup, setup2, shutdown};
pub use microbench::microbench;
pub use noops::{send_no_ops_for_mark, send_no_ops_to_all_workers};
pub use registration::{register_election, register_log, register_outcome};
pub use stats::{counters, outstanding, partitions, report, set_unreplayed, worker_info_stats};
pub use status_value::decode_value;
pub use submission::{refuse, submit, wait_for_submit};

use std::fmt;

/// Why a call failed. `Display` is the message for `mako_raft_last_error`.
/// It is returned and not logged here: the C++ functions log what has no other way to their caller.
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
    /// Shutdown left something running, or the operator's act was done in part; the text says what.
    Unfinished(String),
    /// A panic was caught at the boundary, or the replica stopped itself.
    Internal(String),
}

impl fmt::Display for HelperError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(text)
            | Self::Order(text)
            | Self::QueueFull(text)
            | Self::Io(text)
            | Self::Unfinished(text)
            | Self::Internal(text) => f.write_str(text),
            Self::NotLeader { leader: Some(site) } => {
                write!(f, "this process does not lead the partition; the leader's site is {site}")
            }
            Self::NotLeader { leader: None } => {
                write!(f, "this process does not lead the partition; no leader is known")
            }
            Self::ShutDown => write!(f, "the library is shutting down or was shut down"),
        }
    }
}

impl std::error::Error for HelperError {}

/// Refuses calls that would wait for the very callback, or destructor, that makes them.
fn refuse_in_callback(call: &str) -> Result<(), HelperError> {
    if in_callback() {
        let text = format!(
            "{call} was called from inside a callback, or from a destructor that runs for the library (of a callback's \
             context, or of a thread_local object on one of its threads), which it would wait for; call it from another thread"
        );
        return Err(HelperError::Order(text));
    }
    Ok(())
}
