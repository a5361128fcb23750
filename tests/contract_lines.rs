//! What the library promises to say: the lines that an operator finds in the log (contract sections 3 to 7).
//!
//! The logger and the library are one per process, so the tests of this file take turns.

mod common;
#[path = "common/lines.rs"]
mod lines;

use std::io::Read as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mako_raft::helper::{self, CallbackRole, HelperError};
use mako_raft::ids::{GroupId, ProcessId};
use mako_raft::storage::disk::simulated::SimulatedFiles;
use mako_raft::storage::disk::{DiskLog, DiskOptions};

use lines::LINES;

/// On the test's own address.
const STATUS_PORT: u16 = 31_001;
const SOON: Duration = Duration::from_secs(30);

/// One test at a time, each from a clean start and an empty log.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    helper::shutdown().expect("the former test left nothing running");
    helper::register_election(None).unwrap();
    LINES.begin();
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
        self.try_set_up().expect("a right configuration");
    }

    fn try_set_up(&self) -> Result<Vec<String>, HelperError> {
        let file = self.file.display().to_string();
        helper::setup(&["", "-f", &file, "-T", "50", "-n", "4", "-P", "localhost"].map(String::from))
    }

    /// The operator edits the file.
    fn replace(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(&self.file).unwrap();
        assert!(text.contains(from), "no {from:?} in {text}");
        std::fs::write(&self.file, text.replace(from, to)).unwrap();
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
    assert!(LINES.now(log::Level::Info, "an empty log begins in ").is_empty(), "it is in memory only");
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

/// Registers a leader callback of partition 0 that reports its first call and stays in it until it is released.
fn block_first_callback() -> (mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (entered, enters) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let block = move |call: helper::LogCall<'_>| {
        if call.slot == 1 {
            entered.send(()).expect("the test listens");
            released.lock().unwrap().recv_timeout(2 * SOON).expect("the test releases it");
        }
        0
    };
    helper::register_log(CallbackRole::Leader, 0, Box::new(block)).unwrap();
    (enters, release)
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
    let (_enters, release) = block_first_callback();
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

fn assert_shows(shown: &str, parts: &[&str]) {
    parts.iter().for_each(|part| assert!(shown.contains(part), "no {part:?} in {shown}"));
}

#[test]
fn a_drain_and_a_shutdown_that_wait_say_and_show_for_what() {
    let _turn = turn();
    // The drain lasts until the test has looked at it.
    let shard = Shard::new("ab: raft", &format!("control_port: {STATUS_PORT}, drain_ms: 3000"));
    shard.set_up();
    let (enters, release) = block_first_callback();
    let led = await_leadership();
    helper::setup2(0, 0).unwrap();
    led.recv_timeout(SOON).expect("leadership");
    helper::submit(b"log", 0).unwrap();
    enters.recv_timeout(SOON).expect("the callback");
    assert_shows(&status(&shard), &["role leader", "leaving false", "outstanding 1"]);
    std::thread::scope(|scope| {
        let ending = scope.spawn(helper::shutdown);
        LINES.wait(log::Level::Info, "drain: waiting for 1 accepted logs, at most 3s", 1);
        assert_shows(&status(&shard), &["leaving true", "outstanding 1", "callback in slot 1"]);
        LINES.wait(log::Level::Warn, "drain: 1 accepted logs are not delivered after 2.5s", 1);
        let lines = LINES.wait(log::Level::Warn, "shutdown: waiting at most", 1);
        assert!(lines[0].contains("the callback of partition 0, slot 1"), "{}", lines[0]);
        assert_shows(&status(&shard), &["\nshutting down\n", "partition 0: role stopped", "outstanding 1", "callback in slot 1"]);
        // Whoever asks now is told that it ends, and whoever looks sees its numbers.
        let calls = [helper::set_preferred_leader(0), helper::upgrade_to_leader(), helper::restore_alone(), helper::microbench()];
        assert_eq!(calls, [const { Err(HelperError::ShutDown) }; 4]);
        helper::worker_info_stats(1);
        LINES.wait(log::Level::Info, "partition 0: role stopped, term 0, leader unknown, submitted 1", 1);
        release.send(()).unwrap();
        assert_eq!(ending.join().unwrap(), Ok(()));
    });
    LINES.wait(log::Level::Info, "shut down", 1);
    assert!(TcpStream::connect((shard.host.as_str(), STATUS_PORT)).is_err(), "the endpoint is closed");
}

#[test]
fn an_election_callback_is_answered_while_setup2_still_opens_the_status_endpoint() {
    let _turn = turn();
    let shard = Shard::new("ab: raft", &format!("control_port: {STATUS_PORT}"));
    shard.set_up();
    let (answer, answered) = mpsc::channel();
    let ask = move |_| {
        helper::worker_info_stats(1);
        answer.send([helper::set_preferred_leader(1), helper::upgrade_to_leader()]).expect("the test listens");
    };
    helper::register_election(Some(Box::new(ask))).unwrap();
    let release = LINES.hold("status: connect to");
    std::thread::scope(|scope| {
        let starting = scope.spawn(|| helper::setup2(0, 0));
        assert_eq!(answered.recv_timeout(SOON), Ok([Ok(()), Ok(())]));
        assert_eq!(LINES.now(log::Level::Info, "partition 0: role leader").len(), 1);
        assert!(!starting.is_finished());
        drop(release);
        assert_eq!(starting.join().unwrap(), Ok(()));
    });
    assert_eq!(helper::shutdown(), Ok(()));
}

#[test]
fn a_replica_that_stopped_itself_says_and_shows_why() {
    let _turn = turn();
    let shard = Shard::new("ab: raft", &format!("control_port: {STATUS_PORT}"));
    shard.set_up();
    helper::register_log(CallbackRole::Leader, 0, Box::new(|_| panic!("as the test wants it"))).unwrap();
    let led = await_leadership();
    helper::setup2(0, 0).unwrap();
    led.recv_timeout(SOON).expect("leadership");
    helper::submit(b"log", 0).unwrap();
    let line = LINES.wait(log::Level::Error, "this replica stops and acknowledges nothing from now on", 1).remove(0);
    let reason = line.split_once("from now on: ").expect("a reason").1.to_owned();
    assert_shows(&reason, &["partition 0", "slot 1", "as the test wants it"]);
    assert_shows(&status(&shard), &[&format!("\nstopped itself: {reason}\n")]);
    assert_eq!(helper::shutdown(), Ok(()));
    assert_eq!(helper::counters(0).map(|counters| counters.lost), Ok(1));
}

/// A durable shard in a directory of its own, which leads and has delivered one log.
fn lead_durably(directory: &Path) -> Shard {
    let shard = Shard::new("ab: raft", &format!("control_port: {STATUS_PORT}, data_dir: {}", directory.display()));
    restart_durably(&shard);
    helper::submit(b"log", 0).unwrap();
    helper::wait_for_submit(0).unwrap();
    shard
}

/// From a directory with a log in it too. Returns the slots that the follower callback of partition 0 sees.
fn restart_durably(shard: &Shard) -> mpsc::Receiver<u64> {
    shard.set_up();
    listen_everywhere();
    let (replayed, slots) = mpsc::channel();
    let replay = move |call: helper::LogCall<'_>| {
        replayed.send(call.slot).expect("the test listens");
        0
    };
    helper::register_log(CallbackRole::Follower, 0, Box::new(replay)).unwrap();
    let led = await_leadership();
    helper::setup2(0, 0).unwrap();
    led.recv_timeout(SOON).expect("leadership");
    slots
}

