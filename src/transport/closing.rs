//! The room's end: what is queued leaves, within a bound, and the port is free.

use std::io::{ErrorKind, Read};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use rustix::event::{poll, PollFd, PollFlags, Timespec};

use super::connection::{Connection, Progress};
use super::room::{Socket, Transport};
use super::settings::TransportCounters;

/// Discarded in one go while a peer has not noticed yet.
const DISCARD_BYTES: usize = 64 << 10;

/// How far a connection is on its way out.
struct Leaving {
    connection: Box<Connection>,
    /// Everything was sent, and our side is shut.
    shut: bool,
}

impl Transport {
    /// Sends what is queued for at most `close_ms`, then closes everything; the port is free when it
    /// returns. No events come any more, and `send` finds no connection. Idempotent.
    ///
    /// Beside [`Transport::bind`] this is the one call that waits, and so the one that reads a clock.
    pub fn close(&mut self) {
        self.listener = None;
        self.accepting = false;
        let deadline = Instant::now() + Duration::from_millis(self.limits.close_ms);
        let mut leaving = Vec::new();
        for socket in self.sockets.drain(..) {
            if let Some(Socket::Up(connection)) = socket {
                leaving.push(Leaving { connection, shut: false });
            }
        }
        for peer in &mut self.peers {
            (peer.up, peer.half_open) = (None, None);
        }
        self.pending.clear();
        let mut discarded = vec![0; DISCARD_BYTES];
        loop {
            leaving.retain_mut(|one| !leave(one, &mut discarded, &mut self.counters));
            let left = deadline.saturating_duration_since(Instant::now());
            if leaving.is_empty() || left.is_zero() {
                return;
            }
            wait(&leaving, left);
        }
    }
}

/// Moves one connection on; true when it can be closed. It is closed only after the other side has, or
/// unread bytes would reset it and take what is still on its way with them.
fn leave(one: &mut Leaving, discarded: &mut [u8], counters: &mut TransportCounters) -> bool {
    let connection = &mut one.connection;
    if !one.shut {
        connection.writable = true;
        match connection.write(connection.last_sent, counters) {
            Err(_) => return true,
            Ok(Progress::More) => {}
            Ok(Progress::Waiting) if connection.outbox.is_empty() => {
                one.shut = true;
                if connection.stream.shutdown(Shutdown::Write).is_err() {
                    return true;
                }
            }
            Ok(Progress::Waiting) => {}
        }
    }
    // Once per turn: a peer that never stops sending must not hold us.
    match connection.stream.read(discarded) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
    }
}

/// Waits until one of them can move on.
fn wait(leaving: &[Leaving], at_most: Duration) {
    let wanted = |one: &Leaving| if one.shut { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
    let mut sockets: Vec<_> =
        leaving.iter().map(|one| PollFd::new(&one.connection.stream, wanted(one))).collect();
    let at_most = Timespec { tv_sec: at_most.as_secs() as i64, tv_nsec: i64::from(at_most.subsec_nanos()) };
    // Interrupted or not: the caller looks again, and its deadline stands.
    let _ = poll(&mut sockets, Some(&at_most));
}
