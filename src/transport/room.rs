//! The facade: owns every socket, and moves bytes when the event loop says that they can move.

use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::TcpListener;
use mio::{Interest, Registry, Token};

use crate::ids::{ProcessId, Time};
use crate::replica::wire::Frame;

use super::connection::{Connection, Progress, POOL_BYTES};
use super::dialling::{Dialling, Ended};
use super::half_open::HalfOpen;
use super::handshake::Identity;
use super::listening::{listen_on, Listening};
use super::notices::{Kind, Notices};
use super::outbox::{Outbox, OutboxLimits};
use super::resolve::Resolver;
use super::settings::{PeerAddress, TransportConfig, TransportCounters, TransportError, TransportLimits};
use super::{NoticeLevel, SendOutcome, TransportEvent};

/// [`Transport::bind`] waits so long for the peers' names; later answers are taken in ticks.
const BIND_LOOK_UP_MS: u64 = 2_000;

/// A connection that was lost sooner does not count as one that worked, so redialling slows down.
const WORKED_MS: u64 = 1_000;

/// All connections of this process. Owned by one thread; dropping it closes them at once.
pub struct Transport {
    pub(super) identity: Identity,
    pub(super) limits: TransportLimits,
    pub(super) registry: Registry,
    first_token: usize,
    /// `None` once closed.
    pub(super) listener: Option<TcpListener>,
    pub(super) accepting: bool,
    /// Accepting failed, and what waits there raises no further event: the next tick tries again.
    pub(super) accepting_failed: bool,
    /// Sorted by id.
    pub(super) peers: Vec<Peer>,
    /// A socket's token is its place here, behind the listener's.
    pub(super) sockets: Vec<Option<Socket>>,
    resolver: Resolver,
    pub(super) notices: Notices,
    pub(super) pending: Vec<TransportEvent>,
    pool: Vec<u8>,
    pub(super) counters: TransportCounters,
    pub(super) now: Time,
    pub(super) serial: u64,
}

/// One of the other processes.
pub(super) struct Peer {
    pub(super) address: PeerAddress,
    /// `None`: the peer dials us.
    pub(super) dialling: Option<Dialling>,
    /// The socket with which it is being dialled.
    pub(super) half_open: Option<usize>,
    /// The socket with which it is connected.
    pub(super) up: Option<usize>,
}

impl Peer {
    /// For messages: id, name and address.
    pub(super) fn describe(&self) -> String {
        let PeerAddress { id, host, port, name } = &self.address;
        format!("{id} ({name}, {host}:{port})")
    }
}

/// A socket before and after its handshake.
pub(super) enum Socket {
    HalfOpen(Box<HalfOpen>),
    Up(Box<Connection>),
}

impl Transport {
    /// Tokens used, from `first_token` up: keep others out of this range.
    pub const TOKENS: usize = 1 << 16;

