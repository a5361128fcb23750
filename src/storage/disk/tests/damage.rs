//! Bits that turned over, and files that went missing.

use std::path::Path;

use super::model::{entries_write, entry, first_write, open, open_with, options, Model, Writer};
use crate::replica::output::Write;
use crate::storage::disk::simulated::{Seeded, SimulatedFiles};
use crate::storage::disk::{DiskError, DiskOptions, Durability};

/// A log of several segments.
struct Sample {
    files: SimulatedFiles,
    /// What it holds after each of its writes, from none to all.
    states: Vec<Model>,
    /// So many writes were synced before the last append began.
    synced_before_last: usize,
}

fn sample(closed: bool, durability: Durability) -> Sample {
    let files = SimulatedFiles::new();
    let mut writer = Writer::new(5);
    let (_, mut log) = open_with(&files, DiskOptions { durability, ..options() }).unwrap();
    let mut states = vec![Model::default()];
    let (mut synced, mut synced_before_last) = (0, 0);
    for _ in 0..25 {
        synced_before_last = synced;
        let mut writes: Vec<Write> = Vec::new();
        for _ in 0..3 {
            writes.push(writer.next_write());
            states.push(writer.model.clamped());
        }
        log.append(&writes).unwrap();
        if writes.iter().any(|write| write.must_sync) {
            synced = states.len() - 1;
        }
    }
    if closed {
        log.close().unwrap();
    }
    files.kill_process();
    Sample { files, states, synced_before_last }
}

/// Opens a damaged copy: what it holds, or the error.
fn look(files: &SimulatedFiles) -> Result<Model, DiskError> {
    let (recovered, log) = open(files)?;
    let model = Model::of(recovered.as_ref());
    drop(log);
    Ok(model)
}

fn flip_everywhere(files: &SimulatedFiles, flips: u64, mut check: impl FnMut(Result<Model, DiskError>, &str)) {
    for path in files.paths() {
        let bits = files.contents(&path).unwrap().len() as u64 * 8;
        let mut random = Seeded::new(bits);
        for flip in 0..flips {
            // The front of the file has the headers; the rest is sampled.
            let bit = if flip < flips / 4 { random.below(bits.min(42 << 10)) } else { random.below(bits) };
            let damaged = files.copy();
            damaged.flip_bit(&path, bit);
            check(look(&damaged), &format!("bit {bit} of {}", path.display()));
        }
    }
}

#[test]
fn a_bit_that_turns_over_in_a_closed_log_is_found_or_changes_nothing() {
    for durability in [Durability::Fsync, Durability::Os] {
        let Sample { files, states, .. } = sample(true, durability);
        assert!(files.paths().len() > 4, "several segments");
        // Without syncs only full segments are known to be whole: the rest can't be told from what a
        // power cut leaves, and comes back as some prefix.
        let possible = if durability == Durability::Fsync { &states[states.len() - 1..] } else { &states[..] };
        let (mut found, mut harmless) = (0, 0);
        flip_everywhere(&files, 80, |looked, story| match looked {
            Ok(held) => {
                harmless += 1;
                assert!(possible.contains(&held), "{story}");
            }
            Err(error) => {
                found += 1;
                assert!(matches!(error, DiskError::Corrupt { .. } | DiskError::Mismatch { .. } | DiskError::Format { .. }), "{story}: {error}");
            }
        });
        assert!(found > 100 && harmless > 100, "{found} found, {harmless} harmless");
    }
}

#[test]
fn in_a_log_that_was_not_closed_only_the_last_append_can_look_like_a_torn_write() {
    let Sample { files, states, synced_before_last } = sample(false, Durability::Fsync);
    let possible = &states[synced_before_last..];
    assert!(possible.len() < 12 && states.len() > 70, "{} of {}", possible.len(), states.len());
    flip_everywhere(&files, 80, |looked, story| {
        if let Ok(held) = looked {
            assert!(possible.contains(&held), "{story}");
        }
    });
}

