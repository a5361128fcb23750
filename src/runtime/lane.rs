//! Delivery: one thread per partition for its whole life, which calls the host in slot order.
//!
//! The loop hands over batches and never waits for a lane. A lane that is blocked in a callback holds
//! up its own partition only; what it holds is bounded by the replica, which stops taking payload when
//! too much is undelivered.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::ids::{PartitionId, Slot};
use crate::replica::output::{Delivery, DeliveryBody, LaneItem};
use crate::replica::payload::LogBytes;

use super::callbacks::{
    inside_callback, locked, CallbackRole, HeldCallbacks, LogCall, Outcome, OutcomeSlot, PartitionCallbacks,
};
use super::failure::{panic_text, Failure};
use super::ledger::Ledger;
use super::wake_chain::WakeChain;
use super::wakeup::Wakeup;

/// A loop that sleeps is woken for so many delivered bytes even when it did not ask: a slow member's
/// flow control looks at them, and a tick later would cost bandwidth.
const PROGRESS_BYTES: usize = 1 << 20;
/// How often a lane without a callback says so.
const NO_CALLBACK_WARNING: Duration = Duration::from_secs(10);
/// A buffer for joined logs is kept up to this length, and freed when one log needed more.
const JOIN_BUFFER_KEPT_BYTES: usize = 4 << 20;

/// The side of a lane that others see.
pub(super) struct Lane {
    partition: PartitionId,
    queue: Mutex<LaneQueue>,
    arrived: Condvar,
    stopping: AtomicBool,
    callbacks: Arc<PartitionCallbacks>,
    /// The last slot that was handed over. Written by the loop.
    committed: AtomicU64,
    /// The callbacks have returned for all slots through this one.
    delivered: AtomicU64,
    /// The slot whose callback is running; 0 for none.
    calling: AtomicU64,
    /// Delivery waits for a callback to be registered.
    missing: AtomicBool,
    /// Items handed over, written by the loop, and finished, written by the lane.
    handed: AtomicU64,
    finished: AtomicU64,
}

#[derive(Default)]
struct LaneQueue {
    items: Vec<LaneItem>,
    /// The lane waits for `arrived`: without this each hand-over would be a system call.
    sleeping: bool,
    /// Whoever pushed first since then sees to it.
    is_to_be_woken: bool,
}

impl Lane {
    pub(super) fn new(partition: PartitionId, callbacks: Arc<PartitionCallbacks>) -> Self {
        Self {
            partition,
            queue: Mutex::default(),
            arrived: Condvar::new(),
            stopping: AtomicBool::new(false),
            callbacks,
            committed: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            calling: AtomicU64::new(0),
            missing: AtomicBool::new(false),
            handed: AtomicU64::new(0),
            finished: AtomicU64::new(0),
        }
    }

    /// Loop: hands over `items` in order and leaves an empty vector. True: the lane sleeps, and has to be woken.
    #[must_use]
    pub(super) fn push(&self, items: &mut Vec<LaneItem>) -> bool {
        self.handed.fetch_add(items.len() as u64, Ordering::Relaxed);
        if let Some(slot) = items.iter().rev().find_map(last_slot) {
            self.committed.store(slot.0, Ordering::Relaxed);
        }
        let mut queue = locked(&self.queue);
        if queue.items.is_empty() {
            std::mem::swap(&mut queue.items, items);
        } else {
            queue.items.append(items);
        }
        queue.sleeping && !std::mem::replace(&mut queue.is_to_be_woken, true)
    }

    /// See [`Lane::push`]. False: it sleeps no more, and has looked at what was pushed.
    pub(super) fn wake(&self) -> bool {
        let sleeps = locked(&self.queue).sleeping;
        if sleeps {
            self.arrived.notify_one();
        }
        sleeps
    }

    /// The last slot that was handed over.
    pub(super) fn committed(&self) -> Slot {
        Slot(self.committed.load(Ordering::Relaxed))
    }

    /// The slot through which everything is delivered.
    pub(super) fn delivered(&self) -> Slot {
        Slot(self.delivered.load(Ordering::Acquire))
    }

