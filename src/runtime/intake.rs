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

use bytes::BytesMut;

use crate::ids::{PartitionId, ProcessId};
use crate::replica::output::Gate;
use crate::replica::payload::{fragments_within, Chunk, ChunkWriter, Origin, PER_LOG_BYTES};

use super::callbacks::{in_callback, locked};
use super::buffers::{Buffers, Slabs};
use super::ledger::Ledger;
use super::wakeup::Wakeup;

/// An open chunk is closed when the next log would make it longer than this. Beyond 64 KiB the cost per
/// entry has vanished beside the cost per byte, and a chunk that is too long delays the first log in it.
const CHUNK_BYTES: usize = 64 << 10;
/// Longer logs get chunks of their own, copied outside the lock: copying 16 KiB takes about as long as
/// two hand-overs of the lock.
const OWN_CHUNK_BYTES: usize = 16 << 10;

/// Why a log was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This process does not lead; who does, where that is known.
    NotLeader(Option<ProcessId>),
    /// The queue stayed full, or a transfer of leadership took, for as long as a submitter may wait.
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
    /// What the next chunk is written into while none is open: the rest of a slab.
    rest: BytesMut,
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
    /// Submitters that wait for `room`, or for the end of a transfer of leadership.
    waiting: AtomicUsize,
    room: Condvar,
    buffers: Arc<Buffers>,
    ledger: Arc<Ledger>,
    wakeup: Arc<Wakeup>,
}

