//! A group's durable log, and who writes to it.
//!
//! Usually a thread of its own does, so that the event loop does not wait for a disk: it takes everything
//! that is queued, writes it, and syncs once, so that under load one sync serves all that arrived during
//! the one before. The queue is bounded by Raft: nothing unwritten is acknowledged, so a leader's window of
//! unacknowledged bytes is all that can be waiting here.
//!
//! With one small log at a time that costs two wake-ups per log on each replica. So while the disk is
//! quick ([`DiskPace`]) and nothing is queued, the loop writes by itself. Only the loop gives writes, and it
//! writes by itself only when the thread has finished all it was given: the order is that of giving.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::ids::GroupId;
use crate::replica::output::Write;
use crate::storage::disk::{DiskError, DiskLog};

use super::callbacks::locked;
use super::disk_pace::DiskPace;
use super::failure::Failure;
use super::wakeup::Wakeup;

/// The loop writes no more than this by itself: from some such size on, other work goes on during the write.
const HERE_BYTES_MAX: u64 = 16 << 10;
/// More than a record takes beside the payloads of its entries, for each write and for each entry.
const RECORD_OVERHEAD_BYTES: u64 = 256;

/// A write that takes so long is a line for the operator.
const LATE: Duration = Duration::from_secs(1);

/// The loop's and the thread's side of a group's durable log.
pub(super) struct LogWriter {
    group: GroupId,
    /// Empty once the log is closed.
    disk: Mutex<Option<DiskLog>>,
    /// A write has failed: the log is not closed in good order.
    failed: AtomicBool,
    queue: Mutex<WriterQueue>,
    arrived: Condvar,
    /// The last write that the loop gave; only the loop uses it.
    given: AtomicU64,
    /// All writes through this id are on disk.
    persisted: AtomicU64,
    /// What the segment that is being written still takes. Another one has to be waited for.
    room_bytes: AtomicU64,
    pace: DiskPace,
}

#[derive(Default)]
struct WriterQueue {
    writes: Vec<Write>,
    sleeping: bool,
    stopping: bool,
}

impl LogWriter {
    pub(super) fn new(group: GroupId, disk: DiskLog) -> Self {
        Self {
            group,
            room_bytes: AtomicU64::new(disk.room_bytes()),
            disk: Mutex::new(Some(disk)),
            failed: AtomicBool::new(false),
            queue: Mutex::default(),
            arrived: Condvar::new(),
            given: AtomicU64::new(0),
            persisted: AtomicU64::new(0),
            pace: DiskPace::default(),
        }
    }

    /// Loop: queues `writes` in order for the thread and leaves an empty vector.
    pub(super) fn push(&self, writes: &mut Vec<Write>) {
        let Some(last) = writes.last() else { return };
        self.given.store(last.id, Ordering::Relaxed);
        let mut queue = locked(&self.queue);
        queue.writes.append(writes);
        let wake = std::mem::take(&mut queue.sleeping);
        drop(queue);
        if wake {
            self.arrived.notify_one();
        }
    }

    /// Loop: everything that was given is on disk.
    pub(super) fn is_idle(&self) -> bool {
        self.unwritten() == 0
    }

    /// Writes that were given and are not on disk.
    pub(super) fn unwritten(&self) -> u64 {
        self.given.load(Ordering::Relaxed).saturating_sub(self.persisted())
    }

    pub(super) fn group(&self) -> GroupId {
        self.group
    }

    /// Loop: `writes` are best written by the caller, with [`LogWriter::write_here`]: they are few, the disk was
    /// quick lately, and the thread has nothing to do.
    pub(super) fn suits_here(&self, writes: &[Write]) -> bool {
        if !self.is_idle() || !self.pace.is_quick() {
            return false;
        }
        let bytes: u64 = writes.iter().map(disk_bytes).sum();
        bytes <= HERE_BYTES_MAX.min(self.room_bytes.load(Ordering::Relaxed))
            && writes.iter().all(|write| write.membership.is_none())
    }

