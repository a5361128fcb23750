//! The operator's act on whole processes: what the answer says was done, and nothing else was. Two processes of a shard
//! in one test process; the log's lines are written by the event loop, so a logger can hold it, or call from its thread.

#[path = "common/runtime.rs"]
mod runtime;
mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{mpsc, Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use mako_raft::ids::{GroupId, PartitionId, ProcessId};
use mako_raft::runtime::{
    Bound, CallbackRole, Callbacks, GroupConfig, NoAnswer, NotRestored, NotSought, PartitionCallbacks, Runtime,
    RuntimeConfig, Storage,
};
use mako_raft::transport::PeerAddress;

const SOON: Duration = Duration::from_secs(30);

/// Runs what a test has put here on the thread of the survivor's event loop, once, when that says what it waits for.
struct OnTheLoop(Mutex<Option<Box<dyn FnOnce() + Send>>>);

static ON_THE_LOOP: OnTheLoop = OnTheLoop(Mutex::new(None));

impl log::Log for OnTheLoop {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.args().to_string().contains("no leader: waiting for a majority of the members") {
            assert_eq!(std::thread::current().name(), Some("mako-raft-loop"));
            let call = self.0.lock().unwrap().take();
            call.into_iter().for_each(|call| call());
        }
    }

    fn flush(&self) {}
}

fn config(me: u16, host: &str, first_port: u16, groups: u16) -> RuntimeConfig {
    let (me, ids) = (ProcessId(me), [ProcessId(0), ProcessId(1)]);
    let port = |id: ProcessId| first_port + id.0;
    let peer = |id| PeerAddress { id, host: host.into(), port: port(id), name: id.to_string() };
    let group = |id| GroupConfig {
        id: GroupId(id),
        partitions: vec![PartitionId(id.into())],
        voters: ids.into(),
        learners: Vec::new(),
        designated: Some(ids[0]),
        preferred: Some(ids[0]),
    };
    let peers = ids.into_iter().filter(|id| *id != me).map(peer).collect();
    runtime::config(me, (host.into(), port(me)), peers, (0..groups).map(group).collect())
}

fn start(config: RuntimeConfig) -> (Runtime, mpsc::Receiver<i32>) {
    let slot = |group: &GroupConfig| {
        let slot = PartitionCallbacks::default();
        slot.register(CallbackRole::Leader, Box::new(|_| 0));
        (group.partitions[0], Arc::new(slot))
    };
    let partitions: BTreeMap<_, _> = config.groups.iter().map(slot).collect();
    let callbacks = Callbacks { partitions, ..Callbacks::default() };
    let (tell, told) = mpsc::channel();
    callbacks.election.register(Some(Box::new(move |code| {
        // The test may have ended.
        let _ = tell.send(code);
    })));
    let storage = Storage::open(&config).unwrap();
    (Bound::new(config, storage, &callbacks).unwrap().start().unwrap(), told)
}

/// A process whose leader and only companion is gone without a goodbye. The tests take turns.
struct Survivor {
    runtime: Arc<Runtime>,
    told: mpsc::Receiver<i32>,
    _turn: MutexGuard<'static, ()>,
}

impl Survivor {
    fn of(groups: u16, on_its_loop: impl FnOnce(&Runtime) + Send + 'static) -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        static INSTALLED: Once = Once::new();
        static NEXT_PORT: AtomicU16 = AtomicU16::new(21_001);
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        INSTALLED.call_once(|| {
            log::set_logger(&ON_THE_LOOP).expect("the only logger of this process");
            log::set_max_level(log::LevelFilter::Info);
        });
        let (host, port) = (common::own_address(), NEXT_PORT.fetch_add(2, Ordering::Relaxed));
        let (leader, led) = start(config(0, &host, port, groups));
        let (runtime, told) = start(config(1, &host, port, groups));
        assert_eq!(led.recv_timeout(SOON), Ok(1));
        let runtime = Arc::new(runtime);
        let asker = runtime.clone();
        *ON_THE_LOOP.0.lock().unwrap() = Some(Box::new(move || on_its_loop(&asker)));
        leader.shutdown().expect("abrupt: no goodbye, no drain");
        Self { runtime, told, _turn: turn }
    }

    /// Once the survivor has noticed that it is one, and its replicas have nothing else to do.
    fn restore_alone(&self) {
        let deadline = Instant::now() + SOON;
        while let Err(why) = self.runtime.restore_alone() {
            assert!(Instant::now() < deadline, "{why:?}");
            assert!(matches!(why, NotRestored::Refused(_) | NotRestored::InPart(_)), "{why:?}");
            std::thread::yield_now();
        }
    }

    /// Per group: the generation, and whether this run let it go on alone.
    fn standing(&self) -> Vec<(u64, bool)> {
        let status = self.runtime.status().expect("an answer");
        status.iter().map(|(_, status)| (status.formation.map_or(0, |(number, _)| number.into()), status.restored)).collect()
    }
}

#[test]
fn an_act_that_was_not_answered_is_not_carried_out_later() {
    let (held, holds) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let survivor = Survivor::of(1, move |_| {
        held.send(()).expect("the test listens");
        // Ends when the test lets go of the sender.
        let _ = released.recv_timeout(2 * SOON);
    });
    holds.recv_timeout(SOON).expect("the survivor says what it waits for");
    assert_eq!(survivor.runtime.restore_alone(), Err(NotRestored::NoAnswer(NoAnswer::Late)));
    assert_eq!(survivor.runtime.seek_leadership(), Err(NotSought::NoAnswer(NoAnswer::Late)));
    drop(release);
    // It is answered after what was asked before it.
    assert_eq!(survivor.standing(), [(1, false)], "it was to be as if nobody had asked");
    survivor.restore_alone();
    assert_eq!(survivor.standing(), [(2, true)]);
    assert_eq!(survivor.told.recv_timeout(SOON), Ok(1));
    survivor.runtime.shutdown().unwrap();
}

#[test]
fn every_group_goes_on_once_and_to_ask_again_changes_nothing() {
    let survivor = Survivor::of(2, |_| ());
    survivor.restore_alone();
    assert_eq!(survivor.standing(), [(2, true), (2, true)]);
    assert_eq!(survivor.runtime.restore_alone(), Ok(()), "done already");
    assert_eq!(survivor.told.recv_timeout(SOON), Ok(1));
    assert_eq!(survivor.runtime.restore_alone(), Ok(()), "and led by now");
    assert_eq!(survivor.standing(), [(2, true), (2, true)]);
    survivor.runtime.shutdown().unwrap();
}

#[test]
fn a_question_on_the_loops_own_thread_is_refused_at_once() {
    let (tell, told) = mpsc::channel();
    let survivor = Survivor::of(1, move |runtime| {
        let began = Instant::now();
        let answers = (runtime.restore_alone(), runtime.status().err(), runtime.seek_leadership());
        tell.send((answers, began.elapsed())).expect("the test listens");
    });
    let ((restored, status, sought), took) = told.recv_timeout(SOON).expect("the survivor says what it waits for");
    assert_eq!(restored, Err(NotRestored::NoAnswer(NoAnswer::Itself)));
    assert_eq!(status, Some(NoAnswer::Itself));
    assert_eq!(sought, Ok(()), "that needs no answer");
    assert!(took < Duration::from_secs(4), "the loop stood still for {took:?}");
    assert_eq!(survivor.standing(), [(1, false)]);
    survivor.runtime.shutdown().unwrap();
}
