//! What a durable append costs, against a bare pwrite + fdatasync on a file that was written before.
//!
//! The two alternate, operation by operation, so that whatever else the machine does meets both. Run with
//! `cargo bench --bench disk_log`; an argument names the directory to measure in.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mako_raft::ids::{GroupId, MemberId, ProcessId};
use mako_raft::replica::formation::Formation;
use mako_raft::replica::output::Write;
use mako_raft::storage::disk::{DiskLog, DiskOptions, RealFiles};
use raft::eraftpb::Entry;

const FLOOR_BYTES: u64 = 64 << 20;
const WARM_UP: usize = 20;

fn main() {
    let named = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let parent = named.map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    println!("{:<10} {:>28} {:>28} {:>12}", "append", "floor p50 / p99 (us)", "log p50 / p99 (us)", "p50 ratio");
    for _ in 0..3 {
        compare(&parent, 4 << 10, 2_000);
        compare(&parent, 1 << 20, 200);
    }
}

/// Appends of `bytes` bytes each.
fn compare(parent: &Path, bytes: usize, operations: usize) {
    let directory = tempfile::tempdir_in(parent).expect("a directory to measure in");
    let floor = floor_file(&directory.path().join("floor"));
    let options = DiskOptions::new(1, ProcessId(0), GroupId(0));
    let (_, mut log) = DiskLog::open(&directory.path().join("log"), options, Arc::new(RealFiles)).expect("opened");
    log.append(&[membership()]).expect("appended");
    let block = Bytes::from(vec![0x5a; bytes]);
    let (mut floors, mut logs) = (Vec::new(), Vec::new());
    for operation in 0..operations {
        let at = (operation * bytes) as u64 % (FLOOR_BYTES - bytes as u64 + 1);
        floors.push(timed(|| {
            floor.write_all_at(&block, at).expect("written");
            floor.sync_data().expect("synced");
        }));
        let write = write_of(operation as u64 + 1, &block);
        logs.push(timed(|| log.append(std::slice::from_ref(&write)).expect("appended")));
    }
    let (floor, log) = (Spread::of(&mut floors[WARM_UP..]), Spread::of(&mut logs[WARM_UP..]));
    println!(
        "{:<10} {:>28} {:>28} {:>12.2}  {:.0} and {:.0} MB/s",
        format!("{} KiB", bytes >> 10),
        format!("{:.0} / {:.0}", floor.p50, floor.p99),
        format!("{:.0} / {:.0}", log.p50, log.p99),
        log.p50 / floor.p50,
        bytes as f64 / floor.mean,
        bytes as f64 / log.mean,
    );
}

/// A file whose blocks were all written once.
fn floor_file(path: &Path) -> File {
    let file = File::options().read(true).write(true).create_new(true).open(path).expect("created");
    file.write_all_at(&vec![0; FLOOR_BYTES as usize], 0).expect("written");
    file.sync_all().expect("synced");
    file
}

fn membership() -> Write {
    let formation = Formation { generation: 1, id: 1, ancestors: Vec::new(), inherited: 0, members: Vec::new() };
    let member = MemberId::new(1).expect("not zero");
    Write { id: 1, membership: Some((formation, member)), must_sync: true, ..Write::default() }
}

fn write_of(index: u64, block: &Bytes) -> Write {
    let mut entry = Entry::default();
    (entry.index, entry.term, entry.data) = (index, 1, block.clone());
    Write { id: index + 1, entries: vec![entry], must_sync: true, ..Write::default() }
}

fn timed(act: impl FnOnce()) -> Duration {
    let start = Instant::now();
    act();
    start.elapsed()
}

/// In microseconds.
struct Spread {
    p50: f64,
    p99: f64,
    mean: f64,
}

impl Spread {
    fn of(times: &mut [Duration]) -> Self {
        times.sort_unstable();
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let total: Duration = times.iter().sum();
        Self {
            p50: micros(times[times.len() / 2]),
            p99: micros(times[times.len() * 99 / 100]),
            mean: micros(total) / times.len() as f64,
        }
    }
}
