//! A data directory as it may be found: a log of our own, damaged, or records with right checksums that make no sense.
//! Opening it says what is wrong, or gives a log that can be read, continued and opened again.

use std::path::Path;
use std::sync::Arc;

use arbitrary::{Arbitrary, Unstructured};
use mako_raft::ids::{GroupId, PartitionId, ProcessId};
use mako_raft::replica::output::Write;
use mako_raft::replica::{Limits, Recovered, Replica, ReplicaConfig, Timing};
use mako_raft::storage::disk::simulated::SimulatedFiles;
use mako_raft::storage::disk::{DiskLog, DiskOptions, Durability, Prepare};
use raft::eraftpb::{Entry, HardState};

use super::said::Scene;

pub(super) const DIRECTORY: &str = "/data";
const RECORDS_START: usize = 4096;
const HEADER_BYTES: usize = 40;
const DAMAGE_MAX: usize = 32;

#[derive(Arbitrary, Debug)]
enum Damage {
    /// These bytes at this place of a file.
    Write { file: u8, at: u16, bytes: [u8; 4] },
    /// A field of a record's header or body, with all checksums made right again.
    Rewrite { record: u8, at: u16, bytes: [u8; 8], length: u8 },
    Cut { file: u8, at: u16 },
    Crash(u8),
}

#[derive(Arbitrary, Debug)]
struct Life {
    writes: u8,
    entries: u8,
    bytes: u16,
    replaces: bool,
}

/// A life that writes, damage, and the next life; until the bytes end.
pub fn run(bytes: &[u8]) {
    let mut bytes = Unstructured::new(bytes);
    let files = SimulatedFiles::new();
    for nth in 0..4 {
        let Ok(life) = Life::arbitrary(&mut bytes) else { return };
        if !live(&files, &life, nth > 0) {
            return;
        }
        for _ in 0..bytes.int_in_range(0..=DAMAGE_MAX).unwrap_or(0) {
            let Ok(damage) = Damage::arbitrary(&mut bytes) else { break };
            strike(&files, &damage);
        }
        if !reopens(&files) {
            return;
        }
    }
}

pub(super) fn options() -> DiskOptions {
    DiskOptions {
        segment_bytes: 8 << 10,
        durability: Durability::Fsync,
        prepare: Prepare::OnDemand,
        memory_tail_bytes: 1 << 10,
        shard_fingerprint: 7,
        addressed_fingerprint: 8,
        moved_from: None,
        process: ProcessId(0),
        group: GroupId(0),
        partitions: vec![PartitionId(0)],
    }
}

fn open(files: &SimulatedFiles) -> Option<(Option<Recovered>, DiskLog)> {
    match DiskLog::open(Path::new(DIRECTORY), options(), Arc::new(files.clone())) {
        Ok(opened) => Some(opened),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}

/// What a damaged log says may forbid what this life writes (an entry that is committed is not replaced).
fn live(files: &SimulatedFiles, life: &Life, damaged: bool) -> bool {
    let Some((recovered, mut log)) = open(files) else { return false };
    let (mut last, mut term) = (0, 0);
    let mut first = Write { id: 1, must_sync: true, ..Write::default() };
    match recovered {
        Some(found) => (last, term) = (found.last_index, found.hard_state.term),
        None => first.membership = Some((Scene::new(ProcessId(0)).formation, Scene::new(ProcessId(0)).id)),
    }
    // What damage has put there may be at the end of the numbers; nothing of ours goes on from there.
    if last > 1 << 40 || term > 1 << 40 {
        return true;
    }
    let mut append = |write| match log.append(&[write]) {
        Ok(()) => true,
        Err(error) if damaged => error.to_string().is_empty(),
        Err(error) => panic!("simulated files take it: {error}"),
    };
    if !append(first) {
        return false;
    }
    for id in 0..u64::from(life.writes % 8) {
        let begin = if life.replaces && last > 1 { last } else { last + 1 };
        term += u64::from(life.replaces);
        let end = begin + 1 + u64::from(life.entries % 8);
        let data = bytes::Bytes::from(vec![5; usize::from(life.bytes % 4096)]);
        let entries = (begin..end).map(|index| Entry { index, term, data: data.clone(), ..Entry::default() }).collect();
        last = end - 1;
        let hard_state = HardState { term, vote: 1, commit: last - 1, ..HardState::default() };
        let write = Write { id: id + 2, hard_state: Some(hard_state), entries, must_sync: id % 2 == 0, ..Write::default() };
        if !append(write) {
            return false;
        }
    }
    true
}

fn strike(files: &SimulatedFiles, damage: &Damage) {
    let paths = files.paths();
    let Some(path) = paths.get(damage.file() % paths.len().max(1)).cloned() else { return };
    let mut bytes = files.contents(&path).unwrap_or_default();
    match damage {
        Damage::Write { at, bytes: new, .. } => put(&mut bytes, usize::from(*at), new),
        Damage::Cut { at, .. } => bytes.truncate(usize::from(*at)),
        Damage::Crash(seed) => return files.crash(u64::from(*seed)),
        Damage::Rewrite { record, at, bytes: new, length } => {
            let new = &new[..usize::from(length % 9)];
            return rewrite(files, usize::from(*record), usize::from(*at), new);
        }
    }
    files.replace_contents(&path, bytes);
}

impl Damage {
    fn file(&self) -> usize {
        match self {
            Damage::Write { file, .. } | Damage::Cut { file, .. } => usize::from(*file),
            Damage::Rewrite { .. } | Damage::Crash(_) => 0,
        }
    }
}

fn put(bytes: &mut [u8], at: usize, new: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + new.len()) {
        place.copy_from_slice(new);
    }
}

