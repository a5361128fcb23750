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

#[test]
fn a_shard_of_one_process_leads_at_once_and_delivers_its_own_logs() {
    let shard = Shard::new(1, 2);
    let nodes = shard.start_all();
    nodes[0].wait_gained();
    (0..100).for_each(|n| assert_eq!(nodes[0].submit(1, &numbered(1, n)), u64::from(n) + 1));
    let seen = nodes[0].witness.wait_delivered(1, 100);
    assert!(seen.iter().zip(0..).all(|(seen, n)| seen.log == numbered(1, n)));
    assert!(roles(&seen).iter().all(|&role| role == CallbackRole::Leader));
    end_all(nodes);
}

#[test]
fn logs_of_four_partitions_arrive_everywhere_in_order_with_the_right_callback() {
    const PARTITIONS: u32 = 4;
    const LOGS: u32 = 3_000;
    let shard = Shard::new(3, PARTITIONS);
    let nodes = shard.start_all();
    nodes[0].wait_gained();
    std::thread::scope(|scope| {
        for partition in 0..PARTITIONS {
            let leader = &nodes[0];
            scope.spawn(move || (0..LOGS).for_each(|n| assert!(leader.submit(partition, &numbered(partition, n)) > 0)));
        }
    });
    assert_same_streams(&nodes, PARTITIONS, LOGS as usize);
    for (index, node) in nodes.iter().enumerate() {
        let role = if index == 0 { CallbackRole::Leader } else { CallbackRole::Follower };
        for partition in 0..PARTITIONS {
            let seen = node.witness.wait_delivered(partition, LOGS as usize);
            assert!(seen.iter().all(|seen| seen.role == role));
            assert!(seen.iter().zip(0..).all(|(seen, n)| seen.log == numbered(partition, n)));
        }
    }
    (0..PARTITIONS).for_each(|p| assert_eq!(nodes[0].port(p).wait_idle(), Waited::Settled));
    assert_eq!(nodes[0].port(0).counters().queued_bytes, 0);
    end_all(nodes);
}

#[test]
fn what_is_submitted_right_after_the_start_is_queued_on_the_designated_process_and_refused_elsewhere() {
    let shard = Shard::new(3, 1);
    let designated = shard.start(0);
    assert_eq!(designated.submit(0, b"early"), 1);
    let others = [shard.start(1), shard.start(2)];
    assert!(matches!(others[0].port(0).submit(b"no"), Err(Refusal::NotLeader(_))));
    assert_eq!(designated.witness.wait_delivered(0, 1)[0].log, b"early");
    others.into_iter().for_each(Node::end);
    designated.end();
}

#[test]
fn a_long_log_is_joined_beside_small_ones_of_another_partition() {
    let shard = Shard::new(3, 2);
    let nodes = shard.start_all();
    nodes[0].wait_gained();
    let long: Vec<u8> = (0..20 << 20).map(|i: u32| (i >> 10) as u8).collect();
    nodes[0].submit(0, &long);
    nodes[0].submit(0, b"");
    (0..200).for_each(|n| assert!(nodes[0].submit(1, &numbered(1, n)) > 0));
    assert_same_streams(&nodes, 2, 2);
    for node in &nodes {
        let seen = node.witness.wait_delivered(0, 2);
        assert!(seen[0].log == long && seen[1].log.is_empty());
        node.witness.wait_delivered(1, 200);
    }
    end_all(nodes);
}

#[test]
fn when_the_leader_dies_another_process_leads_and_replays_what_the_dead_one_executed() {
    let shard = Shard::new(3, 2);
    let mut nodes = shard.start_all();
    nodes[0].wait_gained();
    (0..500).for_each(|n| assert!(nodes[0].submit(0, &numbered(0, n)) > 0));
    assert_eq!(nodes[0].port(0).wait_idle(), Waited::Settled);
    nodes.remove(0).runtime.shutdown().expect("abrupt: no goodbye, no drain");
    let successor = wait_for_a_leader(&nodes);
    assert_eq!(nodes[successor].witness.wait_delivered(0, 500).len(), 500, "announced after all earlier logs");
    (500..600).for_each(|n| assert!(nodes[successor].submit(0, &numbered(0, n)) > 0));
    assert_same_streams(&nodes, 1, 600);
    let seen = roles(&nodes[successor].witness.wait_delivered(0, 600));
    assert!(seen[..500].iter().all(|&role| role == CallbackRole::Follower));
    assert!(seen[500..].iter().all(|&role| role == CallbackRole::Leader));
    assert!(locked(&nodes[1 - successor].witness.codes).is_empty(), "one that never led is not called");
    nodes.into_iter().for_each(|node| drop(node.runtime.shutdown()));
}