    /// Loop: writes now and leaves an empty vector. Only while the thread has nothing to do. After an error
    /// the replica must stop, as after one of the thread's.
    pub(super) fn write_here(&self, writes: &mut Vec<Write>) -> Result<(), String> {
        let Some(last) = writes.last() else { return Ok(()) };
        debug_assert!(self.is_idle(), "the thread's writes come first");
        self.given.store(last.id, Ordering::Relaxed);
        let begun = Instant::now();
        self.append(writes)?;
        writes.clear();
        let took = begun.elapsed();
        self.forget_synced();
        if took >= LATE {
            // The loop itself waited, so nobody could say it earlier.
            log::warn!("{}: a write took {} ms; look at the disk of raft.data_dir", self.group, took.as_millis());
        }
        Ok(())
    }

    /// The last write that is on disk with all before it.
    pub(super) fn persisted(&self) -> u64 {
        self.persisted.load(Ordering::Acquire)
    }

    /// Ends the thread once what is queued is written.
    pub(super) fn stop(&self) {
        locked(&self.queue).stopping = true;
        self.arrived.notify_all();
    }

    /// The thread's body.
    pub(super) fn run(&self, wakeup: &Wakeup, failure: &Failure) {
        let mut batch = Vec::new();
        while self.wait_batch(&mut batch) {
            if let Err(reason) = self.append(&batch) {
                failure.report(reason);
                break;
            }
            wakeup.notify();
            self.forget_synced();
            batch.clear();
        }
        self.close();
    }

    /// Writes, and says so, by whichever thread.
    fn append(&self, writes: &[Write]) -> Result<(), String> {
        let result = self.append_timed(writes);
        if let Err(error) = result {
            self.failed.store(true, Ordering::Relaxed);
            return Err(format!("{}: {error}", self.group));
        }
        let last = writes.last().map_or(0, |write| write.id);
        self.persisted.store(last, Ordering::Release);
        Ok(())
    }

    fn append_timed(&self, writes: &[Write]) -> Result<(), DiskError> {
        let mut place = locked(&self.disk);
        let disk = place.as_mut().ok_or(DiskError::Poisoned { cause: "it was closed before".into() })?;
        let begun = Instant::now();
        disk.append(writes)?;
        if writes.iter().any(|write| write.must_sync) {
            self.pace.took(begun.elapsed());
        }
        self.room_bytes.store(disk.room_bytes(), Ordering::Relaxed);
        Ok(())
    }

    fn forget_synced(&self) {
        if let Some(disk) = locked(&self.disk).as_mut() {
            disk.forget_synced();
        }
    }

    /// Closes the log; one that a write has failed on, or panicked in, without the mark of an orderly end.
    fn close(&self) {
        let torn = self.disk.is_poisoned() || self.failed.load(Ordering::Relaxed);
        let Some(disk) = locked(&self.disk).take().filter(|_| !torn) else { return };
        if let Err(error) = disk.close() {
            // Everything acknowledged was synced before; only the mark of an orderly end is missing.
            log::warn!("{}: closing the durable log: {error}", self.group);
        }
    }

    fn wait_batch(&self, batch: &mut Vec<Write>) -> bool {
        let mut queue = locked(&self.queue);
        while queue.writes.is_empty() && !queue.stopping {
            queue.sleeping = true;
            queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.sleeping = false;
        std::mem::swap(&mut queue.writes, batch);
        !batch.is_empty()
    }
}

/// At least what `write` takes on disk.
fn disk_bytes(write: &Write) -> u64 {
    let entries = write.entries.iter().map(|e| (e.data.len() + e.context.len()) as u64 + RECORD_OVERHEAD_BYTES);
    RECORD_OVERHEAD_BYTES + entries.sum::<u64>()
}

#[cfg(test)]
mod tests;