/// Changes the `nth` record of the first segment and sums it up again (the layout is in `record.rs`).
fn rewrite(files: &SimulatedFiles, nth: usize, at: usize, new: &[u8]) {
    let path = Path::new(DIRECTORY).join("segment-0000000001.log");
    let Some(mut bytes) = files.contents(&path) else { return };
    let mut offset = RECORDS_START;
    for _ in 0..nth % 16 {
        match word(&bytes, offset + 8) {
            Some(body) if offset + body < bytes.len() => offset += (HEADER_BYTES + body).next_multiple_of(8),
            _ => break,
        }
    }
    let Some(body) = word(&bytes, offset + 8) else { return };
    let span = HEADER_BYTES + body.min(4096);
    put(&mut bytes, offset + at % span, new);
    let body = word(&bytes, offset + 8).unwrap_or(0);
    let body_at = offset + HEADER_BYTES;
    if let Some(crc) = bytes.get(body_at..body_at.saturating_add(body)).map(crc32c::crc32c) {
        put(&mut bytes, offset + 12, &crc.to_le_bytes());
    }
    let Some(salt) = bytes.get(16..24) else { return };
    let place = [salt, &(offset as u64).to_le_bytes()].concat();
    let Some(header) = bytes.get(offset..offset + 36) else { return };
    let crc = crc32c::crc32c_append(crc32c::crc32c(&place), header);
    put(&mut bytes, offset + 36, &crc.to_le_bytes());
    files.replace_contents(&path, bytes);
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize)
}

/// Opens, reads everything, and gives it to a replica, as a starting process does.
fn reopens(files: &SimulatedFiles) -> bool {
    let Some((Some(recovered), log)) = open(files) else { return false };
    let reader = log.reader();
    let last = recovered.last_index;
    let mut next = 1;
    while next <= last {
        match reader.read(next, (last + 1).min(next + 64), 1 << 16) {
            Ok(entries) => {
                assert_eq!(entries.first().map(|entry| entry.index), Some(next));
                next = entries.last().map_or(last, |entry| entry.index) + 1;
            }
            Err(_) => return false,
        }
    }
    let now = mako_raft::ids::Time(1_000_000);
    let config = ReplicaConfig {
        group: GroupId(0),
        me: ProcessId(0),
        run: super::said::first_run(ProcessId(0)),
        voters: (0..3).map(ProcessId).collect(),
        learners: Vec::new(),
        partitions: vec![mako_raft::ids::PartitionId(0)],
        designated: None,
        preferred: None,
        campaign_at_start: true,
        restore: None,
        durable: true,
        older: Some(reader),
        timing: Timing::default(),
        limits: Limits::default(),
        seed: 1,
        now,
    };
    if let Ok(mut replica) = Replica::new(config, Some(recovered)) {
        while replica.has_work() {
            replica.advance(&mut mako_raft::replica::output::Outputs::default());
        }
        replica.tick(now.plus_millis(10));
    }
    true
}
