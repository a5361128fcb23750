//! What a transport is told when it is bound, what it counts, and how binding fails.

use std::fmt;

use crate::ids::{ProcessId, RunId};

/// Who this process is, where it listens, and where the others are.
#[derive(Debug, Clone)]
pub struct TransportConfig {
    /// This process.
    pub me: ProcessId,
    /// This start of this process.
    pub run: RunId,
    /// Of the topology and its groups: only processes with the same one talk to each other.
    pub fingerprint: u64,
    /// Host name or address, and port, to listen on.
    pub listen: (String, u16),
    /// All other processes. Those with a lower id are dialled, those with a higher id dial.
    pub peers: Vec<PeerAddress>,
    /// Bounds and times.
    pub limits: TransportLimits,
    /// Seeds the jitter of redialling.
    pub seed: u64,
}

/// Where another process listens.
#[derive(Debug, Clone)]
pub struct PeerAddress {
    /// The process.
    pub id: ProcessId,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The process's name in the configuration, for messages.
    pub name: String,
}

/// Bounds and times; the defaults are meant to be kept.
#[derive(Debug, Clone)]
pub struct TransportLimits {
    /// Longest body of a frame, both ways. A longer one that arrives ends the connection.
    pub frame_bytes_max: usize,
    /// Bytes of ordinary frames waiting for one peer; beyond, frames are dropped.
    pub bulk_queue_bytes_max: usize,
    /// Urgent frames waiting for one peer; beyond, frames are dropped.
    pub urgent_queue_frames_max: usize,
    /// Connections in handshake at once; beyond, the oldest is dropped.
    pub handshakes_max: usize,
    /// A connection whose handshake takes longer is closed.
    pub handshake_ms: u64,
    /// A connection on which nothing was received for so long is closed and dialled again.
    pub idle_ms: u64,
    /// When nothing else was sent for so long, a keep-alive is. Well below `claim_ms`, so that a live
    /// process holds its place also where it has nothing to say.
    pub keep_alive_ms: u64,
    /// Another run of a process is refused when the present one was heard within this time.
    pub claim_ms: u64,
    /// First pause before dialling again.
    pub redial_min_ms: u64,
    /// Longest pause before dialling again.
    pub redial_max_ms: u64,
    /// Longest that [`super::Transport::close`] waits for queued frames to leave.
    pub close_ms: u64,
    /// Whether the bodies of sent frames carry an XXH3. A receiver checks every one that is there.
    pub checksum: bool,
}

impl Default for TransportLimits {
    fn default() -> Self {
        Self {
            frame_bytes_max: 8 << 20,
            bulk_queue_bytes_max: 64 << 20,
            urgent_queue_frames_max: 4_096,
            handshakes_max: 64,
            handshake_ms: 2_000,
            idle_ms: 5_000,
            keep_alive_ms: 100,
            claim_ms: 300,
            redial_min_ms: 20,
            redial_max_ms: 200,
            close_ms: 100,
            checksum: true,
        }
    }
}

/// Totals since the transport was bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TransportCounters {
    /// Bytes received, with headers.
    pub bytes_in: u64,
    /// Bytes sent, with headers.
    pub bytes_out: u64,
    /// Frames received, without keep-alives.
    pub frames_in: u64,
    /// Frames queued for sending, without keep-alives.
    pub frames_out: u64,
    /// Frames dropped because a queue was at its bound or the frame too long.
    pub frames_dropped: u64,
    /// Frames that were queued when their connection was lost.
    pub frames_lost: u64,
    /// System calls that received.
    pub receive_calls: u64,
    /// System calls that sent.
    pub send_calls: u64,
    /// Handshakes that were refused, by either side.
    pub handshakes_refused: u64,
}

/// Why a transport could not be bound.
#[derive(Debug)]
#[non_exhaustive]
pub enum TransportError {
    /// The host to listen on has no address.
    Resolve {
        /// As configured.
        host: String,
        /// What the resolver said.
        cause: std::io::Error,
    },
    /// Can't listen there.
    Listen {
        /// Host and port as configured.
        address: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The configuration names the same process twice, or this process as its own peer.
    Peers(String),
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve { host, cause } => {
                write!(f, "can't listen: the host \"{host}\" has no address: {cause}")
            }
            Self::Listen { address, cause } if cause.kind() == std::io::ErrorKind::AddrNotAvailable => write!(
                f,
                "can't listen on {address}: the address does not belong to this machine ({cause}); \
                 the process's host in the configuration must be one of its own"
            ),
            Self::Listen { address, cause } => write!(f, "can't listen on {address}: {cause}"),
            Self::Peers(what) => write!(f, "{what}"),
        }
    }
}

impl std::error::Error for TransportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Resolve { cause, .. } | Self::Listen { cause, .. } => Some(cause),
            Self::Peers(_) => None,
        }
    }
}
