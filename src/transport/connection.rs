//! A connection after its handshake: reads frames, writes frames.

use std::io::{ErrorKind, IoSlice};

use bytes::Bytes;
use mio::net::TcpStream;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};

use crate::ids::{ProcessId, RunId, Time};

use super::frame::Decoder;
use super::outbox::Outbox;
use super::settings::TransportCounters;

/// What the room's shared receive buffer holds. Large enough that small frames cost few calls.
pub const POOL_BYTES: usize = 256 << 10;

/// The first read after a large frame: likely another one follows, and what comes with its
/// header has to be copied.
const READ_BYTES_MIN: usize = 4 << 10;

/// Received from one connection before the next one's turn.
const READ_BYTES_PER_TURN: usize = 1 << 20;

/// Sent to one connection before the next one's turn.
const WRITE_BYTES_PER_TURN: usize = 2 << 20;

/// Slices per system call. The kernel takes 1024; more than 64 save nothing measurable.
const SLICES_PER_CALL: usize = 64;

/// Whether a socket has more to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The socket would block, or nothing is queued: an event will come.
    Waiting,
    /// The turn is over, the work is not: no event will come.
    More,
}

/// One peer's connection.
pub struct Connection {
    /// Registered for both directions.
    pub stream: TcpStream,
    /// Who is there.
    pub peer: ProcessId,
    /// Its run.
    pub run: RunId,
    /// When anything was last received.
    pub last_heard: Time,
    /// When anything was last sent.
    pub last_sent: Time,
    /// What waits to be sent.
    pub outbox: Outbox,
    /// The socket may have something to read.
    pub readable: bool,
    /// The socket may take something.
    pub writable: bool,
    /// The other side has closed, so a read that brings little does not mean that nothing is left.
    pub ending: bool,
    /// When the handshake was done.
    pub since: Time,
    decoder: Decoder,
    /// Length of the next read into the pool.
    read_bytes: usize,
}

impl Connection {
    /// A connection that was just greeted.
    pub fn new(stream: TcpStream, peer: ProcessId, run: RunId, outbox: Outbox, frame_bytes_max: usize, now: Time) -> Self {
        Self {
            stream,
            peer,
            run,
            last_heard: now,
            last_sent: now,
            outbox,
            readable: true,
            writable: true,
            ending: false,
            since: now,
            decoder: Decoder::new(frame_bytes_max),
            read_bytes: POOL_BYTES,
        }
    }

    /// Reads one turn's worth and hands out the bodies. `Err`: the connection is over, and why.
    pub fn read(
        &mut self,
        pool: &mut [u8],
        now: Time,
        counters: &mut TransportCounters,
        bodies: &mut impl FnMut(Bytes),
    ) -> Result<Progress, String> {
        let mut turn = 0;
        while self.readable {
            if turn >= READ_BYTES_PER_TURN {
                return Ok(Progress::More);
            }
            counters.receive_calls += 1;
            match self.read_once(pool, bodies)? {
                Some(0) => return Err("the other side closed the connection".into()),
                Some(count) => {
                    turn += count;
                    counters.bytes_in += count as u64;
                    self.last_heard = now;
                }
                None => self.readable = false,
            }
        }
        Ok(Progress::Waiting)
    }

    /// One system call: how many bytes, or `None` when the socket has none.
    fn read_once(&mut self, pool: &mut [u8], bodies: &mut impl FnMut(Bytes)) -> Result<Option<usize>, String> {
        let received = if let Some(buffer) = self.decoder.large_buffer() {
            self.read_bytes = READ_BYTES_MIN;
            let room = buffer.capacity() - buffer.len();
            let received = rustix::net::recv(&self.stream, spare_capacity(buffer), RecvFlags::empty());
            received.map(|(count, _)| (count, count < room, self.decoder.large_received(bodies)))
        } else {
            let room = self.read_bytes;
            rustix::net::recv(&self.stream, &mut pool[..room], RecvFlags::empty()).map(|(count, _)| {
                if count == room {
                    self.read_bytes = (self.read_bytes * 4).min(POOL_BYTES);
                }
                (count, count < room, self.decoder.feed(&pool[..count], bodies))
            })
        };
        match received {
            Ok((count, drained, Ok(()))) => {
                // epoll(7): a short read means that the next byte will raise a new event.
                self.readable = !drained || self.ending || count == 0;
                Ok(Some(count))
            }
            Ok((_, _, Err(error))) => Err(error.to_string()),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(Errno::INTR) => self.read_once(pool, bodies),
            Err(error) => Err(std::io::Error::from(error).to_string()),
        }
    }

    /// Writes one turn's worth of what is queued. `Err`: the connection is over, and why.
    pub fn write(&mut self, now: Time, counters: &mut TransportCounters) -> Result<Progress, String> {
        let mut turn = 0;
        while self.writable && !self.outbox.is_empty() {
            if turn >= WRITE_BYTES_PER_TURN {
                return Ok(Progress::More);
            }
            self.outbox.seal();
            let mut slices = [IoSlice::new(&[]); SLICES_PER_CALL];
            let filled = self.outbox.gather(&mut slices);
            counters.send_calls += 1;
            match send_gathered(&self.stream, &slices[..filled]) {
                Ok(count) => {
                    turn += count;
                    counters.bytes_out += count as u64;
                    self.outbox.written(count);
                    self.last_sent = now;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(Progress::Waiting)
    }
}

/// Writes what the socket takes. Never raises SIGPIPE, which would end the host process.
pub fn send_gathered(stream: &TcpStream, slices: &[IoSlice<'_>]) -> std::io::Result<usize> {
    let mut nothing = SendAncillaryBuffer::default();
    Ok(rustix::net::sendmsg(stream, slices, &mut nothing, SendFlags::NOSIGNAL)?)
}
