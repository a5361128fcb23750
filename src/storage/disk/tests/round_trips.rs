//! What is written comes back.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::time::{Duration, Instant};

use raft::eraftpb::HardState;

use super::model::{
    entries_write, entry, first_write, formation, member, open, open_with, options, vote, Model, Writer, DIRECTORY,
};
use crate::replica::output::Write;
use crate::storage::disk::directory::Directory;
use crate::storage::disk::progress::Teller;
use crate::storage::disk::recovery::recover_telling;
use crate::storage::disk::simulated::SimulatedFiles;
use crate::storage::disk::{DiskError, DiskOptions, Durability};

#[test]
fn a_new_directory_has_nothing_to_recover_even_when_it_was_opened_before() {
    let files = SimulatedFiles::new();
    for _ in 0..3 {
        let (recovered, log) = open(&files).unwrap();
        assert!(recovered.is_none());
        log.close().unwrap();
    }
}

#[test]
fn the_reading_of_a_long_log_says_every_five_seconds_how_far_it_is() {
    let files = SimulatedFiles::new();
    let (_, mut log) = open_with(&files, DiskOptions { segment_bytes: 256 << 10, ..options() }).unwrap();
    log.append(&[first_write()]).unwrap();
    for index in 1..=120 {
        log.append(&[entries_write(index + 1, vec![entry(index, 1, vec![1; 100_000])])]).unwrap();
    }
    log.close().unwrap();
    let directory = Directory::open(&files, Path::new(DIRECTORY)).unwrap();
    // The clock is looked at at the beginning, and once a mebibyte.
    for (seconds_a_look, expected) in [(1, 2), (2, 3), (5, 10), (0, 0)] {
        let (begin, looks, lines) = (Instant::now(), Cell::new(0), RefCell::new(Vec::new()));
        let now = || begin + Duration::from_secs(seconds_a_look * looks.replace(looks.get() + 1));
        let say = |line| lines.borrow_mut().push(line);
        recover_telling(&directory, Teller { now: &now, say: &say }).unwrap().expect("a log");
        let lines = lines.into_inner();
        assert_eq!((looks.get(), lines.len()), (11, expected), "{lines:?}");
        let first = lines.first().map_or("", |line| line);
        assert!(expected == 0 || first.starts_with("/log: ") && first.ends_with("MB are read; it starts when all are"), "{lines:?}");
        if seconds_a_look == 1 {
            assert_eq!(first, "/log: 5 of at most 15 MB are read; it starts when all are");
        }
    }
}

#[test]
fn random_writes_come_back_after_every_reopening_in_both_durabilities() {
    for seed in 0..60 {
        let files = SimulatedFiles::new();
        let mut writer = Writer::new(seed);
        for round in 0..6 {
            let mut options = options();
            options.durability = if seed % 2 == 0 { Durability::Fsync } else { Durability::Os };
            let expected = writer.model.clamped();
            let (recovered, mut log) = open_with(&files, options).unwrap();
            assert_eq!(Model::of(recovered.as_ref()), expected, "seed {seed} round {round}");
            for _ in 0..writer.random.below(25) {
                let writes: Vec<Write> = (0..writer.random.below(4)).map(|_| writer.next_write()).collect();
                log.append(&writes).unwrap();
            }
            match writer.random.below(2) {
                0 => log.close().unwrap(),
                _ => files.kill_process(),
            }
        }
    }
}

#[test]
fn entries_with_a_lower_index_replace_everything_behind_them() {
    let files = SimulatedFiles::new();
    let (_, mut log) = open(&files).unwrap();
    let old: Vec<_> = (1..=100).map(|i| entry(i, 1, vec![1; 500])).collect();
    log.append(&[first_write(), entries_write(2, old)]).unwrap();
    let reader = log.reader();
    log.append(&[entries_write(3, vec![entry(40, 2, vec![2; 500]), entry(41, 3, vec![3; 10])])]).unwrap();
    let check = |entries: &[raft::eraftpb::Entry]| {
        let terms: Vec<u64> = entries.iter().map(|entry| entry.term).collect();
        assert_eq!(terms, [vec![1; 39], vec![2, 3]].concat());
    };
    check(&reader.read(1, 42, u64::MAX).unwrap());
    assert!(reader.read(42, 43, u64::MAX).is_err(), "entry 42 was replaced by nothing");
    assert!(reader.term(42).is_err());
    files.crash(0);
    let (recovered, _log) = open(&files).unwrap();
    check(&Model::of(recovered.as_ref()).entries);
}

#[test]
fn a_later_membership_replaces_the_earlier_one_and_keeps_the_log() {
    let files = SimulatedFiles::new();
    let (_, mut log) = open(&files).unwrap();
    log.append(&[first_write(), entries_write(2, vec![entry(1, 1, b"kept".to_vec())])]).unwrap();
    log.close().unwrap();
    // The fourth generation is the first with more than one formation before its parent.
    for generation in 2..=4 {
        let (_, mut log) = open(&files).unwrap();
        let survivor = Write { id: 3, membership: Some((formation(generation), member(9))), must_sync: true, ..Write::default() };
        log.append(&[survivor]).unwrap();
        log.close().unwrap();
        let recovered = open(&files).unwrap().0.unwrap();
        assert_eq!((recovered.formation, recovered.member, recovered.last_index), (formation(generation), member(9), 1));
    }
}

