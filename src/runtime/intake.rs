//! The crossing from the submitting threads to the event loop, one per partition.
//!
//! A submission copies the log once, into the form that a Raft entry has, and returns. Short logs
//! gather in one open chunk, copied under the partition's lock; long ones are copied outside it. The
//! loop takes what has gathered when the replica wants more: batches form by themselves.
//!
//! This path runs in C++ `thread_local` destructors: nothing here needs a Rust thread-local with a
//! destructor (std's futex locks need none).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::ids::{PartitionId, ProcessId};
use crate::replica::output::Gate;
use crate::replica::payload::{fragments, Chunk, ChunkWriter, Origin, HEADER_BYTES, PER_LOG_BYTES};

use super::callbacks::{in_callback, locked};
use super::ledger::Ledger;
use super::wakeup::Wakeup;

/// An open chunk is closed when the next log would make it longer than this. Beyond 64 KiB the cost per
/// entry has vanished beside the cost per byte, and a chunk that is too long delays the first log in it.
const CHUNK_BYTES: usize = 64 << 10;
/// Longer logs get chunks of their own, copied outside the lock: copying 16 KiB takes about as long as
/// two hand-overs of the lock.
const OWN_CHUNK_BYTES: usize = 16 << 10;
/// The first capacity of a chunk. It then follows the chunks that really formed.
const FIRST_CAPACITY_BYTES: usize = 512;

/// Why a log was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This process does not lead; who does, where that is known.
    NotLeader(Option<ProcessId>),
    /// The queue stayed full for as long as a submitter may wait.
    QueueFull {
        /// How long it waited, in milliseconds.
        waited_ms: u64,
        /// Bytes in the queue then.
        queued_bytes: usize,
        /// The bound.
        queue_bytes: usize,
    },
    /// Longer than `raft.max_log_bytes`.
    TooLong {
        /// The log's length.
        length: usize,
        /// The bound.
        max_log_bytes: usize,
    },
    /// Shutting down, or stopped.
    Stopped,
}

/// The bounds of an intake.
#[derive(Clone, Copy, Debug)]
pub(super) struct IntakeLimits {
    /// Bytes accepted and not committed, with [`PER_LOG_BYTES`] per log.
    pub queue_bytes: usize,
    /// How long a submitter waits for room.
    pub submit_wait: Duration,
    /// The longest log.
    pub max_log_bytes: usize,
    /// Longer logs are cut.
    pub fragment_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    /// The replica's word.
    Gate(Gate),
    /// Shutting down: no gate opens it again.
    Stopped,
}

struct Queue {
    door: Door,
    /// Complete chunks, oldest first.
    ready: VecDeque<Chunk>,
    /// Collects short logs behind them.
    open: Option<ChunkWriter>,
    /// Length of the last chunk taken: what the next one will probably need.
    expected_bytes: usize,
}

/// One partition's intake. `submit` is for any thread, the rest for the event loop.
pub(super) struct Intake {
    partition: PartitionId,
    origin: Origin,
    limits: IntakeLimits,
    queue: Mutex<Queue>,
    /// Something is in the queue. Written under the lock, read without.
    filled: AtomicBool,
    /// Counted until committed; grows under the lock, shrinks without.
    queued_bytes: AtomicUsize,
    /// Submitters that wait for `room`.
    waiting: AtomicUsize,
    room: Condvar,
    ledger: Arc<Ledger>,
    wakeup: Arc<Wakeup>,
}

impl Intake {
    /// An intake that refuses until the replica has said something else.
    pub(super) fn new(
        partition: PartitionId,
        origin: Origin,
        limits: IntakeLimits,
        ledger: Arc<Ledger>,
        wakeup: Arc<Wakeup>,
    ) -> Self {
        Self {
            partition,
            origin,
            limits,
            queue: Mutex::new(Queue {
                door: Door::Gate(Gate::Closed { leader: None }),
                ready: VecDeque::new(),
                open: None,
                expected_bytes: FIRST_CAPACITY_BYTES,
            }),
            filled: AtomicBool::new(false),
            queued_bytes: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            room: Condvar::new(),
            ledger,
            wakeup,
        }
    }