#[test]
fn a_log_that_is_opened_on_a_disk_with_little_room_says_so() {
    const SEGMENT_BYTES: u64 = 64 << 10;
    let _turn = turn();
    let files = SimulatedFiles::new();
    files.set_capacity(Some(5 * SEGMENT_BYTES));
    let options = DiskOptions { segment_bytes: SEGMENT_BYTES, ..DiskOptions::new(7, ProcessId(0), GroupId(0)) };
    let (_, log) = DiskLog::open(Path::new("/data"), options, Arc::new(files)).unwrap();
    assert_shows(&LINES.wait(log::Level::Warn, "are left for the log", 1)[0], &["durable log: /data: ", "it is never cut"]);
    log.close().unwrap();
}

/// It has stopped itself for its directory's sake, says so once, shows it, and takes nothing any more.
fn assert_stopped_for_its_directory(shard: &Shard, what: &str) {
    let line = LINES.wait(log::Level::Error, "this replica stops and acknowledges nothing from now on", 1).remove(0);
    assert_shows(&line, &["was moved or deleted under this process", what, "move it back", "rebuilt from the others"]);
    let reason = line.split_once("from now on: ").expect("a reason").1;
    assert_shows(&status(shard), &[&format!("\nstopped itself: {reason}\n")]);
    assert!(helper::submit(b"late", 0).is_err());
    assert_eq!(helper::shutdown(), Ok(()));
    assert_eq!(LINES.now(log::Level::Error, "").len(), 1, "nothing else went wrong");
}

#[test]
fn a_data_directory_that_is_moved_away_stops_the_replica_and_moved_back_it_has_everything() {
    let _turn = turn();
    let place = tempfile::tempdir().unwrap();
    let (directory, elsewhere) = (place.path().join("data"), place.path().join("elsewhere"));
    let shard = lead_durably(&directory);
    std::fs::rename(&directory, &elsewhere).unwrap();
    assert_stopped_for_its_directory(&shard, "META is gone");
    assert!(!directory.exists(), "nothing is put in its place");
    std::fs::rename(&elsewhere, &directory).unwrap();
    let replayed = restart_durably(&shard);
    assert_eq!(replayed.recv_timeout(SOON), Ok(1), "what was acknowledged before");
    assert_eq!(helper::shutdown(), Ok(()));
}

