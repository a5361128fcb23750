//! Who writes, in which order, and what a failed write leaves.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raft::eraftpb::Entry;

use super::super::watch::Watch;
use super::*;
use crate::ids::{MemberId, ProcessId, RunId, Time};
use crate::replica::config::Recovered;
use crate::replica::formation::{Formation, Member};
use crate::storage::disk::simulated::{Seeded, SimulatedFiles};
use crate::storage::disk::{DiskOptions, Durability, FileSystem, Prepare};

const DIRECTORY: &str = "/log";

fn open_in(files: &SimulatedFiles, segment_bytes: u64) -> (Option<Recovered>, DiskLog) {
    let options = DiskOptions {
        segment_bytes,
        durability: Durability::Fsync,
        prepare: Prepare::OnDemand,
        ..DiskOptions::new(7, ProcessId(1), GroupId(0))
    };
    DiskLog::open(Path::new(DIRECTORY), options, Arc::new(files.clone())).unwrap()
}

fn membership_write() -> Write {
    let id = MemberId::new(1).unwrap();
    let member = Member { process: ProcessId(1), run: RunId(1), id };
    let formation = Formation { generation: 1, id: 5, ancestors: Vec::new(), inherited: 0, members: vec![member] };
    Write { id: 1, membership: Some((formation, id)), must_sync: true, ..Write::default() }
}

/// The write with number `id` carries the entry before it, of so many bytes.
fn write(id: u64, bytes: usize) -> Write {
    let entry = Entry { index: id - 1, term: 1, data: Bytes::from(vec![id as u8; bytes]), ..Entry::default() };
    Write { id, entries: vec![entry], must_sync: true, ..Write::default() }
}

#[test]
fn a_write_that_does_not_end_is_said_after_a_second_and_again_when_it_ended() {
    let files = SimulatedFiles::new();
    let writer = LogWriter::new(GroupId(0), open_in(&files, 1 << 20).1);
    let (mut watch, mut lines, ms) = (Watch::default(), Vec::new(), |ms| Time(0).plus_millis(ms));
    // No thread runs: as if the disk did not answer.
    writer.push(&mut vec![membership_write()]);
    for quarter in 0..=8 {
        watch.writer(0, &writer, ms(250 * quarter), &mut lines);
    }
    assert_eq!((lines.len(), writer.unwritten()), (1, 1));
    assert!(lines[0].text.contains("group 0: the disk has not finished a write for 1 s"), "{}", lines[0].text);
    writer.persisted.store(1, Ordering::Release);
    watch.writer(0, &writer, ms(3_000), &mut lines);
    assert_eq!(lines[1].text, "group 0: the disk has finished a write, after 3 s");
}

/// A writer with its thread, on a disk in memory, whose membership is written.
struct Bench {
    writer: Arc<LogWriter>,
    failure: Arc<Failure>,
    thread: std::thread::JoinHandle<()>,
    _poll: mio::Poll,
}

impl Bench {
    fn new(files: &SimulatedFiles) -> Self {
        let poll = mio::Poll::new().unwrap();
        let wakeup = Arc::new(Wakeup::new(poll.registry(), mio::Token(0)).unwrap());
        let failure = Arc::new(Failure::new(wakeup.clone()));
        let writer = Arc::new(LogWriter::new(GroupId(0), open_in(files, 1 << 20).1));
        let (running, reported) = (writer.clone(), failure.clone());
        let thread = std::thread::spawn(move || running.run(&wakeup, &reported));
        let bench = Self { writer, failure, thread, _poll: poll };
        bench.give_thread(membership_write());
        bench.wait_idle();
        bench
    }

    fn give_thread(&self, write: Write) {
        self.writer.push(&mut vec![write]);
    }

    fn wait_idle(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.writer.is_idle() && !self.failure.is_set() {
            assert!(Instant::now() < deadline, "the thread has not written after 30 s");
            std::thread::yield_now();
        }
    }

    fn make_quick(&self) {
        (0..100).for_each(|_| self.writer.pace.took(Duration::from_micros(50)));
    }

    fn end(self) {
        self.writer.stop();
        self.thread.join().unwrap();
    }
}

fn entries_of(files: &SimulatedFiles) -> Vec<u8> {
    let recovered = open_in(files, 1 << 20).0.expect("something was written");
    recovered.tail.iter().map(|entry| entry.data[0]).collect()
}