    /// True when everything that was handed over has been dealt with.
    pub(super) fn is_idle(&self) -> bool {
        self.finished.load(Ordering::Acquire) == self.handed.load(Ordering::Relaxed)
    }

    /// The slot whose callback is running now.
    pub(super) fn calling(&self) -> Option<Slot> {
        Some(self.calling.load(Ordering::Relaxed)).filter(|&slot| slot > 0).map(Slot)
    }

    /// Delivery waits for a callback to be registered.
    pub(super) fn lacks_callback(&self) -> bool {
        self.missing.load(Ordering::Relaxed)
    }

    /// Ends the lane after the callback that is running. Everything accepted and not delivered is then
    /// reported as lost, so nothing may be accepted any more when this is called.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        drop(locked(&self.queue));
        self.arrived.notify_all();
        self.callbacks.nudge();
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Lane: everything that has arrived, in `batch`; false when stopping.
    fn wait_batch(&self, batch: &mut Vec<LaneItem>) -> bool {
        let mut queue = locked(&self.queue);
        while queue.items.is_empty() && !self.is_stopping() {
            queue.sleeping = true;
            queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        (queue.sleeping, queue.is_to_be_woken) = (false, false);
        std::mem::swap(&mut queue.items, batch);
        !self.is_stopping()
    }
}

fn last_slot(item: &LaneItem) -> Option<Slot> {
    match item {
        LaneItem::Deliver(delivery) => Some(Slot(delivery.first_slot.0 + u64::from(delivery.body.logs()) - 1)),
        LaneItem::Lost { .. } => None,
    }
}

/// The lane's own side: owned by its thread.
pub(super) struct LaneThread {
    pub(super) lane: Arc<Lane>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) outcome: Arc<OutcomeSlot>,
    pub(super) wakeup: Arc<Wakeup>,
    pub(super) failure: Arc<Failure>,
    pub(super) chain: Arc<WakeChain>,
}

impl LaneThread {
    /// Everything that has arrived, in `batch`; false when stopping.
    fn wait_batch(&self, batch: &mut Vec<LaneItem>) -> bool {
        let goes_on = self.lane.wait_batch(batch);
        self.chain.pass_on();
        goes_on
    }

    /// The thread's body: delivers until stopped.
    pub(super) fn run(self) {
        let partition = self.lane.partition;
        let delivering = AssertUnwindSafe(|| Delivering::new(&self).run());
        let failed = match catch_unwind(delivering) {
            Ok(ended) => ended.err().map(|reason| format!("the lane of partition {partition}: {reason}")),
            Err(panic) => {
                let slot = self.lane.calling().map_or("between two callbacks".into(), |slot| format!("slot {slot}"));
                Some(format!("the lane of partition {partition} panicked at {slot}: {}", panic_text(&*panic)))
            }
        };
        if let Some(reason) = failed {
            self.failure.report(reason);
            // Nothing may be delivered past a failed log; the loop stops us once the intakes are shut.
            let mut dropped = Vec::new();
            while self.wait_batch(&mut dropped) {
                dropped.clear();
            }
        }
        self.lose_the_rest();
        // What arrived while it ended in the middle of a batch: the lane is kept for its counters, until the next setup.
        let left = std::mem::take(&mut locked(&self.lane.queue).items);
        drop(left);
    }

    /// Whatever was accepted and is not delivered by now never will be.
    fn lose_the_rest(&self) {
        let settled = self.ledger.settled();
        let lost = self.ledger.accepted() - settled;
        if lost > 0 {
            let partition = self.lane.partition;
            log::warn!("partition {partition}: {lost} accepted logs were not delivered and are lost");
            self.ledger.add_lost(lost);
            self.outcome.call(partition.0, settled + 1, lost, Outcome::Lost);
        }
    }
}

/// The delivering loop's own state.
struct Delivering<'a> {
    lane: &'a Lane,
    thread: &'a LaneThread,
    held: HeldCallbacks,
    /// The slot of the last delivered log.
    last: Slot,
    /// Fragments are joined here.
    joined: Vec<u8>,
    unreported_bytes: usize,
}

