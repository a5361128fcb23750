//! Disks that refuse.

use std::path::Path;
use std::sync::Arc;

use super::model::{entries_write, entry, first_write, open, open_with, options, vote, Model, DIRECTORY};
use crate::checksum::{crc32c, crc32c_append};
use crate::ids::{GroupId, PartitionId, ProcessId};
use crate::replica::output::Write;
use crate::storage::disk::directory::Directory;
use crate::storage::disk::meta::Meta;
use crate::storage::disk::simulated::SimulatedFiles;
use crate::storage::disk::{check_layout, group_directory, DiskError, DiskLog, DiskOptions, Durability, Prepare, RealFiles};

fn one(index: u64) -> Write {
    entries_write(index + 1, vec![entry(index, 1, vec![index as u8; 200])])
}

#[test]
fn after_a_failed_sync_nothing_is_accepted_and_the_lost_write_was_never_acknowledged() {
    let files = SimulatedFiles::new();
    let (_, mut log) = open(&files).unwrap();
    log.append(&[first_write(), one(1)]).unwrap();
    files.fail_sync(1);
    assert!(matches!(log.append(&[one(2)]), Err(DiskError::Io { operation: "sync", .. })));
    for _ in 0..3 {
        let error = log.append(&[one(3)]).unwrap_err();
        assert!(matches!(&error, DiskError::Poisoned { cause } if cause.contains("sync")), "{error}");
    }
    assert!(matches!(log.close(), Err(DiskError::Poisoned { .. })));
    files.crash(1);
    assert_eq!(open(&files).unwrap().0.unwrap().last_index, 1);
}

#[test]
fn what_is_recovered_after_a_failed_sync_is_really_on_the_disk() {
    for seed in 0..50 {
        let files = SimulatedFiles::new();
        let (_, mut log) = open(&files).unwrap();
        log.append(&[first_write(), one(1)]).unwrap();
        files.fail_sync(1);
        log.append(&[one(2), one(3)]).unwrap_err();
        // Only the process ends: the page cache still has what the disk does not.
        files.kill_process();
        let first = Model::of(open(&files).unwrap().0.as_ref());
        files.crash(seed);
        assert_eq!(Model::of(open(&files).unwrap().0.as_ref()), first, "seed {seed}");
    }
}

/// Term 6 and a vote for member 3, written where an erasing that failed has left older ones on the disk, and read after a
/// power cut. `earlier`: those are of a version that did not write the opening.
fn recovered_behind_a_failed_erasing(earlier: bool) -> Result<(u64, u64), DiskError> {
    let path = Path::new("/log/segment-0000000001.log");
    let files = SimulatedFiles::new();
    let (_, mut log) = open(&files).unwrap();
    log.append(&[first_write(), vote(2, 5, 1)]).unwrap();
    let before = files.contents(path).unwrap();
    log.append(&[vote(3, 5, 1), vote(4, 5, 1)]).unwrap();
    files.kill_process();
    // What a power cut leaves: of one batch the first record is torn, the second is whole.
    let mut bytes = files.contents(path).unwrap();
    let end = bytes.iter().zip(&before).position(|(now, before)| now != before).unwrap();
    bytes[end] ^= 1;
    if earlier {
        change_header(&mut bytes, end + 64, |header| header[32..36].fill(0));
    }
    files.replace_contents(path, bytes);
    // The zeros that go over it are in the page cache only, and the next process finds them there.
    files.fail_sync(1);
    assert!(open(&files).is_err());
    files.kill_process();
    let (recovered, mut log) = open(&files).unwrap();
    assert_eq!(recovered.unwrap().hard_state.term, 5);
    // As long as the torn one: by its place and its ordinal the record behind it continues this one as well.
    log.append(&[vote(3, 6, 3)]).unwrap();
    files.crash(0);
    let state = open(&files)?.0.unwrap().hard_state;
    Ok((state.term, state.vote))
}

