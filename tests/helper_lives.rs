//! The helper's life cycle through its public functions, on a shard of one process.
//!
//! The library is one per process, so the tests of this file take turns.

mod common;

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mako_raft::helper::{self, CallbackRole, HelperError, Outcome};

const SOON: Duration = Duration::from_secs(30);

/// One test at a time, each from a clean start.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    helper::shutdown().expect("the former test left nothing running");
    helper::register_election(None).unwrap();
    helper::register_outcome(None).unwrap();
    turn
}

/// A shard of one process with two partitions, as a file.
struct Shard {
    _directory: tempfile::TempDir,
    file: PathBuf,
    host: String,
    port: u16,
}

impl Shard {
    fn new() -> Self {
        let (host, port) = (common::own_address(), 21_001);
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("shard.yml");
        let text = format!(
            "site:\n  server:\n    - [\"s101:{port}\"]\n    - [\"s201:{}\"]\nprocess:\n  s101: localhost\n  s201: localhost\n\
             host:\n  localhost: {host}\nmode:\n  ab: raft\n\
             raft:\n  form_wait_ms: 200\n",
            port + 1
        );
        std::fs::write(&file, text).unwrap();
        Self { _directory: directory, file, host, port }
    }

    fn arguments(&self) -> Vec<String> {
        let file = self.file.display().to_string();
        let arguments = ["", "-d", "60", "-f", &file, "-t", "30", "-T", "2000", "-n", "32", "-P", "localhost"];
        arguments.map(String::from).to_vec()
    }

    fn set_up(&self) -> Vec<String> {
        helper::setup(&self.arguments()).expect("a right configuration")
    }
}

type Call = (CallbackRole, u32, u64, Vec<u8>);

fn listen(role: CallbackRole, partition: u32, calls: &Sender<Call>) {
    let calls = calls.clone();
    let record = move |call: helper::LogCall<'_>| {
        // A test that has seen enough may have ended.
        let _ = calls.send((role, call.partition, call.slot, call.log.bytes().to_vec()));
        0
    };
    helper::register_log(role, partition, Box::new(record)).unwrap();
}

fn listen_to_all() -> Receiver<Call> {
    let (sender, calls) = mpsc::channel();
    for partition in 0..2 {
        listen(CallbackRole::Leader, partition, &sender);
        listen(CallbackRole::Follower, partition, &sender);
    }
    calls
}

fn listen_to_elections() -> Receiver<i32> {
    let (sender, codes) = mpsc::channel();
    helper::register_election(Some(Box::new(move |code| {
        // A test that has seen enough may have ended.
        let _ = sender.send(code);
    }))).unwrap();
    codes
}

fn is_order<T: std::fmt::Debug>(result: Result<T, HelperError>) {
    assert!(matches!(result, Err(HelperError::Order(_))), "{result:?}");
}

#[test]
fn one_life_after_the_other() {
    let _turn = turn();
    let codes = listen_to_elections();
    for _life in 0..3 {
        let shard = Shard::new();
        let calls = listen_to_all();
        assert_eq!(shard.set_up(), ["s201", "s101"]);
        assert_eq!((helper::partitions(), helper::epoch()), (2, 0));
        helper::setup2(0, 0).unwrap();
        assert_eq!(codes.recv_timeout(SOON), Ok(1), "the election callback is kept");
        assert!(helper::is_leader(0) && helper::is_leader(1));
        assert_eq!(helper::leader_site(1), Some(1));
        assert_eq!(helper::submit(b"log", 1), Ok(1));
        assert_eq!(helper::submit(b"", 1), Ok(2));
        assert_eq!(calls.recv_timeout(SOON), Ok((CallbackRole::Leader, 1, 1, b"log".to_vec())));
        assert_eq!(calls.recv_timeout(SOON), Ok((CallbackRole::Leader, 1, 2, Vec::new())));
        assert_eq!(helper::wait_for_submit(1), Ok(()));
        assert_eq!(helper::outstanding(1), Some(0));
        helper::set_epoch(-1);
        assert_eq!(helper::epoch(), 1);
        helper::worker_info_stats(2);
        assert_eq!(helper::pre_shutdown_step(), Ok(()));
        assert_eq!(helper::submit(b"late", 0), Err(HelperError::ShutDown));
        assert_eq!(helper::pre_shutdown_step(), Ok(()));
        assert_eq!(helper::shutdown(), Ok(()));
        assert_eq!(helper::shutdown(), Ok(()));
        assert!(codes.try_recv().is_err(), "nothing is announced from pre_shutdown_step on");
        drop(TcpListener::bind((shard.host.as_str(), shard.port)).expect("the port is free"));
        assert!(calls.recv().is_err(), "the partition callbacks are forgotten, and dropped");
    }
}

