//! The operating system's files, and the thread that prepares segments.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use super::model::{entries_write, entry, first_write, options, Model, Writer};
use crate::replica::output::Write;
use crate::storage::disk::{DiskError, DiskLog, DiskOptions, Durability, Prepare, RealFiles};

fn background() -> DiskOptions {
    DiskOptions { prepare: Prepare::InBackground, ..options() }
}

#[test]
fn random_writes_come_back_from_real_files_in_every_mode() {
    for (seed, durability) in [(1, Durability::Fsync), (2, Durability::Os)] {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(seed);
        for _ in 0..3 {
            let options = DiskOptions { durability, ..background() };
            let (recovered, mut log) = DiskLog::open(directory.path(), options, Arc::new(RealFiles)).unwrap();
            assert_eq!(Model::of(recovered.as_ref()), writer.model.clamped());
            for _ in 0..30 {
                let writes: Vec<Write> = (0..3).map(|_| writer.next_write()).collect();
                log.append(&writes).unwrap();
            }
            log.close().unwrap();
        }
    }
}

#[test]
fn entries_of_64_mib_come_back_and_are_written_from_where_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let options = DiskOptions { durability: Durability::Os, segment_bytes: 1 << 20, ..background() };
    let large = |fill: u8| vec![fill; 64 << 20];
    let (_, mut log) = DiskLog::open(directory.path(), options.clone(), Arc::new(RealFiles)).unwrap();
    let small = entry(2, 1, vec![3; 10]);
    log.append(&[first_write(), entries_write(2, vec![entry(1, 1, large(1)), small, entry(3, 1, large(2))])]).unwrap();
    assert!(log.buffer_bytes() < 1 << 20, "the data was not copied");
    drop(log);
    let (recovered, _log) = DiskLog::open(directory.path(), options, Arc::new(RealFiles)).unwrap();
    let recovered = recovered.unwrap();
    let entries = recovered.older.unwrap().read(1, 4, u64::MAX).unwrap();
    let lengths: Vec<usize> = entries.iter().map(|entry| entry.data.len()).collect();
    assert_eq!(lengths, [64 << 20, 10, 64 << 20]);
    assert!(entries[0].data.iter().all(|&byte| byte == 1) && entries[2].data.iter().all(|&byte| byte == 2));
    assert_eq!(recovered.tail.len(), 1, "a tail of one entry, which alone exceeds its bound");
}

#[test]
fn a_second_opening_is_told_which_process_has_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let (_, log) = DiskLog::open(directory.path(), options(), Arc::new(RealFiles)).unwrap();
    match DiskLog::open(directory.path(), options(), Arc::new(RealFiles)) {
        Err(DiskError::Locked { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("opened twice"),
    }
    drop(log);
    DiskLog::open(directory.path(), options(), Arc::new(RealFiles)).unwrap();
}

#[test]
fn a_directory_stays_locked_when_its_lock_file_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let (_, log) = DiskLog::open(directory.path(), options(), Arc::new(RealFiles)).unwrap();
    std::fs::remove_file(directory.path().join("LOCK")).unwrap();
    let second = DiskLog::open(directory.path(), options(), Arc::new(RealFiles)).map(drop);
    assert!(matches!(second, Err(DiskError::Locked { pid: None, .. })), "{second:?}");
    drop(log);
    DiskLog::open(directory.path(), options(), Arc::new(RealFiles)).unwrap();
}

#[test]
fn a_data_directory_is_created_with_its_parents_and_a_file_in_its_place_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let nested = directory.path().join("a/b/c");
    DiskLog::open(&nested, options(), Arc::new(RealFiles)).unwrap();
    assert!(nested.join("META").is_file());
    let beneath_a_file = nested.join("META/group-0");
    let error = DiskLog::open(&beneath_a_file, options(), Arc::new(RealFiles)).map(drop).unwrap_err();
    assert!(matches!(error, DiskError::Io { operation: "create", .. }), "{error}");
}