/// Writes something else in the header of the record at `offset` of a segment, with its checksum.
fn change_header(segment: &mut [u8], offset: usize, change: impl FnOnce(&mut [u8])) {
    let place = [&segment[16..24], &(offset as u64).to_le_bytes()].concat();
    let header = &mut segment[offset..offset + 40];
    change(&mut *header);
    let crc = crc32c_append(crc32c(&place), &header[..36]);
    header[36..].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn what_an_erasing_that_failed_left_on_the_disk_does_not_come_back_behind_new_records() {
    assert_eq!(recovered_behind_a_failed_erasing(false).unwrap(), (6, 3));
}

#[test]
fn a_term_that_falls_is_damage() {
    let error = recovered_behind_a_failed_erasing(true).unwrap_err();
    assert!(matches!(&error, DiskError::Corrupt { what, .. } if what == "term 5 behind term 6"), "{error}");
}

#[test]
fn a_record_of_a_later_version_is_refused_and_left_as_it_is_wherever_it_is() {
    let path = Path::new("/log/segment-0000000001.log");
    let log = SimulatedFiles::new();
    {
        let (_, mut log) = open(&log).unwrap();
        log.append(&[first_write(), vote(2, 5, 1), vote(3, 5, 1)]).unwrap();
    }
    log.kill_process();
    let written = log.contents(path).unwrap();
    let headers: Vec<usize> = (0..written.len()).filter(|&at| written[at..].starts_with(b"MKRL")).collect();
    let [_, before, last] = headers[..] else { panic!("{headers:?}") };
    let cases: [(usize, u8, &str); 3] = [(4, 9, "a record of kind 9"), (5, 0x80, "sections 0x80"), (6, 1, "[01, 00]")];
    for (byte, value, what) in cases {
        // At the end of the log, and behind a torn write.
        for torn in [false, true] {
            let mut bytes = written.clone();
            change_header(&mut bytes, last, |header| header[byte] = value);
            bytes[before] ^= u8::from(torn);
            log.replace_contents(path, bytes.clone());
            let error = open(&log).map(drop).unwrap_err();
            assert!(matches!(error, DiskError::Later { .. }), "{what}, {torn}: {error}");
            let text = error.to_string();
            assert!(text.contains(what) && text.contains(&format!("at byte {last}, which this version")), "{text}");
            assert_eq!(log.contents(path), Some(bytes));
        }
    }
}

#[test]
fn what_the_system_drops_from_memory_while_a_log_is_opened_is_not_told_of() {
    let (mut with_the_vote, mut without, mut refused) = (0, 0, 0);
    for (nth, seed) in (1..=16).flat_map(|nth| (0..8).map(move |seed| (nth, seed))) {
        let files = SimulatedFiles::new();
        let (_, mut log) = open(&files).unwrap();
        log.append(&[first_write(), one(1)]).unwrap();
        files.fail_sync(1);
        log.append(&[vote(3, 5, 1)]).unwrap_err();
        files.kill_process();
        files.drop_pages_at_read(nth);
        let told = match open(&files) {
            Ok((recovered, _)) => recovered.unwrap().hard_state,
            Err(error) => {
                assert!(error.to_string().contains("was there a moment ago"), "{error}");
                refused += 1;
                files.kill_process();
                open(&files).unwrap().0.unwrap().hard_state
            }
        };
        if told.term == 5 { with_the_vote += 1 } else { without += 1 }
        files.crash(seed);
        let recovered = open(&files).unwrap().0.unwrap();
        assert_eq!((recovered.hard_state, recovered.last_index), (told, 1), "read {nth}, seed {seed}");
    }
    assert!(with_the_vote > 0 && without > 0 && refused > 0, "{with_the_vote}, {without}, {refused}");
}

#[test]
fn a_failed_write_poisons_and_keeps_what_was_acknowledged() {
    let written = |nth: u64| {
        let files = SimulatedFiles::new();
        let (_, mut log) = open(&files).unwrap();
        log.append(&[first_write()]).unwrap();
        files.fail_write(nth);
        let accepted = (1..=60).take_while(|&index| log.append(&[one(index)]).is_ok()).count() as u64;
        if accepted < 60 {
            assert!(matches!(log.append(&[one(accepted + 1)]), Err(DiskError::Poisoned { .. })));
        }
        files.crash(nth);
        let found = open(&files).unwrap().0.unwrap().last_index;
        assert!(found == accepted || found == accepted + 1, "write {nth}: {accepted} acknowledged, {found} found");
        accepted
    };
    assert!((1..=90).map(written).any(|accepted| accepted == 60), "the last ones strike after the end");
}

#[test]
fn a_full_disk_says_so_and_the_log_goes_on_once_there_is_room() {
    let files = SimulatedFiles::new();
    let (_, mut log) = open(&files).unwrap();
    log.append(&[first_write()]).unwrap();
    files.set_capacity(Some(30 << 10));
    let mut accepted = 0;
    let error = loop {
        match log.append(&[one(accepted + 1)]) {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, DiskError::Full { .. }), "{error}");
    assert!(error.to_string().contains("the disk is full"), "{error}");
    assert!(matches!(log.append(&[one(accepted + 1)]), Err(DiskError::Poisoned { .. })));
    files.crash(3);
    files.set_capacity(None);
    let (recovered, mut log) = open(&files).unwrap();
    assert_eq!(recovered.unwrap().last_index, accepted);
    log.append(&[one(accepted + 1)]).unwrap();
}

/// A log that does not sync itself, in which the sync of the first full segment failed; and how many entries it took.
fn os_log_with_a_segment_that_could_not_be_synced(prepare: Prepare) -> (SimulatedFiles, u64) {
    let files = SimulatedFiles::new();
    let (_, mut log) = open_with(&files, DiskOptions { durability: Durability::Os, prepare, ..options() }).unwrap();
    log.append(&[first_write()]).unwrap();
    // Behind that of the second segment's header.
    files.fail_sync(2);
    let mut errors = (1..=90).map(|index| log.append(&[one(index)]).err());
    let accepted = errors.by_ref().take_while(Option::is_none).count() as u64;
    let later = errors.next().expect("three segments take no 90 entries").expect("an error");
    assert!(matches!(&later, DiskError::Poisoned { cause } if cause.contains("sync /log/segment-0000000001.log")), "{later}");
    (files, accepted)
}

#[test]
fn a_full_segment_that_can_not_be_synced_stops_a_log_that_does_not_sync_and_is_written_again_at_the_next_start() {
    for (prepare, seed) in [Prepare::InBackground, Prepare::OnDemand].into_iter().flat_map(|mode| (0..8).map(move |seed| (mode, seed))) {
        let (files, accepted) = os_log_with_a_segment_that_could_not_be_synced(prepare);
        files.kill_process();
        let found = open(&files).unwrap().0.unwrap().last_index;
        assert!(found == accepted || found == accepted + 1, "{accepted} acknowledged, {found} found");
        files.crash(seed);
        assert_eq!(open(&files).unwrap().0.unwrap().last_index, found, "{prepare:?}, seed {seed}");
    }
}

#[test]
fn behind_a_full_segment_that_could_not_be_synced_a_power_cut_leaves_a_shorter_log_and_no_damage() {
    for (prepare, seed) in [Prepare::InBackground, Prepare::OnDemand].into_iter().flat_map(|mode| (0..8).map(move |seed| (mode, seed))) {
        let (files, accepted) = os_log_with_a_segment_that_could_not_be_synced(prepare);
        files.crash(seed);
        let (recovered, _log) = open(&files).unwrap_or_else(|error| panic!("{prepare:?}, seed {seed}: {error}"));
        assert!(recovered.is_none_or(|recovered| recovered.last_index <= accepted + 1));
    }
}

#[test]
fn an_error_that_passes_while_the_next_segment_is_prepared_stops_nothing() {
    let files = SimulatedFiles::new();
    // The first segment is made by `open`, the second prepared behind it: long before it is needed.
    files.fail_allocation(2);
    let (_, mut log) = open_with(&files, DiskOptions { prepare: Prepare::InBackground, ..options() }).unwrap();
    log.append(&[first_write()]).unwrap();
    for index in 1..=90 {
        log.append(&[one(index)]).unwrap();
    }
    log.close().unwrap();
    assert!(files.paths().iter().any(|path| path.ends_with("segment-0000000003.log")), "{:?}", files.paths());
    assert_eq!(open(&files).unwrap().0.unwrap().last_index, 90);
}

#[test]
fn a_disk_that_stays_full_stops_the_log_where_the_next_segment_is_needed() {
    let files = SimulatedFiles::new();
    files.set_capacity(Some(9 << 10));
    let (_, mut log) = open_with(&files, DiskOptions { prepare: Prepare::InBackground, ..options() }).unwrap();
    log.append(&[first_write()]).unwrap();
    let error = (1..=90).find_map(|index| log.append(&[one(index)]).err()).expect("one segment takes no 90 entries");
    assert!(matches!(error, DiskError::Full { .. }), "{error}");
}

#[test]
fn a_directory_is_open_once_at_a_time() {
    let files = SimulatedFiles::new();
    let (_, log) = open(&files).unwrap();
    assert!(matches!(open(&files), Err(DiskError::Locked { .. })));
    log.close().unwrap();
    open(&files).unwrap();
}

#[test]
fn a_directory_of_another_shard_process_or_group_is_refused_with_both_values() {
    let files = SimulatedFiles::new();
    open(&files).unwrap().1.close().unwrap();
    let cases = [
        (DiskOptions { shard_fingerprint: 0xabc, ..options() }, "shard fingerprint 00000000feedbeef", "0abc"),
        (DiskOptions { process: ProcessId(7), ..options() }, "process 2", "with 7"),
        (DiskOptions { group: GroupId(9), ..options() }, "group 1", "with 9"),
    ];
    for (options, found, expected) in cases {
        let text = open_with(&files, options).map(drop).unwrap_err().to_string();
        assert!(text.contains(found) && text.contains(expected), "{text}");
    }
    open(&files).unwrap();
}

#[test]
fn a_directory_with_other_addresses_is_refused_and_follows_its_shard_on_the_operators_order_alone() {
    let files = SimulatedFiles::new();
    let (_, mut log) = open(&files).unwrap();
    log.append(&[first_write(), one(1)]).unwrap();
    log.close().unwrap();
    let moved = |moved_from| DiskOptions { addressed_fingerprint: 0xadd2, moved_from, ..options() };
    let refused = |options| open_with(&files, options).map(drop).unwrap_err().to_string();
    for order in [None, Some(0xadd2), Some(0xbad)] {
        let text = refused(moved(order));
        let parts = ["fingerprint 0000000000000add,", "with 000000000000add2;", "raft.moved_from: 0000000000000add"];
        assert!(parts.iter().all(|part| text.contains(part)) && !text.contains("earlier version"), "{text}");
    }
    // No order makes other names the same shard.
    let renamed = DiskOptions { shard_fingerprint: 0xabc, ..moved(Some(0xadd)) };
    assert!(refused(renamed).contains("shard fingerprint"));
    // From the first opening with the order on it is at home there, with the order and without it, and nowhere else.
    for order in [Some(0xadd), Some(0xadd), None] {
        let (recovered, log) = open_with(&files, moved(order)).unwrap();
        assert_eq!(recovered.map(|recovered| recovered.last_index), Some(1));
        log.close().unwrap();
    }
    assert!(refused(options()).contains("raft.moved_from: 000000000000add2"));
}

#[test]
fn a_directory_of_an_earlier_version_that_moved_is_taken_on_the_order_and_has_both_fingerprints_then() {
    let files = SimulatedFiles::new();
    open(&files).unwrap().1.close().unwrap();
    // As the versions wrote it that had one number for everything.
    let directory = Directory::open(&files, Path::new(DIRECTORY)).unwrap();
    let meta = Meta::read(&directory).unwrap().unwrap();
    Meta { shard: None, ..meta }.write(&directory).unwrap();
    let moved = |moved_from| DiskOptions { addressed_fingerprint: 0xadd2, moved_from, ..options() };
    let text = open_with(&files, moved(None)).map(drop).unwrap_err().to_string();
    let parts = ["0000000000000add,", "000000000000add2;", "an earlier version wrote it", "raft.moved_from: 0000000000000add"];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    open_with(&files, moved(Some(0xadd))).unwrap().1.close().unwrap();
    let meta = Meta::read(&directory).unwrap().unwrap();
    assert_eq!((meta.shard, meta.fingerprint), (Some(0xfeed_beef), 0xadd2));
}

#[test]
fn a_directory_of_a_group_with_other_partitions_is_refused_with_both() {
    let files = SimulatedFiles::new();
    open(&files).unwrap().1.close().unwrap();
    let other = DiskOptions { partitions: vec![PartitionId(4)], ..options() };
    let text = open_with(&files, other).map(drop).unwrap_err().to_string();
    let parts = ["/log/META", "partitions 4-5,7 in group 1", "configured with partitions 4 in group 1", "raft.grouping"];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    open(&files).unwrap();
}

/// One group for each list of partitions, numbered from 0.
fn groups(partitions: &[&[u32]]) -> Vec<DiskOptions> {
    let group = |(group, partitions): (u16, &&[u32])| DiskOptions {
        group: GroupId(group),
        partitions: partitions.iter().map(|&partition| PartitionId(partition)).collect(),
        ..options()
    };
    (0..).zip(partitions).map(group).collect()
}

/// What a process does at its start with the logs of all its groups.
fn open_all(data: &Path, groups: &[DiskOptions]) -> Result<(), DiskError> {
    check_layout(&RealFiles, data, groups)?;
    for options in groups {
        let (_, log) = DiskLog::open(&group_directory(data, options.group), options.clone(), Arc::new(RealFiles))?;
        log.close()?;
    }
    Ok(())
}

/// As the versions wrote it that did not name the partitions.
fn forget_partitions(data: &Path, group: u16) {
    let directory = Directory::open(&RealFiles, &group_directory(data, GroupId(group))).unwrap();
    let meta = Meta::read(&directory).unwrap().unwrap();
    Meta { partitions: None, ..meta }.write(&directory).unwrap();
}

#[test]
fn a_data_directory_whose_partitions_were_in_other_groups_is_refused_also_if_an_earlier_version_wrote_it() {
    const TOGETHER: &[&[u32]] = &[&[0, 1, 2]];
    const APART: &[&[u32]] = &[&[0], &[1], &[2]];
    for (then, now) in [(TOGETHER, APART), (APART, TOGETHER)] {
        for earlier in [false, true] {
            let place = tempfile::tempdir().unwrap();
            let data = place.path().join("data");
            open_all(&data, &groups(then)).unwrap();
            // Not of ours.
            std::fs::create_dir(data.join("group-7")).unwrap();
            std::fs::create_dir(data.join("group-00")).unwrap();
            if earlier {
                (0..then.len() as u16).for_each(|group| forget_partitions(&data, group));
            }
            let refused = open_all(&data, &groups(now));
            assert!(matches!(refused, Err(DiskError::Layout { .. })), "{then:?}, {now:?}, {earlier}: {refused:?}");
            open_all(&data, &groups(then)).unwrap();
            let directory = Directory::open(&RealFiles, &group_directory(&data, GroupId(0))).unwrap();
            let meta = Meta::read(&directory).unwrap().unwrap();
            assert_eq!(meta.partitions.as_deref(), Some(if then == TOGETHER { "0-2" } else { "0" }));
        }
    }
}

#[test]
fn a_group_whose_directory_was_moved_away_begins_anew_beside_the_others() {
    let place = tempfile::tempdir().unwrap();
    let groups = groups(&[&[0], &[1]]);
    open_all(place.path(), &groups).unwrap();
    std::fs::rename(group_directory(place.path(), GroupId(0)), place.path().join("group-0.damaged")).unwrap();
    open_all(place.path(), &groups).unwrap();
}

#[test]
fn segments_that_positions_can_not_address_are_refused() {
    for segment_bytes in [0, 4096, 4 << 30] {
        let options = DiskOptions { segment_bytes, ..options() };
        let opened = DiskLog::open(Path::new(DIRECTORY), options, Arc::new(SimulatedFiles::new()));
        assert!(matches!(opened, Err(DiskError::Invalid(_))));
    }
}
