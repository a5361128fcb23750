//! What the library promises to say: the lines that an operator finds in the log (contract sections 3 to 7).
//!
//! The logger and the library are one per process, so the tests of this file take turns.

mod common;

use std::io::Read as _;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use mako_raft::helper::{self, CallbackRole, HelperError};

/// On the test's own address.
const STATUS_PORT: u16 = 31_001;
const SOON: Duration = Duration::from_secs(30);

/// Keeps every line of the present test.
struct Lines {
    lines: Mutex<Vec<(log::Level, String)>>,
    added: Condvar,
}

static LINES: Lines = Lines { lines: Mutex::new(Vec::new()), added: Condvar::new() };

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.lock().push((record.level(), record.args().to_string()));
        self.added.notify_all();
    }

    fn flush(&self) {}
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, Vec<(log::Level, String)>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lines of a level that contain `part`, once there are `count` of them.
    fn wait(&self, level: log::Level, part: &str, count: usize) -> Vec<String> {
        let deadline = Instant::now() + SOON;
        let mut lines = self.lock();
        loop {
            let found: Vec<String> = matching(&lines, level, part);
            if found.len() >= count {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{count} x {level} {part:?} not among {lines:#?}");
            lines = self.added.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn now(&self, level: log::Level, part: &str) -> Vec<String> {
        matching(&self.lock(), level, part)
    }
}

fn matching(lines: &[(log::Level, String)], level: log::Level, part: &str) -> Vec<String> {
    lines.iter().filter(|(l, text)| *l == level && text.contains(part)).map(|(_, text)| text.clone()).collect()
}

/// One test at a time, each from a clean start and an empty log.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    static INSTALLED: Once = Once::new();
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    INSTALLED.call_once(|| {
        log::set_logger(&LINES).expect("the only logger of this process");
        log::set_max_level(log::LevelFilter::Info);
    });
    helper::shutdown().expect("the former test left nothing running");
    helper::register_election(None).unwrap();
    LINES.lock().clear();
    turn
}

/// A shard of one process with two partitions, as a file.
struct Shard {
    _directory: tempfile::TempDir,
    file: PathBuf,
    host: String,
}

impl Shard {
    /// `mode` and `raft` are the contents of these sections.
    fn new(mode: &str, raft: &str) -> Self {
        let host = common::own_address();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("shard.yml");
        let text = format!(
            "site:\n  server:\n    - [\"s101:21001\"]\n    - [\"s201:21002\"]\nprocess:\n  s101: localhost\n  s201: localhost\n\
             host:\n  localhost: {host}\nmode: {{{mode}}}\nraft: {{{raft}}}\n",
        );
        std::fs::write(&file, text).unwrap();
        Self { _directory: directory, file, host }
    }

    fn set_up(&self) {
        let file = self.file.display().to_string();
        let arguments = ["", "-f", &file, "-T", "50", "-n", "4", "-P", "localhost"].map(String::from);
        helper::setup(&arguments).expect("a right configuration");
    }

    /// Sets up and leads.
    fn lead() -> Self {
        let shard = Self::new("ab: raft", "");
        shard.set_up();
        listen_everywhere();
        let led = await_leadership();
        helper::setup2(0, 0).unwrap();
        led.recv_timeout(SOON).expect("leadership");
        shard
    }
}

fn listen_everywhere() {
    (0..2).for_each(|partition| helper::register_log(CallbackRole::Leader, partition, Box::new(|_| 0)).unwrap());
}

fn await_leadership() -> mpsc::Receiver<i32> {
    let (sender, codes) = mpsc::channel();
    let tell = move |code| {
        // The test that has seen enough may have ended.
        let _ = sender.send(code);
    };
    helper::register_election(Some(Box::new(tell))).unwrap();
    codes
}

#[test]
fn setup_says_on_which_port_the_process_will_listen_and_that_it_is_the_first_sites() {
    let _turn = turn();
    let shard = Shard::new("ab: raft", "");
    shard.set_up();
    let lines = LINES.now(log::Level::Info, &format!("it listens on {}:21001", shard.host));
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("first site (s101)"), "{}", lines[0]);
    assert_eq!(LINES.now(log::Level::Info, &format!("process 0 is localhost at {}:21001", shard.host)).len(), 1);
    assert_eq!(helper::shutdown(), Ok(()));
}

#[test]
fn a_mode_that_is_not_raft_is_a_warning_and_no_error() {
    let _turn = turn();
    Shard::new("ab: multi_paxos", "").set_up();
    assert_eq!(LINES.now(log::Level::Warn, "multi_paxos").len(), 1);
    assert_eq!(helper::shutdown(), Ok(()));
}

#[test]
fn an_epoch_past_nine_is_a_warning_once() {
    let _turn = turn();
    let _shard = Shard::lead();
    helper::set_epoch(9);
    assert!(LINES.now(log::Level::Warn, "epoch").is_empty());
    helper::set_epoch(-1);
    assert_eq!(helper::epoch(), 10);
    helper::set_epoch(11);
    let lines = LINES.now(log::Level::Warn, "epoch");
    assert!(lines.len() == 1 && lines[0].contains("10"), "{lines:?}");
    assert_eq!(helper::shutdown(), Ok(()));
}

#[test]
fn refusals_are_all_counted_and_few_are_logged() {
    const REFUSED: usize = 5_000;
    let _turn = turn();
    let _shard = Shard::lead();
    (0..REFUSED).for_each(|_| helper::refuse(1, "as the C++ part says of a negative length"));
    assert!(matches!(helper::submit(b"log", 7), Err(HelperError::Invalid(_))), "an unknown partition");
    let counters = helper::counters(1).unwrap();
    assert_eq!((counters.submitted, counters.refused), (REFUSED as u64, REFUSED as u64));
    let lines = LINES.now(log::Level::Warn, "a log was refused");
    // 5,001 refusals take far less than the seconds that a tenth of these lines would need.
    assert!((1..100).contains(&lines.len()), "{} lines", lines.len());
    assert!(lines[0].contains("partition 1") && lines[0].contains("negative length"), "{}", lines[0]);
    helper::refuse(1, "partition 1: a reason that names it");
    assert!(LINES.now(log::Level::Warn, "partition 1: a log was refused: partition 1").is_empty());
    assert_eq!(helper::shutdown(), Ok(()));
}

#[test]
fn worker_info_stats_logs_a_line_with_every_figure_for_each_of_the_first_partitions() {
    let _turn = turn();
    let _shard = Shard::lead();
    (0..3).for_each(|_| assert!(helper::submit(b"log", 1).is_ok()));
    helper::refuse(1, "a test");
    helper::set_unreplayed(1, 2);
    helper::wait_for_submit(1).unwrap();
    helper::worker_info_stats(1);
    assert_eq!(LINES.now(log::Level::Info, "role leader").len(), 1, "of the first partition only");
    helper::worker_info_stats(8);
    let line = LINES.now(log::Level::Info, "partition 1: role leader").pop().expect("a line for partition 1");
    let figures = [
        "term 1", "leader localhost", "submitted 4", "committed 3", "delivered 3", "outstanding 0", "queued 0 B",
        "refused 1", "lost 0", "un-replayed 2",
    ];
    for figure in figures {
        assert!(line.contains(figure), "no {figure:?} in {line}");
    }
    assert_eq!(helper::shutdown(), Ok(()));
}

#[test]
fn the_microbenchmark_ends_in_one_line_with_its_rate_and_latencies() {
    let _turn = turn();
    let _shard = Shard::lead();
    assert_eq!(helper::microbench(), Ok(()));
    let lines = LINES.now(log::Level::Info, "microbench: ");
    assert_eq!(lines.len(), 1);
    for part in ["100 logs of 5 bytes on 2 partitions, 4 outstanding", "logs/s", "p50", "p99"] {
        assert!(lines[0].contains(part), "no {part:?} in {}", lines[0]);
    }
    assert_eq!(helper::shutdown(), Ok(()));
}

#[test]
fn a_partition_without_a_callback_waits_and_says_so() {
    let _turn = turn();
    let shard = Shard::new("ab: raft", "");
    shard.set_up();
    let led = await_leadership();
    helper::setup2(0, 0).unwrap();
    led.recv_timeout(SOON).expect("leadership");
    helper::submit(b"log", 1).unwrap();
    let lines = LINES.wait(log::Level::Warn, "no callback is registered", 1);
    assert!(lines[0].contains("partition 1") && lines[0].contains("slot 1"), "{}", lines[0]);
    assert_eq!(helper::outstanding(1), Some(1), "it waits");
    helper::register_log(CallbackRole::Follower, 1, Box::new(|_| 0)).unwrap();
    assert_eq!(helper::wait_for_submit(1), Ok(()));
    assert_eq!(helper::counters(1).unwrap().delivered_own, 1);
    LINES.wait(log::Level::Info, "partition 1: a callback is registered, delivery goes on at slot 1", 1);
    assert_eq!(helper::shutdown(), Ok(()));
}

/// What the status endpoint says.
fn status(shard: &Shard) -> String {
    let mut text = String::new();
    let mut client = TcpStream::connect((shard.host.as_str(), STATUS_PORT)).expect("the endpoint listens");
    client.read_to_string(&mut text).expect("text");
    text
}

#[test]
fn a_callback_that_does_not_return_holds_its_leader_at_the_bound_and_each_wait_is_said_shown_and_ended() {
    let _turn = turn();
    let raft = format!("control_port: {STATUS_PORT}, log_memory_bytes: 1 MiB, fragment_bytes: 64 KiB, queue_bytes: 64 KiB");
    let shard = Shard::new("ab: raft", &raft);
    shard.set_up();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let block = move |call: helper::LogCall<'_>| {
        if call.slot == 1 {
            released.lock().unwrap().recv_timeout(2 * SOON).expect("the test releases it");
        }
        0
    };
    helper::register_log(CallbackRole::Leader, 0, Box::new(block)).unwrap();
    helper::register_log(CallbackRole::Leader, 1, Box::new(|_| 0)).unwrap();
    let led = await_leadership();
    helper::setup2(0, 0).unwrap();
    led.recv_timeout(SOON).expect("leadership");
    std::thread::scope(|scope| {
        // More than the queue and the log in memory take together.
        let submitter = scope.spawn(|| (0..40).for_each(|_| assert!(helper::submit(&[7; 60_000], 0).is_ok())));
        let waits = LINES.wait(log::Level::Warn, "partition 0: 1 submitter(s) wait", 1);
        assert!(waits[0].contains("waits for its callbacks"), "{}", waits[0]);
        LINES.wait(log::Level::Warn, "callbacks here are 1048576 bytes of log behind (raft.log_memory_bytes)", 1);
        LINES.wait(log::Level::Warn, "partition 0: the callback of slot 1 has been running for 1", 1);
        let shown = status(&shard);
        for part in ["waits for its callbacks", "frames lost 0, handshakes refused 0", "submitters waiting 1, callback in slot 1", "submitters waiting 0, callback idle"] {
            assert!(shown.contains(part), "no {part:?} in {shown}");
        }
        release.send(()).unwrap();
        submitter.join().unwrap();
    });
    helper::wait_for_submit(0).unwrap();
    LINES.wait(log::Level::Info, "no longer waiting for its callbacks, after", 1);
    LINES.wait(log::Level::Info, "partition 0: a callback has returned, after 1", 1);
    LINES.wait(log::Level::Info, "partition 0: submitters go on, after", 1);
    assert!(status(&shard).contains("waits for nothing"));
    assert_eq!(helper::shutdown(), Ok(()));
}