#[test]
fn entries_are_read_by_another_thread_while_the_log_goes_on() {
    const LAST: u64 = 3_000;
    let directory = tempfile::tempdir().unwrap();
    let options = DiskOptions { durability: Durability::Os, segment_bytes: 64 << 10, ..background() };
    let (_, mut log) = DiskLog::open(directory.path(), options, Arc::new(RealFiles)).unwrap();
    let appended = Arc::new(AtomicU64::new(0));
    let (reader, seen) = (log.reader(), appended.clone());
    let reading = std::thread::spawn(move || {
        let mut next = 1;
        while next <= LAST {
            let last = seen.load(Ordering::Acquire);
            if last < next {
                std::thread::yield_now();
                continue;
            }
            for entry in reader.read(next, last + 1, 20_000).unwrap() {
                assert_eq!((entry.index, entry.data.len() as u64), (next, next % 700));
                assert_eq!(reader.term(next).unwrap(), entry.term);
                next += 1;
            }
        }
    });
    log.append(&[first_write()]).unwrap();
    for index in 1..=LAST {
        let entry = entry(index, 1 + index / 100, vec![index as u8; (index % 700) as usize]);
        log.append(&[entries_write(index, vec![entry])]).unwrap();
        appended.store(index, Ordering::Release);
    }
    reading.join().unwrap();
}

#[test]
fn an_open_log_knows_whether_a_restart_would_find_it() {
    let place = tempfile::tempdir().unwrap();
    let (directory, elsewhere) = (place.path().join("log"), place.path().join("elsewhere"));
    let mut writer = Writer::new(1);
    let (_, mut log) = DiskLog::open(&directory, background(), Arc::new(RealFiles)).unwrap();
    let check = |log: &DiskLog| log.presence().unwrap().check().map_err(|error| error.to_string());
    // Also behind a change of segments, which are of 8 KiB here.
    for _ in 0..30 {
        log.append(&[writer.next_write()]).unwrap();
        assert_eq!(check(&log), Ok(()));
    }
    let gone = |log: &DiskLog| check(log).unwrap_err();
    std::fs::rename(&directory, &elsewhere).unwrap();
    assert!(gone(&log).contains("META is gone"), "{}", gone(&log));
    std::fs::write(&directory, "no directory").unwrap();
    assert!(gone(&log).contains("META is gone"), "{}", gone(&log));
    std::fs::remove_file(&directory).unwrap();
    std::fs::create_dir(&directory).unwrap();
    std::fs::copy(elsewhere.join("META"), directory.join("META")).unwrap();
    assert!(gone(&log).contains("META is another file"), "{}", gone(&log));
    std::fs::remove_dir_all(&directory).unwrap();
    std::fs::rename(&elsewhere, &directory).unwrap();
    assert_eq!(check(&log), Ok(()), "it is back");
    let segments = || std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
    let last = segments().filter(|path| path.to_string_lossy().contains("segment-")).max().expect("there are segments");
    std::fs::remove_file(&last).unwrap();
    assert!(gone(&log).contains(&format!("{} is gone", last.file_name().unwrap().display())), "{}", gone(&log));
}

#[test]
fn a_log_whose_directory_a_copy_replaces_goes_on_in_its_own_and_has_everything_when_it_is_back() {
    const LAST: u64 = 90;
    for prepare in [Prepare::OnDemand, Prepare::InBackground] {
        let place = tempfile::tempdir().unwrap();
        let [directory, elsewhere, copy] = ["log", "elsewhere", "copy"].map(|name| place.path().join(name));
        let options = DiskOptions { prepare, ..options() };
        let (_, mut log) = DiskLog::open(&directory, options.clone(), Arc::new(RealFiles)).unwrap();
        let reader = log.reader();
        let one = |index: u64| entries_write(index + 1, vec![entry(index, 1, vec![index as u8; 200])]);
        log.append(&[first_write(), one(1)]).unwrap();
        std::fs::create_dir(&copy).unwrap();
        for name in ["META", "segment-0000000001.log"] {
            std::fs::copy(directory.join(name), copy.join(name)).unwrap();
        }
        std::fs::write(copy.join("spare.log"), [0; 8 << 10]).unwrap();
        std::fs::rename(&directory, &elsewhere).unwrap();
        std::fs::rename(&copy, &directory).unwrap();
        for index in 2..=LAST {
            log.append(&[one(index)]).unwrap();
        }
        assert_eq!(reader.read(1, LAST + 1, u64::MAX).unwrap().len() as u64, LAST);
        log.close().unwrap();
        let mut names: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["META", "segment-0000000001.log", "spare.log"], "{prepare:?}: the copy is as it was");
        std::fs::remove_dir_all(&directory).unwrap();
        std::fs::rename(&elsewhere, &directory).unwrap();
        let (recovered, _log) = DiskLog::open(&directory, options, Arc::new(RealFiles)).unwrap();
        assert_eq!(recovered.unwrap().last_index, LAST, "{prepare:?}");
    }
}
