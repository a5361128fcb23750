//! The room's part in which connections come to be: accepting, greeting, refusing, promoting.

use std::io::ErrorKind;
use std::net::SocketAddr;

use mio::net::TcpStream;

use super::connection::Connection;
use super::dialling::Ended;
use super::half_open::{HalfOpen, Step};
use super::handshake::{explain_refused, explain_refusing, judge, Greeting, Refusal, Refused};
use super::notices::Kind;
use super::room::{Socket, Transport};
use super::{NoticeLevel, TransportEvent};
use crate::ids::{ProcessId, RunId};

/// Accepted in one turn; then those that have something to say get theirs.
const ACCEPTS_PER_TURN: usize = 16;

/// A refused connection waits so long for the other side to read why.
const REFUSED_MS: u64 = 1_000;

impl Transport {
    /// Takes new connections, a bounded number. True when there may be more.
    pub(super) fn accept(&mut self) -> bool {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(listener) = self.listener.as_ref().filter(|_| self.accepting) else { return false };
            match listener.accept() {
                Ok((stream, address)) => self.accepted(stream, address),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.accepting = false,
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                Err(error) => {
                    // Out of descriptors, mostly. Trying again at once would spin.
                    self.accepting = false;
                    self.accepting_failed = true;
                    self.notices.say(&mut self.pending, self.now, Kind::Accepting, NoticeLevel::Warning, || {
                        format!("new connections can't be accepted: {error}; trying again")
                    });
                }
            }
        }
        self.accepting
    }

    fn accepted(&mut self, stream: TcpStream, address: SocketAddr) {
        self.make_room_for_half_open();
        let _ = stream.set_nodelay(true); // Only fails on a connection that is already gone.
        self.serial += 1;
        let deadline = self.now.plus_millis(self.limits.handshake_ms);
        if let Err(error) = self.place(HalfOpen::accepted(stream, address, deadline, self.serial)) {
            self.notices.say(&mut self.pending, self.now, Kind::Accepting, NoticeLevel::Warning, || {
                format!("a connection from {address} can't be watched: {error}")
            });
        }
    }

    /// Drops the oldest accepted connection that has not greeted, if there are too many: those who
    /// greet at once, as peers do, get through any flood of silent ones.
    fn make_room_for_half_open(&mut self) {
        let accepted = |socket: &Option<Socket>| match socket {
            Some(Socket::HalfOpen(half)) if half.dialled.is_none() => Some(half.serial),
            _ => None,
        };
        let serials = self.sockets.iter().map(accepted).enumerate();
        let mut ages: Vec<_> = serials.filter_map(|(place, serial)| Some((serial?, place))).collect();
        if ages.len() < self.limits.handshakes_max {
            return;
        }
        ages.sort_unstable();
        let (_, oldest) = ages[0];
        self.sockets[oldest] = None;
        let limit = self.limits.handshakes_max;
        self.notices.say(&mut self.pending, self.now, Kind::Flood, NoticeLevel::Warning, || {
            format!("more than {limit} connections have not said who they are: the oldest are dropped")
        });
    }

    /// Moves every half-open connection on. True when one was promoted, which may have frames to read.
    pub(super) fn shake_hands(&mut self) -> bool {
        let mut promoted = false;
        for place in 0..self.sockets.len() {
            while let Some(Socket::HalfOpen(half)) = &mut self.sockets[place] {
                match half.step() {
                    Step::Waiting => break,
                    Step::Connected => self.greet(place),
                    Step::Greeted(Ok(greeting)) => match greeting.refusal {
                        None => promoted |= self.heard_hello(place, greeting),
                        Some(reason) => self.heard_refusal(place, reason, greeting),
                    },
                    Step::Greeted(Err(reason)) => self.refuse(place, reason.into(), None),
                    Step::Over(reason) => self.give_up(place, reason),
                }
            }
        }
        promoted
    }

    fn half_open(&mut self, place: usize) -> &mut HalfOpen {
        match &mut self.sockets[place] {
            Some(Socket::HalfOpen(half)) => half,
            _ => unreachable!("called with a half-open connection's place"),
        }
    }

    /// Says hello on a dialled connection.
    fn greet(&mut self, place: usize) {
        let identity = self.identity;
        let half = self.half_open(place);
        let peer = half.dialled.expect("only dialled connections connect");
        if let Err(error) = half.say(&Greeting::hello(identity, peer)) {
            self.give_up(place, Some(error.to_string()));
        }
    }

    /// Judges a hello; true when the connection is up.
    fn heard_hello(&mut self, place: usize, hello: Greeting) -> bool {
        let identity = self.identity;
        let index = self.peer_index(hello.sender);
        let half = self.half_open(place);
        let dialled = half.dialled;
        if let Err(refused) = judge(&hello, identity, dialled, index.is_some()) {
            self.refuse(place, refused, Some(hello));
            return false;
        }
        if dialled.is_none() && half.dialler_is_gone() {
            self.sockets[place] = None;
            return false;
        }
        if let Some(holder) = self.holder_of(hello.sender, hello.run) {
            self.refuse(place, Refused { reason: Refusal::Claimed, holder: Some(holder) }, Some(hello));
            return false;
        }
        if dialled.is_none() {
            if let Err(error) = self.half_open(place).say(&Greeting::hello(identity, hello.sender)) {
                self.give_up(place, Some(error.to_string()));
                return false;
            }
        }
        self.promote(place, hello.sender, hello.run);
        true
    }

    /// The run that keeps another run of `process` from connecting: connected, and heard a moment ago.
    fn holder_of(&self, process: ProcessId, claimant: RunId) -> Option<RunId> {
        let up = self.peers[self.peer_index(process)?].up?;
        match &self.sockets[up] {
            Some(Socket::Up(present)) => {
                let alive = self.now.millis_since(present.last_heard) < self.limits.claim_ms;
                (present.run != claimant && alive).then_some(present.run)
            }
            _ => None,
        }
    }

    fn promote(&mut self, place: usize, process: ProcessId, run: RunId) {
        let index = self.peer_index(process).expect("judged to be known");
        if let Some(old) = self.peers[index].up {
            self.lose(old, format!("replaced by a new connection from run {run}"));
        }
        let Some(Socket::HalfOpen(half)) = self.sockets[place].take() else {
            unreachable!("promoted from half-open")
        };
        let outbox = self.new_outbox();
        let limit = self.limits.frame_bytes_max;
        let connection = Connection::new(half.stream, process, run, outbox, limit, self.now);
        self.sockets[place] = Some(Socket::Up(Box::new(connection)));
        let peer = &mut self.peers[index];
        peer.up = Some(place);
        if half.dialled.is_some() {
            peer.half_open = None;
        }
        for kind in [Kind::Unreachable(process), Kind::Refused(process)] {
            self.notices.forget(kind);
        }
        self.pending.push(TransportEvent::Up { peer: process, run });
    }

    /// Refuses what came on a half-open connection, and tells both operators.
    fn refuse(&mut self, place: usize, refused: Refused, theirs: Option<Greeting>) {
        self.counters.handshakes_refused += 1;
        let (identity, claim_ms) = (self.identity, self.limits.claim_ms);
        let deadline = self.now.plus_millis(REFUSED_MS);
        let half = self.half_open(place);
        let (address, dialled) = (half.address, half.dialled.take());
        let receiver = theirs.map_or(ProcessId(u16::MAX), |theirs| theirs.sender);
        let said = half.refuse(&Greeting::refusal(identity, receiver, refused), deadline);
        if said.is_err() {
            self.sockets[place] = None;
        }
        let known = dialled.or_else(|| theirs.map(|theirs| theirs.sender)).and_then(|id| self.peer_index(id));
        let kind = known.map_or(Kind::Stranger, |index| Kind::Refused(self.peers[index].address.id));
        self.notices.say(&mut self.pending, self.now, kind, NoticeLevel::Warning, || {
            let direction = if dialled.is_some() { "to" } else { "from" };
            let why = explain_refusing(refused, identity, theirs.as_ref(), claim_ms);
            let whom = known.map_or_else(String::new, |index| format!(", {},", self.peers[index].describe()));
            format!("refused a connection {direction} {address}{whom}: {why}")
        });
        if let Some(process) = dialled {
            self.dialling_ended(process, Ended::Refused);
        }
    }

    /// The other side refused.
    fn heard_refusal(&mut self, place: usize, reason: Refusal, theirs: Greeting) {
        let Some(process) = self.half_open(place).dialled else {
            // Only an answer can be a refusal.
            self.refuse(place, Refusal::NotAGreeting.into(), None);
            return;
        };
        self.counters.handshakes_refused += 1;
        self.sockets[place] = None;
        let identity = self.identity;
        let index = self.peer_index(process).expect("only peers are dialled");
        let peer = self.peers[index].describe();
        self.notices.say(&mut self.pending, self.now, Kind::Refused(process), NoticeLevel::Warning, || {
            format!("{peer} refused our connection: {}; trying again", explain_refused(reason, identity, &theirs))
        });
        let mends_itself = matches!(reason, Refusal::Claimed | Refusal::Damaged | Refusal::NotAGreeting);
        self.dialling_ended(process, if mends_itself { Ended::Attempt } else { Ended::Refused });
    }

    /// Closes a half-open connection.
    pub(super) fn give_up(&mut self, place: usize, reason: Option<String>) {
        let half = self.half_open(place);
        let (address, dialled) = (half.address, half.dialled);
        self.sockets[place] = None;
        let Some(process) = dialled else {
            if let Some(reason) = reason {
                self.notices.say(&mut self.pending, self.now, Kind::Stranger, NoticeLevel::Info, || {
                    format!("a connection from {address} came to nothing: {reason}")
                });
            }
            return;
        };
        self.unreachable(process, address, reason.unwrap_or_default());
    }

    /// Notes that an attempt to reach `process` failed.
    pub(super) fn unreachable(&mut self, process: ProcessId, address: SocketAddr, reason: String) {
        let index = self.peer_index(process).expect("only peers are dialled");
        let peer = self.peers[index].describe();
        self.notices.say(&mut self.pending, self.now, Kind::Unreachable(process), NoticeLevel::Info, || {
            format!("no connection to {peer} yet: {reason} (at {address}); trying again")
        });
        self.dialling_ended(process, Ended::Attempt);
    }

    fn dialling_ended(&mut self, process: ProcessId, how: Ended) {
        let index = self.peer_index(process).expect("only peers are dialled");
        let peer = &mut self.peers[index];
        peer.half_open = None;
        if let Some(dialling) = &mut peer.dialling {
            dialling.ended(how, self.now);
        }
    }
}