impl Intake {
    /// An intake that refuses until the replica has said something else.
    pub(super) fn new(
        partition: PartitionId,
        origin: Origin,
        limits: IntakeLimits,
        buffers: Arc<Buffers>,
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
                rest: BytesMut::new(),
            }),
            filled: AtomicBool::new(false),
            queued_bytes: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            room: Condvar::new(),
            buffers,
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
        let cost = log.len() + PER_LOG_BYTES;
        let mut queue = self.admit(cost)?;
        self.queued_bytes.fetch_add(cost, Ordering::SeqCst);
        queue.push_short(log, self.origin, self.partition, &self.buffers.short);
        self.filled.store(true, Ordering::Relaxed);
        Ok(self.ledger.accept())
    }

    fn submit_long(&self, log: &[u8]) -> Result<u64, Refusal> {
        // Room is taken before the copy is made, so that copies in the making are bounded too.
        let cost = log.len() + PER_LOG_BYTES;
        let queue = self.admit(cost)?;
        self.queued_bytes.fetch_add(cost, Ordering::SeqCst);
        drop(queue);
        let chunks = self.own_chunks(log);
        // The gate may have changed during the copy; there is room already.
        let mut queue = self.admit(0).inspect_err(|_| self.release(cost))?;
        queue.close_open();
        queue.ready.extend(chunks);
        self.filled.store(true, Ordering::Relaxed);
        Ok(self.ledger.accept())
    }

    /// A long log in chunks that hold nothing else. Their checksums are computed here, where the bytes were just
    /// copied and other threads go on: the event loop would do so once for each peer.
    fn own_chunks(&self, log: &[u8]) -> Vec<Chunk> {
        if log.len() > self.limits.fragment_bytes {
            let piece = |bytes| self.buffers.long.piece(bytes);
            let cut = fragments_within(self.origin, self.partition, log, self.limits.fragment_bytes, piece);
            return cut.map(Chunk::with_checksum).collect();
        }
        let buffer = self.buffers.long.piece(ChunkWriter::bytes_for(log));
        let mut writer = ChunkWriter::within(self.origin, self.partition, buffer);
        writer.push(log);
        vec![writer.seal().with_checksum()]
    }

    /// The lock, once so many bytes may be queued.
    fn admit(&self, cost: usize) -> Result<MutexGuard<'_, Queue>, Refusal> {
        let queue = locked(&self.queue);
        if let Some(refusal) = queue.refusal() {
            return Err(refusal);
        }
        if self.may_enter(&queue, cost) || in_callback() {
            return Ok(queue);
        }
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let admitted = self.wait_to_enter(queue, cost);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        admitted
    }

    /// A log longer than the whole bound goes in when the queue is empty: it would wait for ever otherwise.
    fn may_enter(&self, queue: &Queue, cost: usize) -> bool {
        let queued = self.queued_bytes.load(Ordering::SeqCst);
        let has_room = cost == 0 || queued == 0 || queued + cost <= self.limits.queue_bytes;
        has_room && queue.door != Door::Gate(Gate::Hold)
    }

    /// The waiter registered before it looks at the bytes, [`Intake::release`] subtracts before it looks
    /// for waiters: one sees the other.
    fn wait_to_enter<'a>(
        &'a self,
        mut queue: MutexGuard<'a, Queue>,
        cost: usize,
    ) -> Result<MutexGuard<'a, Queue>, Refusal> {
        let deadline = Instant::now() + self.limits.submit_wait;
        loop {
            if let Some(refusal) = queue.refusal() {
                return Err(refusal);
            }
            if self.may_enter(&queue, cost) {
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
        matches!(locked(&self.queue).door, Door::Gate(Gate::Open | Gate::Hold))
    }

    /// Whether [`Intake::take`] would give something. For the loop's look before it sleeps: behind
    /// [`Wakeup::announce_sleep`]'s fence it sees every push that did not wake.
    pub(super) fn is_filled(&self) -> bool {
        self.filled.load(Ordering::Relaxed)
    }

    /// The oldest chunk, with its checksum if it is long: to compute it once is better than once for each peer.
    pub(super) fn take(&self) -> Option<Chunk> {
        let chunk = self.take_oldest()?;
        let is_to_sum = chunk.checksum.is_none() && chunk.bytes.len() >= OWN_CHUNK_BYTES;
        Some(if is_to_sum { chunk.with_checksum() } else { chunk })
    }

    fn take_oldest(&self) -> Option<Chunk> {
        let mut queue = locked(&self.queue);
        if let Some(chunk) = queue.ready.pop_front() {
            self.filled.store(!queue.ready.is_empty() || queue.open.is_some(), Ordering::Relaxed);
            return Some(chunk);
        }
        self.filled.store(false, Ordering::Relaxed);
        queue.seal_open()
    }

    /// Frees what is still queued, and the slab, when nobody will take anything any more.
    pub(super) fn discard(&self) {
        let mut queue = locked(&self.queue);
        let (ready, open) = (std::mem::take(&mut queue.ready), queue.open.take());
        let rest = std::mem::take(&mut queue.rest);
        self.filled.store(false, Ordering::Relaxed);
        drop(queue);
        drop((ready, open, rest));
    }

    /// For the event loop's look once a second: submitters that wait, bytes queued, and their bound.
    pub(super) fn waiting(&self) -> (usize, usize, usize) {
        (self.waiting.load(Ordering::Relaxed), self.queued_bytes(), self.limits.queue_bytes)
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

    fn push_short(&mut self, log: &[u8], origin: Origin, partition: PartitionId, slabs: &Slabs) {
        let is_full = |open: &ChunkWriter| open.len() + log.len() + PER_LOG_BYTES > CHUNK_BYTES || !open.has_room_for(log);
        if self.open.as_ref().is_some_and(is_full) {
            self.close_open();
        }
        let open = self.open.get_or_insert_with(|| {
            let mut buffer = std::mem::take(&mut self.rest);
            if buffer.capacity() < ChunkWriter::bytes_for(log) {
                slabs.retire(buffer);
                buffer = slabs.take();
            }
            ChunkWriter::within(origin, partition, buffer)
        });
        open.push(log);
    }

    fn close_open(&mut self) {
        let sealed = self.seal_open();
        self.ready.extend(sealed);
    }

    fn seal_open(&mut self) -> Option<Chunk> {
        let (chunk, rest) = self.open.take()?.split();
        self.rest = rest;
        Some(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RunId;
    use crate::replica::payload::{ChunkPart, LogBytes, Payload};
    use crate::runtime::callbacks::inside_callback;
    use std::sync::mpsc;

    const SOON: Duration = Duration::from_secs(20);
    const LIMITS: IntakeLimits =
        IntakeLimits { queue_bytes: 1 << 20, submit_wait: SOON, max_log_bytes: 4 << 20, fragment_bytes: 256 << 10 };

    /// The poll keeps the wake-up's descriptor alive.
    fn intake(limits: IntakeLimits, gate: Gate) -> (Arc<Intake>, mio::Poll) {
        let poll = mio::Poll::new().unwrap();
        let wakeup = Arc::new(Wakeup::new(poll.registry(), mio::Token(0)).unwrap());
        let origin = Origin { process: ProcessId(1), run: RunId(2) };
        let intake = Intake::new(PartitionId(3), origin, limits, Arc::new(Buffers::new(limits.fragment_bytes)), Arc::default(), wakeup);
        intake.set_gate(gate);
        (Arc::new(intake), poll)
    }

    /// Everything queued, as logs; fragments are joined.
    fn taken(intake: &Intake) -> Vec<Vec<u8>> {
        let mut logs = Vec::new();
        let mut joined = Vec::new();
        while let Some(chunk) = intake.take() {
            match Payload::parse(&chunk.bytes).unwrap() {
                Payload::Logs { logs: run, .. } => logs.extend(run.iter().map(LogBytes::bytes).map(<[u8]>::to_vec)),
                Payload::Fragment { fragment, .. } => {
                    joined.extend_from_slice(&fragment.bytes);
                    if fragment.last {
                        logs.push(std::mem::take(&mut joined));
                    }
                }
                Payload::Control(_) => panic!("an intake makes no control entries"),
            }
        }
        logs
    }

    #[test]
    fn logs_of_every_length_leave_in_the_order_in_which_they_came() {
        let (intake, _poll) = intake(LIMITS, Gate::Open);
        let lengths = [0, 5, OWN_CHUNK_BYTES, OWN_CHUNK_BYTES + 1, 3, 300 << 10, 0, 256 << 10, 1];
        let logs: Vec<Vec<u8>> = lengths.iter().zip(1u8..).map(|(&length, fill)| vec![fill; length]).collect();
        let tickets: Vec<u64> = logs.iter().map(|log| intake.submit(log).unwrap()).collect();
        assert_eq!(tickets, (1..=lengths.len() as u64).collect::<Vec<_>>());
        assert!(intake.is_filled());
        assert_eq!(taken(&intake), logs);
        assert!(!intake.is_filled());
    }

    #[test]
    fn short_logs_share_a_chunk_up_to_its_bound() {
        let (intake, _poll) = intake(LIMITS, Gate::Open);
        (0..100).for_each(|_| assert!(intake.submit(&[7; 1024]).is_ok()));
        let mut chunks = Vec::new();
        while let Some(chunk) = intake.take() {
            assert!(chunk.bytes.len() <= CHUNK_BYTES && chunk.part == ChunkPart::Whole);
            chunks.push(chunk.logs);
        }
        assert_eq!(chunks, [63, 37]);
    }

    #[test]
    fn the_bytes_of_a_chunk_are_released_as_they_were_counted() {
        let (intake, _poll) = intake(LIMITS, Gate::Open);
        [0, 100, 20_000, 600 << 10].into_iter().for_each(|length| assert!(intake.submit(&vec![1; length]).is_ok()));
        assert_eq!(intake.queued_bytes(), 100 + 20_000 + (600 << 10) + 4 * PER_LOG_BYTES);
        while let Some(chunk) = intake.take() {
            intake.release(chunk.queued_bytes);
        }
        assert_eq!(intake.queued_bytes(), 0);
    }

    #[test]
    fn a_closed_gate_refuses_and_names_the_leader_and_what_was_queued_stays_for_the_replica() {
        let (intake, _poll) = intake(LIMITS, Gate::Queue);
        intake.submit(b"kept").unwrap();
        intake.set_gate(Gate::Closed { leader: Some(ProcessId(2)) });
        assert_eq!(intake.submit(b"late"), Err(Refusal::NotLeader(Some(ProcessId(2)))));
        assert_eq!(intake.submit(&vec![0; 20_000]), Err(Refusal::NotLeader(Some(ProcessId(2)))));
        assert_eq!(taken(&intake), [b"kept"]);
        let counters = intake.ledger.counters(0);
        assert_eq!((counters.submitted, counters.accepted, counters.refused), (3, 1, 2));
    }

    #[test]
    fn once_stopped_no_gate_opens_it_again() {
        let (intake, _poll) = intake(LIMITS, Gate::Open);
        intake.stop();
        intake.set_gate(Gate::Open);
        assert_eq!(intake.submit(b"late"), Err(Refusal::Stopped));
    }

    #[test]
    fn a_log_past_the_longest_is_refused_and_leaves_no_trace_in_the_bound() {
        let (intake, _poll) = intake(IntakeLimits { max_log_bytes: 10, ..LIMITS }, Gate::Open);
        assert_eq!(intake.submit(&[0; 11]), Err(Refusal::TooLong { length: 11, max_log_bytes: 10 }));
        assert_eq!(intake.submit(&[0; 10]), Ok(1));
        assert_eq!(intake.queued_bytes(), 10 + PER_LOG_BYTES);
    }

    /// Submits on a thread of its own and waits until that thread waits for room.
    fn blocked_submit(intake: &Arc<Intake>, length: usize) -> mpsc::Receiver<Result<u64, Refusal>> {
        let (sender, result) = mpsc::channel();
        let submitter = intake.clone();
        std::thread::spawn(move || sender.send(submitter.submit(&vec![9; length])));
        let deadline = Instant::now() + SOON;
        while intake.waiting.load(Ordering::SeqCst) == 0 {
            assert!(Instant::now() < deadline, "the submitter did not wait");
            std::thread::yield_now();
        }
        result
    }

    #[test]
    fn a_full_queue_makes_the_submitter_wait_until_bytes_are_released() {
        for length in [1000, 30_000] {
            let (intake, _poll) = intake(IntakeLimits { queue_bytes: 40_000, ..LIMITS }, Gate::Open);
            intake.submit(&vec![1; 39_000]).unwrap();
            let blocked = blocked_submit(&intake, length);
            assert!(blocked.try_recv().is_err());
            intake.release(39_000 + PER_LOG_BYTES);
            assert_eq!(blocked.recv_timeout(SOON), Ok(Ok(2)));
        }
    }

    #[test]
    fn a_wait_ends_when_leadership_is_lost_and_at_shutdown() {
        let (intake, _poll) = intake(IntakeLimits { queue_bytes: 10, ..LIMITS }, Gate::Open);
        intake.submit(b"first").unwrap();
        let blocked = blocked_submit(&intake, 6);
        intake.set_gate(Gate::Closed { leader: None });
        assert_eq!(blocked.recv_timeout(SOON), Ok(Err(Refusal::NotLeader(None))));
        intake.set_gate(Gate::Open);
        let blocked = blocked_submit(&intake, 6);
        intake.stop();
        assert_eq!(blocked.recv_timeout(SOON), Ok(Err(Refusal::Stopped)));
    }

    #[test]
    fn while_leadership_is_handed_over_submitters_wait_and_callbacks_do_not() {
        for length in [6, 20_000] {
            let (intake, _poll) = intake(LIMITS, Gate::Hold);
            assert_eq!(inside_callback(|| intake.submit(b"from a callback")), Ok(1));
            let blocked = blocked_submit(&intake, length);
            assert_eq!(intake.ledger.accepted(), 1);
            intake.set_gate(Gate::Open);
            assert_eq!(blocked.recv_timeout(SOON), Ok(Ok(2)), "the transfer was aborted");
            intake.set_gate(Gate::Hold);
            let blocked = blocked_submit(&intake, length);
            intake.set_gate(Gate::Closed { leader: Some(ProcessId(4)) });
            assert_eq!(blocked.recv_timeout(SOON), Ok(Err(Refusal::NotLeader(Some(ProcessId(4))))));
        }
    }

    #[test]
    fn a_wait_that_takes_too_long_is_a_refusal_with_the_numbers() {
        let wait = Duration::from_millis(20);
        let limits = IntakeLimits { queue_bytes: 10, submit_wait: wait, ..LIMITS };
        let (intake, _poll) = intake(limits, Gate::Open);
        intake.submit(b"first").unwrap();
        let began = Instant::now();
        let refused = intake.submit(b"second");
        assert_eq!(refused, Err(Refusal::QueueFull { waited_ms: 20, queued_bytes: 10, queue_bytes: 10 }));
        assert!(began.elapsed() >= wait);
    }

    #[test]
    fn inside_a_callback_a_log_is_accepted_over_the_bound() {
        let (intake, _poll) = intake(IntakeLimits { queue_bytes: 10, ..LIMITS }, Gate::Open);
        intake.submit(b"first").unwrap();
        assert_eq!(inside_callback(|| intake.submit(b"second")), Ok(2));
        assert_eq!(inside_callback(|| intake.submit(&vec![0; 20_000])), Ok(3));
    }

    #[test]
    fn a_log_longer_than_the_whole_bound_goes_into_an_empty_queue() {
        let (intake, _poll) = intake(IntakeLimits { queue_bytes: 10, ..LIMITS }, Gate::Open);
        assert_eq!(intake.submit(&[0; 11]), Ok(1));
        let blocked = blocked_submit(&intake, 11);
        intake.release(11 + PER_LOG_BYTES);
        assert_eq!(blocked.recv_timeout(SOON), Ok(Ok(2)));
    }

    #[test]
    fn each_threads_logs_keep_their_order_and_none_is_lost_or_repeated() {
        const THREADS: u32 = 4;
        const LOGS: u32 = 2_000;
        let (intake, _poll) = intake(IntakeLimits { queue_bytes: 64 << 10, ..LIMITS }, Gate::Open);
        let submitters: Vec<_> = (0..THREADS)
            .map(|thread| {
                let intake = intake.clone();
                std::thread::spawn(move || {
                    for number in 0..LOGS {
                        let mut log = [thread.to_le_bytes(), number.to_le_bytes()].concat();
                        log.resize(8 + (number as usize % 7) * 3_500, 0);
                        intake.submit(&log).unwrap();
                    }
                })
            })
            .collect();
        let mut next = [0; THREADS as usize];
        let deadline = Instant::now() + SOON;
        while next != [LOGS; THREADS as usize] {
            assert!(Instant::now() < deadline, "stuck at {next:?}");
            let Some(chunk) = intake.take() else {
                std::thread::yield_now();
                continue;
            };
            let Payload::Logs { logs, .. } = Payload::parse(&chunk.bytes).unwrap() else { panic!("whole logs") };
            for log in logs.iter().map(LogBytes::bytes) {
                let thread = u32::from_le_bytes(log[..4].try_into().unwrap()) as usize;
                let number = u32::from_le_bytes(log[4..8].try_into().unwrap());
                assert_eq!(number, next[thread], "thread {thread}");
                next[thread] += 1;
            }
            intake.release(chunk.queued_bytes);
        }
        submitters.into_iter().for_each(|submitter| submitter.join().unwrap());
        assert_eq!((intake.queued_bytes(), intake.is_filled()), (0, false));
        assert_eq!(intake.ledger.accepted(), u64::from(THREADS * LOGS));
    }
}