    /// Copies and queues a log; its ticket. Waits for room at most `submit_wait`, and never inside a
    /// callback.
    pub(super) fn submit(&self, log: &[u8]) -> Result<u64, Refusal> {
        let (length, max_log_bytes) = (log.len(), self.limits.max_log_bytes);
        let accepted = if length > max_log_bytes {
            Err(Refusal::TooLong { length, max_log_bytes })
        } else if length <= OWN_CHUNK_BYTES {
            self.submit_short(log)
        } else {
            self.submit_long(log)
        };
        match accepted {
            Ok(_) => self.wakeup.notify(),
            Err(_) => self.ledger.refuse(),
        }
        accepted
    }

    fn submit_short(&self, log: &[u8]) -> Result<u64, Refusal> {
        let mut queue = self.admit(log.len())?;
        self.queued_bytes.fetch_add(log.len() + PER_LOG_BYTES, Ordering::SeqCst);
        queue.push_short(log, self.origin, self.partition);
        self.filled.store(true, Ordering::Relaxed);
        Ok(self.ledger.accept())
    }

    fn submit_long(&self, log: &[u8]) -> Result<u64, Refusal> {
        // Room is taken before the copy is made, so that copies in the making are bounded too.
        let cost = log.len() + PER_LOG_BYTES;
        let queue = self.admit(log.len())?;
        self.queued_bytes.fetch_add(cost, Ordering::SeqCst);
        drop(queue);
        let chunks = self.own_chunks(log);
        // A hand-over may have begun meanwhile: it has seen the queue empty, so this log has to wait.
        let mut queue = match self.admit_when(|queue| queue.door != Door::Gate(Gate::Hold)) {
            Ok(queue) => queue,
            Err(refusal) => {
                self.release(cost);
                return Err(refusal);
            }
        };
        queue.close_open();
        queue.ready.extend(chunks);
        self.filled.store(true, Ordering::Relaxed);
        Ok(self.ledger.accept())
    }

    /// A long log in chunks that hold nothing else.
    fn own_chunks(&self, log: &[u8]) -> Vec<Chunk> {
        if log.len() > self.limits.fragment_bytes {
            return fragments(self.origin, self.partition, log, self.limits.fragment_bytes).collect();
        }
        let mut writer = ChunkWriter::new(self.origin, self.partition, log.len() + PER_LOG_BYTES);
        writer.push(log);
        vec![writer.seal()]
    }

