//! A group's durable log, and who writes to it.
//!
//! Usually a thread of its own does, so that the event loop does not wait for a disk: it takes everything
//! that is queued, writes it, and syncs once (per batch of [`BatchLimit`]), so that under load one sync serves all that
//! arrived during the one before. The queue is bounded by Raft: nothing unwritten is acknowledged, so a leader's window of
//! unacknowledged bytes is all that can be waiting here, and on a follower whose disk does not answer what its log in
//! memory takes at most (`log_memory_bytes`): its leader sends on as long as heartbeats are answered. A disk may take
//! minutes for so much, and a shutdown has seconds: it gets some time, and what it has not taken then is dropped.
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

/// So long a thread that is to end goes on writing what is queued, and the batch that it is at. Nothing of it was acknowledged.
const STOP_PATIENCE: Duration = Duration::from_millis(500);

/// Between two looks at the directory. What was acknowledged since the last one is as good as lost when it is gone.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What ends the thread's wait.
enum Woken {
    Writes,
    Time,
    Stop,
}

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
    /// Since when the thread is to end.
    stopping: Option<Instant>,
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
        if writes.is_empty() {
            return;
        }
        self.note_given(writes);
        let mut queue = locked(&self.queue);
        queue.writes.append(writes);
        let wake = std::mem::take(&mut queue.sleeping);
        drop(queue);
        if wake {
            self.arrived.notify_one();
        }
    }

    fn note_given(&self, writes: &[Write]) {
        let before = self.given.load(Ordering::Relaxed);
        debug_assert!(
            writes.iter().map(|write| write.id).scan(before, |last, id| Some(std::mem::replace(last, id) < id)).all(|rises| rises),
            "{}: in the order of the log, behind {before}",
            self.group
        );
        self.given.store(writes.last().map_or(before, |write| write.id), Ordering::Relaxed);
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

    /// Loop: writes now, leaves an empty vector, and says how long that took. Only while the thread has nothing to
    /// do. After an error the replica must stop, as after one of the thread's.
    pub(super) fn write_here(&self, writes: &mut Vec<Write>) -> Result<Duration, String> {
        if writes.is_empty() {
            return Ok(Duration::ZERO);
        }
        debug_assert!(self.is_idle(), "the thread's writes come first");
        self.note_given(writes);
        let begun = Instant::now();
        self.append(writes)?;
        writes.clear();
        let took = begun.elapsed();
        self.forget_synced();
        Ok(took)
    }

    /// The last write that is on disk with all before it.
    pub(super) fn persisted(&self) -> u64 {
        self.persisted.load(Ordering::Acquire)
    }

    /// Ends the thread once what is queued is written, or [`STOP_PATIENCE`] is over.
    pub(super) fn stop(&self) {
        locked(&self.queue).stopping.get_or_insert_with(Instant::now);
        self.arrived.notify_all();
    }

    /// The thread's body.
    pub(super) fn run(&self, wakeup: &Wakeup, failure: &Failure) {
        if let Err(reason) = self.serve(wakeup) {
            failure.report(reason);
            self.wait_until_stopped();
        }
        self.close();
    }

    /// Writes what it is given, and looks whether the directory is still there, until it is stopped.
    fn serve(&self, wakeup: &Wakeup) -> Result<(), String> {
        let (mut taken, mut written, mut next_look) = (Vec::new(), 0, Instant::now() + LOOK_EVERY);
        let mut limit = BatchLimit::default();
        loop {
            if Instant::now() >= next_look {
                next_look = Instant::now() + LOOK_EVERY;
                self.look().map_err(|error| self.fail(&error))?;
            }
            if written == taken.len() {
                taken.clear();
                written = 0;
                match self.wait_writes(&mut taken, next_look) {
                    Woken::Writes => {}
                    Woken::Time => continue,
                    Woken::Stop => return Ok(()),
                }
            }
            if self.is_out_of_time() {
                self.say_dropped(&taken[written..]);
                return Ok(());
            }
            let (len, bytes) = limit.cut(&taken[written..]);
            let end = written + len;
            let batch = &mut taken[written..end];
            let begun = Instant::now();
            self.append(batch)?;
            limit.ended(bytes, begun.elapsed());
            wakeup.notify();
            self.forget_synced();
            // Their payloads go now, not with the last of what was taken.
            batch.fill_with(Write::default);
            written = end;
        }
    }

    fn is_out_of_time(&self) -> bool {
        locked(&self.queue).stopping.is_some_and(|since| since.elapsed() >= STOP_PATIENCE)
    }

    /// The log on disk ends before `left`, as if they had never come.
    fn say_dropped(&self, left: &[Write]) {
        let queue = locked(&self.queue);
        let writes = left.len() + queue.writes.len();
        let bytes: u64 = left.iter().chain(&queue.writes).map(disk_bytes).sum();
        drop(queue);
        log::warn!(
            "{}: shutdown: the disk has not taken {writes} writes ({bytes} bytes) after {STOP_PATIENCE:?}; they are dropped: nothing \
             of them was acknowledged",
            self.group
        );
    }

    /// An error: what is written here, a restart does not find.
    fn look(&self) -> Result<(), DiskError> {
        // Not under the lock: the loop may be about to write, and a name takes the system longer than a handle.
        let presence = locked(&self.disk).as_ref().map(DiskLog::presence).transpose()?;
        presence.map_or(Ok(()), |presence| presence.check())
    }

    fn fail(&self, error: &DiskError) -> String {
        self.failed.store(true, Ordering::Relaxed);
        format!("{}: {error}", self.group)
    }

    /// Writes, and says so, by whichever thread.
    fn append(&self, writes: &[Write]) -> Result<(), String> {
        self.append_timed(writes).map_err(|error| self.fail(&error))?;
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

    /// Takes all that is queued; waits for it until `deadline`.
    fn wait_writes(&self, taken: &mut Vec<Write>, deadline: Instant) -> Woken {
        let mut queue = locked(&self.queue);
        while queue.writes.is_empty() && queue.stopping.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Woken::Time;
            }
            queue.sleeping = true;
            queue = self.arrived.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
            queue.sleeping = false;
        }
        std::mem::swap(&mut queue.writes, taken);
        if taken.is_empty() { Woken::Stop } else { Woken::Writes }
    }

    /// The loop ends too once a failure is known, and until then it may write by itself.
    fn wait_until_stopped(&self) {
        let stopping = self.arrived.wait_while(locked(&self.queue), |queue| queue.stopping.is_none());
        drop(stopping.unwrap_or_else(PoisonError::into_inner));
    }
}