#[test]
fn writes_of_the_loop_and_of_the_thread_reach_the_disk_in_the_order_of_giving() {
    for seed in 0..20 {
        let files = SimulatedFiles::new();
        let bench = Bench::new(&files);
        bench.make_quick();
        let mut random = Seeded::new(seed);
        let mut here = 0;
        for id in 2..=150 {
            let mut writes = vec![write(id, 10)];
            // As the loop does it: by itself when that suits, and sometimes not even then.
            if bench.writer.suits_here(&writes) && random.below(4) > 0 {
                here += 1;
                bench.writer.write_here(&mut writes).unwrap();
                assert!(bench.writer.is_idle() && writes.is_empty());
            } else {
                bench.writer.push(&mut writes);
                if random.below(2) == 0 {
                    bench.wait_idle();
                }
            }
        }
        bench.end();
        assert!(here > 0, "the loop wrote nothing by itself");
        files.crash(seed);
        assert_eq!(entries_of(&files), (2..=150).collect::<Vec<u8>>(), "seed {seed}");
    }
}

#[test]
fn the_loop_writes_nothing_by_itself_while_the_thread_has_something_left() {
    let files = SimulatedFiles::new();
    // No thread takes anything from this one.
    let writer = LogWriter::new(GroupId(0), open_in(&files, 1 << 20).1);
    (0..100).for_each(|_| writer.pace.took(Duration::from_micros(50)));
    assert!(writer.suits_here(&[write(2, 10)]));
    writer.push(&mut vec![membership_write()]);
    assert!(!writer.is_idle() && !writer.suits_here(&[write(2, 10)]));
}

#[test]
fn a_slow_disk_a_large_write_a_membership_and_a_full_segment_are_left_to_the_thread() {
    let files = SimulatedFiles::new();
    let bench = Bench::new(&files);
    assert!(!bench.writer.suits_here(&[write(2, 10)]), "nothing is known of the disk yet");
    bench.make_quick();
    assert!(bench.writer.suits_here(&[write(2, 10)]));
    assert!(!bench.writer.suits_here(&[write(2, HERE_BYTES_MAX as usize)]));
    assert!(!bench.writer.suits_here(&[membership_write()]));
    bench.writer.pace.took(Duration::from_millis(5));
    assert!(!bench.writer.suits_here(&[write(2, 10)]));
    bench.end();

    let files = SimulatedFiles::new();
    let writer = LogWriter::new(GroupId(0), open_in(&files, 8 << 10).1);
    (0..100).for_each(|_| writer.pace.took(Duration::from_micros(50)));
    writer.write_here(&mut vec![membership_write()]).unwrap();
    let mut written = 0;
    for id in 2..30 {
        if !writer.suits_here(&[write(id, 500)]) {
            break;
        }
        writer.write_here(&mut vec![write(id, 500)]).unwrap();
        written += 1;
    }
    assert!((2..8).contains(&written), "{written} writes of 500 bytes went into a segment of 8 KiB");
    assert_eq!(files.paths().iter().filter(|path| path.to_string_lossy().contains("segment")).count(), 1);
}

#[test]
fn a_write_of_the_loop_that_fails_is_not_acknowledged_and_nothing_is_written_behind_it() {
    let files = SimulatedFiles::new();
    let bench = Bench::new(&files);
    bench.writer.write_here(&mut vec![write(2, 10)]).unwrap();
    files.fail_sync(1);
    let reason = bench.writer.write_here(&mut vec![write(3, 10)]).unwrap_err();
    assert!(reason.contains("sync"), "{reason}");
    assert_eq!(bench.writer.persisted(), 2);
    assert!(!bench.writer.suits_here(&[write(4, 10)]), "what failed stays outstanding");
    let operations = files.operations();
    bench.end();
    assert_eq!(files.operations(), operations, "no mark of an orderly end");
    files.crash(1);
    assert_eq!(entries_of(&files)[..1], [2]);
}

#[test]
fn a_write_of_the_thread_that_fails_stops_the_replica_as_before() {
    let files = SimulatedFiles::new();
    let bench = Bench::new(&files);
    files.fail_sync(1);
    bench.give_thread(write(2, 10));
    bench.wait_idle();
    assert!(bench.failure.reason().expect("reported").contains("sync"));
    assert_eq!(bench.writer.persisted(), 1);
    let operations = files.operations();
    bench.end();
    assert_eq!(files.operations(), operations, "no mark of an orderly end");
}