    /// The lock, once a log of this length may be queued.
    fn admit(&self, length: usize) -> Result<MutexGuard<'_, Queue>, Refusal> {
        self.admit_when(|queue| self.may_enter(queue, length))
    }

    /// The lock, once `may_enter` holds; at once inside a callback, where waiting would deadlock.
    fn admit_when(&self, may_enter: impl Fn(&Queue) -> bool) -> Result<MutexGuard<'_, Queue>, Refusal> {
        let queue = locked(&self.queue);
        if let Some(refusal) = queue.refusal() {
            return Err(refusal);
        }
        if may_enter(&queue) || in_callback() {
            return Ok(queue);
        }
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let admitted = self.wait_until(queue, may_enter);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        admitted
    }

    /// A log longer than the whole bound goes in when the queue is empty: it would wait for ever otherwise.
    fn has_room(&self, length: usize) -> bool {
        let queued = self.queued_bytes.load(Ordering::SeqCst);
        queued == 0 || queued + length + PER_LOG_BYTES <= self.limits.queue_bytes
    }

    /// A hand-over holds submitters, and so does a full queue.
    fn may_enter(&self, queue: &Queue, length: usize) -> bool {
        queue.door != Door::Gate(Gate::Hold) && self.has_room(length)
    }

    /// The waiter registered before it looks at the bytes, [`Intake::release`] subtracts before it looks
    /// for waiters: one sees the other.
    fn wait_until<'a>(
        &'a self,
        mut queue: MutexGuard<'a, Queue>,
        may_enter: impl Fn(&Queue) -> bool,
    ) -> Result<MutexGuard<'a, Queue>, Refusal> {
        let deadline = Instant::now() + self.limits.submit_wait;
        loop {
            if let Some(refusal) = queue.refusal() {
                return Err(refusal);
            }
            if may_enter(&queue) {
                return Ok(queue);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Refusal::QueueFull {
                    waited_ms: self.limits.submit_wait.as_millis() as u64,
                    queued_bytes: self.queued_bytes.load(Ordering::SeqCst),
                    queue_bytes: self.limits.queue_bytes,
                });
            }
            queue = self.room.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Bytes of this partition were committed or lost.
    pub(super) fn release(&self, bytes: usize) {
        let before = self.queued_bytes.fetch_sub(bytes, Ordering::SeqCst);
        debug_assert!(before >= bytes, "partition {}: {bytes} of {before} released", self.partition);
        self.wake_waiting();
    }

    fn wake_waiting(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            drop(locked(&self.queue));
            self.room.notify_all();
        }
    }

    /// The replica's word on whether logs are accepted. From here on no submission sees the old gate.
    pub(super) fn set_gate(&self, gate: Gate) {
        let mut queue = locked(&self.queue);
        if queue.door == Door::Stopped {
            return;
        }
        queue.door = Door::Gate(gate);
        drop(queue);
        self.ledger.set_ended(matches!(gate, Gate::Closed { .. }));
        self.wake_waiting();
    }

    /// Refuses from here on, whatever the replica says. What was accepted stays queued.
    pub(super) fn stop(&self) {
        locked(&self.queue).door = Door::Stopped;
        self.wake_waiting();
    }

    /// True when this process leads, and that was announced.
    pub(super) fn is_open(&self) -> bool {
        locked(&self.queue).door == Door::Gate(Gate::Open)
    }

    /// Whether [`Intake::take`] would give something. For the loop's look before it sleeps: behind
    /// [`Wakeup::announce_sleep`]'s fence it sees every push that did not wake.
    pub(super) fn is_filled(&self) -> bool {
        self.filled.load(Ordering::Relaxed)
    }

    /// The oldest chunk.
    pub(super) fn take(&self) -> Option<Chunk> {
        let mut queue = locked(&self.queue);
        if let Some(chunk) = queue.ready.pop_front() {
            self.filled.store(!queue.ready.is_empty() || queue.open.is_some(), Ordering::Relaxed);
            return Some(chunk);
        }
        let open = queue.open.take();
        if let Some(open) = &open {
            queue.expected_bytes = open.len();
        }
        self.filled.store(false, Ordering::Relaxed);
        drop(queue);
        open.map(ChunkWriter::seal)
    }

    /// Frees what is still queued, when nobody will take it any more.
    pub(super) fn discard(&self) {
        let mut queue = locked(&self.queue);
        let (ready, open) = (std::mem::take(&mut queue.ready), queue.open.take());
        self.filled.store(false, Ordering::Relaxed);
        drop(queue);
        drop((ready, open));
    }

    /// Bytes that count against the bound.
    pub(super) fn queued_bytes(&self) -> usize {
        self.queued_bytes.load(Ordering::Relaxed)
    }
}

impl Queue {
    /// Why a log can't be accepted now, whatever its length.
    fn refusal(&self) -> Option<Refusal> {
        match self.door {
            // Under `Hold` a log is neither accepted nor refused yet: see `may_enter`.
            Door::Gate(Gate::Open | Gate::Queue | Gate::Hold) => None,
            Door::Gate(Gate::Closed { leader }) => Some(Refusal::NotLeader(leader)),
            Door::Stopped => Some(Refusal::Stopped),
        }
    }

    fn push_short(&mut self, log: &[u8], origin: Origin, partition: PartitionId) {
        let needed = log.len() + PER_LOG_BYTES;
        if self.open.as_ref().is_some_and(|open| open.len() + needed > CHUNK_BYTES) {
            self.close_open();
        }
        let expected = self.expected_bytes.saturating_sub(HEADER_BYTES);
        self.open
            .get_or_insert_with(|| ChunkWriter::new(origin, partition, expected.max(needed)))
            .push(log);
    }

    fn close_open(&mut self) {
        if let Some(open) = self.open.take() {
            self.expected_bytes = open.len();
            self.ready.push_back(open.seal());
        }
    }
}
