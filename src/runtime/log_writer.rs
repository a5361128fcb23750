//! The thread that makes a group's log durable, so that the event loop never waits for a disk.
//!
//! It takes everything that is queued, writes it, and syncs once: under load one sync serves all that
//! arrived during the one before. The queue is bounded by Raft: nothing unwritten is acknowledged, so
//! a leader's window of unacknowledged bytes is all that can be waiting here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::ids::GroupId;
use crate::replica::output::Write;
use crate::storage::disk::DiskLog;

use super::callbacks::locked;
use super::failure::Failure;
use super::wakeup::Wakeup;

/// The loop's side of a group's log writer.
pub(super) struct LogWriter {
    group: GroupId,
    queue: Mutex<WriterQueue>,
    arrived: Condvar,
    /// All writes through this id are on disk.
    persisted: AtomicU64,
}

#[derive(Default)]
struct WriterQueue {
    writes: Vec<Write>,
    sleeping: bool,
    stopping: bool,
}

impl LogWriter {
    pub(super) fn new(group: GroupId) -> Self {
        Self { group, queue: Mutex::default(), arrived: Condvar::new(), persisted: AtomicU64::new(0) }
    }

    /// Loop: queues `writes` in order and leaves an empty vector.
    pub(super) fn push(&self, writes: &mut Vec<Write>) {
        if writes.is_empty() {
            return;
        }
        let mut queue = locked(&self.queue);
        queue.writes.append(writes);
        let wake = std::mem::take(&mut queue.sleeping);
        drop(queue);
        if wake {
            self.arrived.notify_one();
        }
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
    pub(super) fn run(&self, mut disk: DiskLog, wakeup: Arc<Wakeup>, failure: Arc<Failure>) {
        let mut batch = Vec::new();
        while self.wait_batch(&mut batch) {
            if let Err(error) = disk.append(&batch) {
                failure.report(format!("{}: {error}", self.group));
                return;
            }
            let last = batch.last().map_or(0, |write| write.id);
            self.persisted.store(last, Ordering::Release);
            wakeup.notify();
            batch.clear();
        }
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
