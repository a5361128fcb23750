//! Whole replica processes, several in one test process, on real sockets and real threads.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{mpsc, Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::ids::{GroupId, PartitionId, ProcessId, RunId, Time};
use crate::replica::{Limits, Timing};
use crate::storage::disk::Durability;
use crate::replica::wire::Frame;
use crate::transport::{PeerAddress, SendOutcome, Transport, TransportConfig, TransportEvent, TransportLimits};

use super::callbacks::locked;
use super::*;

mod ending;
mod one_group;
mod several_groups;
mod strangers;

const SOON: Duration = Duration::from_secs(30);

/// One delivered log, as a callback saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    role: CallbackRole,
    slot: u64,
    log: Vec<u8>,
}

/// The first ticket, how many, and what became of them.
type TicketsEnd = (u64, u64, Outcome);

/// What the callbacks of one process saw, per partition, and its election codes.
#[derive(Default)]
struct Witness {
    seen: Mutex<BTreeMap<u32, Vec<Seen>>>,
    codes: Mutex<Vec<i32>>,
    outcomes: Mutex<BTreeMap<u32, Vec<TicketsEnd>>>,
    changed: Condvar,
}

impl Witness {
    fn callbacks(self: &Arc<Self>, partitions: u32) -> Callbacks {
        let mut callbacks = Callbacks::default();
        for partition in 0..partitions {
            let slot = PartitionCallbacks::default();
            for role in [CallbackRole::Leader, CallbackRole::Follower] {
                let witness = self.clone();
                let record = move |call: LogCall<'_>| {
                    let seen = Seen { role, slot: call.slot, log: call.log.bytes().to_vec() };
                    locked(&witness.seen).entry(call.partition).or_default().push(seen);
                    witness.changed.notify_all();
                    0
                };
                slot.register(role, Box::new(record));
            }
            callbacks.partitions.insert(PartitionId(partition), Arc::new(slot));
        }
        let witness = self.clone();
        callbacks.election.register(Some(Box::new(move |code| {
            locked(&witness.codes).push(code);
            witness.changed.notify_all();
        })));
        let witness = self.clone();
        callbacks.outcome.register(Some(Box::new(move |partition, first, count, outcome| {
            locked(&witness.outcomes).entry(partition).or_default().push((first, count, outcome));
        })));
        callbacks
    }

    fn wait_delivered(&self, partition: u32, count: usize) -> Vec<Seen> {
        let enough = |seen: &BTreeMap<u32, Vec<Seen>>| seen.get(&partition).map_or(0, Vec::len) >= count;
        let seen = self.changed.wait_timeout_while(locked(&self.seen), SOON, |seen| !enough(seen)).unwrap().0;
        let seen = seen.get(&partition).cloned().unwrap_or_default();
        assert!(seen.len() >= count, "partition {partition}: {} of {count} logs after {SOON:?}", seen.len());
        seen
    }

    fn wait_code(&self, count: usize) -> Vec<i32> {
        let codes = self.changed.wait_timeout_while(locked(&self.codes), SOON, |codes| codes.len() < count).unwrap().0;
        assert!(codes.len() >= count, "{codes:?} after {SOON:?}");
        codes.clone()
    }
}

/// A shard whose processes are started and stopped one by one.
struct Shard {
    peers: Vec<PeerAddress>,
    partitions: u32,
    grouping: Grouping,
    adjust: fn(&mut RuntimeConfig),
    /// Where the processes keep durable logs, each in a directory of its own.
    disk: Option<tempfile::TempDir>,
}

#[derive(Clone, Copy, PartialEq)]
enum Grouping {
    Shard,
    Partition,
}

/// A loopback address that no other test, here or in another process, uses at the same time.
fn own_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let (pid, test) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    format!("127.{}.{}.{}", 1 + (pid >> 8) % 250, pid % 256, test % 255)
}

fn free_port(host: &str) -> u16 {
    TcpListener::bind((host, 0)).unwrap().local_addr().unwrap().port()
}

impl Shard {
    fn new(processes: u16, partitions: u32) -> Self {
        let host = own_address();
        let peer = |id| PeerAddress {
            id: ProcessId(id),
            host: host.clone(),
            port: free_port(&host),
            name: format!("process{id}"),
        };
        let peers = (0..processes).map(peer).collect();
        Self { peers, partitions, grouping: Grouping::Shard, adjust: |_| (), disk: None }
    }