/// All waits are short against a minute, so these loops sleep only where looking on is dear, and between ticks when nothing
/// comes; and ticks are so far apart that what waits for one takes too long here.
#[test]
fn loops_that_look_on_instead_of_sleeping_miss_no_log_no_tick_and_no_command() {
    let mut shard = Shard::new(3, 2);
    shard.adjust = |config| {
        config.busy_poll = Duration::from_secs(60);
        config.timing = Timing { tick_ms: 500, heartbeat_ms: 500, election_ms: 1_500, commit_wait_us: 0, ..config.timing };
    };
    let mut nodes = shard.start_all();
    nodes[0].wait_gained();
    let begun = Instant::now();
    for n in 0..200 {
        assert!(nodes[0].submit(0, &numbered(0, n)) > 0);
        assert_eq!(nodes[0].port(0).wait_idle(), Waited::Settled);
    }
    assert!(begun.elapsed() < SOON, "logs wait for ticks");
    assert_same_streams(&nodes, 1, 200);
    let begun = Instant::now();
    (0..100).for_each(|_| assert_eq!(nodes[1].runtime.status().expect("an answer").len(), 1));
    assert!(begun.elapsed() < SOON, "commands wait for ticks");
    nodes.remove(0).runtime.shutdown().expect("abrupt: no goodbye, no drain");
    let successor = wait_for_a_leader(&nodes);
    (200..300).for_each(|n| assert!(nodes[successor].submit(0, &numbered(0, n)) > 0));
    assert_same_streams(&nodes, 1, 300);
    end_all(nodes);
}

#[test]
fn a_process_that_comes_back_without_memory_is_rebuilt() {
    let shard = Shard::new(3, 1);
    let mut nodes = shard.start_all();
    nodes[0].wait_gained();
    (0..300).for_each(|n| assert!(nodes[0].submit(0, &numbered(0, n)) > 0));
    nodes.pop().expect("three").runtime.shutdown().expect("abrupt");
    (300..400).for_each(|n| assert!(nodes[0].submit(0, &numbered(0, n)) > 0));
    nodes.push(shard.start(2));
    assert_same_streams(&nodes, 1, 400);
    end_all(nodes);
}

#[test]
fn durable_processes_that_all_stopped_go_on_and_replay_what_their_former_runs_executed() {
    let mut shard = Shard::new(3, 2);
    shard.disk = Some(tempfile::tempdir().unwrap());
    let nodes = shard.start_all();
    nodes[0].wait_gained();
    (0..300).for_each(|n| assert!(nodes[0].submit(n % 2, &numbered(n % 2, n)) > 0));
    assert_same_streams(&nodes, 2, 150);
    nodes.into_iter().for_each(|node| node.runtime.shutdown().expect("abrupt: no goodbye, no drain"));

    let nodes = shard.start_all();
    nodes[0].wait_gained();
    (300..400).for_each(|n| assert!(nodes[0].submit(n % 2, &numbered(n % 2, n)) > 0));
    assert_same_streams(&nodes, 2, 200);
    let seen = nodes[0].witness.wait_delivered(1, 200);
    assert!(seen.iter().zip(0..).all(|(seen, n)| seen.log == numbered(1, 2 * n + 1)));
    assert!(seen[..150].iter().all(|seen| seen.role == CallbackRole::Follower), "another run executed them");
    assert!(seen[150..].iter().all(|seen| seen.role == CallbackRole::Leader));
    end_all(nodes);
}

#[test]
fn a_leader_whose_data_directory_is_deleted_stops_and_comes_back_as_a_new_member_with_nothing_lost() {
    let mut shard = Shard::new(3, 1);
    shard.disk = Some(tempfile::tempdir().unwrap());
    let mut nodes = shard.start_all();
    nodes[0].wait_gained();
    (0..100).for_each(|n| assert!(nodes[0].submit(0, &numbered(0, n)) > 0));
    assert_same_streams(&nodes, 1, 100);
    let member = |node: &Node| node.runtime.status().unwrap()[0].1.member;
    let former = member(&nodes[0]);
    std::fs::remove_dir_all(shard.disk.as_ref().expect("durable").path().join("0")).unwrap();
    let stopped = nodes.remove(0);
    let successor = wait_for_a_leader(&nodes);
    let reason = stopped.runtime.failure().expect("it stopped itself");
    assert!(reason.contains("group 0: durable log: ") && reason.contains("META is gone"), "{reason}");
    stopped.runtime.shutdown().unwrap();
    (100..200).for_each(|n| assert!(nodes[successor].submit(0, &numbered(0, n)) > 0));
    nodes.push(shard.start(0));
    assert_same_streams(&nodes, 1, 200);
    assert!(former.is_some() && member(&nodes[2]) > former, "what its former run acknowledged counts no more");
    nodes.into_iter().for_each(|node| drop(node.runtime.shutdown()));
}