/// What is queued has been acknowledged to nobody, and would take this disk some ten seconds.
#[test]
fn a_queue_that_a_slow_disk_has_not_taken_does_not_hold_up_the_end_and_a_prefix_of_it_is_kept() {
    const WRITES: u64 = 300;
    let files = SimulatedFiles::new();
    let bench = Bench::new(&files);
    files.before_sync(|| std::thread::sleep(Duration::from_millis(25)));
    bench.writer.push(&mut (2..2 + WRITES).map(|id| write(id, 500_000)).collect());
    let began = Instant::now();
    let (writer, failure) = (bench.writer.clone(), bench.failure.clone());
    bench.end();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(failure.reason(), None);
    files.before_sync(|| ());
    files.crash(1);
    let kept = entries_of(&files);
    assert!((1..WRITES as usize).contains(&kept.len()), "{} writes were kept", kept.len());
    assert!(kept.iter().zip(2..).all(|(&entry, id)| entry == id as u8), "a gap");
    assert_eq!(writer.persisted(), 1 + kept.len() as u64, "what was said to be on disk is there");
}

#[test]
fn a_queue_that_the_disk_takes_in_time_is_written_to_its_end() {
    let files = SimulatedFiles::new();
    let bench = Bench::new(&files);
    // Several batches.
    bench.writer.push(&mut (2..52).map(|id| write(id, 500_000)).collect());
    bench.end();
    files.crash(1);
    assert_eq!(entries_of(&files), (2..52).collect::<Vec<u8>>());
}

/// On a disk that takes 1 MB a second a shutdown must not have to wait eight of them for the batch that is being written.
#[test]
fn batches_are_what_the_disk_takes_in_half_a_second() {
    let queued: Vec<Write> = (2..514).map(|id| write(id, 64 << 10)).collect();
    let batch_after = |took: fn(u64) -> u64| {
        let mut limit = BatchLimit::default();
        for _ in 0..40 {
            let (_, bytes) = limit.cut(&queued);
            limit.ended(bytes, Duration::from_millis(took(bytes)));
        }
        limit.cut(&queued).1
    };
    let mib = 1 << 20;
    assert!((7 * mib..=8 * mib).contains(&batch_after(|bytes| bytes / 500_000)), "a quick disk");
    assert!(batch_after(|bytes| bytes / 1_000) <= mib, "1 MB a second");
    assert!((2 * mib..=6 * mib).contains(&batch_after(|bytes| bytes / 8_000)), "8 MB a second");
    assert!(batch_after(|_| 300) >= 7 * mib, "a high rate, and 0.3 s for each sync");
    assert_eq!(BatchLimit::default().cut(&[write(2, 20 << 20), write(3, 1)]).0, 1, "a write is not cut");
}

#[test]
fn a_log_that_is_closed_lets_go_of_its_directory_and_takes_no_more_writes() {
    let files = SimulatedFiles::new();
    let bench = Bench::new(&files);
    bench.writer.write_here(&mut vec![write(2, 10)]).unwrap();
    let writer = bench.writer.clone();
    bench.end();
    assert_eq!(entries_of(&files), [2]);
    assert!(writer.write_here(&mut vec![write(3, 10)]).unwrap_err().contains("closed"));
}

#[test]
fn a_directory_that_is_gone_is_noticed_with_nothing_to_write_and_the_loop_is_not_disturbed() {
    let files = SimulatedFiles::new();
    let bench = Bench::new(&files);
    files.open_directory(Path::new(DIRECTORY)).unwrap().remove("META").unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !bench.failure.is_set() {
        assert!(Instant::now() < deadline, "not noticed after 30 s");
        std::thread::yield_now();
    }
    assert!(bench.failure.reason().expect("reported").contains("META is gone"));
    // The loop may be in the middle of a turn, and hears of the failure in the next.
    bench.writer.write_here(&mut vec![write(2, 10)]).unwrap();
    let operations = files.operations();
    bench.end();
    assert_eq!(files.operations(), operations, "no mark of an orderly end");
}