/// How much is synced at once: about as much as this disk takes within half a second, for a shutdown has to wait for what is
/// being written. A write is not cut, however long: it has a pass's entries, a leader's window (`in_flight_bytes`) at most.
struct BatchLimit {
    bytes: u64,
}

impl Default for BatchLimit {
    fn default() -> Self {
        Self { bytes: Self::MOST }
    }
}

impl BatchLimit {
    /// So that a disk with slow syncs, and a high rate, is not held to many small ones.
    const LEAST: u64 = 1 << 20;
    /// A disk writes this for some ten times as long as it syncs.
    const MOST: u64 = 8 << 20;
    const TIME: Duration = Duration::from_millis(500);

    /// How many of `writes`, which are some, are one batch, and their bytes.
    fn cut(&self, writes: &[Write]) -> (usize, u64) {
        let (mut len, mut bytes) = (0, 0);
        for write in writes {
            let more = disk_bytes(write);
            if len > 0 && bytes + more > self.bytes {
                break;
            }
            (len, bytes) = (len + 1, bytes + more);
        }
        (len, bytes)
    }

    /// A batch of so many bytes took so long.
    fn ended(&mut self, bytes: u64, took: Duration) {
        if took > Self::TIME {
            self.bytes = (self.bytes / 2).max(Self::LEAST);
        } else if bytes >= self.bytes / 2 {
            self.bytes = (self.bytes + self.bytes / 8).min(Self::MOST);
        }
    }
}

/// At least what `write` takes on disk.
fn disk_bytes(write: &Write) -> u64 {
    let entries = write.entries.iter().map(|e| (e.data.len() + e.context.len()) as u64 + RECORD_OVERHEAD_BYTES);
    RECORD_OVERHEAD_BYTES + entries.sum::<u64>()
}

#[cfg(test)]
mod tests;