#[test]
fn calls_out_of_order_are_errors_that_change_nothing() {
    let _turn = turn();
    assert_eq!(helper::pre_shutdown_step(), Ok(()));
    assert!(matches!(helper::setup2(0, 0), Err(HelperError::Order(_) | HelperError::ShutDown)));
    assert!(helper::submit(b"log", 0).is_err());
    let shard = Shard::new();
    shard.set_up();
    is_order(helper::setup(&shard.arguments()));
    is_order(helper::submit(b"log", 0));
    is_order(helper::set_preferred_leader(0));
    is_order(helper::upgrade_to_leader());
    let _calls = listen_to_all();
    let codes = listen_to_elections();
    helper::setup2(0, 0).unwrap();
    is_order(helper::setup2(0, 0));
    is_order(helper::setup(&shard.arguments()));
    assert_eq!(codes.recv_timeout(SOON), Ok(1));
    assert_eq!(helper::submit(b"log", 0), Ok(1), "the life that was there goes on");
    assert!(matches!(helper::submit(b"log", 2), Err(HelperError::Invalid(_))));
    assert_eq!(helper::outstanding(2), None);
    assert!(matches!(helper::counters(2), Err(HelperError::Invalid(_))));
    assert_eq!(helper::shutdown(), Ok(()));
    assert_eq!(helper::submit(b"log", 0), Err(HelperError::ShutDown));
    let counters = helper::counters(0).expect("the last life's");
    assert_eq!((counters.submitted, counters.accepted, counters.refused, counters.outstanding), (3, 1, 2, 0));
}

#[test]
fn a_wrong_configuration_is_an_error_and_a_right_one_works_after_it() {
    let _turn = turn();
    assert!(matches!(helper::setup(&["".into(), "-f".into(), "/nowhere.yml".into()]), Err(HelperError::Invalid(_))));
    let shard = Shard::new();
    shard.set_up();
    assert_eq!(helper::shutdown(), Ok(()), "shutdown without setup2");
}

#[test]
fn a_taken_port_is_an_error_and_setup2_may_be_called_again() {
    let _turn = turn();
    let shard = Shard::new();
    shard.set_up();
    let taken = TcpListener::bind((shard.host.as_str(), shard.port)).unwrap();
    let refused = helper::setup2(0, 0);
    assert!(matches!(&refused, Err(HelperError::Io(text)) if text.contains(&shard.port.to_string())), "{refused:?}");
    is_order(helper::submit(b"log", 0));
    drop(taken);
    let codes = listen_to_elections();
    helper::setup2(0, 0).unwrap();
    assert_eq!(codes.recv_timeout(SOON), Ok(1));
    assert_eq!(helper::shutdown(), Ok(()));
}