#[test]
fn a_commit_index_beyond_the_log_comes_back_as_the_last_index() {
    let files = SimulatedFiles::new();
    let (_, mut log) = open(&files).unwrap();
    let mut state = HardState::default();
    (state.term, state.vote, state.commit) = (4, 2, 10);
    let ahead = Write { id: 2, hard_state: Some(state), entries: vec![entry(1, 4, vec![])], ..Write::default() };
    log.append(&[first_write(), ahead]).unwrap();
    log.close().unwrap();
    let recovered = open(&files).unwrap().0.unwrap();
    let state = recovered.hard_state;
    assert_eq!((state.term, state.vote, state.commit, recovered.last_index), (4, 2, 1, 1));
}

#[test]
fn a_read_stops_before_the_entry_that_would_exceed_its_bytes_and_returns_at_least_one() {
    let files = SimulatedFiles::new();
    let (_, mut log) = open(&files).unwrap();
    let entries: Vec<_> = (1..=20).map(|i| entry(i, 1, vec![i as u8; 100])).collect();
    log.append(&[first_write(), entries_write(2, entries)]).unwrap();
    let reader = log.reader();
    let indexes = |low, high, max| -> Vec<u64> {
        reader.read(low, high, max).unwrap().iter().map(|entry| entry.index).collect()
    };
    assert_eq!(indexes(3, 21, 250), [3, 4]);
    assert_eq!(indexes(3, 21, 300), [3, 4, 5]);
    assert_eq!(indexes(3, 21, 0), [3]);
    assert_eq!(indexes(20, 21, u64::MAX), [20]);
    assert!(reader.read(20, 22, u64::MAX).is_err(), "entry 21 does not exist");
    assert!(reader.read(0, 2, u64::MAX).is_err(), "there is no entry 0");
}

#[test]
fn what_could_not_be_recovered_is_refused_before_it_is_written() {
    let cases: [(&str, Vec<Write>); 6] = [
        ("which member", vec![entries_write(1, vec![entry(1, 1, vec![])])]),
        ("from 3 on", vec![first_write(), entries_write(2, vec![entry(3, 1, vec![])])]),
        ("where 2 is due", vec![first_write(), entries_write(2, vec![entry(1, 1, vec![]), entry(5, 1, vec![])])]),
        ("1 is committed", {
            let state = HardState { commit: 1, ..HardState::default() };
            let committed = Write { id: 3, hard_state: Some(state), ..Write::default() };
            let one = |id| entries_write(id, vec![entry(1, 1, vec![])]);
            vec![first_write(), one(2), committed, one(4)]
        }),
        ("term 5 behind term 6", vec![first_write(), vote(2, 6, 1), vote(3, 5, 1)]),
        ("a vote for member 3 in term 6, in which member 1", vec![first_write(), vote(2, 6, 1), vote(3, 6, 3)]),
    ];
    for (reason, writes) in cases {
        let files = SimulatedFiles::new();
        let (_, mut log) = open(&files).unwrap();
        let before = files.contents(Path::new("/log/segment-0000000001.log"));
        let error = log.append(&writes).unwrap_err();
        assert!(matches!(&error, DiskError::Invalid(text) if text.contains(reason)), "{error}");
        assert_eq!(files.contents(Path::new("/log/segment-0000000001.log")), before);
    }
}

#[test]
fn a_long_log_is_read_with_a_bounded_number_of_open_files() {
    let files = SimulatedFiles::new();
    let (_, mut log) = open(&files).unwrap();
    log.append(&[first_write()]).unwrap();
    for index in 1..=200 {
        log.append(&[entries_write(index, vec![entry(index, 1, vec![1; 3_000])])]).unwrap();
    }
    assert!(files.paths().len() > 100, "one entry a segment");
    assert_eq!(log.reader().read(1, 201, u64::MAX).unwrap().len(), 200);
    assert!(log.open_segments() <= 16);
}

#[test]
fn what_is_synced_is_not_kept_in_the_systems_memory() {
    const BYTES: u64 = 20 << 20;
    for durability in [Durability::Fsync, Durability::Os] {
        let files = SimulatedFiles::new();
        let options = DiskOptions { durability, segment_bytes: 4 << 20, ..options() };
        let (_, mut log) = open_with(&files, options).unwrap();
        log.append(&[first_write()]).unwrap();
        for index in 1..=BYTES >> 16 {
            log.append(&[entries_write(index + 1, vec![entry(index, 1, vec![7; 1 << 16])])]).unwrap();
            log.forget_synced();
        }
        // Of the segment in use a part is not told yet, with `Durability::Os` all of it.
        let kept = if durability == Durability::Fsync { 1 << 20 } else { 5 << 20 };
        assert!(files.forgotten_bytes() > BYTES - kept, "{durability:?}: {}", files.forgotten_bytes());
    }
}