#[test]
fn a_damaged_record_is_named_with_its_file_and_offset() {
    let files = SimulatedFiles::new();
    let (_, mut log) = open(&files).unwrap();
    log.append(&[first_write()]).unwrap();
    for index in 1..=3 {
        log.append(&[entries_write(index + 1, vec![entry(index, 1, vec![0x55; 100])])]).unwrap();
    }
    files.kill_process();
    let path = Path::new("/log/segment-0000000001.log");
    let bytes = files.contents(path).unwrap();
    let data = bytes.windows(100).position(|window| window == [0x55; 100]).unwrap();
    files.flip_bit(path, data as u64 * 8);
    // The record starts with its header and the entries' table: 40 + 16 + 24 bytes ahead of the data.
    match open(&files).map(drop).unwrap_err() {
        DiskError::Corrupt { path: named, offset, what } => {
            assert_eq!((named.as_path(), offset), (path, data as u64 - 80));
            assert!(what.contains("synced"), "{what}");
        }
        error => panic!("{error}"),
    }
}

#[test]
fn old_data_that_went_bad_is_an_error_for_its_reader_and_no_entry() {
    let files = SimulatedFiles::new();
    let (_, mut log) = open(&files).unwrap();
    let entries: Vec<_> = (1..=2).map(|index| entry(index, 1, vec![0x55; 1_000])).collect();
    log.append(&[first_write(), entries_write(2, entries)]).unwrap();
    let reader = log.reader();
    let path = Path::new("/log/segment-0000000001.log");
    let data = files.contents(path).unwrap().iter().rposition(|&byte| byte == 0x55).unwrap();
    assert_eq!(reader.read(1, 3, u64::MAX).unwrap().len(), 2);
    files.flip_bit(path, data as u64 * 8);
    let error = reader.read(1, 3, u64::MAX).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error}");
}

#[test]
fn a_missing_segment_is_an_error_that_names_it() {
    for missing in ["segment-0000000001.log", "segment-0000000003.log"] {
        let Sample { files, .. } = sample(true, Durability::Fsync);
        let damaged = SimulatedFiles::new();
        for path in files.paths().into_iter().filter(|path| !path.ends_with(missing)) {
            damaged.replace_contents(&path, files.contents(&path).unwrap());
        }
        let text = look(&damaged).unwrap_err().to_string();
        assert!(text.contains(missing) && text.contains("missing"), "{text}");
    }
}

#[test]
fn a_directory_without_its_meta_file_is_not_taken_for_a_new_one() {
    let Sample { files, .. } = sample(true, Durability::Fsync);
    let damaged = SimulatedFiles::new();
    for path in files.paths().into_iter().filter(|path| !path.ends_with("META")) {
        damaged.replace_contents(&path, files.contents(&path).unwrap());
    }
    let text = look(&damaged).unwrap_err().to_string();
    assert!(text.contains("META") && text.contains("missing"), "{text}");
}

#[test]
fn a_directory_that_lost_all_its_segments_is_not_taken_for_a_new_one() {
    for closed in [true, false] {
        let Sample { files, .. } = sample(closed, Durability::Fsync);
        let emptied = SimulatedFiles::new();
        let meta = Path::new("/log/META");
        emptied.replace_contents(meta, files.contents(meta).unwrap());
        for _ in 0..2 {
            let text = look(&emptied).unwrap_err().to_string();
            assert!(text.contains("/log/segment-0000000001.log") && text.contains("missing"), "{text}");
            assert!(text.contains("opened 1 times") && text.contains("move the directory away"), "{text}");
        }
    }
}

#[test]
fn a_new_directory_whose_first_opening_was_cut_short_survives_a_power_cut_once_it_has_a_log() {
    for nth in 1..=first_opening_operations() {
        let files = SimulatedFiles::new();
        files.stop_at(nth);
        let _ = open(&files);
        files.kill_process();
        let (_, mut log) = open(&files).unwrap();
        log.append(&[first_write(), entries_write(2, vec![entry(1, 1, vec![1; 100])])]).unwrap();
        for seed in 0..8 {
            files.crash(seed);
            let held = look(&files).unwrap();
            assert_eq!(held.entries.len(), 1, "cut short at operation {nth}, seed {seed}");
        }
    }
}

fn first_opening_operations() -> u64 {
    let files = SimulatedFiles::new();
    drop(open(&files).unwrap());
    files.operations()
}

#[test]
fn a_new_directory_whose_first_opening_was_cut_short_anywhere_is_still_a_new_one() {
    let operations = first_opening_operations();
    assert!(operations > 8, "META, the first segment, META again");
    for nth in 1..=operations {
        for seed in 0..8 {
            let files = SimulatedFiles::new();
            files.stop_at(nth);
            let _ = open(&files);
            files.crash(seed);
            assert_eq!(look(&files).unwrap(), Model::default(), "cut short at operation {nth}, seed {seed}");
            assert_eq!(look(&files).unwrap(), Model::default());
        }
    }
}