#[test]
fn a_data_directory_of_another_process_is_refused_at_the_start() {
    let mut shard = Shard::new(2, 1);
    shard.disk = Some(tempfile::tempdir().unwrap());
    let mut config = shard.config(0);
    drop(Storage::open(&config).unwrap());
    config.me = ProcessId(1);
    let refused = Storage::open(&config).err().expect("written by process 0").to_string();
    assert!(refused.contains("process"), "{refused}");
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

#[test]
fn a_blocked_callback_holds_up_its_own_partition_only() {
    let shard = Shard::new(1, 2);
    let (node, callbacks) = start_with_callbacks(&shard);
    let (enters, release) = block(&node, &callbacks, 0);
    (0..10).for_each(|n| assert!(node.submit(0, &numbered(0, n)) > 0));
    enters.recv_timeout(SOON).unwrap();
    (0..1000).for_each(|n| assert!(node.submit(1, &numbered(1, n)) > 0));
    node.witness.wait_delivered(1, 1000);
    assert_eq!(node.port(0).outstanding(), 10);
    release.send(()).unwrap();
    node.witness.wait_delivered(0, 10);
    node.end();
}

#[test]
fn a_callback_that_panics_stops_the_replica_and_the_others_elect_a_leader() {
    let shard = Shard::new(3, 2);
    let others = [shard.start(1), shard.start(2)];
    let (leader, callbacks) = start_with_callbacks(&shard);
    callbacks.partitions[&PartitionId(0)].register(CallbackRole::Leader, Box::new(|_| panic!("as a test wants it")));
    leader.submit(0, b"poison");
    wait_for_a_leader(&others);
    assert_eq!(leader.port(1).submit(b"late"), Err(Refusal::Stopped));
    let reason = leader.runtime.failure().expect("it stopped itself");
    assert!(reason.contains("partition 0") && reason.contains("slot 1"), "{reason}");
    leader.runtime.shutdown().unwrap();
    let counters = leader.port(0).counters();
    assert_eq!((counters.lost, counters.outstanding), (1, 0), "its logs are settled as lost");
    others.into_iter().for_each(|node| drop(node.runtime.shutdown()));
}

#[test]
fn shutdown_reports_a_callback_that_does_not_return_and_ends_the_others() {
    let shard = Shard::new(1, 2);
    let (node, callbacks) = start_with_callbacks(&shard);
    let (enters, release) = block(&node, &callbacks, 1);
    node.submit(1, b"stuck");
    enters.recv_timeout(SOON).unwrap();
    let unfinished = node.runtime.shutdown_within(Duration::from_millis(300)).expect_err("a callback is still running");
    assert_eq!(unfinished.threads, ["mako-raft-p1: the callback of partition 1, slot 1"]);
    assert_eq!(node.port(0).submit(b"late"), Err(Refusal::Stopped));
    drop(release);
    node.witness.wait_delivered(1, 1);
}

#[test]
fn without_a_quorum_the_queue_fills_to_its_bound_and_a_drain_reports_the_rest_as_lost() {
    let mut shard = Shard::new(3, 1);
    shard.adjust = |config| {
        config.queue_bytes = 100_000;
        config.submit_wait = Duration::from_millis(50);
        config.drain_wait = Duration::from_millis(300);
    };
    let node = shard.start(0);
    let mut accepted = 0;
    let refusal = loop {
        match node.port(0).submit(&[1; 995]) {
            Ok(_) => accepted += 1,
            Err(refusal) => break refusal,
        }
        assert!(accepted <= 100, "beyond the bound");
    };
    assert_eq!(accepted, 100);
    assert_eq!(refusal, Refusal::QueueFull { waited_ms: 50, queued_bytes: 100_000, queue_bytes: 100_000 });
    node.runtime.drain();
    assert_eq!(node.port(0).submit(b"late"), Err(Refusal::Stopped));
    node.runtime.shutdown().unwrap();
    let counters = node.port(0).counters();
    assert_eq!((counters.accepted, counters.lost, counters.outstanding, counters.refused), (100, 100, 0, 2));
    let lost: u64 = locked(&node.witness.outcomes)[&0].iter().map(|&(_, count, _)| count).sum();
    assert_eq!(lost, 100);
}

#[test]
fn a_drain_waits_until_everything_accepted_is_delivered() {
    let shard = Shard::new(3, 2);
    let nodes = shard.start_all();
    nodes[0].wait_gained();
    (0..2000).for_each(|n| assert!(nodes[0].submit(n % 2, &numbered(n % 2, n)) > 0));
    nodes[0].runtime.drain();
    assert_eq!((nodes[0].port(0).outstanding(), nodes[0].port(1).outstanding()), (0, 0));
    nodes[0].runtime.shutdown().unwrap();
    assert_eq!(nodes[0].port(0).counters().lost, 0);
    assert_eq!(*locked(&nodes[0].witness.codes), [1], "no announcement from the drain's start on");
    nodes.into_iter().skip(1).for_each(Node::end);
}

#[test]
fn a_drain_waits_for_an_election_callback_that_is_running() {
    let mut shard = Shard::new(1, 1);
    shard.adjust = |config| config.drain_wait = SOON;
    let callbacks = Callbacks::default();
    let (begin, begun) = mpsc::channel();
    let (release, released) = mpsc::channel();
    callbacks.election.register(Some(Box::new(move |code| {
        begin.send(code).expect("the test listens");
        released.recv().expect("the test lets go of it");
    })));
    let config = shard.config(0);
    let storage = Storage::open(&config).unwrap();
    let runtime = Bound::new(config, storage, &callbacks).unwrap().start().unwrap();
    assert_eq!(begun.recv_timeout(SOON), Ok(1));
    let (over, drained) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            runtime.drain();
            over.send(()).expect("the test listens");
        });
        // A drain that does not wait for it is over at once.
        assert!(drained.recv_timeout(Duration::from_millis(500)).is_err(), "a callback was running that had begun before");
        release.send(()).unwrap();
        assert_eq!(drained.recv_timeout(SOON), Ok(()));
    });
    runtime.shutdown().unwrap();
}

