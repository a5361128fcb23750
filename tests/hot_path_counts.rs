//! Counts on the hot path that do not depend on the machine: memory allocated and system calls per log.
//!
//! A copy needs memory to go to, so bytes allocated per payload byte bound the copies: a change that
//! copies payloads once more fails here without any timing. Three replica processes live in this one, so
//! the counts are those of all three together. One test only: the counters are global.

#[path = "common/runtime.rs"]
mod runtime;

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use mako_raft::ids::{GroupId, PartitionId, ProcessId};
use mako_raft::replica::Timing;
use mako_raft::runtime::{
    Bound, CallbackRole, Callbacks, GroupConfig, LogCall, PartitionCallbacks, Runtime, RuntimeConfig,
    Storage,
};
use mako_raft::transport::PeerAddress;

const SOON: Duration = Duration::from_secs(30);
const P: PartitionId = PartitionId(0);

static CALLS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches two atomics only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        System.alloc(layout)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        System.alloc_zeroed(layout)
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        System.realloc(pointer, layout, size)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        System.dealloc(pointer, layout);
    }
}

fn count(bytes: usize) {
    CALLS.fetch_add(1, Ordering::Relaxed);
    BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Logs delivered by one process.
#[derive(Default)]
struct Delivered {
    logs: Mutex<u64>,
    more: Condvar,
}

impl Delivered {
    fn wait(&self, logs: u64) {
        let behind = |delivered: &mut u64| *delivered < logs;
        let (delivered, timeout) = self.more.wait_timeout_while(self.logs.lock().unwrap(), SOON, behind).unwrap();
        assert!(!timeout.timed_out(), "{} of {logs} logs were delivered in {SOON:?}", *delivered);
    }

    fn callbacks(self: &Arc<Self>) -> Callbacks {
        let slot = PartitionCallbacks::default();
        for role in [CallbackRole::Leader, CallbackRole::Follower] {
            let delivered = self.clone();
            let count = move |_: LogCall<'_>| {
                *delivered.logs.lock().unwrap() += 1;
                delivered.more.notify_all();
                0
            };
            slot.register(role, Box::new(count));
        }
        let mut callbacks = Callbacks::default();
        callbacks.partitions.insert(P, Arc::new(slot));
        callbacks
    }
}

struct Shard {
    processes: Vec<(Runtime, Arc<Delivered>)>,
    submitted: u64,
}

fn config(me: u16, peers: &[PeerAddress], commit_wait: Duration) -> RuntimeConfig {
    let address = &peers[usize::from(me)];
    let group = GroupConfig {
        id: GroupId(0),
        partitions: vec![P],
        voters: peers.iter().map(|peer| peer.id).collect(),
        learners: Vec::new(),
        designated: Some(ProcessId(0)),
        preferred: Some(ProcessId(0)),
    };
    let others = peers.iter().filter(|peer| peer.id != ProcessId(me)).cloned().collect();
    RuntimeConfig {
        timing: Timing { form_wait_ms: 20_000, commit_wait_us: commit_wait.as_micros() as u64, ..Timing::default() },
        queue_bytes: 16 << 20,
        drain_wait: Duration::from_secs(5),
        max_log_bytes: 64 << 20,
        fragment_bytes: 512 << 10,
        ..runtime::config(ProcessId(me), (address.host.clone(), address.port), others, vec![group])
    }
}

impl Shard {
    /// With a commit index that waits so long for the next log, so that no count depends on how fast this machine is.
    fn start(commit_wait: Duration) -> Self {
        // An address of this process's own on loopback: nobody else takes its ports meanwhile.
        let pid = std::process::id();
        let host = format!("127.{}.{}.254", 1 + (pid >> 8) % 250, pid % 256);
        let free = || TcpListener::bind((host.as_str(), 0)).unwrap().local_addr().unwrap().port();
        let peer = |id| PeerAddress { id: ProcessId(id), host: host.clone(), port: free(), name: format!("p{id}") };
        let peers: Vec<PeerAddress> = (0..3).map(peer).collect();
        let start = |me| {
            let delivered = Arc::new(Delivered::default());
            let config = config(me, &peers, commit_wait);
            let storage = Storage::open(&config).unwrap();
            let bound = Bound::new(config, storage, &delivered.callbacks()).unwrap();
            (bound.start().unwrap(), delivered)
        };
        let shard = Self { processes: (0..3).map(start).collect(), submitted: 0 };
        let deadline = Instant::now() + SOON;
        while !shard.leader().port(P).unwrap().is_leading() {
            assert!(Instant::now() < deadline, "nobody leads after {SOON:?}");
            std::thread::yield_now();
        }
        shard
    }