#[test]
fn a_drain_and_a_shutdown_that_wait_say_for_what() {
    let _turn = turn();
    let shard = Shard::new("ab: raft", "drain_ms: 50");
    shard.set_up();
    let (entered, enters) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let block = move |_: helper::LogCall<'_>| {
        entered.send(()).expect("the test listens");
        released.lock().unwrap().recv_timeout(SOON).expect("the test releases it");
        0
    };
    helper::register_log(CallbackRole::Leader, 0, Box::new(block)).unwrap();
    let led = await_leadership();
    helper::setup2(0, 0).unwrap();
    led.recv_timeout(SOON).expect("leadership");
    helper::submit(b"log", 0).unwrap();
    enters.recv_timeout(SOON).expect("the callback");
    std::thread::scope(|scope| {
        let ending = scope.spawn(helper::shutdown);
        LINES.wait(log::Level::Info, "drain: waiting for 1 accepted logs, at most 50ms", 1);
        LINES.wait(log::Level::Warn, "drain: 1 accepted logs are not delivered after 50ms", 1);
        let lines = LINES.wait(log::Level::Warn, "shutdown: waiting at most", 1);
        assert!(lines[0].contains("the callback of partition 0, slot 1"), "{}", lines[0]);
        release.send(()).unwrap();
        assert_eq!(ending.join().unwrap(), Ok(()));
    });
    LINES.wait(log::Level::Info, "shut down", 1);
}