impl<'a> Delivering<'a> {
    fn new(thread: &'a LaneThread) -> Self {
        Self {
            lane: &thread.lane,
            thread,
            held: HeldCallbacks::default(),
            last: Slot(0),
            joined: Vec::new(),
            unreported_bytes: 0,
        }
    }

    /// `Err`: what was committed can't be delivered, and why.
    fn run(mut self) -> Result<(), String> {
        let mut batch = Vec::new();
        while self.thread.wait_batch(&mut batch) {
            for item in batch.drain(..) {
                if self.lane.is_stopping() {
                    return Ok(());
                }
                self.deal_with(item)?;
                self.lane.finished.fetch_add(1, Ordering::Release);
            }
            self.thread.wakeup.notify_progress();
        }
        Ok(())
    }

    fn deal_with(&mut self, item: LaneItem) -> Result<(), String> {
        match item {
            LaneItem::Deliver(delivery) => self.deliver(&delivery)?,
            LaneItem::Lost { partition, logs } => {
                let first_ticket = self.thread.ledger.settled() + 1;
                self.thread.ledger.add_lost(u64::from(logs));
                self.thread.outcome.call(partition.0, first_ticket, u64::from(logs), Outcome::Lost);
            }
        }
        Ok(())
    }

    fn deliver(&mut self, delivery: &Delivery) -> Result<(), String> {
        let Slot(first_slot) = delivery.first_slot;
        // The other half of the assertion pair of the replica, which numbers the slots.
        assert!(
            self.last == Slot(0) || first_slot == self.last.0 + 1,
            "partition {}: slot {first_slot} follows {}",
            self.lane.partition,
            self.last
        );
        let role = if delivery.executed_here { CallbackRole::Leader } else { CallbackRole::Follower };
        match &delivery.body {
            DeliveryBody::Logs(run) => {
                for (log, slot) in run.iter().zip(first_slot..) {
                    let log = log.map_err(|error| format!("slot {slot}: {error}"))?;
                    self.call(role, log, slot);
                }
            }
            DeliveryBody::Joined { fragments, length } => {
                self.deliver_joined(role, fragments, *length, first_slot);
            }
        }
        self.report(delivery.body.byte_len());
        Ok(())
    }

    fn deliver_joined(&mut self, role: CallbackRole, fragments: &[Bytes], length: usize, slot: u64) {
        let mut joined = std::mem::take(&mut self.joined);
        joined.clear();
        joined.reserve_exact(length + 1);
        fragments.iter().for_each(|fragment| joined.extend_from_slice(fragment));
        assert_eq!(joined.len(), length, "partition {}: slot {slot} is joined whole", self.lane.partition);
        joined.push(0);
        self.call(role, LogBytes::new(&joined), slot);
        if joined.capacity() <= JOIN_BUFFER_KEPT_BYTES {
            self.joined = joined;
        }
    }

    /// Calls the host for one log, unless the lane is stopping.
    fn call(&mut self, role: CallbackRole, log: LogBytes<'_>, slot: u64) {
        self.held.refresh(&self.lane.callbacks);
        if self.lane.is_stopping() || !self.wait_for_callback(role) {
            return;
        }
        let callback = self.held.choose(role).expect("waited for one");
        let partition = self.lane.partition.0;
        self.lane.calling.store(slot, Ordering::Relaxed);
        inside_callback(|| callback(LogCall { log, partition, slot }));
        self.lane.calling.store(0, Ordering::Relaxed);
        self.last = Slot(slot);
        self.lane.delivered.store(slot, Ordering::Release);
        match role {
            // Each by itself: the next callback may take long, or wait for what hangs on this outcome.
            CallbackRole::Leader => {
                let ticket = self.thread.ledger.add_delivered();
                self.thread.outcome.call(partition, ticket, 1, Outcome::Delivered);
            }
            CallbackRole::Follower => self.thread.ledger.add_replayed(),
        }
    }