    fn stop(self) {
        for (runtime, _) in self.processes.into_iter().rev() {
            runtime.drain();
            runtime.shutdown().expect("nothing is left running");
        }
    }

    fn leader(&self) -> &Runtime {
        &self.processes[0].0
    }

    /// Submits `batches` of `batch` logs of `bytes`, each when the first `replicas` have delivered the one before.
    fn submit(&mut self, replicas: usize, batches: u64, batch: u64, bytes: usize) {
        let log = vec![0x5a; bytes];
        for _ in 0..batches {
            for _ in 0..batch {
                self.leader().port(P).unwrap().submit(&log).unwrap();
            }
            self.submitted += batch;
            self.processes[..replicas].iter().for_each(|(_, delivered)| delivered.wait(self.submitted));
        }
        self.processes.iter().for_each(|(_, delivered)| delivered.wait(self.submitted));
    }

    fn socket_calls(&self) -> u64 {
        let calls = |(runtime, _): &(Runtime, _)| {
            let counters = runtime.traffic().expect("the loop runs");
            counters.send_calls + counters.receive_calls
        };
        self.processes.iter().map(calls).sum()
    }

    /// What a log of `bytes` costs in batches of `batch`, each when the first `replicas` have the one before, once everything
    /// is warm.
    fn cost(&mut self, replicas: usize, batches: u64, batch: u64, bytes: usize) -> Cost {
        self.submit(replicas, batches / 4 + 1, batch, bytes);
        let (calls, allocated, sockets) =
            (CALLS.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed), self.socket_calls());
        self.submit(replicas, batches, batch, bytes);
        let per_log = |now: u64, before: u64| (now - before) as f64 / (batches * batch) as f64;
        Cost {
            allocations: per_log(CALLS.load(Ordering::Relaxed), calls),
            allocated_per_byte: per_log(BYTES.load(Ordering::Relaxed), allocated) / bytes as f64,
            socket_calls: per_log(self.socket_calls(), sockets),
        }
    }
}

#[derive(Debug)]
struct Cost {
    allocations: f64,
    allocated_per_byte: f64,
    socket_calls: f64,
}

#[test]
fn a_log_costs_no_more_memory_and_system_calls_than_it_did() {
    let mut shard = Shard::start(Duration::ZERO);
    let one = shard.cost(3, 400, 1, 100);
    let many = shard.cost(3, 40, 1_000, 100);
    let long = shard.cost(3, 100, 1, 256 << 10);
    shard.stop();
    let mut shard = Shard::start(Duration::from_secs(1));
    let close = shard.cost(1, 400, 1, 100);
    shard.stop();
    println!("one log at a time: {one:?}\none behind the other: {close:?}\na thousand: {many:?}\n256 KiB: {long:?}");

    // One log: an append and a commit to each follower, an answer to each from it, each sent and received:
    // 16 calls. On a slow machine ticks and heartbeats in between add to these and to the 50 allocations.
    assert!(one.socket_calls <= 24.0, "{one:?}");
    assert!(one.allocations <= 80.0, "{one:?}");
    // Behind the other, the next append carries the commit index: 8 calls.
    assert!(close.socket_calls <= 12.0, "{close:?}");
    assert!(close.allocations <= 55.0, "{close:?}");
    // A thousand logs travel in a few entries of up to 64 KiB.
    assert!(many.socket_calls <= 0.5, "{many:?}");
    assert!(many.allocations <= 1.0, "nothing is allocated per log: {many:?}");
    // Once on submission, once on receipt in each of two followers, and room for what comes behind.
    assert!(long.allocated_per_byte <= 3.5, "{long:?}");
}
