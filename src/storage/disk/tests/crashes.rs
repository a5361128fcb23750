//! Power cuts at every operation, with every way to tear what was not synced.

use std::path::Path;

use super::model::{entries_write, entry, first_write, open, open_with, options, Model, Writer};
use crate::replica::output::Write;
use crate::storage::disk::simulated::{Seeded, SimulatedFiles};
use crate::storage::disk::{DiskOptions, Durability, Prepare};

/// A run of appends that stops at the first error.
struct Run {
    /// All writes that were handed to the log, in order.
    handed: Vec<Write>,
    /// So many of them were acknowledged as durable.
    durable: usize,
}

impl Run {
    /// Goes on with `writer` for `appends` appends.
    fn append(&mut self, files: &SimulatedFiles, writer: &mut Writer, appends: u64) -> Result<(), ()> {
        self.append_with(files, options(), writer, appends)
    }

    fn append_with(
        &mut self,
        files: &SimulatedFiles,
        options: DiskOptions,
        writer: &mut Writer,
        appends: u64,
    ) -> Result<(), ()> {
        let (recovered, mut log) = open_with(files, options).map_err(drop)?;
        assert_eq!(Model::of(recovered.as_ref()), writer.model.clamped());
        for _ in 0..appends {
            let writes: Vec<Write> = (0..1 + writer.random.below(3)).map(|_| writer.next_write()).collect();
            let must_sync = writes.iter().any(|write| write.must_sync);
            self.handed.extend(writes.iter().map(copy));
            log.append(&writes).map_err(drop)?;
            if must_sync {
                self.durable = self.handed.len();
            }
        }
        Ok(())
    }

    /// Recovers, and checks that it is a prefix with everything durable; the run then consists of that.
    fn recover(&mut self, files: &SimulatedFiles, story: &str) {
        let (recovered, _log) = open(files).unwrap_or_else(|error| panic!("{story}: {error}"));
        let found = Model::of(recovered.as_ref());
        let prefix = (self.durable..=self.handed.len())
            .find(|&count| Model::after(&self.handed[..count]).clamped() == found)
            .unwrap_or_else(|| {
                panic!("{story}: {} of {} writes were durable, found {found:?}", self.durable, self.handed.len())
            });
        self.handed.truncate(prefix);
        self.durable = prefix;
        files.kill_process();
    }
}

fn copy(write: &Write) -> Write {
    Write {
        id: write.id,
        membership: write.membership.clone(),
        hard_state: write.hard_state.clone(),
        entries: write.entries.clone(),
        must_sync: write.must_sync,
    }
}

/// Two lives, each cut at an operation, and a look at what is left after each.
fn two_lives(script: u64, stop: u64, tear: u64) -> bool {
    let files = SimulatedFiles::new();
    let mut writer = Writer::new(script);
    let mut run = Run { handed: Vec::new(), durable: 0 };
    files.stop_at(stop);
    let finished = run.append(&files, &mut writer, 12).is_ok();
    files.crash(tear);
    run.recover(&files, &format!("script {script} stop {stop} tear {tear}, first life"));
    // The second life writes other things to the same places: nothing of the first may come back.
    writer.model = Model::after(&run.handed).clamped();
    let second_stop = 1 + Seeded::new(script ^ stop << 8 ^ tear << 32).below(40);
    files.stop_at(second_stop);
    let _ = run.append(&files, &mut writer, 6);
    files.crash(tear.wrapping_mul(31) + stop);
    run.recover(&files, &format!("script {script} stop {stop} tear {tear}, second life stop {second_stop}"));
    finished
}

#[test]
fn a_crash_at_any_operation_leaves_a_prefix_with_everything_that_was_synced() {
    for script in 0..5 {
        for stop in 1.. {
            let mut finished = true;
            for tear in 0..4 {
                finished &= two_lives(script, stop, script * 1_000_000 + stop * 1_000 + tear);
            }
            if finished {
                break;
            }
        }
    }
}

/// What ends a life.
#[derive(Clone, Copy, Debug)]
enum Death {
    PowerCut(Durability),
    /// With a log that does not sync.
    Kill,
}

/// Two lives of a log as the product runs it. Which operation of its thread or of its own is the one that a crash strikes, the
/// scheduler has a say in: what is checked holds for each.
fn two_lives_beside_a_thread(death: Death, stop: u64) {
    let files = SimulatedFiles::new();
    let mut writer = Writer::new(stop % 7);
    let mut run = Run { handed: Vec::new(), durable: 0 };
    let durability = if let Death::PowerCut(durability) = death { durability } else { Durability::Os };
    for (life, appends) in [12, 8].into_iter().enumerate() {
        let story = format!("{death:?}, stop {stop}, life {life}");
        let options = DiskOptions { durability, prepare: Prepare::InBackground, ..options() };
        files.stop_at(stop);
        // A kill would not end that fault.
        if stop.is_multiple_of(3) && !matches!(death, Death::Kill) {
            files.fail_sync(1 + stop / 3 % 8);
        }
        let before = run.durable;
        let _ = run.append_with(&files, options, &mut writer, appends);
        match death {
            Death::PowerCut(durability) => {
                // What an opening has told of it has synced.
                run.durable = if durability == Durability::Os { before } else { run.durable };
                files.crash(stop * 31 + life as u64);
            }
            Death::Kill => files.kill_process(),
        }
        run.recover(&files, &story);
        writer.model = Model::after(&run.handed).clamped();
    }
}

#[test]
fn a_crash_beside_the_thread_that_prepares_segments_leaves_a_prefix_with_everything_that_was_promised() {
    for death in [Death::PowerCut(Durability::Fsync), Death::PowerCut(Durability::Os), Death::Kill] {
        (1..=120).for_each(|stop| two_lives_beside_a_thread(death, stop));
    }
}

#[test]
fn a_crash_during_recovery_loses_nothing_and_brings_nothing_back() {
    for seed in 0..300 {
        let files = SimulatedFiles::new();
        let mut writer = Writer::new(seed % 10);
        let mut run = Run { handed: Vec::new(), durable: 0 };
        files.stop_at(20 + seed % 60);
        let _ = run.append(&files, &mut writer, 20);
        files.crash(seed);
        for attempt in 0..4 {
            files.stop_at(1 + (seed + attempt) % 7);
            drop(open(&files));
            files.crash(seed * 7 + attempt);
        }
        run.recover(&files, &format!("seed {seed}"));
    }
}

#[test]
fn what_a_recycled_file_held_is_never_taken_for_new_records() {
    for tear in 0..100 {
        let files = SimulatedFiles::new();
        let (_, mut log) = open(&files).unwrap();
        let mut run = Run { handed: vec![first_write()], durable: 1 };
        for index in 1..=20 {
            run.handed.push(entries_write(index + 1, vec![entry(index, 1, vec![index as u8; 300])]));
        }
        log.append(&run.handed[..12]).unwrap();
        run.durable = 12;
        // The file that becomes segment 2 is full of records that were good ones in segment 1.
        let old = files.contents(Path::new("/log/segment-0000000001.log")).unwrap();
        files.replace_contents(Path::new("/log/spare.log"), old);
        files.stop_at(1 + tear % 9);
        for write in &run.handed[12..] {
            if log.append(std::slice::from_ref(write)).is_err() {
                break;
            }
            run.durable += 1;
        }
        files.crash(tear);
        run.recover(&files, &format!("tear {tear}"));
    }
}