#[test]
fn a_data_directory_that_is_deleted_or_replaced_stops_the_replica() {
    let _turn = turn();
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("data");
    let shard = lead_durably(&directory);
    std::fs::remove_dir_all(&directory).unwrap();
    assert_stopped_for_its_directory(&shard, "META is gone");
    LINES.begin();
    // A copy in its place has everything of now and nothing of what comes: from then on it is an old backup.
    let shard = lead_durably(&directory);
    let copied = Command::new("cp").arg("-r").arg(&directory).arg(place.path().join("copy")).status().unwrap();
    assert!(copied.success());
    std::fs::rename(&directory, place.path().join("original")).unwrap();
    std::fs::rename(place.path().join("copy"), &directory).unwrap();
    assert_stopped_for_its_directory(&shard, "META is");
}

#[test]
fn a_data_directory_of_another_grouping_is_refused_and_under_its_own_it_has_everything() {
    let _turn = turn();
    let place = tempfile::tempdir().unwrap();
    for (then, now, refused) in [("partition", "shard", "group-1/META"), ("shard", "partition", "group-0/META")] {
        let directory = place.path().join(then);
        let shard = Shard::new("ab: raft", &format!("grouping: {then}, data_dir: {}", directory.display()));
        restart_durably(&shard);
        for partition in 0..2 {
            helper::submit(b"log", partition).unwrap();
            helper::wait_for_submit(partition).unwrap();
        }
        assert_eq!(helper::shutdown(), Ok(()));
        shard.replace(&format!("grouping: {then}"), &format!("grouping: {now}"));
        let Err(HelperError::Io(line)) = shard.try_set_up() else { panic!("{then} and {now} have other groups") };
        let groupings = format!("raft.grouping is {now} now, and was {then}");
        assert_shows(&line, &[&directory.join(refused).display().to_string(), &groupings, "set it back"]);
        shard.replace(&format!("grouping: {now}"), &format!("grouping: {then}"));
        let replayed = restart_durably(&shard);
        assert_eq!(replayed.recv_timeout(SOON), Ok(1), "grouped by {then}");
        // Leadership was announced, so what came before it is delivered.
        let delivered = |partition| helper::counters(partition).map(|counters| counters.delivered_replayed);
        assert_eq!((delivered(0), delivered(1)), (Ok(1), Ok(1)), "grouped by {then}");
        assert_eq!(helper::shutdown(), Ok(()));
    }
}

#[test]
fn a_shard_that_moved_to_other_ports_has_everything_when_the_operator_says_so() {
    let _turn = turn();
    let place = tempfile::tempdir().unwrap();
    let shard = Shard::new("ab: raft", &format!("data_dir: {}", place.path().display()));
    restart_durably(&shard);
    helper::submit(b"log", 0).unwrap();
    helper::wait_for_submit(0).unwrap();
    assert_eq!(helper::shutdown(), Ok(()));
    assert_shows(&LINES.now(log::Level::Info, "an empty log begins in ")[0], &[&place.path().display().to_string(), " for group 0;"]);
    LINES.begin();
    shard.replace("s101:21001", "s101:21011");
    // It might as well be another shard: they have the same names.
    let Err(HelperError::Io(line)) = shard.try_set_up() else { panic!("a site has another port") };
    let (_, former) = line.rsplit_once("say so with raft.moved_from: ").expect(&line);
    shard.replace("raft: {", &format!("raft: {{moved_from: {former}, "));
    assert_eq!(restart_durably(&shard).recv_timeout(SOON), Ok(1));
    assert_eq!(LINES.now(log::Level::Warn, "as raft.moved_from says; take that order out of the files").len(), 1);
    assert_eq!(helper::counters(0).map(|counters| counters.delivered_replayed).ok(), Some(1));
    assert_eq!(helper::shutdown(), Ok(()));
    // An order that was carried out has no effect any more.
    assert_eq!(restart_durably(&shard).recv_timeout(SOON), Ok(1));
    assert_eq!(LINES.now(log::Level::Warn, "as raft.moved_from says; take that order out of the files").len(), 1);
    assert_eq!(helper::shutdown(), Ok(()));
    assert!(LINES.now(log::Level::Info, "an empty log begins in ").is_empty(), "it has been there since the first start");
    // Another name is another shard, and it is said what may differ.
    shard.replace("s201", "s202");
    let Err(HelperError::Io(line)) = shard.try_set_up() else { panic!("a site has another name") };
    assert_shows(&line, &["group-0/META", "the names of sites or processes"]);
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