#[test]
fn calls_that_would_wait_for_themselves_are_errors_inside_callbacks() {
    let _turn = turn();
    let shard = Shard::new();
    shard.set_up();
    let (sender, results) = mpsc::channel();
    let from_election = sender.clone();
    let try_all = |results: &Sender<Vec<bool>>| {
        assert!(helper::in_callback());
        let calls = [
            helper::shutdown(),
            helper::pre_shutdown_step(),
            helper::wait_for_submit(0),
            helper::microbench(),
            helper::setup2(0, 0),
            helper::setup(&[]).map(|_| ()),
        ];
        let refused = calls.map(|call| matches!(call, Err(HelperError::Order(_)))).to_vec();
        // A test that has seen enough may have ended.
        let _ = results.send(refused);
    };
    helper::register_election(Some(Box::new(move |_| try_all(&from_election)))).unwrap();
    helper::register_log(CallbackRole::Leader, 0, Box::new(move |_| { try_all(&sender); 0 })).unwrap();
    helper::setup2(0, 0).unwrap();
    assert_eq!(results.recv_timeout(SOON), Ok(vec![true; 6]), "in the election callback");
    helper::submit(b"log", 0).unwrap();
    assert_eq!(results.recv_timeout(SOON), Ok(vec![true; 6]), "in a log callback");
    assert!(!helper::in_callback());
    assert_eq!(helper::shutdown(), Ok(()));
}

#[test]
fn callbacks_may_submit_and_register() {
    let _turn = turn();
    let shard = Shard::new();
    shard.set_up();
    let calls = listen_to_all();
    let (again, calls_again) = mpsc::channel();
    helper::register_election(Some(Box::new(move |_| {
        helper::send_no_ops_to_all_workers(3).expect("accepted in the very announcement");
    })))
    .unwrap();
    helper::register_log(
        CallbackRole::Leader,
        1,
        Box::new(move |call| {
            listen(CallbackRole::Leader, call.partition, &again);
            helper::submit(b"from a callback", call.partition).expect("accepted");
            0
        }),
    )
    .unwrap();
    helper::setup2(0, 0).unwrap();
    assert_eq!(calls.recv_timeout(SOON), Ok((CallbackRole::Leader, 0, 1, b"no-ops:3".to_vec())));
    assert_eq!(calls_again.recv_timeout(SOON), Ok((CallbackRole::Leader, 1, 2, b"from a callback".to_vec())));
    assert_eq!(helper::shutdown(), Ok(()));
}

#[test]
fn no_ops_with_an_epoch_of_two_digits_are_refused() {
    let _turn = turn();
    for epoch in [-1, 10] {
        assert!(matches!(helper::send_no_ops_for_mark(epoch), Err(HelperError::Invalid(_))));
        assert!(matches!(helper::send_no_ops_to_all_workers(epoch), Err(HelperError::Invalid(_))));
    }
    assert!(helper::send_no_ops_for_mark(9).is_err(), "nothing runs");
}

#[test]
fn what_was_refused_before_setup2_is_in_the_partitions_counters() {
    let _turn = turn();
    let shard = Shard::new();
    shard.set_up();
    is_order(helper::counters(0));
    (0..2).for_each(|_| is_order(helper::submit(b"log", 0)));
    helper::refuse(0, "null");
    // A setup2 that fails keeps them.
    let taken = TcpListener::bind((shard.host.as_str(), shard.port)).unwrap();
    assert!(helper::setup2(0, 0).is_err());
    drop(taken);
    assert!(matches!(helper::submit(b"log", 2), Err(HelperError::Invalid(_))), "of no partition");
    helper::setup2(0, 0).unwrap();
    let counted = |partition| helper::counters(partition).map(|now| (now.submitted, now.accepted, now.refused));
    assert_eq!((counted(0), counted(1)), (Ok((3, 0, 3)), Ok((0, 0, 0))));
    assert_eq!(helper::submit(b"log", 0), Ok(1));
    assert_eq!(counted(0), Ok((4, 1, 3)));
    assert_eq!(helper::shutdown(), Ok(()));
    Shard::new().set_up();
    helper::setup2(0, 0).unwrap();
    assert_eq!(counted(0), Ok((0, 0, 0)), "another run");
    assert_eq!(helper::shutdown(), Ok(()));
}