/// The host is told of the last log's fate after its delivery is known, and that takes a while here.
#[test]
fn a_drain_ends_when_the_last_callback_has_returned_and_not_at_the_next_tick() {
    let mut shard = Shard::new(1, 1);
    shard.adjust = |config| {
        config.busy_poll = Duration::from_secs(60);
        config.timing = Timing { tick_ms: 4_000, heartbeat_ms: 4_000, election_ms: 12_000, ..config.timing };
    };
    let (node, callbacks) = start_with_callbacks(&shard);
    for n in 0..20 {
        node.submit(0, &numbered(0, n));
        assert_eq!(node.port(0).wait_idle(), Waited::Settled);
    }
    callbacks.outcome.register(Some(Box::new(|_, _, _, _| std::thread::sleep(Duration::from_millis(100)))));
    node.submit(0, b"the last one");
    let begun = Instant::now();
    node.runtime.drain();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    node.runtime.shutdown().unwrap();
}

#[test]
fn a_group_per_partition_is_led_by_one_process_and_announced_once() {
    let mut shard = Shard::new(3, 4);
    shard.grouping = Grouping::Partition;
    let nodes = shard.start_all();
    nodes[0].wait_gained();
    for partition in 0..4 {
        assert!(nodes[0].port(partition).is_leading());
        (0..200).for_each(|n| assert!(nodes[0].submit(partition, &numbered(partition, n)) > 0));
    }
    assert_same_streams(&nodes, 4, 200);
    assert_eq!(*locked(&nodes[0].witness.codes), [1]);
    end_all(nodes);
}

