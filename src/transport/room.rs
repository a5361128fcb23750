//! The facade.

use mio::event::Event;
use mio::{Registry, Token};

use crate::ids::{ProcessId, Time};
use crate::replica::wire::Frame;

use super::settings::{TransportConfig, TransportCounters, TransportError};
use super::{SendOutcome, TransportEvent};

/// All connections of this process. Owned by one thread.
pub struct Transport {}

impl Transport {
    /// Tokens used, from `first_token` up: keep others out of this range.
    pub const TOKENS: usize = 1 << 16;

    /// Listens, and looks the peers' names up. Dialling starts with the first tick.
    pub fn bind(
        _config: TransportConfig,
        _registry: Registry,
        _first_token: usize,
    ) -> Result<Transport, TransportError> {
        todo!()
    }

    /// Whether an event with this token is for [`Transport::handle`].
    pub fn owns(&self, _token: Token) -> bool {
        todo!()
    }

    /// Notes what is ready. Does no I/O.
    pub fn handle(&mut self, _event: &Event) {
        todo!()
    }

    /// Accepts, shakes hands and reads what is ready, a bounded amount per connection, and appends
    /// what happened to `events`. True when something is left: call again before sleeping.
    #[must_use = "sockets are edge-triggered: true means that the next poll must not sleep"]
    pub fn poll_io(&mut self, _now: Time, _events: &mut Vec<TransportEvent>) -> bool {
        todo!()
    }

    /// Queues a frame; [`Transport::flush`] sends it.
    pub fn send(&mut self, _to: ProcessId, _frame: Frame) -> SendOutcome {
        todo!()
    }

    /// Writes what the sockets take, a bounded amount per connection. True when the next poll must not
    /// sleep: a socket would take more, or an event waits for `poll_io`.
    #[must_use = "sockets are edge-triggered: true means that the next poll must not sleep"]
    pub fn flush(&mut self) -> bool {
        todo!()
    }

    /// Dials, keeps connections alive, and closes those that are silent or slow to shake hands. What
    /// happened comes out of the next `poll_io`.
    pub fn tick(&mut self, _now: Time) {
        todo!()
    }

    /// Sends what is queued for at most `close_ms`, then closes everything; the port is free when it
    /// returns. No events come any more. Idempotent.
    pub fn close(&mut self) {
        todo!()
    }

    /// Totals since the transport was bound.
    pub fn counters(&self) -> TransportCounters {
        todo!()
    }
}