#[test]
fn outcomes_and_counters_tell_the_fate_of_every_log() {
    let _turn = turn();
    let shard = Shard::new();
    shard.set_up();
    let _calls = listen_to_all();
    let (sender, outcomes) = mpsc::channel();
    let report = move |partition, first, count, outcome| {
        // A test that has seen enough may have ended.
        let _ = sender.send((partition, first, count, outcome));
    };
    helper::register_outcome(Some(Box::new(report))).unwrap();
    helper::setup2(0, 0).unwrap();
    (1..=100).for_each(|ticket| assert_eq!(helper::submit(b"log", 0), Ok(ticket)));
    let mut next = 1;
    while next <= 100 {
        let (partition, first, count, outcome) = outcomes.recv_timeout(SOON).expect("an outcome");
        assert_eq!((partition, first, outcome), (0, next, Outcome::Delivered));
        next += count;
    }
    helper::set_unreplayed(0, 4);
    helper::refuse(0, "null");
    let counters = helper::counters(0).unwrap();
    assert_eq!((counters.submitted, counters.accepted, counters.refused), (101, 100, 1));
    assert_eq!((counters.delivered_own, counters.lost, counters.outstanding, counters.unreplayed), (100, 0, 0, 4));
    assert_eq!(helper::shutdown(), Ok(()));
}

/// Submits when its thread ends, as Mako's workers do from C++ `thread_local` destructors.
struct LastWords(u32);

impl Drop for LastWords {
    fn drop(&mut self) {
        SUBMITTED.lock().unwrap().push(helper::submit(b"last words", self.0));
    }
}

static SUBMITTED: Mutex<Vec<Result<u64, HelperError>>> = Mutex::new(Vec::new());

thread_local! {
    static LAST: RefCell<Option<LastWords>> = const { RefCell::new(None) };
}

#[test]
fn a_thread_may_submit_while_it_exits_also_after_shutdown() {
    let _turn = turn();
    let shard = Shard::new();
    shard.set_up();
    let calls = listen_to_all();
    let codes = listen_to_elections();
    helper::setup2(0, 0).unwrap();
    assert_eq!(codes.recv_timeout(SOON), Ok(1));
    let leave = || std::thread::spawn(|| LAST.set(Some(LastWords(0)))).join().unwrap();
    leave();
    assert_eq!(calls.recv_timeout(SOON), Ok((CallbackRole::Leader, 0, 1, b"last words".to_vec())));
    assert_eq!(helper::shutdown(), Ok(()));
    leave();
    assert_eq!(*SUBMITTED.lock().unwrap(), [Ok(1), Err(HelperError::ShutDown)]);
}

#[test]
fn the_microbenchmark_runs_through_the_registered_callbacks() {
    let _turn = turn();
    let shard = Shard::new();
    shard.set_up();
    let calls = listen_to_all();
    let codes = listen_to_elections();
    helper::setup2(0, 0).unwrap();
    assert_eq!(codes.recv_timeout(SOON), Ok(1));
    assert_eq!(helper::microbench(), Ok(()));
    assert_eq!(helper::shutdown(), Ok(()));
    assert_eq!(calls.iter().count(), 2 * 2000, "-T logs in each partition");
}

#[test]
fn leadership_can_be_asked_for_and_preferred() {
    let _turn = turn();
    let shard = Shard::new();
    shard.set_up();
    let _calls = listen_to_all();
    let codes = listen_to_elections();
    helper::setup2(1, 0).unwrap();
    assert_eq!(helper::upgrade_to_leader(), Ok(()));
    assert_eq!(helper::submit(b"right after it", 0), Ok(1), "queued or led by now, never refused");
    assert_eq!(codes.recv_timeout(SOON), Ok(1));
    assert_eq!(helper::set_preferred_leader(1), Ok(()));
    assert_eq!(helper::set_preferred_leader(77), Ok(()), "disables the preference");
    assert!(helper::restore_alone().is_err(), "nothing is lost");
    assert_eq!(helper::shutdown(), Ok(()));
}

