//! What the library promises to say: the lines that an operator finds in the log (contract sections 3 to 7).
//!
//! The logger and the library are one per process, so the tests of this file take turns.

mod common;

use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use mako_raft::helper::{self, CallbackRole, HelperError};

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
    assert_eq!(helper::shutdown(), Ok(()));
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