    fn config(&self, me: u16) -> RuntimeConfig {
        static RUN: AtomicU64 = AtomicU64::new(1);
        let run = RUN.fetch_add(1, Ordering::Relaxed);
        let all: Vec<PartitionId> = (0..self.partitions).map(PartitionId).collect();
        let per_group = if self.grouping == Grouping::Shard { all.len() } else { 1 };
        let group = |(id, partitions): (usize, &[PartitionId])| GroupConfig {
            id: GroupId(id as u16),
            partitions: partitions.to_vec(),
            voters: self.peers.iter().map(|peer| peer.id).collect(),
            learners: Vec::new(),
            designated: Some(ProcessId(0)),
            preferred: Some(ProcessId(0)),
        };
        let mut config = RuntimeConfig {
            me: ProcessId(me),
            run: RunId(run),
            seed: run,
            fingerprint: 7,
            shard_fingerprint: 7,
            addressed_fingerprint: 8,
            moved_from: None,
            listen: (self.peers[usize::from(me)].host.clone(), self.peers[usize::from(me)].port),
            peers: self.peers.iter().filter(|peer| peer.id != ProcessId(me)).cloned().collect(),
            groups: all.chunks(per_group).enumerate().map(group).collect(),
            campaign_at_start: true,
            restore: None,
            timing: Timing { form_wait_ms: 20_000, ..Timing::default() },
            limits: Limits::default(),
            queue_bytes: 16 << 20,
            submit_wait: SOON,
            drain_wait: Duration::from_secs(5),
            max_log_bytes: 64 << 20,
            fragment_bytes: 256 << 10,
            disk: self.disk.as_ref().map(|disk| (disk.path().join(me.to_string()), Durability::Fsync)),
            busy_poll: Duration::from_micros(60),
            election_codes: ElectionCodes { first: Some(1), gained: Some(1), lost: Some(0) },
        };
        (self.adjust)(&mut config);
        config
    }

    fn start(&self, me: u16) -> Node {
        let witness = Arc::new(Witness::default());
        let config = self.config(me);
        let storage = Storage::open(&config).unwrap();
        let bound = Bound::new(config, storage, &witness.callbacks(self.partitions)).unwrap();
        Node { runtime: bound.start().unwrap(), witness }
    }

    fn start_all(&self) -> Vec<Node> {
        (0..self.peers.len() as u16).map(|me| self.start(me)).collect()
    }
}

struct Node {
    runtime: Runtime,
    witness: Arc<Witness>,
}

impl Node {
    fn port(&self, partition: u32) -> &Port {
        self.runtime.port(PartitionId(partition)).expect("of this process")
    }

    fn submit(&self, partition: u32, log: &[u8]) -> u64 {
        self.port(partition).submit(log).unwrap_or_else(|refusal| panic!("partition {partition}: {refusal:?}"))
    }

    fn wait_gained(&self) {
        assert_eq!(self.witness.wait_code(1)[0], 1);
    }

    fn end(self) {
        self.runtime.drain();
        self.runtime.shutdown().expect("nothing is left running");
        assert_eq!(self.runtime.failure(), None);
    }
}

/// Ends every process; the followers first, as Mako's do.
fn end_all(nodes: Vec<Node>) {
    nodes.into_iter().rev().for_each(Node::end);
}

fn numbered(partition: u32, number: u32) -> Vec<u8> {
    let mut log = format!("{partition}:{number}:").into_bytes();
    log.resize(log.len() + (number as usize * 37) % 900, b'x');
    log
}

/// Every process saw the same slots with the same bytes, without a gap.
fn assert_same_streams(nodes: &[Node], partitions: u32, logs: usize) {
    for partition in 0..partitions {
        let streams: Vec<Vec<Seen>> =
            nodes.iter().map(|node| node.witness.wait_delivered(partition, logs)).collect();
        for stream in &streams {
            assert!(stream.iter().zip(1..).all(|(seen, slot)| seen.slot == slot), "slots have a gap");
            let same = stream.iter().zip(&streams[0]).all(|(a, b)| a.log == b.log);
            assert!(same, "partition {partition} differs between processes");
        }
    }
}

fn roles(stream: &[Seen]) -> Vec<CallbackRole> {
    stream.iter().map(|seen| seen.role).collect()
}

/// Which of `nodes`, none of which has led, is told of its leadership.
fn wait_for_a_leader(nodes: &[Node]) -> usize {
    let deadline = Instant::now() + SOON;
    loop {
        assert!(Instant::now() < deadline, "nobody leads");
        match nodes.iter().position(|node| !locked(&node.witness.codes).is_empty()) {
            Some(index) => return index,
            None => std::thread::yield_now(),
        }
    }
}

/// Registers a callback that reports its first call and returns when told to.
fn block(node: &Node, callbacks: &Callbacks, partition: u32) -> (mpsc::Receiver<()>, mpsc::Sender<()>) {
    block_as(CallbackRole::Leader, &node.witness, callbacks, partition)
}

fn block_as(
    role: CallbackRole,
    witness: &Arc<Witness>,
    callbacks: &Callbacks,
    partition: u32,
) -> (mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (entered, enters) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let slot = callbacks.partitions[&PartitionId(partition)].clone();
    let witness = witness.clone();
    let mut blocking = true;
    slot.register(
        role,
        Box::new(move |call| {
            if std::mem::take(&mut blocking) {
                entered.send(()).expect("the test listens");
                // An error means that the test let go.
                let _ = released.recv_timeout(SOON * 2);
            }
            let seen = Seen { role, slot: call.slot, log: call.log.bytes().to_vec() };
            locked(&witness.seen).entry(call.partition).or_default().push(seen);
            witness.changed.notify_all();
            0
        }),
    );
    (enters, release)
}

/// One process whose callbacks can be replaced later.
fn start_with_callbacks(shard: &Shard) -> (Node, Callbacks) {
    let witness = Arc::new(Witness::default());
    let callbacks = witness.callbacks(shard.partitions);
    let config = shard.config(0);
    let storage = Storage::open(&config).unwrap();
    let runtime = Bound::new(config, storage, &callbacks).unwrap().start().unwrap();
    let node = Node { runtime, witness };
    node.wait_gained();
    (node, callbacks)
}