/// Two processes are enough for the first group and not for the second.
#[test]
fn who_does_not_lead_every_group_accepts_for_none_of_them() {
    let mut shard = Shard::new(4, 2);
    shard.grouping = Grouping::Partition;
    shard.adjust = |config| {
        config.timing.form_wait_ms = 100;
        for group in &mut config.groups {
            (group.designated, group.preferred) = (None, None);
        }
        config.groups[0].voters.truncate(2);
        let me = config.me;
        config.groups.retain(|group| group.voters.contains(&me));
    };
    let mut nodes = vec![shard.start(0), shard.start(1)];
    let status = |node: &Node| node.runtime.status().expect("an answer").swap_remove(0).1;
    let leads = |node: &Node| {
        let status = status(node);
        status.role == "leader" && status.delivered == status.last
    };
    let deadline = Instant::now() + SOON;
    let leader = loop {
        assert!(Instant::now() < deadline, "nobody leads the first group");
        match nodes.iter().position(leads) {
            Some(index) => break index,
            None => std::thread::yield_now(),
        }
    };
    assert!(!nodes[leader].port(0).is_leading(), "the host was not told that it leads");
    assert_eq!(nodes[leader].port(0).submit(b"too early"), Err(Refusal::NotLeader(None)));
    assert!(locked(&nodes[leader].witness.codes).is_empty());
    nodes.extend([shard.start(2), shard.start(3)]);
    let leader = wait_for_a_leader(&nodes);
    (0..2).for_each(|partition| assert!(nodes[leader].submit(partition, b"now") > 0));
    (0..2).for_each(|partition| assert_eq!(nodes[leader].witness.wait_delivered(partition, 1)[0].log, b"now"));
    end_all(nodes);
}

/// Two groups of three processes; process 1 makes the first move, 0 is preferred.
fn two_groups() -> Shard {
    let mut shard = Shard::new(3, 2);
    shard.grouping = Grouping::Partition;
    shard.adjust = |config| {
        config.timing.form_wait_ms = 100;
        config.groups.iter_mut().for_each(|group| group.designated = Some(ProcessId(1)));
    };
    shard
}

/// Processes 1 and 2, of which 1 leads, with more in the second group than a preferred process may lack.
fn start_without_the_preferred(shard: &Shard) -> Vec<Node> {
    let nodes = vec![shard.start(1), shard.start(2)];
    nodes[0].wait_gained();
    for n in 0..60 {
        nodes[0].submit(1, &numbered(1, n));
        assert_eq!(nodes[0].port(1).wait_idle(), Waited::Settled);
    }
    // Who has delivered what was committed a moment ago passes for one that keeps up.
    std::thread::sleep(Duration::from_secs(1));
    nodes
}

/// The preferred process, whose callback of the second group does not return until it is told to.
fn start_the_preferred_blocked(shard: &Shard) -> (Node, mpsc::Sender<()>) {
    let witness = Arc::new(Witness::default());
    let callbacks = witness.callbacks(shard.partitions);
    let (enters, release) = block_as(CallbackRole::Follower, &witness, &callbacks, 1);
    let config = shard.config(0);
    let storage = Storage::open(&config).unwrap();
    let runtime = Bound::new(config, storage, &callbacks).unwrap().start().unwrap();
    enters.recv_timeout(SOON).unwrap();
    (Node { runtime, witness }, release)
}

fn group_status(node: &Node, group: usize) -> crate::replica::output::Status {
    node.runtime.status().expect("an answer").swap_remove(group).1
}

