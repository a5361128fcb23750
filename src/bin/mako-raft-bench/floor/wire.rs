//! The sender's two connections, and the processes at their other ends.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::cluster;

/// What a receiver answers with: about the size of an acknowledgement in Raft.
pub const ACK_BYTES: usize = 64;
/// A receiver that does not answer for so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A receiving process; killed when dropped.
pub struct Receiver(Child);

impl Receiver {
    fn start(port: u16, bytes: usize, kept: usize) -> Result<Self, String> {
        let program = cluster::own_program()?;
        Command::new(program)
            .args(["floor-receiver", &port.to_string(), &bytes.to_string(), &kept.to_string()])
            // Never written to: it ends when this process does.
            .stdin(Stdio::piped())
            .spawn()
            .map(Self)
            .map_err(|error| format!("starting a receiver: {error}"))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // It ends by itself when its connection does.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One connection of the sender.
pub struct Peer {
    stream: TcpStream,
    /// Not written yet, of the messages sent.
    unsent: usize,
    /// Where in the sender's memory the next byte is.
    at: usize,
    /// Acknowledgement bytes received.
    answered: usize,
    _receiver: Receiver,
}

/// The sender's end.
pub struct Sender {
    poll: Poll,
    events: Events,
    /// Both receivers.
    pub peers: Vec<Peer>,
    block: usize,
    memory: Vec<u8>,
}

fn failed(error: &std::io::Error) -> String {
    format!("the floor's sockets: {error}")
}

impl Sender {
    /// Two receivers of messages of `bytes`; they acknowledge each, or none where `bytes` is 0. `block` bytes are queued at a time,
    /// out of `kept` bytes in turn, and read into as many in turn; else out of one block, into what one read takes.
    ///
    /// # Errors
    /// The system refuses something.
    pub fn new(bytes: usize, block: usize, kept: Option<usize>) -> Result<Self, String> {
        let poll = Poll::new().map_err(|error| failed(&error))?;
        let mut peers = Vec::new();
        for index in 0..2 {
            let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| failed(&error))?;
            let port = listener.local_addr().map_err(|error| failed(&error))?.port();
            let receiver = Receiver::start(port, bytes, kept.unwrap_or(0))?;
            let (stream, _) = listener.accept().map_err(|error| failed(&error))?;
            stream.set_nodelay(true).and_then(|()| stream.set_nonblocking(true)).map_err(|error| failed(&error))?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry()
                .register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)
                .map_err(|error| failed(&error))?;
            peers.push(Peer { stream, unsent: 0, at: 0, answered: 0, _receiver: receiver });
        }
        Ok(Self { poll, events: Events::with_capacity(16), peers, block, memory: vec![0x5a; kept.unwrap_or(block)] })
    }

    /// Adds a message to each peer's queue.
    pub fn queue(&mut self) {
        self.peers.iter_mut().for_each(|peer| peer.unsent += self.block);
    }

    /// Writes what the sockets take and reads what has come.
    ///
    /// # Errors
    /// A receiver is gone.
    pub fn move_bytes(&mut self) -> Result<(), String> {
        self.peers.iter_mut().try_for_each(|peer| peer.send(&self.memory).and_then(|()| peer.receive()))
    }

    /// Sleeps until a socket is ready.
    ///
    /// # Errors
    /// None became ready within [`PATIENCE`].
    pub fn wait(&mut self) -> Result<(), String> {
        let begin = Instant::now();
        self.poll.poll(&mut self.events, Some(PATIENCE)).map_err(|error| failed(&error))?;
        if self.events.is_empty() && begin.elapsed() >= PATIENCE {
            return Err("the floor's receivers don't answer".into());
        }
        Ok(())
    }
}

impl Peer {
    /// Bytes that are queued.
    pub fn unsent(&self) -> usize {
        self.unsent
    }

    /// Messages acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.answered / ACK_BYTES
    }

    fn send(&mut self, memory: &[u8]) -> Result<(), String> {
        while self.unsent > 0 {
            let end = memory.len().min(self.at + self.unsent);
            match self.stream.write(&memory[self.at..end]) {
                Ok(count) => {
                    self.unsent -= count;
                    self.at = (self.at + count) % memory.len();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(&error)),
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<(), String> {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err("a receiver of the floor ended".into()),
                Ok(count) => self.answered += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(&error)),
            }
            // A short read has emptied the socket; the next byte makes it ready again.
            if self.answered.is_multiple_of(ACK_BYTES) {
                return Ok(());
            }
        }
    }
}