#[test]
fn leadership_while_logs_are_not_replayed_is_a_warning_with_partition_and_count() {
    let _turn = turn();
    // Action 1 leaves the others the first move: time enough to report logs that are not replayed.
    let shard = Shard::new("ab: raft", "form_wait_ms: 1000");
    shard.set_up();
    listen_everywhere();
    let led = await_leadership();
    helper::setup2(1, 0).unwrap();
    helper::set_unreplayed(1, 3);
    assert_eq!(helper::microbench(), Err(HelperError::NotLeader { leader: None }));
    led.recv_timeout(SOON).expect("leadership");
    let lines = LINES.now(log::Level::Warn, "not replayed");
    assert!(lines.len() == 1 && lines[0].contains("partition 1") && lines[0].contains('3'), "{lines:?}");
    assert_eq!(helper::shutdown(), Ok(()));
}

#[test]
fn callbacks_registered_between_two_lives_are_for_the_next_shard_and_too_many_are_dropped_with_a_warning() {
    let _turn = turn();
    let _shard = Shard::lead();
    assert_eq!(helper::shutdown(), Ok(()));
    assert_eq!(helper::partitions(), 0);
    assert_eq!(helper::register_log(CallbackRole::Leader, 5, Box::new(|_| 0)), Ok(()));
    Shard::new("ab: raft", "").set_up();
    let lines = LINES.now(log::Level::Warn, "callbacks were registered for partitions 5");
    assert!(lines.len() == 1 && lines[0].contains("2 partitions"), "{lines:?}");
    let refused = helper::register_log(CallbackRole::Leader, 5, Box::new(|_| 0));
    assert!(matches!(refused, Err(HelperError::Invalid(_))), "now the partitions are known");
    assert_eq!(helper::shutdown(), Ok(()));
}