/// A leader whose callback panics at the first log; when this returns, the replica has stopped itself.
fn stop_itself() {
    let codes = listen_to_elections();
    helper::register_log(CallbackRole::Leader, 0, Box::new(|_| panic!("a callback that fails"))).unwrap();
    helper::setup2(0, 0).unwrap();
    assert_eq!(codes.recv_timeout(SOON), Ok(1));
    assert_eq!((helper::leader_site(0), helper::leader_site(1)), (Some(0), Some(1)));
    assert_eq!(helper::submit(b"log", 0), Ok(1));
    assert_eq!(helper::wait_for_submit(0), Ok(()));
}

fn stopped_itself<T: std::fmt::Debug>(result: Result<T, HelperError>) {
    assert!(matches!(&result, Err(HelperError::Internal(text)) if text.contains("stopped itself")), "{result:?}");
}

#[test]
fn a_wish_that_nobody_will_follow_is_refused() {
    let _turn = turn();
    let shard = Shard::new();
    shard.set_up();
    stop_itself();
    stopped_itself(helper::set_preferred_leader(0));
    stopped_itself(helper::upgrade_to_leader());
    assert_eq!(helper::shutdown(), Ok(()));
    assert_eq!(helper::set_preferred_leader(0), Err(HelperError::ShutDown));

    let shard = Shard::new();
    let text = std::fs::read_to_string(&shard.file).unwrap();
    let text = text.replace("[\"s201:21002\"]", "[\"s201:21002\", \"s202:21003\"]").replace("host:\n", "  s202: learner\nhost:\n");
    std::fs::write(&shard.file, text).unwrap();
    assert_eq!(shard.set_up(), ["s201", "s101"]);
    let codes = listen_to_elections();
    helper::setup2(0, 0).unwrap();
    assert_eq!(codes.recv_timeout(SOON), Ok(1));
    let refused = helper::set_preferred_leader(2);
    assert!(matches!(&refused, Err(HelperError::Invalid(text)) if text.contains("site 2 (s202) is a learner's")), "{refused:?}");
    assert_eq!(helper::set_preferred_leader(1), Ok(()));
    assert_eq!(helper::upgrade_to_leader(), Ok(()));
    assert_eq!(helper::pre_shutdown_step(), Ok(()));
    assert_eq!(helper::upgrade_to_leader(), Err(HelperError::ShutDown), "it said goodbye");
    assert_eq!(helper::shutdown(), Ok(()));

    let mut arguments = shard.arguments();
    *arguments.last_mut().unwrap() = "learner".into();
    let text = std::fs::read_to_string(&shard.file).unwrap();
    std::fs::write(&shard.file, text.replace("host:\n", &format!("host:\n  learner: {}\n", common::own_address()))).unwrap();
    assert_eq!(helper::setup(&arguments).expect("a right configuration"), ["s202"]);
    helper::setup2(0, 0).unwrap();
    let refused = helper::upgrade_to_leader();
    assert!(matches!(&refused, Err(HelperError::Invalid(text)) if text.contains("learner is a learner")), "{refused:?}");
    assert_eq!(helper::submit(b"log", 1), Err(HelperError::NotLeader { leader: None }), "nothing is kept for a leadership that can't come");
    assert_eq!(helper::shutdown(), Ok(()));
}

#[test]
fn a_microbenchmark_that_can_not_go_on_says_why_as_a_submission_does() {
    let _turn = turn();
    let shard = Shard::new();
    shard.set_up();
    let (enters, entered) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let wait = move |_: helper::LogCall<'_>| {
        enters.send(()).expect("the test listens");
        // Each one is let go by the test, or by its end.
        let _ = released.recv();
        0
    };
    helper::register_log(CallbackRole::Leader, 0, Box::new(wait)).unwrap();
    helper::register_log(CallbackRole::Leader, 1, Box::new(|_| 0)).unwrap();
    let codes = listen_to_elections();
    helper::setup2(0, 0).unwrap();
    assert_eq!(codes.recv_timeout(SOON), Ok(1));
    std::thread::scope(|scope| {
        let running = scope.spawn(helper::microbench);
        entered.recv_timeout(SOON).expect("its first log");
        let drained = scope.spawn(helper::pre_shutdown_step);
        while helper::submit(b"log", 1) != Err(HelperError::ShutDown) {
            std::thread::yield_now();
        }
        drop(release);
        assert_eq!(running.join().unwrap(), Err(HelperError::ShutDown));
        assert_eq!(drained.join().unwrap(), Ok(()));
    });
    assert_eq!(helper::shutdown(), Ok(()));

    shard.set_up();
    stop_itself();
    stopped_itself(helper::microbench());
    assert_eq!(helper::shutdown(), Ok(()));
}

