//! Ends of life among three processes (contract section 3.7): what goodbye means for those who stay, and
//! that nobody waits for what can't come any more. Whole processes' worth of threads, over the loopback.

#[path = "common/runtime.rs"]
mod runtime;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mako_raft::ids::{GroupId, PartitionId, ProcessId, RunId};
use mako_raft::replica::Timing;
use mako_raft::runtime::{
    Bound, CallbackRole, Callbacks, GroupConfig, Port, Refusal, Runtime, RuntimeConfig, Storage,
};
use mako_raft::transport::PeerAddress;

const SOON: Duration = Duration::from_secs(30);
const P0: PartitionId = PartitionId(0);

/// What one process's host saw.
#[derive(Default)]
struct Witness {
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Default, Clone)]
struct Seen {
    logs: Vec<(CallbackRole, Vec<u8>)>,
    codes: Vec<i32>,
}

impl Witness {
    fn add(&self, what: impl FnOnce(&mut Seen)) {
        what(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    fn now(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn wait(&self, what: &str, done: impl Fn(&Seen) -> bool) -> Seen {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (seen, timeout) = self.changed.wait_timeout_while(seen, SOON, |seen| !done(seen)).unwrap();
        assert!(!timeout.timed_out(), "{what}: {} logs, codes {:?}", seen.logs.len(), seen.codes);
        seen.clone()
    }

    fn callbacks(self: &Arc<Self>) -> Callbacks {
        let mut callbacks = Callbacks::default();
        let slot = Arc::<mako_raft::runtime::PartitionCallbacks>::default();
        for role in [CallbackRole::Leader, CallbackRole::Follower] {
            let witness = self.clone();
            let record = move |call: mako_raft::runtime::LogCall<'_>| {
                witness.add(|seen| seen.logs.push((role, call.log.bytes().to_vec())));
                0
            };
            slot.register(role, Box::new(record));
        }
        callbacks.partitions = BTreeMap::from([(P0, slot)]);
        let witness = self.clone();
        callbacks.election.register(Some(Box::new(move |code| witness.add(|seen| seen.codes.push(code)))));
        callbacks
    }
}

struct Node {
    runtime: Runtime,
    witness: Arc<Witness>,
}

impl Node {
    fn port(&self) -> &Port {
        self.runtime.port(P0).expect("of this process")
    }
}

/// One partition on three processes; process 0 is the designated one. `drain_wait` is long, so that a
/// drain that waits for it shows.
struct Shard {
    peers: Vec<PeerAddress>,
}

const DRAIN_WAIT: Duration = Duration::from_secs(20);

impl Shard {
    fn new() -> Self {
        // A loopback address that no other test, here or in another process, uses at the same time: an
        // outgoing connection of theirs could take a port that was free a moment ago.
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let (pid, test) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let host = format!("127.{}.{}.{test}", 1 + (pid >> 8) % 250, pid % 256);
        let port = || TcpListener::bind((host.as_str(), 0)).unwrap().local_addr().unwrap().port();
        let peer = |id| PeerAddress {
            id: ProcessId(id),
            host: host.clone(),
            port: port(),
            name: format!("process{id}"),
        };
        Self { peers: (0..3).map(peer).collect() }
    }

    fn start(&self, me: u16, drain_wait: Duration) -> Node {
        static RUN: AtomicU64 = AtomicU64::new(1);
        let run = RUN.fetch_add(1, Ordering::Relaxed);
        let group = GroupConfig {
            id: GroupId(0),
            partitions: vec![P0],
            voters: self.peers.iter().map(|peer| peer.id).collect(),
            learners: Vec::new(),
            designated: Some(ProcessId(0)),
            preferred: Some(ProcessId(0)),
        };
        let listen = (self.peers[usize::from(me)].host.clone(), self.peers[usize::from(me)].port);
        let others = self.peers.iter().filter(|peer| peer.id != ProcessId(me)).cloned().collect();
        let config = RuntimeConfig {
            run: RunId(run),
            seed: run,
            timing: Timing { form_wait_ms: 20_000, ..Timing::default() },
            drain_wait,
            ..runtime::config(ProcessId(me), listen, others, vec![group])
        };
        let witness = Arc::new(Witness::default());
        let storage = Storage::open(&config).unwrap();
        let bound = Bound::new(config, storage, &witness.callbacks()).unwrap();
        Node { runtime: bound.start().unwrap(), witness }
    }

    /// All three, with one log delivered everywhere: all of them are members.
    fn three(drain_wait: Duration) -> [Node; 3] {
        let shard = Self::new();
        let nodes = [0, 1, 2].map(|me| shard.start(me, drain_wait));
        nodes[0].witness.wait("leadership", |seen| seen.codes == [1]);
        nodes[0].port().submit(b"first").unwrap();
        nodes.iter().for_each(|node| drop(node.witness.wait("the first log", |seen| seen.logs.len() == 1)));
        nodes
    }
}

#[test]
fn who_said_goodbye_acknowledges_and_delivers_until_shutdown_and_accepts_nothing() {
    let nodes = Shard::three(DRAIN_WAIT);
    nodes[1..].iter().for_each(|node| node.runtime.drain());
    assert_eq!(nodes[1].port().submit(b"no"), Err(Refusal::Stopped));
    // Both others said goodbye: without their acknowledgements none of these would be committed.
    (0..100u8).for_each(|n| assert!(nodes[0].port().submit(&[n]).is_ok()));
    for node in &nodes {
        let seen = node.witness.wait("a hundred logs more", |seen| seen.logs.len() == 101);
        assert!(seen.logs[1..].iter().map(|(_, log)| log[0]).eq(0..100));
    }
    nodes.iter().rev().for_each(|node| node.runtime.shutdown().unwrap());
}

#[test]
fn a_quorum_lost_through_goodbyes_is_not_announced_and_the_drain_ends_at_once() {
    let nodes = Shard::three(DRAIN_WAIT);
    for node in &nodes[1..] {
        node.runtime.drain();
        node.runtime.shutdown().unwrap();
    }
    // Neither an election timeout later, nor when logs can't be committed any more.
    (0..10u8).for_each(|n| assert!(nodes[0].port().submit(&[n]).is_ok(), "kept, since nobody else leads"));
    std::thread::sleep(Duration::from_millis(1_200));
    assert!(nodes[0].port().submit(b"suspended").is_ok());
    let began = Instant::now();
    nodes[0].runtime.drain();
    assert!(began.elapsed() < Duration::from_secs(3), "the drain took {:?}", began.elapsed());
    nodes[0].runtime.shutdown().unwrap();
    let counters = nodes[0].port().counters();
    assert_eq!((counters.accepted, counters.delivered_own, counters.lost, counters.outstanding), (12, 1, 11, 0));
    assert_eq!(nodes[0].witness.now().codes, [1], "no leadership was lost to anybody");
}

#[test]
fn who_said_goodbye_does_not_campaign_when_the_leader_is_gone() {
    let nodes = Shard::three(DRAIN_WAIT);
    nodes[1..].iter().for_each(|node| node.runtime.drain());
    let terms = || nodes[1..].iter().map(|node| node.runtime.status().unwrap()[0].1.term).collect::<Vec<_>>();
    let before = terms();
    nodes[0].runtime.shutdown().expect("abrupt: no goodbye, no drain");
    // Four times the longest election timeout.
    std::thread::sleep(Duration::from_millis(2_400));
    assert_eq!(terms(), before);
    for node in &nodes[1..] {
        assert_eq!(node.runtime.status().unwrap()[0].1.role, "follower");
        assert!(node.witness.now().codes.is_empty());
        node.runtime.shutdown().unwrap();
    }
}

#[test]
fn waiting_for_submissions_ends_with_a_drain_that_could_not_decide_them() {
    let nodes = Shard::three(Duration::from_millis(300));
    nodes[1..].iter().for_each(|node| node.runtime.shutdown().expect("abrupt: no goodbye"));
    nodes[0].port().submit(b"can't be committed").unwrap();
    std::thread::scope(|scope| {
        let before = scope.spawn(|| nodes[0].port().wait_idle());
        nodes[0].runtime.drain();
        let deadline = Instant::now() + SOON;
        while !before.is_finished() && Instant::now() < deadline {
            std::thread::yield_now();
        }
        let ended = before.is_finished();
        // Lets the waiting thread go before this one fails.
        nodes[0].runtime.shutdown().unwrap();
        assert!(ended, "who waited before the drain waits for ever");
    });
    assert_eq!(nodes[0].port().counters().lost, 1);
}

#[test]
fn a_follower_names_the_leader_when_it_refuses() {
    let nodes = Shard::three(DRAIN_WAIT);
    assert_eq!(nodes[1].port().submit(b"no"), Err(Refusal::NotLeader(Some(ProcessId(0)))));
    assert_eq!(nodes[1].port().leader(), Some(ProcessId(0)));
    let counters = nodes[1].port().counters();
    assert_eq!((counters.submitted, counters.accepted, counters.refused), (1, 0, 1));
    nodes.iter().rev().for_each(|node| node.runtime.shutdown().unwrap());
}