fn wait_for_votes(node: &Node) {
    let deadline = Instant::now() + SOON;
    while (0..2).any(|group| group_status(node, group).voters.len() < 3) {
        assert!(Instant::now() < deadline, "it was not given its votes back");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Each log is taken, for longer than a hand-over takes.
fn assert_serves(node: &Node) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        (0..2).for_each(|partition| assert!(node.submit(partition, b"served") > 0));
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_preferred_process_gets_no_group_before_it_could_be_given_all_and_the_shard_serves_meanwhile() {
    let shard = two_groups();
    let others = start_without_the_preferred(&shard);
    let (preferred, release) = start_the_preferred_blocked(&shard);
    wait_for_votes(&others[0]);
    assert_serves(&others[0]);
    release.send(()).unwrap();
    preferred.wait_gained();
    (0..2).for_each(|partition| assert!(preferred.submit(partition, b"now") > 0));
    end_all(others);
    preferred.end();
}

#[test]
fn a_run_that_lost_logs_in_one_group_is_given_none() {
    let mut shard = Shard::new(3, 2);
    shard.grouping = Grouping::Partition;
    shard.adjust = |config| {
        config.timing.form_wait_ms = 100;
        config.groups.iter_mut().for_each(|group| group.preferred = None);
    };
    let others = vec![shard.start(1), shard.start(2)];
    let leader = &others[wait_for_a_leader(&others)];
    let designated = shard.start(0);
    designated.submit(1, b"early, and too late for that");
    wait_for_votes(leader);
    let deadline = Instant::now() + SOON;
    while !(0..2).all(|group| group_status(&designated, group).lost_accepted) {
        assert!(Instant::now() < deadline, "it was lost in one group");
        std::thread::sleep(Duration::from_millis(10));
    }
    designated.runtime.set_preferred(Some(ProcessId(0))).unwrap();
    assert_serves(leader);
    end_all(others);
    designated.end();
}

/// Of two elections that begin at once each has its own winner, most of the time.
#[test]
fn a_shard_whose_groups_are_led_by_two_processes_gets_one_leader() {
    let ends = || {
        let mut shard = two_groups();
        shard.adjust = |config| {
            config.timing.form_wait_ms = 100;
            config.groups.iter_mut().for_each(|group| group.designated = Some(ProcessId(1)));
            // It waits less than the first process, in the second group.
            config.groups[1].preferred = Some(ProcessId(2));
        };
        let mut others = start_without_the_preferred(&shard);
        let (preferred, release) = start_the_preferred_blocked(&shard);
        wait_for_votes(&others[0]);
        others.remove(0).runtime.shutdown().expect("abrupt: no goodbye, no drain");
        let survivor = others.remove(0);
        let leaders = || [0, 1].map(|group| group_status(&survivor, group).leader);
        let deadline = Instant::now() + SOON;
        while leaders().iter().any(|leader| leader.is_none_or(|leader| leader == ProcessId(1))) {
            assert!(Instant::now() < deadline, "nobody leads");
            std::thread::sleep(Duration::from_millis(5));
        }
        let is_split = leaders() == [Some(ProcessId(0)), Some(ProcessId(2))];
        if is_split {
            survivor.wait_gained();
            assert_serves(&survivor);
            assert!(locked(&preferred.witness.codes).is_empty(), "it never led both");
        }
        release.send(()).unwrap();
        preferred.wait_gained();
        (0..2).for_each(|partition| assert!(preferred.submit(partition, b"now") > 0));
        [survivor, preferred].into_iter().for_each(|node| drop(node.runtime.shutdown()));
        is_split
    };
    assert!((0..5).any(|_| ends()), "there never was a split");
}

/// Two groups, of which process 1 forms and wins the first and process 0 the second.
fn two_groups_with_a_winner_each() -> Shard {
    let mut shard = two_groups();
    shard.adjust = |config| {
        config.timing.form_wait_ms = 100;
        for (group, winner) in config.groups.iter_mut().zip([1, 0].map(ProcessId)) {
            (group.designated, group.preferred) = (Some(winner), Some(winner));
        }
        config.election_codes = ElectionCodes { first: Some(11), gained: Some(22), lost: Some(0) };
    };
    shard
}

/// The same, on disk and started before; process 0 keeps early logs of both. `adjust` adjusts that.
fn start_again_with_a_winner_each(shard: &mut Shard, adjust: fn(&mut RuntimeConfig)) {
    shard.disk = Some(tempfile::tempdir().unwrap());
    let mut nodes = shard.start_all();
    let leader = wait_for_a_leader(&nodes);
    nodes.iter().for_each(wait_for_votes);
    // All have the same log: with less than the third process nobody would win. Nothing is added while the leader goes last.
    let last = |node: &Node| [0, 1].map(|group| group_status(node, group).last);
    let deadline = Instant::now() + SOON;
    while nodes.iter().any(|node| last(node) != last(&nodes[leader])) {
        assert!(Instant::now() < deadline, "{:?}", nodes.iter().map(last).collect::<Vec<_>>());
        std::thread::yield_now();
    }
    let leader = nodes.remove(leader);
    nodes.into_iter().chain([leader]).for_each(|node| drop(node.runtime.shutdown()));
    shard.adjust = adjust;
}

fn elects_a_winner_each(config: &mut RuntimeConfig) {
    config.timing.form_wait_ms = 100;
    config.campaign_at_start = false;
    config.groups[0].preferred = Some(ProcessId(1));
}

fn leaders(node: &Node) -> [Option<ProcessId>; 2] {
    [0, 1].map(|group| group_status(node, group).leader)
}

const EACH_ITS_WINNER: [Option<ProcessId>; 2] = [Some(ProcessId(1)), Some(ProcessId(0))];

#[test]
fn the_first_leader_of_a_fresh_shard_is_announced_as_the_first_whoever_began_the_groups() {
    let shard = two_groups_with_a_winner_each();
    let nodes = shard.start_all();
    let leader = wait_for_a_leader(&nodes);
    assert_eq!(nodes[leader].witness.wait_code(1), [11]);
    let next = 1 - leader;
    nodes[leader].runtime.set_preferred(Some(ProcessId(next as u16))).unwrap();
    assert_eq!(nodes[next].witness.wait_code(1), [22], "though no log was ever submitted");
    end_all(nodes);
}

/// What the designated process keeps for the shard's leadership stays kept when it leads a group of it for a moment.
#[test]
fn a_group_that_is_won_before_the_shard_proposes_nothing_and_is_handed_over_with_nothing_lost() {
    let mut shard = two_groups_with_a_winner_each();
    start_again_with_a_winner_each(&mut shard, |config| {
        elects_a_winner_each(config);
        config.queue_bytes = 256 << 20;
    });
    let ends = || {
        let nodes = shard.start_all();
        let (is_over, mut was_split) = (AtomicBool::new(false), false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) && nodes[0].port(1).submit(b"early").is_ok() {
                    std::thread::yield_now();
                }
            });
            let deadline = Instant::now() + SOON;
            while nodes.iter().all(|node| locked(&node.witness.codes).is_empty()) && Instant::now() < deadline {
                was_split |= leaders(&nodes[0]) == EACH_ITS_WINNER;
            }
            is_over.store(true, Ordering::Relaxed);
        });
        was_split &= !locked(&nodes[1].witness.codes).is_empty();
        if was_split {
            assert_eq!(nodes[0].port(1).counters().lost, 0);
            assert!(nodes[0].port(1).submit(b"early still").is_ok(), "it never led the shard");
            nodes[1].runtime.set_preferred(Some(ProcessId(0))).unwrap();
            nodes[0].witness.wait_code(1);
            assert_eq!(nodes[0].port(1).wait_idle(), Waited::Settled);
            let counters = nodes[0].port(1).counters();
            assert_eq!((counters.lost, counters.delivered_own), (0, counters.accepted));
        }
        nodes.into_iter().for_each(|node| drop(node.runtime.shutdown()));
        was_split
    };
    assert!((0..30).any(|_| ends()), "there never was a split");
}

