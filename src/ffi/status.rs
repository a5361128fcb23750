//! Status codes, and which error becomes which.

use crate::helper::HelperError;

/// What a fallible function returns. The text that goes with a code other than `MAKO_RAFT_OK` is
/// mako_raft_last_error(). New codes may be added at the end.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum mako_raft_status {
    /// Done.
    MAKO_RAFT_OK = 0,
    /// An argument, a file, a key or a value is wrong. Nothing was changed.
    MAKO_RAFT_INVALID = 1,
    /// The call is not allowed now: a second setup, setup2 before setup, any call before the setup or
    /// setup2 that it needs, shutdown from inside a callback. Nothing was changed.
    MAKO_RAFT_ORDER = 2,
    /// This process does not lead; the log was not accepted.
    MAKO_RAFT_NOT_LEADER = 3,
    /// The partition's queue stayed full for raft.submit_wait_ms; the log was not accepted.
    MAKO_RAFT_QUEUE_FULL = 4,
    /// The library is shutting down or was shut down.
    MAKO_RAFT_SHUT_DOWN = 5,
    /// An address can't be bound, a directory can't be written.
    MAKO_RAFT_IO = 6,
    /// Shutdown left something running, a callback that does not return; or what was asked was done in
    /// part, or whether it was done is not known. The text says which.
    MAKO_RAFT_UNFINISHED = 7,
    /// A defect of the library: a panic was stopped at this boundary, or the replica has stopped
    /// itself. Please report it with the text.
    MAKO_RAFT_INTERNAL = 8,
}

impl mako_raft_status {
    /// The code for `error`.
    pub(super) fn of(error: &HelperError) -> Self {
        match error {
            HelperError::Invalid(_) => Self::MAKO_RAFT_INVALID,
            HelperError::Order(_) => Self::MAKO_RAFT_ORDER,
            HelperError::NotLeader { .. } => Self::MAKO_RAFT_NOT_LEADER,
            HelperError::QueueFull(_) => Self::MAKO_RAFT_QUEUE_FULL,
            HelperError::ShutDown => Self::MAKO_RAFT_SHUT_DOWN,
            HelperError::Io(_) => Self::MAKO_RAFT_IO,
            HelperError::Unfinished(_) => Self::MAKO_RAFT_UNFINISHED,
            HelperError::Internal(_) => Self::MAKO_RAFT_INTERNAL,
        }
    }
}
