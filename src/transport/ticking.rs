//! The room's part that time drives: dialling, keep-alives, and what was silent for too long.

use crate::ids::Time;

use super::half_open::{dial, HalfOpen};
use super::room::{Socket, Transport};

/// A tick that comes so much after the last one means that this process did not run: silence in that time
/// says nothing about the others.
const STOPPED_MS: u64 = 1_000;

impl Transport {
    /// Dials, keeps connections alive, and closes those that are silent or slow to shake hands. What
    /// happened comes out of the next `poll_io`; keep-alives leave with the next `flush`.
    pub fn tick(&mut self, now: Time) {
        if self.listener.is_none() {
            return;
        }
        let stopped = now.millis_since(self.now) >= STOPPED_MS;
        self.now = self.now.max(now);
        self.accepting |= std::mem::take(&mut self.accepting_failed);
        for place in 0..self.sockets.len() {
            if stopped {
                self.pardon(place);
            }
            self.check_time(place);
        }
        self.look_peers_up();
        self.dial_due();
    }

    /// This process did not run for a while: deadlines start again.
    fn pardon(&mut self, place: usize) {
        match &mut self.sockets[place] {
            Some(Socket::Up(connection)) => connection.last_heard = self.now,
            Some(Socket::HalfOpen(half)) => half.deadline = self.now.plus_millis(self.limits.handshake_ms),
            None => {}
        }
    }

    fn check_time(&mut self, place: usize) {
        let (now, limits) = (self.now, &self.limits);
        match &mut self.sockets[place] {
            Some(Socket::Up(connection)) => {
                if now.millis_since(connection.last_heard) >= limits.idle_ms {
                    let reason = format!("nothing was heard from it for {} ms", limits.idle_ms);
                    self.lose(place, reason);
                } else if connection.outbox.is_empty()
                    && now.millis_since(connection.last_sent) >= limits.keep_alive_ms
                {
                    connection.outbox.push_keep_alive();
                }
            }
            Some(Socket::HalfOpen(half)) if now >= half.deadline => {
                let reason = match (half.is_refused(), half.is_connecting()) {
                    (true, _) => None,
                    (_, true) => Some(format!("no answer for {} ms", limits.handshake_ms)),
                    _ => Some(format!("it did not say who it is for {} ms", limits.handshake_ms)),
                };
                self.give_up(place, reason);
            }
            _ => {}
        }
    }

    fn dial_due(&mut self) {
        for index in 0..self.peers.len() {
            let peer = &mut self.peers[index];
            let idle = peer.up.is_none() && peer.half_open.is_none();
            let Some(dialling) = peer.dialling.as_mut().filter(|_| idle) else { continue };
            let Some(address) = dialling.due(self.now) else { continue };
            let id = peer.address.id;
            self.serial += 1;
            let deadline = self.now.plus_millis(self.limits.handshake_ms);
            let serial = self.serial;
            let placed = dial(address)
                .and_then(|stream| self.place(HalfOpen::dialled(stream, id, address, deadline, serial)));
            match placed {
                Ok(place) => self.peers[index].half_open = Some(place),
                Err(error) => self.unreachable(id, address, error.to_string()),
            }
        }
    }
}