/// The third process reaches the other two, who do not reach each other, and each of whom wins one group.
#[test]
fn a_broken_link_between_two_leaders_is_no_outage_where_a_third_process_reaches_all() {
    // Each from its own beginning: who does not reach the leader stays behind, and wins nothing any more.
    let ends = || {
        let mut shard = two_groups_with_a_winner_each();
        start_again_with_a_winner_each(&mut shard, |config| {
            elects_a_winner_each(config);
            let other = 1_u16.checked_sub(config.me.0);
            config.peers.iter_mut().filter(|peer| Some(peer.id.0) == other).for_each(|peer| peer.port = 1);
        });
        let nodes = shard.start_all();
        // Who was ended before it had all may not reach enough voters now: that is another story.
        let deadline = Instant::now() + Duration::from_secs(5);
        while leaders(&nodes[2]).contains(&None) && Instant::now() < deadline {
            std::thread::yield_now();
        }
        let is_split = leaders(&nodes[2]) == EACH_ITS_WINNER;
        if is_split {
            nodes[2].wait_gained();
            // It reaches the preferred one, so that one gets it in the end.
            nodes[1].wait_gained();
            assert_serves(&nodes[1]);
        }
        nodes.into_iter().for_each(|node| drop(node.runtime.shutdown()));
        is_split
    };
    assert!((0..30).any(|_| ends()), "there never was a split");
}