    /// Waits, with a warning now and then, until a callback is registered; false when stopping.
    fn wait_for_callback(&mut self, role: CallbackRole) -> bool {
        if self.held.choose(role).is_some() {
            return true;
        }
        self.lane.missing.store(true, Ordering::Relaxed);
        while self.held.choose(role).is_none() {
            if self.lane.is_stopping() {
                return false;
            }
            log::warn!(
                "partition {}: no callback is registered, so delivery waits at slot {}; register a leader \
                 or follower callback for it",
                self.lane.partition,
                self.last.0 + 1
            );
            self.lane
                .callbacks
                .wait_change(self.held.version, NO_CALLBACK_WARNING, || self.lane.is_stopping());
            self.held.refresh(&self.lane.callbacks);
        }
        self.lane.missing.store(false, Ordering::Relaxed);
        let (partition, slot) = (self.lane.partition, self.last.0 + 1);
        log::info!("partition {partition}: a callback is registered, delivery goes on at slot {slot}");
        true
    }

    /// Tells the loop of progress if it waits for it or much was delivered.
    fn report(&mut self, bytes: usize) {
        self.unreported_bytes += bytes;
        if self.unreported_bytes >= PROGRESS_BYTES {
            self.unreported_bytes = 0;
            self.thread.wakeup.notify();
        } else {
            self.thread.wakeup.notify_progress();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ProcessId, RunId};
    use crate::replica::payload::{ChunkWriter, Origin, Payload};
    use std::num::NonZeroUsize;
    use std::sync::mpsc::{self, Receiver};

    const SOON: Duration = Duration::from_secs(20);
    const PARTITION: PartitionId = PartitionId(3);

    /// A lane on a thread of its own.
    struct Running {
        lane: Arc<Lane>,
        callbacks: Arc<PartitionCallbacks>,
        ledger: Arc<Ledger>,
        failure: Arc<Failure>,
        outcomes: Receiver<(u64, u64, Outcome)>,
        thread: Option<std::thread::JoinHandle<()>>,
        _poll: mio::Poll,
    }

    impl Running {
        fn new() -> Self {
            Self::in_chain(&Arc::default())
        }

        fn in_chain(chain: &Arc<WakeChain>) -> Self {
            let poll = mio::Poll::new().unwrap();
            let wakeup = Arc::new(Wakeup::new(poll.registry(), mio::Token(0)).unwrap());
            let failure = Arc::new(Failure::new(wakeup.clone()));
            let callbacks = Arc::new(PartitionCallbacks::default());
            let lane = Arc::new(Lane::new(PARTITION, callbacks.clone()));
            let (ledger, outcome) = (Arc::new(Ledger::default()), Arc::new(OutcomeSlot::default()));
            let (sender, outcomes) = mpsc::channel();
            outcome.register(Some(Box::new(move |partition, first, count, how| {
                assert_eq!(partition, PARTITION.0);
                // The test may have ended.
                let _ = sender.send((first, count, how));
            })));
            let thread = LaneThread {
                lane: lane.clone(),
                ledger: ledger.clone(),
                outcome,
                wakeup,
                failure: failure.clone(),
                chain: chain.clone(),
            };
            let thread = Some(std::thread::spawn(move || thread.run()));
            Self { lane, callbacks, ledger, failure, outcomes, thread, _poll: poll }
        }

        /// Registers a callback that reports each call as (role's name, log, slot).
        fn listen(&self, role: CallbackRole, name: &'static str, calls: &mpsc::Sender<Call>) {
            let calls = calls.clone();
            self.callbacks.register(
                role,
                Box::new(move |call| {
                    assert_eq!(call.log.with_nul().last(), Some(&0));
                    let seen = (name, call.log.bytes().to_vec(), call.slot, std::thread::current().id());
                    calls.send(seen).expect("the test listens");
                    0
                }),
            );
        }

        fn push(&self, mut items: Vec<LaneItem>) {
            if self.lane.push(&mut items) {
                self.lane.wake();
            }
            assert!(items.is_empty());
        }

        fn stop(&mut self) {
            self.lane.stop();
            self.thread.take().expect("stopped once").join().expect("a lane catches its panics");
        }
    }

    type Call = (&'static str, Vec<u8>, u64, std::thread::ThreadId);

    fn logs(first_slot: u64, executed_here: bool, logs: &[&[u8]]) -> LaneItem {
        let origin = Origin { process: ProcessId(0), run: RunId(1) };
        let mut writer = ChunkWriter::new(origin, PARTITION, 64);
        logs.iter().for_each(|log| writer.push(log));
        let Payload::Logs { logs, .. } = Payload::parse(&writer.seal().bytes).unwrap() else { panic!("logs") };
        let (first_slot, body) = (Slot(first_slot), DeliveryBody::Logs(logs));
        LaneItem::Deliver(Delivery { partition: PARTITION, first_slot, executed_here, body })
    }

    #[test]
    fn each_log_goes_to_the_callback_of_who_executed_it_in_slot_order_on_one_thread() {
        let mut running = Running::new();
        let (sender, calls) = mpsc::channel();
        running.listen(CallbackRole::Leader, "leader", &sender);
        running.listen(CallbackRole::Follower, "follower", &sender);
        (0..3).for_each(|_| assert!(running.ledger.accept() > 0));
        running.push(vec![logs(1, false, &[b"a", b""]), logs(3, true, &[b"c", b"d"])]);
        let joined = DeliveryBody::Joined { fragments: vec!["lo".into(), "ng".into()], length: 4 };
        let (first_slot, executed_here) = (Slot(5), true);
        running.push(vec![LaneItem::Deliver(Delivery { partition: PARTITION, first_slot, executed_here, body: joined })]);
        let seen: Vec<Call> = (0..5).map(|_| calls.recv_timeout(SOON).unwrap()).collect();
        let expected: [(&str, &[u8], u64); 5] =
            [("follower", b"a", 1), ("follower", b"", 2), ("leader", b"c", 3), ("leader", b"d", 4), ("leader", b"long", 5)];
        assert_eq!(seen.iter().map(|(who, log, slot, _)| (*who, &log[..], *slot)).collect::<Vec<_>>(), expected);
        assert!(seen.iter().all(|call| call.3 == seen[0].3));
        (1..=3).for_each(|ticket| assert_eq!(running.outcomes.recv_timeout(SOON), Ok((ticket, 1, Outcome::Delivered))));
        running.stop();
        assert_eq!((running.lane.delivered(), running.lane.committed()), (Slot(5), Slot(5)));
        let counters = running.ledger.counters(0);
        assert_eq!((counters.delivered_own, counters.delivered_replayed, counters.outstanding), (3, 2, 0));
    }

    #[test]
    fn a_callback_may_wait_for_what_hangs_on_the_outcome_of_the_log_before() {
        let mut running = Running::new();
        (0..2).for_each(|_| assert!(running.ledger.accept() > 0));
        let (go_on, may_go_on) = mpsc::channel();
        let may_go_on = Mutex::new(may_go_on);
        running.callbacks.register(
            CallbackRole::Leader,
            Box::new(move |call| {
                if call.slot == 2 {
                    locked(&may_go_on).recv_timeout(SOON).expect("the first log's outcome is known");
                }
                0
            }),
        );
        running.push(vec![logs(1, true, &[b"a", b"b"])]);
        assert_eq!(running.outcomes.recv_timeout(SOON / 2), Ok((1, 1, Outcome::Delivered)));
        go_on.send(()).unwrap();
        assert_eq!(running.outcomes.recv_timeout(SOON), Ok((2, 1, Outcome::Delivered)));
        running.stop();
    }

    #[test]
    fn delivery_waits_for_a_callback_and_goes_on_when_one_is_registered() {
        let mut running = Running::new();
        running.push(vec![logs(1, true, &[b"a"])]);
        let (sender, calls) = mpsc::channel();
        running.ledger.accept();
        running.listen(CallbackRole::Follower, "only", &sender);
        assert_eq!(calls.recv_timeout(SOON).unwrap().0, "only");
        running.stop();
    }

    /// One lane is woken by the loop, the others each by the one before, although the first one's callback does not return.
    #[test]
    fn lanes_wake_each_other_before_they_call_the_host() {
        const LANES: usize = 20;
        let chain = Arc::new(WakeChain::default());
        let mut lanes: Vec<Running> = (0..LANES).map(|_| Running::in_chain(&chain)).collect();
        let (sender, calls) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let mut blocks = Some(released);
        for (number, running) in lanes.iter().enumerate() {
            let (sender, blocks) = (sender.clone(), blocks.take());
            running.callbacks.register(
                CallbackRole::Follower,
                Box::new(move |call| {
                    sender.send((number, call.slot)).expect("the test listens");
                    if let Some(released) = &blocks {
                        // Ends when the test lets go of the sender.
                        let _ = released.recv_timeout(SOON);
                    }
                    0
                }),
            );
        }
        for slot in 1..=50 {
            let mut asleep = Vec::new();
            for running in &lanes {
                if running.lane.push(&mut vec![logs(slot, false, &[b"a"])]) {
                    asleep.push(running.lane.clone());
                }
            }
            chain.wake(&mut asleep, NonZeroUsize::MIN);
            assert!(asleep.is_empty());
            // All but the first, which still has its first log.
            let expected = if slot == 1 { LANES } else { LANES - 1 };
            let mut called: Vec<_> = (0..expected).map(|_| calls.recv_timeout(SOON).expect("every lane is woken")).collect();
            called.sort_unstable();
            let numbers = (LANES - expected)..LANES;
            assert_eq!(called, numbers.map(|number| (number, slot)).collect::<Vec<_>>());
        }
        drop(release);
        lanes.iter_mut().for_each(Running::stop);
    }

    #[test]
    fn a_lane_without_a_callback_can_be_stopped_and_reports_its_logs_as_lost() {
        let mut running = Running::new();
        (0..2).for_each(|_| assert!(running.ledger.accept() > 0));
        running.push(vec![logs(1, true, &[b"a", b"b"])]);
        running.stop();
        assert_eq!(running.outcomes.recv_timeout(SOON), Ok((1, 2, Outcome::Lost)));
        assert_eq!((running.lane.delivered(), running.ledger.outstanding()), (Slot(0), 0));
    }

    #[test]
    fn a_callback_may_register_its_successor_for_its_own_partition() {
        let mut running = Running::new();
        let (sender, calls) = mpsc::channel();
        let callbacks = running.callbacks.clone();
        running.callbacks.register(
            CallbackRole::Follower,
            Box::new(move |call| {
                let (sender, first) = (sender.clone(), call.slot);
                callbacks.register(
                    CallbackRole::Follower,
                    Box::new(move |call| {
                        sender.send((first, call.slot)).expect("the test listens");
                        0
                    }),
                );
                0
            }),
        );
        running.push(vec![logs(1, false, &[b"a", b"b", b"c"])]);
        assert_eq!(calls.recv_timeout(SOON), Ok((1, 2)));
        assert_eq!(calls.recv_timeout(SOON), Ok((1, 3)));
        running.stop();
    }

    #[test]
    fn lost_logs_are_reported_in_ticket_order_among_the_delivered() {
        let mut running = Running::new();
        let (sender, _calls) = mpsc::channel();
        running.listen(CallbackRole::Leader, "leader", &sender);
        (0..6).for_each(|_| assert!(running.ledger.accept() > 0));
        let lost = LaneItem::Lost { partition: PARTITION, logs: 3 };
        running.push(vec![logs(1, true, &[b"a", b"b"]), lost, logs(3, true, &[b"c"])]);
        let outcomes: Vec<_> = (0..4).map(|_| running.outcomes.recv_timeout(SOON).unwrap()).collect();
        let delivered = |ticket| (ticket, 1, Outcome::Delivered);
        assert_eq!(outcomes, [delivered(1), delivered(2), (3, 3, Outcome::Lost), delivered(6)]);
        running.stop();
    }

    #[test]
    fn stopping_waits_for_the_running_callback_only_and_the_rest_is_lost() {
        let mut running = Running::new();
        let (entered, enters) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        running.callbacks.register(
            CallbackRole::Leader,
            Box::new(move |call| {
                entered.send(call.slot).expect("the test listens");
                released.recv_timeout(SOON).expect("the test releases");
                0
            }),
        );
        (0..3).for_each(|_| assert!(running.ledger.accept() > 0));
        running.push(vec![logs(1, true, &[b"a", b"b", b"c"])]);
        assert_eq!(enters.recv_timeout(SOON), Ok(1));
        assert_eq!(running.lane.calling(), Some(Slot(1)));
        running.lane.stop();
        release.send(()).unwrap();
        running.stop();
        assert_eq!(running.outcomes.recv_timeout(SOON), Ok((1, 1, Outcome::Delivered)));
        assert_eq!(running.outcomes.recv_timeout(SOON), Ok((2, 2, Outcome::Lost)));
        assert!(enters.try_recv().is_err(), "no further call");
    }

    /// Its counters are read until the next setup, its logs by nobody.
    #[test]
    fn a_lane_that_has_ended_keeps_no_log_that_it_did_not_deliver() {
        let mut running = Running::new();
        let (entered, enters) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        running.callbacks.register(
            CallbackRole::Follower,
            Box::new(move |call| {
                entered.send(call.slot).expect("the test listens");
                released.recv_timeout(SOON).expect("the test releases");
                0
            }),
        );
        let kept: [Bytes; 3] = [1, 2, 3].map(|byte| vec![byte; 100].into());
        let joined = |slot: usize| {
            let body = DeliveryBody::Joined { fragments: vec![kept[slot - 1].clone()], length: 100 };
            let first_slot = Slot(slot as u64);
            LaneItem::Deliver(Delivery { partition: PARTITION, first_slot, executed_here: false, body })
        };
        running.push(vec![joined(1), joined(2)]);
        assert_eq!(enters.recv_timeout(SOON), Ok(1));
        running.push(vec![joined(3)]);
        running.lane.stop();
        release.send(()).unwrap();
        running.stop();
        assert_eq!(kept.each_ref().map(|log| log.is_unique()), [true; 3]);
        assert_eq!((running.lane.delivered(), running.lane.committed()), (Slot(1), Slot(3)));
    }

    /// A frame's checksum is the sender's: an entry of a version with a fault comes through.
    #[test]
    fn an_entry_of_which_a_log_does_not_end_stops_the_replica_there() {
        let mut running = Running::new();
        let (sender, calls) = mpsc::channel();
        running.listen(CallbackRole::Follower, "follower", &sender);
        let origin = Origin { process: ProcessId(0), run: RunId(1) };
        let mut writer = ChunkWriter::new(origin, PARTITION, 64);
        [&b"a"[..], b"b"].iter().for_each(|log| writer.push(log));
        let mut bytes = writer.seal().bytes.to_vec();
        *bytes.last_mut().unwrap() = 7;
        let Payload::Logs { logs: broken, .. } = Payload::parse(&bytes.into()).unwrap() else { panic!("logs") };
        let broken = Delivery {
            partition: PARTITION,
            first_slot: Slot(2),
            executed_here: false,
            body: DeliveryBody::Logs(broken),
        };
        running.push(vec![logs(1, false, &[b"x"]), LaneItem::Deliver(broken), logs(4, false, &[b"y"])]);
        let seen: Vec<u64> = (0..2).map(|_| calls.recv_timeout(SOON).unwrap().2).collect();
        assert_eq!(seen, [1, 2]);
        running.stop();
        let reason = running.failure.reason().expect("the replica stopped");
        assert_eq!(reason, "the lane of partition 3: slot 3: entry payload: a log does not end in NUL");
        assert!(calls.try_recv().is_err());
        assert_eq!(running.lane.delivered(), Slot(2));
    }

    #[test]
    fn a_panicking_callback_stops_the_replica_and_nothing_is_delivered_after_it() {
        let mut running = Running::new();
        let (sender, calls) = mpsc::channel();
        running.callbacks.register(
            CallbackRole::Leader,
            Box::new(move |call| {
                sender.send(call.slot).expect("the test listens");
                panic!("a callback that fails")
            }),
        );
        (0..2).for_each(|_| assert!(running.ledger.accept() > 0));
        running.push(vec![logs(1, true, &[b"a", b"b"])]);
        assert_eq!(calls.recv_timeout(SOON), Ok(1));
        running.stop();
        let reason = running.failure.reason().expect("the replica stopped");
        assert!(reason.contains("partition 3") && reason.contains("slot 1"), "{reason}");
        assert!(calls.try_recv().is_err());
        assert_eq!(running.outcomes.recv_timeout(SOON), Ok((1, 2, Outcome::Lost)));
        assert_eq!(running.ledger.outstanding(), 0);
    }
}
