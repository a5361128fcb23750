//! Real transports on loopback, driven by a small poll loop. Everything is awaited, with a deadline.
//!
//! Each test listens on addresses of its own (127.x.y.z), and on ports below the range from which the system
//! takes local ports, so that tests which run at the same time can't meet.

mod connecting;
mod hostile;
mod lost;
mod sending;

use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::{Events, Poll};

use super::*;
use crate::ids::Time;
use crate::replica::wire::Frame;

/// Nothing that is awaited here takes a second; a loaded machine may make it ten.
const DEADLINE: Duration = Duration::from_secs(30);

const FIRST_TOKEN: usize = 100;
const FINGERPRINT: u64 = 0x1234_5678_9abc_def0;

/// Where the processes of one test listen.
struct Shard {
    host: String,
    processes: u16,
}

impl Shard {
    fn new(processes: u16) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = process::id() * 64 + NEXT.fetch_add(1, Ordering::Relaxed);
        let [_, a, b, c] = number.to_be_bytes();
        Self { host: format!("127.{}.{b}.{c}", a.max(1)), processes }
    }

    fn port(&self, process: u16) -> u16 {
        20_000 + process
    }

    fn address(&self, process: u16) -> (String, u16) {
        (self.host.clone(), self.port(process))
    }

    fn config(&self, me: u16) -> TransportConfig {
        let peer = |id: u16| PeerAddress {
            id: ProcessId(id),
            host: self.host.clone(),
            port: self.port(id),
            name: format!("p{id}"),
        };
        TransportConfig {
            me: ProcessId(me),
            run: RunId(1_000 + u64::from(me)),
            fingerprint: FINGERPRINT,
            listen: self.address(me),
            peers: (0..self.processes).filter(|id| *id != me).map(peer).collect(),
            limits: TransportLimits::default(),
            seed: 1 + u64::from(me),
        }
    }

    fn node(&self, me: u16) -> Node {
        Node::start(self.config(me))
    }

    fn nodes(&self) -> Vec<Node> {
        (0..self.processes).map(|me| self.node(me)).collect()
    }
}

/// A transport, its loop, and what came out so far.
struct Node {
    transport: Transport,
    poll: Poll,
    ready: Events,
    events: Vec<TransportEvent>,
    start: Instant,
    busy: bool,
}

impl Node {
    fn start(config: TransportConfig) -> Self {
        let poll = Poll::new().unwrap();
        let registry = poll.registry().try_clone().unwrap();
        let transport = Transport::bind(config, registry, FIRST_TOKEN).unwrap();
        let (ready, start) = (Events::with_capacity(64), Instant::now());
        Self { transport, poll, ready, events: Vec::new(), start, busy: false }
    }

    fn turn(&mut self, sleep: Duration) {
        let sleep = if self.busy { Duration::ZERO } else { sleep };
        self.poll.poll(&mut self.ready, Some(sleep)).unwrap();
        for event in self.ready.iter() {
            assert!(self.transport.owns(event.token()));
            self.transport.handle(event);
        }
        // Never 0: the clock's origin is the caller's choice.
        let now = Time(5_000_000 + self.start.elapsed().as_micros() as u64);
        self.transport.tick(now);
        self.busy = self.transport.poll_io(now, &mut self.events);
        self.busy |= self.transport.flush();
    }

    fn ups(&self, peer: u16) -> usize {
        self.count(|event| matches!(event, TransportEvent::Up { peer: up, .. } if up.0 == peer))
    }

    fn downs(&self, peer: u16) -> usize {
        self.count(|event| matches!(event, TransportEvent::Down { peer: down, .. } if down.0 == peer))
    }

    fn is_up(&self, peer: u16) -> bool {
        self.ups(peer) > self.downs(peer)
    }

    fn count(&self, wanted: impl Fn(&TransportEvent) -> bool) -> usize {
        self.events.iter().filter(|event| wanted(event)).count()
    }

    fn bodies(&self, from: u16) -> Vec<Bytes> {
        let body = |event: &TransportEvent| match event {
            TransportEvent::Frame { from: sender, body } if sender.0 == from => Some(body.clone()),
            _ => None,
        };
        self.events.iter().filter_map(body).collect()
    }

    fn notices(&self) -> Vec<&str> {
        let mut lines = Vec::new();
        for event in &self.events {
            if let TransportEvent::Notice(_, line) = event {
                lines.push(line.as_str());
            }
        }
        lines
    }

    fn said(&self, words: &[&str]) -> bool {
        self.notices().iter().any(|line| words.iter().all(|word| line.contains(word)))
    }

    fn send(&mut self, to: u16, body: &[u8]) -> SendOutcome {
        self.transport.send(ProcessId(to), &frame(body, false))
    }

    /// What every sequence of events must look like: for each peer up, frames, down, up, ...
    fn check_order(&self) {
        let mut up = [false; 8];
        for event in &self.events {
            match event {
                TransportEvent::Up { peer, .. } => {
                    assert!(!std::mem::replace(&mut up[peer.0 as usize], true), "two ups")
                }
                TransportEvent::Down { peer, .. } => {
                    assert!(std::mem::replace(&mut up[peer.0 as usize], false), "down without up")
                }
                TransportEvent::Frame { from, .. } => assert!(up[from.0 as usize], "frame while down"),
                TransportEvent::Notice(..) => {}
            }
        }
    }
}

fn frame(body: &[u8], urgent: bool) -> Frame {
    Frame { parts: vec![Bytes::copy_from_slice(body).into()], len: body.len(), urgent }
}

/// Gives every node turns until `done` says so, then checks that each saw a proper sequence of events.
fn until(what: &str, nodes: &mut [&mut Node], mut done: impl FnMut(&mut [&mut Node]) -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done(nodes) {
        let said: Vec<_> = nodes.iter().map(|node| node.notices()).collect();
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}; notices: {said:?}");
        for node in nodes.iter_mut() {
            node.turn(Duration::from_millis(1));
        }
    }
    for node in nodes {
        node.check_order();
    }
}

/// Connects two.
fn connect(a: &mut Node, b: &mut Node, ids: (u16, u16)) {
    until("connected", &mut [a, b], |nodes| nodes[0].is_up(ids.1) && nodes[1].is_up(ids.0));
}

/// Two processes, connected.
fn pair(shard: &Shard) -> (Node, Node) {
    let (mut zero, mut one) = (shard.node(0), shard.node(1));
    connect(&mut zero, &mut one, (0, 1));
    (zero, one)
}

/// Shows that the pair works, in both directions.
fn exchange(a: &mut Node, b: &mut Node, ids: (u16, u16), word: &str) {
    assert_eq!(a.send(ids.1, word.as_bytes()), SendOutcome::Queued);
    assert_eq!(b.send(ids.0, word.as_bytes()), SendOutcome::Queued);
    until(word, &mut [a, b], |nodes| {
        let arrived = |node: &Node, from| node.bodies(from).iter().any(|body| body == word.as_bytes());
        arrived(nodes[0], ids.1) && arrived(nodes[1], ids.0)
    });
}