/// What the leader has queued in one group does not go through, for its callback holds the log at its bound.
#[test]
fn a_preferred_process_that_comes_back_to_a_busy_shard_costs_it_no_refusal() {
    let mut shard = two_groups();
    shard.adjust = |config| {
        config.timing.form_wait_ms = 100;
        config.groups.iter_mut().for_each(|group| group.designated = Some(ProcessId(1)));
        config.limits.log_memory_bytes = 1 << 20;
    };
    let witness = Arc::new(Witness::default());
    let callbacks = witness.callbacks(shard.partitions);
    let config = shard.config(1);
    let storage = Storage::open(&config).unwrap();
    let runtime = Bound::new(config, storage, &callbacks).unwrap().start().unwrap();
    let busy = Node { runtime, witness };
    let third = shard.start(2);
    busy.wait_gained();
    for n in 0..60 {
        busy.submit(1, &numbered(1, n));
        assert_eq!(busy.port(1).wait_idle(), Waited::Settled);
    }
    // Who has delivered what was committed a moment ago passes for one that keeps up.
    std::thread::sleep(Duration::from_secs(1));
    let (preferred, release_preferred) = start_the_preferred_blocked(&shard);
    wait_for_votes(&busy);
    let (enters, release) = block(&busy, &callbacks, 1);
    (0..100).for_each(|_| assert!(busy.submit(1, &[1; 50_000]) > 0));
    enters.recv_timeout(SOON).unwrap();
    release_preferred.send(()).unwrap();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(8) {
        assert!(busy.submit(0, b"served") > 0);
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(*locked(&busy.witness.codes), [1], "it leads all the time");
    release.send(()).unwrap();
    preferred.wait_gained();
    (0..2).for_each(|partition| assert!(preferred.submit(partition, b"now") > 0));
    [busy, third, preferred].into_iter().for_each(|node| drop(node.runtime.shutdown()));
}

/// Turns a bare transport until `wanted` arrives.
fn turn_until(transport: &mut Transport, poll: &mut mio::Poll, wanted: impl Fn(&TransportEvent) -> bool) {
    assert!(turn_for(transport, poll, SOON, wanted), "not within {SOON:?}");
}

/// Turns a bare transport until `wanted` arrives; false when it has not after `at_most`.
fn turn_for(
    transport: &mut Transport,
    poll: &mut mio::Poll,
    at_most: Duration,
    wanted: impl Fn(&TransportEvent) -> bool,
) -> bool {
    let began = Instant::now();
    let mut events = mio::Events::with_capacity(16);
    let mut arrivals = Vec::new();
    while !arrivals.iter().any(&wanted) {
        if began.elapsed() >= at_most {
            return false;
        }
        poll.poll(&mut events, Some(Duration::from_millis(5))).unwrap();
        events.iter().for_each(|event| transport.handle(event));
        let now = Time(began.elapsed().as_micros() as u64);
        transport.tick(now);
        // The poll never sleeps long: whether something is left makes no difference.
        let _ = transport.poll_io(now, &mut arrivals);
        let _ = transport.flush();
    }
    true
}

#[test]
fn a_peer_that_sends_what_can_not_be_understood_is_disconnected() {
    let shard = Shard::new(2, 1);
    let node = shard.start(0);
    let mut poll = mio::Poll::new().unwrap();
    let config = shard.config(1);
    let config = TransportConfig {
        me: config.me,
        run: config.run,
        fingerprint: config.fingerprint,
        listen: config.listen,
        peers: config.peers,
        limits: TransportLimits::default(),
        seed: 1,
    };
    let mut stranger = Transport::bind(config, poll.registry().try_clone().unwrap(), 0).unwrap();
    turn_until(&mut stranger, &mut poll, |event| matches!(event, TransportEvent::Up { .. }));
    let garbage = Frame { parts: vec![bytes::Bytes::from("no message").into()], len: 10, urgent: false };
    assert_eq!(stranger.send(ProcessId(0), &garbage), SendOutcome::Queued);
    turn_until(&mut stranger, &mut poll, |event| matches!(event, TransportEvent::Down { .. }));
    turn_until(&mut stranger, &mut poll, |event| matches!(event, TransportEvent::Up { .. }));
    node.end();
}

/// The transport's keep-alives don't wait for the replicas' ticks. A machine that stands still for a moment is a reason to
/// let the second run in, so one of some tries is enough.
#[test]
fn a_second_run_of_a_quiet_process_whose_ticks_are_far_apart_is_kept_out() {
    let is_kept_out = || {
        let mut shard = Shard::new(2, 1);
        shard.adjust = |config| {
            config.timing = Timing { tick_ms: 500, heartbeat_ms: 500, election_ms: 1_500, ..config.timing };
        };
        let nodes = shard.start_all();
        nodes[0].wait_gained();
        let mut poll = mio::Poll::new().unwrap();
        let config = shard.config(1);
        let listen = (config.listen.0.clone(), free_port(&config.listen.0));
        let config = TransportConfig {
            me: config.me,
            run: config.run,
            fingerprint: config.fingerprint,
            listen,
            peers: config.peers,
            limits: TransportLimits::default(),
            seed: 1,
        };
        let mut second = Transport::bind(config, poll.registry().try_clone().unwrap(), 0).unwrap();
        let came = turn_for(&mut second, &mut poll, Duration::from_secs(3), |event| matches!(event, TransportEvent::Up { .. }));
        drop(second);
        nodes.into_iter().for_each(|node| drop(node.runtime.shutdown()));
        !came
    };
    assert!((0..3).any(|_| is_kept_out()), "it came in each time");
}

#[test]
fn after_a_shutdown_the_port_is_free() {
    let shard = Shard::new(1, 1);
    for _ in 0..3 {
        let node = shard.start(0);
        node.wait_gained();
        node.end();
        drop(TcpListener::bind((shard.peers[0].host.as_str(), shard.peers[0].port)).expect("the port is free"));
    }
}