    /// Listens, and looks the peers' names up, waiting at most 2 s for them. Dialling starts with the
    /// first tick. `registry` is a clone of the owner's, and its poll must be the one whose events are
    /// handed to [`Transport::handle`].
    pub fn bind(
        config: TransportConfig,
        registry: Registry,
        first_token: usize,
    ) -> Result<Transport, TransportError> {
        let TransportConfig { me, run, fingerprint, listen, peers, mut limits, seed } = config;
        limits.frame_bytes_max = limits.frame_bytes_max.min(u32::MAX as usize);
        let peers = check_peers(me, peers, &limits, seed)?;
        let others: Vec<&PeerAddress> = peers.iter().map(|peer| &peer.address).collect();
        let Listening { mut listener, line, waited } = listen_on(&listen.0, listen.1, &others)?;
        registry.register(&mut listener, Token(first_token), Interest::READABLE).map_err(|cause| {
            TransportError::Listen { address: format!("{}:{}", listen.0, listen.1), cause }
        })?;
        let mut transport = Transport {
            identity: Identity { me, run, fingerprint },
            limits,
            registry,
            first_token,
            listener: Some(listener),
            accepting: true,
            accepting_failed: false,
            peers,
            sockets: Vec::new(),
            resolver: Resolver::new(),
            notices: Notices::default(),
            pending: line.map(|(level, text)| TransportEvent::Notice(level, text)).into_iter().collect(),
            pool: vec![0; POOL_BYTES],
            counters: TransportCounters::default(),
            now: Time(0),
            serial: 0,
        };
        transport.look_peers_up();
        let deadline = Instant::now() + Duration::from_millis(BIND_LOOK_UP_MS).saturating_sub(waited);
        while transport.peers.iter().any(|peer| peer.dialling.as_ref().is_some_and(Dialling::is_looking_up)) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some((who, answer)) = transport.resolver.wait(left) else { break };
            transport.looked_up(who, answer);
        }
        Ok(transport)
    }

    /// Whether an event with this token is for [`Transport::handle`].
    pub fn owns(&self, token: Token) -> bool {
        (self.first_token..self.first_token + Self::TOKENS).contains(&token.0)
    }

    /// Notes what is ready. Does no I/O. Events of sockets that are closed by now do no harm.
    pub fn handle(&mut self, event: &Event) {
        let Some(place) = event.token().0.checked_sub(self.first_token) else { return };
        if place == 0 {
            self.accepting = true;
            return;
        }
        let readable = event.is_readable() || event.is_read_closed() || event.is_error();
        let writable = event.is_writable() || event.is_write_closed() || event.is_error();
        match self.sockets.get_mut(place - 1) {
            Some(Some(Socket::HalfOpen(half))) => {
                half.readable |= readable;
                half.writable |= writable;
            }
            Some(Some(Socket::Up(connection))) => {
                connection.readable |= readable;
                connection.writable |= writable;
                connection.ending |= event.is_read_closed() || event.is_error();
            }
            _ => {}
        }
    }

    /// Accepts, shakes hands and reads what is ready, a bounded amount per connection, and appends
    /// what happened to `events`. True when something is left: call again before sleeping.
    #[must_use = "sockets are edge-triggered: true means that the next poll must not sleep"]
    pub fn poll_io(&mut self, now: Time, events: &mut Vec<TransportEvent>) -> bool {
        self.now = self.now.max(now);
        // Connections first: whether one was just heard, or just ended, decides on claims to its place.
        let mut more = self.read_connections();
        more |= self.accept();
        more |= self.shake_hands();
        events.append(&mut self.pending);
        more
    }

    /// Queues a frame; [`Transport::flush`] sends it.
    pub fn send(&mut self, to: ProcessId, frame: &Frame) -> SendOutcome {
        let Some(place) = self.peer_index(to).and_then(|index| self.peers[index].up) else {
            return SendOutcome::NoConnection;
        };
        let Some(Socket::Up(connection)) = &mut self.sockets[place] else {
            unreachable!("a peer that is up has a connection")
        };
        if frame.len <= self.limits.frame_bytes_max && connection.outbox.push(frame) {
            self.counters.frames_out += 1;
            return SendOutcome::Queued;
        }
        self.counters.frames_dropped += 1;
        let (queued, limit, length) = (connection.outbox.bytes(), self.limits.frame_bytes_max, frame.len);
        self.notices.say(&mut self.pending, self.now, Kind::Dropping(to), NoticeLevel::Warning, || {
            if length > limit {
                return format!("a frame of {length} bytes for {to} was dropped: the limit is {limit}");
            }
            format!("frames for {to} are being dropped: it has not taken {queued} bytes that are queued for it")
        });
        SendOutcome::Dropped
    }

    /// Ends the connection to `peer`, whose frames make no sense to the owner; it is dialled again like one
    /// that was lost. Frames that were read before still come, then `Down` with this reason.
    pub fn disconnect(&mut self, peer: ProcessId, reason: String) {
        if let Some(place) = self.peer_index(peer).and_then(|index| self.peers[index].up) {
            self.lose(place, reason);
        }
    }

    /// Writes what the sockets take, a bounded amount per connection. True when the next poll must not
    /// sleep: a socket would take more, or an event waits for `poll_io`.
    #[must_use = "sockets are edge-triggered: true means that the next poll must not sleep"]
    pub fn flush(&mut self) -> bool {
        let mut more = false;
        for place in 0..self.sockets.len() {
            let Some(Socket::Up(connection)) = &mut self.sockets[place] else { continue };
            match connection.write(self.now, &mut self.counters) {
                Ok(progress) => more |= progress == Progress::More,
                Err(reason) => self.lose(place, reason),
            }
        }
        more || !self.pending.is_empty()
    }

    /// Payload is queued for `to` that its connection has not taken.
    pub fn has_backlog(&self, to: ProcessId) -> bool {
        let place = self.peer_index(to).and_then(|index| self.peers[index].up);
        let connection = place.and_then(|place| self.sockets[place].as_ref());
        matches!(connection, Some(Socket::Up(connection)) if connection.outbox.has_backlog())
    }

    /// Totals since the transport was bound.
    pub fn counters(&self) -> TransportCounters {
        self.counters
    }

    fn read_connections(&mut self) -> bool {
        let mut more = false;
        for place in 0..self.sockets.len() {
            let Some(Socket::Up(connection)) = &mut self.sockets[place] else { continue };
            let (from, pending) = (connection.peer, &mut self.pending);
            let before = pending.len();
            let mut hand_out = |body| pending.push(TransportEvent::Frame { from, body });
            let progress = connection.read(&mut self.pool, self.now, &mut self.counters, &mut hand_out);
            self.counters.frames_in += (self.pending.len() - before) as u64;
            match progress {
                Ok(progress) => more |= progress == Progress::More,
                Err(reason) => self.lose(place, reason),
            }
        }
        more
    }

    /// The connection at `place` is over.
    pub(super) fn lose(&mut self, place: usize, reason: String) {
        let Some(Socket::Up(mut connection)) = self.sockets[place].take() else { return };
        // Closing the socket takes it out of the poll as well; this only does it sooner.
        let _ = self.registry.deregister(&mut connection.stream);
        self.counters.frames_lost += connection.outbox.frames() as u64;
        let index = self.peer_index(connection.peer).expect("only peers get connections");
        let peer = &mut self.peers[index];
        peer.up = None;
        let worked = self.now.millis_since(connection.since) >= WORKED_MS;
        if let Some(dialling) = &mut peer.dialling {
            dialling.ended(if worked { Ended::Connection } else { Ended::Attempt }, self.now);
        }
        self.pending.push(TransportEvent::Down { peer: connection.peer, reason });
    }

    pub(super) fn peer_index(&self, id: ProcessId) -> Option<usize> {
        self.peers.binary_search_by_key(&id, |peer| peer.address.id).ok()
    }

    pub(super) fn new_outbox(&self) -> Outbox {
        Outbox::new(OutboxLimits {
            lane_bytes_max: self.limits.bulk_queue_bytes_max,
            urgent_frames_max: self.limits.urgent_queue_frames_max,
            checksum: self.limits.checksum,
        })
    }

    /// Registers a socket and gives it a place.
    pub(super) fn place(&mut self, mut half: HalfOpen) -> std::io::Result<usize> {
        let free = self.sockets.iter().position(Option::is_none);
        let place = free.unwrap_or(self.sockets.len());
        let token = Token(self.first_token + 1 + place);
        self.registry.register(&mut half.stream, token, Interest::READABLE | Interest::WRITABLE)?;
        let socket = Some(Socket::HalfOpen(Box::new(half)));
        match free {
            Some(place) => self.sockets[place] = socket,
            None => self.sockets.push(socket),
        }
        Ok(place)
    }

    /// Asks for the addresses of peers that are to be dialled, and takes answers.
    pub(super) fn look_peers_up(&mut self) {
        while let Some((who, answer)) = self.resolver.answer() {
            self.looked_up(who, answer);
        }
        for who in 0..self.peers.len() {
            let peer = &mut self.peers[who];
            let idle = peer.up.is_none() && peer.half_open.is_none();
            let Some(dialling) = &mut peer.dialling else { continue };
            if idle && dialling.wants_look_up(self.now) {
                if let Some(answer) = self.resolver.ask(who, &peer.address.host, peer.address.port) {
                    self.looked_up(who, answer);
                }
            }
        }
    }

    fn looked_up(&mut self, who: usize, answer: super::resolve::Resolved) {
        let peer = &mut self.peers[who];
        let Some(dialling) = &mut peer.dialling else { return };
        let kind = Kind::Unresolved(peer.address.id);
        match answer {
            Ok(addresses) => {
                dialling.found(Some(addresses), self.now);
                self.notices.forget(kind);
            }
            Err(error) => {
                dialling.found(None, self.now);
                self.notices.say(&mut self.pending, self.now, kind, NoticeLevel::Warning, || {
                    format!("the host of {} can't be looked up: {error}; trying again", peer.describe())
                });
            }
        }
    }
}

/// The peers, sorted; those with lower ids than `me` are to be dialled.
fn check_peers(
    me: ProcessId,
    mut addresses: Vec<PeerAddress>,
    limits: &TransportLimits,
    seed: u64,
) -> Result<Vec<Peer>, TransportError> {
    addresses.sort_by_key(|address| address.id);
    if let Some(own) = addresses.iter().find(|address| address.id == me) {
        return Err(TransportError::Peers(format!("{me} ({}) is listed as its own peer", own.name)));
    }
    if let Some(pair) = addresses.windows(2).find(|pair| pair[0].id == pair[1].id) {
        let (id, one, two) = (pair[0].id, &pair[0].name, &pair[1].name);
        return Err(TransportError::Peers(format!("{id} is listed twice, as {one} and as {two}")));
    }
    let dialling = |id: ProcessId| {
        let salt = seed ^ u64::from(id.0).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (id < me).then(|| Dialling::new(limits.redial_min_ms, limits.redial_max_ms, salt))
    };
    let peer = |address: PeerAddress| {
        Peer { dialling: dialling(address.id), address, half_open: None, up: None }
    };
    Ok(addresses.into_iter().map(peer).collect())
}
