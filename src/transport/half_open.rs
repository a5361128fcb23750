//! A connection that has not shaken hands yet: one that is being dialled, one that was accepted, or one
//! that was refused and is kept until the other side has read why.

use std::io::{self, ErrorKind, IoSlice, Read};
use std::net::{Shutdown, SocketAddr, TcpStream as StdStream};

use mio::net::TcpStream;
use rustix::io::Errno;
use rustix::net::{sockopt, AddressFamily, SocketFlags, SocketType};

use crate::ids::{ProcessId, Time};

use super::connection::send_gathered;
use super::handshake::{may_become_greeting, Greeting, Refusal, GREETING_BYTES};

/// Discarded from a refused connection before it is closed: enough for whatever a greeting was not.
const DISCARDED_BYTES_MAX: usize = 64 << 10;

/// Where a half-open connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The system is connecting.
    Connecting,
    /// Waiting for the other side's greeting.
    Greeting,
    /// Refused: waiting for the other side to close. Closing first, with something unread, would reset the
    /// connection and take the refusal with it.
    Refused,
}

/// What a step of a half-open connection brought.
#[derive(Debug)]
pub enum Step {
    /// Nothing yet.
    Waiting,
    /// It is connected: send the greeting.
    Connected,
    /// Its greeting is here, or is none.
    Greeted(Result<Greeting, Refusal>),
    /// It is over; a reason where there is something to say.
    Over(Option<String>),
}

/// A socket on its way to becoming a connection.
pub struct HalfOpen {
    /// Registered for both directions.
    pub stream: TcpStream,
    /// Whom we dialled; `None` for an accepted connection.
    pub dialled: Option<ProcessId>,
    /// The other end.
    pub address: SocketAddr,
    /// When to give up.
    pub deadline: Time,
    /// Order of age.
    pub serial: u64,
    /// The socket may have something to read.
    pub readable: bool,
    /// The socket may be connected.
    pub writable: bool,
    stage: Stage,
    received: [u8; GREETING_BYTES],
    have: usize,
    discarded: usize,
}

impl HalfOpen {
    /// A connection that was accepted.
    pub fn accepted(stream: TcpStream, address: SocketAddr, deadline: Time, serial: u64) -> Self {
        Self {
            stream,
            dialled: None,
            address,
            deadline,
            serial,
            readable: true,
            writable: true,
            stage: Stage::Greeting,
            received: [0; GREETING_BYTES],
            have: 0,
            discarded: 0,
        }
    }

    /// A connection to `peer` at `address`.
    pub fn dialled(
        stream: TcpStream,
        peer: ProcessId,
        address: SocketAddr,
        deadline: Time,
        serial: u64,
    ) -> Self {
        Self {
            dialled: Some(peer),
            stage: Stage::Connecting,
            readable: false,
            writable: false,
            ..Self::accepted(stream, address, deadline, serial)
        }
    }

    /// True while the system is still connecting.
    pub fn is_connecting(&self) -> bool {
        self.stage == Stage::Connecting
    }

    /// True when it was refused and only waits for the other side to close.
    pub fn is_refused(&self) -> bool {
        self.stage == Stage::Refused
    }

    /// Does what the socket's readiness allows.
    pub fn step(&mut self) -> Step {
        match self.stage {
            Stage::Connecting if self.writable => self.finish_connecting(),
            Stage::Greeting if self.readable => self.read_greeting(),
            Stage::Refused if self.readable => self.discard(),
            _ => Step::Waiting,
        }
    }

    fn finish_connecting(&mut self) -> Step {
        match self.stream.take_error() {
            Ok(None) => {}
            Ok(Some(error)) | Err(error) => return Step::Over(Some(error.to_string())),
        }
        match (self.stream.peer_addr(), self.stream.local_addr()) {
            // Dialling a free port of this host can meet itself, and would then hold the port that the
            // peer wants to listen on.
            (Ok(there), Ok(here)) if there == here => Step::Over(Some("nobody listens there".into())),
            (Ok(_), _) => {
                self.stage = Stage::Greeting;
                self.readable = true;
                Step::Connected
            }
            (Err(error), _) if error.kind() == ErrorKind::NotConnected => {
                self.writable = false;
                Step::Waiting
            }
            (Err(error), _) => Step::Over(Some(error.to_string())),
        }
    }

    fn read_greeting(&mut self) -> Step {
        while self.have < GREETING_BYTES {
            match self.stream.read(&mut self.received[self.have..]) {
                Ok(0) => return Step::Over(Some("it closed the connection before it said who it is".into())),
                Ok(count) => self.have += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.readable = false;
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Step::Over(Some(error.to_string())),
            }
            if !may_become_greeting(&self.received[..self.have]) {
                return Step::Greeted(Err(Refusal::NotAGreeting));
            }
        }
        if self.have < GREETING_BYTES {
            return Step::Waiting;
        }
        Step::Greeted(Greeting::decode(&self.received))
    }

    /// Whether the dialler that greeted has gone away again, or talks before its turn: a process that was
    /// stopped for a while finds many such in its backlog.
    pub fn dialler_is_gone(&mut self) -> bool {
        let mut byte = [0];
        match self.stream.peek(&mut byte) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                false
            }
            _ => true,
        }
    }

    /// Sends a greeting. A new socket's buffer takes it whole; one that doesn't is of no use.
    pub fn say(&mut self, greeting: &Greeting) -> io::Result<()> {
        let bytes = greeting.encode();
        match send_gathered(&self.stream, &[IoSlice::new(&bytes)])? {
            GREETING_BYTES => Ok(()),
            count => Err(io::Error::other(format!("only {count} bytes of the greeting could be sent"))),
        }
    }

    /// Sends a refusal and waits for the other side to close, until `deadline`.
    pub fn refuse(&mut self, refusal: &Greeting, deadline: Time) -> io::Result<()> {
        self.say(refusal)?;
        self.stream.shutdown(Shutdown::Write)?;
        self.stage = Stage::Refused;
        self.deadline = deadline;
        self.readable = true;
        Ok(())
    }

    fn discard(&mut self) -> Step {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(count) if count > 0 && self.discarded < DISCARDED_BYTES_MAX => self.discarded += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Step::Waiting;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => return Step::Over(None),
            }
        }
    }
}

/// Begins to connect to `address`.
///
/// The socket's local port is marked as reusable: it is taken from the system's range, and must not keep a
/// process of this host from listening on that port when the configuration names it.
pub fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(TcpStream::from_std(StdStream::from(socket))),
        Err(error) => Err(error.into()),
    }
}