#[test]
fn nobody_is_said_to_lead_once_the_replica_has_ended() {
    let _turn = turn();
    let shard = Shard::new();
    shard.set_up();
    stop_itself();
    let end = Instant::now() + SOON;
    // The loop ends a moment after the log is given up.
    while helper::leader_site(0).is_some() && Instant::now() < end {
        std::thread::yield_now();
    }
    assert_eq!((helper::leader_site(0), helper::leader_site(1)), (None, None), "it stopped itself");
    assert_eq!(helper::shutdown(), Ok(()));

    Shard::new().set_up();
    let codes = listen_to_elections();
    helper::setup2(0, 0).unwrap();
    assert_eq!(codes.recv_timeout(SOON), Ok(1));
    assert_eq!(helper::leader_site(1), Some(1));
    assert_eq!(helper::shutdown(), Ok(()));
    assert_eq!(helper::leader_site(1), None, "it was shut down");
}

#[test]
fn the_status_endpoint_tells_the_counters_to_whoever_connects() {
    let _turn = turn();
    let shard = Shard::new();
    let port = shard.port + 10_000;
    let with_status = std::fs::read_to_string(&shard.file).unwrap() + &format!("  control_port: {port}\n");
    std::fs::write(&shard.file, with_status).unwrap();
    shard.set_up();
    let calls = listen_to_all();
    let codes = listen_to_elections();
    helper::setup2(0, 0).unwrap();
    assert_eq!(codes.recv_timeout(SOON), Ok(1));
    helper::submit(b"log", 1).unwrap();
    calls.recv_timeout(SOON).unwrap();
    assert_eq!(helper::wait_for_submit(1), Ok(()));
    for _ in 0..40 {
        let mut client = TcpStream::connect((shard.host.as_str(), port)).unwrap();
        client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("process localhost\n") && text.contains("role leader"), "{text}");
        assert!(text.contains("partition 1: role leader") && text.contains("submitted 1,"), "{text}");
    }
    assert_eq!(helper::shutdown(), Ok(()));
    drop(TcpListener::bind((shard.host.as_str(), port)).expect("the status port is free"));
}

/// What a callback owns. When it is destroyed, another thread shuts the library down, and that is waited for.
struct Owned(Sender<Result<(), HelperError>>);

impl Drop for Owned {
    fn drop(&mut self) {
        let (ended, ends) = mpsc::channel();
        let ending = std::thread::spawn(move || ended.send(helper::shutdown()));
        let result = ends.recv_timeout(SOON).unwrap_or(Err(HelperError::Internal("it waits for this destructor".into())));
        self.0.send(result).expect("the test listens");
        drop(ending);
    }
}

#[test]
fn a_destructor_may_wait_for_another_threads_shutdown() {
    let _turn = turn();
    let shard = Shard::new();
    let (tell, told) = mpsc::channel();
    let register = |partition| {
        let owned = Owned(tell.clone());
        let callback = move |_: helper::LogCall<'_>| {
            let _owned = &owned;
            0
        };
        helper::register_log(CallbackRole::Leader, partition, Box::new(callback)).unwrap();
    };
    register(7);
    shard.set_up();
    assert_eq!(told.recv_timeout(SOON), Ok(Ok(())), "setup has dropped it: there is no such partition");
    shard.set_up();
    register(0);
    assert_eq!(helper::shutdown(), Ok(()));
    assert_eq!(told.recv_timeout(SOON), Ok(Ok(())));
}
