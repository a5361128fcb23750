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
    /// Submitters that wait, in the order in which they came.
    line: VecDeque<Arc<Waiter>>,
    /// How often the gate has closed.
    closings: u64,
    /// Nothing counts as queued any more.
    is_discarded: bool,
}

/// A submitter that waits for room, or for the end of a transfer of leadership.
struct Waiter {
    /// The room that it needs; 0: it has room.
    cost: usize,
    /// See [`Attempt`].
    closings: u64,
    /// It is the first, or what it waits for is decided.
    turn: Condvar,
}

/// One call of [`Intake::submit`], which may look at the queue twice.
#[derive(Default)]
struct Attempt {
    /// The queue's at the first look. A call that began before the gate closed ends with it, even if logs are taken again:
    /// they are those of another leadership.
    closings: Option<u64>,
    /// The end of all its waits, once it has to.
    deadline: Option<Instant>,
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
    /// How many stand in the queue's line, or are about to; read without the lock.
    waiting: AtomicUsize,
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
                line: VecDeque::new(),
                closings: 0,
                is_discarded: false,
            }),
            filled: AtomicBool::new(false),
            queued_bytes: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
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
            Err(_) => self.ledger.refuse(1),
        }
        accepted
    }

    fn submit_short(&self, log: &[u8]) -> Result<u64, Refusal> {
        let cost = log.len() + PER_LOG_BYTES;
        let mut queue = self.admit(cost, &mut Attempt::default())?;
        self.queued_bytes.fetch_add(cost, Ordering::SeqCst);
        queue.push_short(log, self.origin, self.partition, &self.buffers.short);
        self.filled.store(true, Ordering::Relaxed);
        Ok(self.ledger.accept())
    }

    fn submit_long(&self, log: &[u8]) -> Result<u64, Refusal> {
        // Room is taken before the copy is made, so that copies in the making are bounded too.
        let cost = log.len() + PER_LOG_BYTES;
        let mut attempt = Attempt::default();
        let queue = self.admit(cost, &mut attempt)?;
        self.queued_bytes.fetch_add(cost, Ordering::SeqCst);
        drop(queue);
        let chunks = self.own_chunks(log);
        // The gate may have changed during the copy; there is room already.
        let mut queue = self.admit(0, &mut attempt).inspect_err(|_| self.give_back(cost))?;
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

    /// The lock, once so many bytes may be queued; 0: room for the log was taken before.
    fn admit(&self, cost: usize, attempt: &mut Attempt) -> Result<MutexGuard<'_, Queue>, Refusal> {
        let queue = locked(&self.queue);
        let closings = *attempt.closings.get_or_insert(queue.closings);
        if let Some(refusal) = queue.refusal(closings) {
            return Err(refusal);
        }
        if self.may_pass(&queue, cost) || in_callback() {
            return Ok(queue);
        }
        let deadline = *attempt.deadline.get_or_insert_with(|| Instant::now() + self.limits.submit_wait);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let admitted = self.wait_to_enter(queue, cost, closings, deadline);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        admitted
    }

    /// A log longer than the whole bound goes in when the queue is empty: it would wait for ever otherwise.
    fn may_enter(&self, queue: &Queue, cost: usize) -> bool {
        let queued = self.queued_bytes.load(Ordering::SeqCst);
        let has_room = cost == 0 || queued == 0 || queued + cost <= self.limits.queue_bytes;
        has_room && queue.door != Door::Gate(Gate::Hold)
    }

    /// Whether who comes new goes in before those who wait: only where it leaves room for the first of them, or a log that
    /// needs much room would wait for as long as shorter ones come. Were nobody to pass, each log at a full queue would
    /// cost a wake-up: who runs queues many while the first one wakes.
    fn may_pass(&self, queue: &Queue, cost: usize) -> bool {
        let reserved = queue.line.front().map_or(0, |first| first.cost);
        if cost == 0 || reserved == 0 {
            return self.may_enter(queue, cost);
        }
        let queued = self.queued_bytes.load(Ordering::SeqCst);
        queued + reserved + cost <= self.limits.queue_bytes && queue.door != Door::Gate(Gate::Hold)
    }

    /// The waiter registered before it looks at the bytes, [`Intake::release`] subtracts before it looks
    /// for waiters: one sees the other.
    fn wait_to_enter<'a>(
        &'a self,
        mut queue: MutexGuard<'a, Queue>,
        cost: usize,
        closings: u64,
        deadline: Instant,
    ) -> Result<MutexGuard<'a, Queue>, Refusal> {
        let waiter = Arc::new(Waiter { cost, closings, turn: Condvar::new() });
        queue.line_up(waiter.clone());
        let refusal = loop {
            if let Some(refusal) = queue.refusal(closings) {
                break Some(refusal);
            }
            if queue.is_first(&waiter) && self.may_enter(&queue, cost) {
                break None;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break Some(Refusal::QueueFull {
                    waited_ms: self.limits.submit_wait.as_millis() as u64,
                    queued_bytes: self.queued_bytes.load(Ordering::SeqCst),
                    queue_bytes: self.limits.queue_bytes,
                });
            }
            queue = waiter.turn.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        };
        queue.line.retain(|other| !Arc::ptr_eq(other, &waiter));
        self.wake_first(&queue);
        refusal.map_or(Ok(queue), Err)
    }

    /// Bytes of this partition were committed or lost.
    pub(super) fn release(&self, bytes: usize) {
        let before = self.queued_bytes.fetch_sub(bytes, Ordering::SeqCst);
        debug_assert!(before >= bytes, "partition {}: {bytes} of {before} released", self.partition);
        self.wake_waiting();
    }

    /// A long log's room, of which nothing was used: unless it was forgotten with all others.
    fn give_back(&self, bytes: usize) {
        let queue = locked(&self.queue);
        if !queue.is_discarded {
            self.queued_bytes.fetch_sub(bytes, Ordering::SeqCst);
        }
        drop(queue);
        self.wake_waiting();
    }

    fn wake_waiting(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.wake_first(&locked(&self.queue));
        }
    }

    /// Wakes the first who waits, where it need wait no longer. The others need not look before they are the first: whoever
    /// leaves the line wakes the next.
    fn wake_first(&self, queue: &Queue) {
        let Some(first) = queue.line.front() else { return };
        if queue.refusal(first.closings).is_some() || self.may_enter(queue, first.cost) {
            first.turn.notify_one();
        }
    }

    /// The replica's word on whether logs are accepted. From here on no submission sees the old gate.
    pub(super) fn set_gate(&self, gate: Gate) {
        let mut queue = locked(&self.queue);
        if queue.door == Door::Stopped {
            return;
        }
        queue.door = Door::Gate(gate);
        let closed = matches!(gate, Gate::Closed { .. });
        queue.closings += u64::from(closed);
        drop(queue);
        self.ledger.set_ended(closed);
        self.wake_waiting();
    }

    /// Refuses from here on, whatever the replica says. What was accepted stays queued.
    pub(super) fn stop(&self) {
        locked(&self.queue).door = Door::Stopped;
        self.wake_waiting();
    }

    /// Why a submission that begins now would be refused at once.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        let queue = locked(&self.queue);
        queue.refusal(queue.closings)
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

    /// Frees what is still queued, and the slab, when nobody will take anything any more. What was taken and not decided is
    /// queued no more either: nobody will say of it that it was.
    pub(super) fn discard(&self) {
        let mut queue = locked(&self.queue);
        queue.is_discarded = true;
        self.queued_bytes.store(0, Ordering::SeqCst);
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
    /// Why a log can't be accepted now, whatever its length, whose submission began after so many closings.
    fn refusal(&self, closings: u64) -> Option<Refusal> {
        match self.door {
            Door::Gate(Gate::Closed { leader }) => Some(Refusal::NotLeader(leader)),
            Door::Stopped => Some(Refusal::Stopped),
            // Under `Hold` a log is neither accepted nor refused yet: see `may_enter`.
            Door::Gate(Gate::Open | Gate::Queue | Gate::Suspended | Gate::Hold) if closings == self.closings => None,
            Door::Gate(_) => Some(Refusal::NotLeader(None)),
        }
    }

    /// At the end of the line. Who has room already goes to its head: behind others it would wait for those who wait for
    /// its bytes to leave.
    fn line_up(&mut self, waiter: Arc<Waiter>) {
        if waiter.cost == 0 {
            self.line.push_front(waiter);
        } else {
            self.line.push_back(waiter);
        }
    }

    fn is_first(&self, waiter: &Arc<Waiter>) -> bool {
        self.line.front().is_some_and(|first| Arc::ptr_eq(first, waiter))
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
    use crate::replica::payload::{ChunkPart, Payload};
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
        let intake = Intake::new(PartitionId(3), origin, limits, Arc::new(Buffers::new(limits.fragment_bytes, 1)), Arc::default(), wakeup);
        intake.set_gate(gate);
        (Arc::new(intake), poll)
    }

    /// Everything queued, as logs; fragments are joined.
    fn taken(intake: &Intake) -> Vec<Vec<u8>> {
        let mut logs = Vec::new();
        let mut joined = Vec::new();
        while let Some(chunk) = intake.take() {
            match Payload::parse(&chunk.bytes).unwrap() {
                Payload::Logs { logs: run, .. } => logs.extend(run.iter().map(|log| log.unwrap().bytes().to_vec())),
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
    fn nothing_is_queued_once_nobody_will_take_it_or_say_how_it_ended() {
        let (intake, _poll) = intake(LIMITS, Gate::Open);
        (0..3).for_each(|_| assert!(intake.submit(b"log").is_ok()));
        assert!(intake.take().is_some() && intake.queued_bytes() > 0);
        let queued = intake.queued_bytes();
        intake.queued_bytes.fetch_add(20_000, Ordering::SeqCst);
        intake.stop();
        // Of a long log whose copy was in the making.
        intake.give_back(20_000);
        assert_eq!(intake.queued_bytes(), queued);
        intake.discard();
        intake.give_back(20_000);
        assert_eq!(intake.queued_bytes(), 0);
    }

    #[test]
    fn a_log_past_the_longest_is_refused_and_leaves_no_trace_in_the_bound() {
        let (intake, _poll) = intake(IntakeLimits { max_log_bytes: 10, ..LIMITS }, Gate::Open);
        assert_eq!(intake.submit(&[0; 11]), Err(Refusal::TooLong { length: 11, max_log_bytes: 10 }));
        assert_eq!(intake.submit(&[0; 10]), Ok(1));
        assert_eq!(intake.queued_bytes(), 10 + PER_LOG_BYTES);
    }

    /// Submits on a thread of its own and waits until that thread waits for room, as all others do by then.
    fn blocked_submit(intake: &Arc<Intake>, length: usize) -> mpsc::Receiver<Result<u64, Refusal>> {
        let before = intake.waiting.load(Ordering::SeqCst);
        let (sender, result) = mpsc::channel();
        let submitter = intake.clone();
        std::thread::spawn(move || sender.send(submitter.submit(&vec![9; length])));
        let deadline = Instant::now() + SOON;
        while intake.waiting.load(Ordering::SeqCst) == before {
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
    fn a_wait_ends_with_a_leadership_even_when_the_next_logs_are_kept_at_once() {
        for length in [6, 20_000] {
            let (intake, _poll) = intake(IntakeLimits { queue_bytes: 10, ..LIMITS }, Gate::Queue);
            intake.submit(b"first").unwrap();
            let blocked = blocked_submit(&intake, length);
            intake.set_gate(Gate::Closed { leader: Some(ProcessId(4)) });
            intake.set_gate(Gate::Queue);
            intake.release(5 + PER_LOG_BYTES);
            assert!(matches!(blocked.recv_timeout(SOON), Ok(Err(Refusal::NotLeader(_)))));
            assert!(intake.submit(b"of the next one").is_ok());
        }
    }

    #[test]
    fn long_logs_get_their_turn_at_a_queue_that_short_ones_keep_full() {
        let (intake, _poll) = intake(LIMITS, Gate::Open);
        (0..1_000).for_each(|_| assert!(intake.submit(&[1; 1_024]).is_ok()));
        let release_one = || match intake.take() {
            Some(chunk) => intake.release(chunk.queued_bytes),
            None => std::thread::yield_now(),
        };
        let mut waiting = vec![blocked_submit(&intake, 900 << 10)];
        release_one();
        // There is room for a short one now; and one that is longer than the whole bound can wait for an empty queue.
        waiting.extend([1_024, 2 << 20, 1_024].map(|length| blocked_submit(&intake, length)));
        let deadline = Instant::now() + SOON;
        while intake.ledger.accepted() < 1_004 && Instant::now() < deadline {
            release_one();
        }
        let tickets: Vec<_> = waiting.iter().map(|submitter| submitter.recv_timeout(SOON).unwrap()).collect();
        // A short one may get its ticket while a long one that went in before it is copied.
        assert!(tickets.iter().all(Result::is_ok), "{tickets:?}");
    }

    #[test]
    fn long_and_short_logs_from_many_threads_all_come_in() {
        let (intake, _poll) = intake(IntakeLimits { submit_wait: Duration::from_secs(5), ..LIMITS }, Gate::Open);
        let [done, ended] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let busy = [(); 4].map(|()| {
            let (intake, done) = (intake.clone(), done.clone());
            std::thread::spawn(move || while !done.load(Ordering::Relaxed) {
                intake.submit(&[1; 1_024]).unwrap();
            })
        });
        // Room is made in small steps, and only where it is missed: the queue stays as good as full.
        let taker = {
            let (intake, ended) = (intake.clone(), ended.clone());
            std::thread::spawn(move || loop {
                let is_over = ended.load(Ordering::Relaxed);
                match (is_over || intake.waiting().0 > 0).then(|| intake.take()).flatten() {
                    Some(chunk) => intake.release(chunk.queued_bytes),
                    None if is_over => return,
                    None => std::thread::yield_now(),
                }
            })
        };
        let long = [900 << 10, 2 << 20].map(|length| {
            let intake = intake.clone();
            std::thread::spawn(move || intake.submit(&vec![2; length]))
        });
        let accepted = long.map(|submitter| submitter.join().unwrap());
        done.store(true, Ordering::Relaxed);
        busy.into_iter().for_each(|thread| thread.join().unwrap());
        ended.store(true, Ordering::Relaxed);
        taker.join().unwrap();
        assert!(accepted.iter().all(Result::is_ok), "{accepted:?}");
        assert_eq!(intake.queued_bytes(), 0);
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
    fn a_long_log_that_waits_for_room_and_then_for_a_hand_over_waits_no_longer_for_it() {
        let limits = IntakeLimits { queue_bytes: 10, submit_wait: Duration::from_millis(20), ..LIMITS };
        let (intake, _poll) = intake(limits, Gate::Open);
        intake.submit(b"first").unwrap();
        let mut attempt = Attempt::default();
        assert!(matches!(intake.admit(6, &mut attempt), Err(Refusal::QueueFull { .. })));
        let deadline = attempt.deadline;
        intake.set_gate(Gate::Hold);
        assert!(matches!(intake.admit(0, &mut attempt), Err(Refusal::QueueFull { .. })));
        assert_eq!(attempt.deadline, deadline, "one bound for both");
        assert!(locked(&intake.queue).line.is_empty());
    }

    #[test]
    fn who_comes_new_passes_those_who_wait_only_where_it_leaves_room_for_the_first() {
        let (intake, _poll) = intake(IntakeLimits { queue_bytes: 40_000, ..LIMITS }, Gate::Open);
        let log = |bytes: usize| vec![1; bytes - PER_LOG_BYTES];
        intake.submit(&log(30_000)).unwrap();
        let blocked = blocked_submit(&intake, 15_000 - PER_LOG_BYTES);
        let may_pass = |cost| intake.may_pass(&locked(&intake.queue), cost);
        assert!(!may_pass(1), "there is room, but it is needed");
        // Not yet enough for the first.
        intake.release(4_000);
        assert!(!may_pass(1));
        intake.release(1_000);
        assert_eq!(blocked.recv_timeout(SOON), Ok(Ok(2)));
        assert!(!may_pass(1));
        let blocked = blocked_submit(&intake, 1_000 - PER_LOG_BYTES);
        // As if the first had not woken yet.
        let queue = locked(&intake.queue);
        intake.queued_bytes.fetch_sub(10_000, Ordering::SeqCst);
        assert_eq!((intake.may_pass(&queue, 9_000), intake.may_pass(&queue, 9_001)), (true, false));
        drop(queue);
        intake.wake_waiting();
        assert_eq!(blocked.recv_timeout(SOON), Ok(Ok(3)));
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
            for log in logs.iter().map(|log| log.unwrap().bytes()) {
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
