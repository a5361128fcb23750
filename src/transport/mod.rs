//! Listening, dialling, the handshake, frames, and back-pressure per peer, on mio.
//!
//! Knows processes, runs and frames, and nothing of Raft beyond "bytes for process X". Once
//! bound it never blocks, and reads no clock, until it is closed: the event-loop thread that owns it hands in the time. Open `room.rs`
//! first: it is the facade; `handshake.rs` says who may connect to whom, `frame.rs` what the bytes look
//! like, `outbox.rs` in which order they leave.
//!
//! One turn of the owner's loop:
//!
//! 1. `poll`, then [`Transport::handle`] for each event whose token it [`Transport::owns`];
//! 2. [`Transport::tick`] when its interval has passed (10 ms is fine; never more than 50 ms);
//! 3. [`Transport::poll_io`]: act on the events; true means "do not sleep in the next poll";
//! 4. [`Transport::send`] whatever came out of it, then [`Transport::flush`]; true as above.

mod closing;
mod connection;
mod dialling;
#[doc(hidden)]
pub mod frame;
mod half_open;
#[doc(hidden)]
pub mod handshake;
mod listening;
mod notices;
mod outbox;
mod resolve;
mod room;
mod settings;
mod shaking;
mod ticking;

#[cfg(test)]
mod tests;

pub(crate) use resolve::look_up;
pub use room::Transport;
pub use settings::{PeerAddress, TransportConfig, TransportCounters, TransportError, TransportLimits};

use bytes::Bytes;

use crate::ids::{ProcessId, RunId};

/// What the transport tells the event loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportEvent {
    /// A connection to this process is up. Exactly one before the frames of a connection.
    Up {
        /// The process.
        peer: ProcessId,
        /// The run that was met.
        run: RunId,
    },
    /// The connection is gone, and whatever was queued for it. Exactly one after each `Up`.
    Down {
        /// The process.
        peer: ProcessId,
        /// Why, for the operator.
        reason: String,
    },
    /// One frame, whole.
    Frame {
        /// The sender.
        from: ProcessId,
        /// What [`Transport::send`] was given there, joined.
        body: Bytes,
    },
    /// A line for the operator; what repeats is limited to one line a second and kind.
    Notice(NoticeLevel, String),
}

/// How loudly a notice is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeLevel {
    /// Expected and worth a line.
    Info,
    /// An operator may have to act.
    Warning,
}

/// What became of a frame that was given to [`Transport::send`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendOutcome {
    /// It leaves with the next flushes, unless the connection is lost.
    Queued,
    /// No connection to the process is up, or the process is unknown.
    NoConnection,
    /// The queue to the process is at its bound, or the frame exceeds `frame_bytes_max`. Counted.
    Dropped,
}
