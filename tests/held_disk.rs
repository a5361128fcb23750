//! A disk that holds the event loop itself: what the library says, and shows, then. Real threads and sockets; the disk is
//! in memory, and the test says when a sync of the loop returns.

#[path = "common/lines.rs"]
mod lines;
#[path = "common/runtime.rs"]
mod runtime;
mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{mpsc, Arc, Mutex};
use std::time::{Duration, Instant};

use mako_raft::config;
use mako_raft::helper;
use mako_raft::ids::{GroupId, PartitionId, ProcessId};
use mako_raft::runtime::{
    Bound, CallbackRole, Callbacks, GroupConfig, NoAnswer, NotRestored, PartitionCallbacks, Runtime,
    RuntimeConfig, Storage,
};
use mako_raft::storage::disk::simulated::SimulatedFiles;
use mako_raft::storage::disk::{Durability, FileSystem};

use lines::LINES;

const SOON: Duration = Duration::from_secs(30);
const PORT: u16 = 21_001;
/// The disk is in memory.
const SEGMENT_BYTES: u64 = 1 << 20;

fn config(host: &str) -> RuntimeConfig {
    let me = ProcessId(0);
    let group = GroupConfig {
        id: GroupId(0),
        partitions: vec![PartitionId(0)],
        voters: vec![me],
        learners: Vec::new(),
        designated: Some(me),
        preferred: Some(me),
    };
    let disk = Some(("/data".into(), Durability::Fsync));
    RuntimeConfig { disk, ..runtime::config(me, (host.into(), PORT), Vec::new(), vec![group]) }
}

fn topology(host: &str) -> config::Topology {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("shard.yml");
    let text = format!(
        "site:\n  server:\n    - [\"s101:{PORT}\"]\nprocess:\n  s101: localhost\nhost:\n  localhost: {host}\nmode: {{ab: raft}}\n"
    );
    std::fs::write(&file, text).unwrap();
    let arguments = ["", "-f", &file.display().to_string(), "-P", "localhost"].map(String::from);
    config::load(&arguments, &|_| None).unwrap().topology
}

/// A replica process of its own, which leads; the election callback has said so.
fn lead(config: RuntimeConfig, files: &Arc<dyn FileSystem>) -> Runtime {
    let slot = PartitionCallbacks::default();
    slot.register(CallbackRole::Leader, Box::new(|_| 0));
    let partitions = BTreeMap::from([(PartitionId(0), Arc::new(slot))]);
    let callbacks = Callbacks { partitions, ..Callbacks::default() };
    let (tell, told) = mpsc::channel();
    callbacks.election.register(Some(Box::new(move |code| tell.send(code).expect("the test listens"))));
    let storage = Storage::open_on(&config, SEGMENT_BYTES, files).unwrap();
    let runtime = Bound::new(config, storage, &callbacks).unwrap().start().unwrap();
    assert_eq!(told.recv_timeout(SOON), Ok(1));
    runtime
}

#[test]
fn a_write_that_holds_the_event_loop_is_shown_while_it_lasts_and_said_when_it_is_over() {
    LINES.begin();
    let files = SimulatedFiles::new();
    let host = common::own_address();
    let runtime = lead(config(&host), &(Arc::new(files.clone()) as Arc<dyn FileSystem>));
    let (release, released) = mpsc::channel::<()>();
    let (holding, released) = (Arc::new(AtomicBool::new(false)), Mutex::new(released));
    let is_held = holding.clone();
    files.before_sync(move || {
        let by_the_loop = std::thread::current().name() == Some("mako-raft-loop");
        if by_the_loop && !holding.swap(true, Ordering::SeqCst) {
            released.lock().unwrap().recv_timeout(2 * SOON).expect("the test lets it go");
        }
    });
    // One log at a time, until the disk has shown that it is quick and the loop writes by itself.
    let port = runtime.port(PartitionId(0)).expect("of this process");
    let deadline = Instant::now() + SOON;
    while !is_held.load(Ordering::SeqCst) {
        assert!(Instant::now() < deadline, "the loop has not written by itself");
        if port.outstanding() == 0 {
            port.submit(b"log").unwrap();
        }
        std::thread::yield_now();
    }
    let shown = helper::report(&runtime, &topology(&host));
    assert!(shown.contains("\nthe event loop does not answer: it is held up"), "{shown}");
    assert!(shown.contains("\npartition 0: role unknown, term unknown, leader localhost, submitted "), "{shown}");
    assert!(shown.contains("outstanding 1"), "what needs no answer is shown all the same: {shown}");
    assert_eq!(runtime.restore_alone(), Err(NotRestored::NoAnswer(NoAnswer::Late)));
    release.send(()).unwrap();
    let line = LINES.wait(log::Level::Warn, "group 0: a write took ", 1).remove(0);
    let took_ms: u64 = line.split_whitespace().find_map(|word| word.parse().ok()).expect("a figure");
    assert!(took_ms >= 5_000 && line.contains("look at the disk of raft.data_dir"), "{line}");
    port.wait_idle();
    let shown = helper::report(&runtime, &topology(&host));
    assert!(shown.contains("role leader") && !shown.contains("does not answer"), "{shown}");
    runtime.shutdown().unwrap();
}

#[test]
fn a_sync_that_fails_is_shown_as_what_stopped_the_replica() {
    let files = SimulatedFiles::new();
    let host = common::own_address();
    let config = RuntimeConfig { listen: (host.clone(), PORT + 1), ..config(&host) };
    let runtime = lead(config, &(Arc::new(files.clone()) as Arc<dyn FileSystem>));
    files.fail_sync(1);
    let port = runtime.port(PartitionId(0)).expect("of this process");
    let ticket = port.submit(b"log").unwrap();
    port.wait_settled(ticket, Instant::now() + SOON);
    let reason = runtime.failure().expect("the log was not delivered");
    assert!(reason.contains("group 0: durable log: sync"), "{reason}");
    let shown = helper::report(&runtime, &topology(&host));
    assert!(shown.contains(&format!("\nstopped itself: {reason}\n")), "{shown}");
    runtime.shutdown().unwrap();
}
