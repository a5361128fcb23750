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
    /// Items handed over, written by the loop, and finished, written by the lane.
    handed: AtomicU64,
    finished: AtomicU64,
}

#[derive(Default)]
struct LaneQueue {
    items: Vec<LaneItem>,
    /// The lane waits for `arrived`: without this each hand-over would be a system call.
    sleeping: bool,
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
            handed: AtomicU64::new(0),
            finished: AtomicU64::new(0),
        }
    }

    /// Loop: hands over `items` in order and leaves an empty vector.
    pub(super) fn push(&self, items: &mut Vec<LaneItem>) {
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
        let wake = std::mem::take(&mut queue.sleeping);
        drop(queue);
        if wake {
            self.arrived.notify_one();
        }
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
        queue.sleeping = false;
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
}

impl LaneThread {
    /// The thread's body: delivers until stopped.
    pub(super) fn run(self) {
        let delivering = AssertUnwindSafe(|| Delivering::new(&self).run());
        if let Err(panic) = catch_unwind(delivering) {
            let slot = self.lane.calling().map_or("between two callbacks".into(), |slot| format!("slot {slot}"));
            let partition = self.lane.partition;
            let text = panic_text(&*panic);
            self.failure.report(format!("the lane of partition {partition} panicked at {slot}: {text}"));
            // Nothing may be delivered past a failed log; the loop stops us once the intakes are shut.
            let mut dropped = Vec::new();
            while self.lane.wait_batch(&mut dropped) {
                dropped.clear();
            }
        }
        self.lose_the_rest();
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

    fn run(mut self) {
        let mut batch = Vec::new();
        while self.lane.wait_batch(&mut batch) {
            for item in batch.drain(..) {
                if self.lane.is_stopping() {
                    return;
                }
                self.deal_with(item);
                self.lane.finished.fetch_add(1, Ordering::Release);
            }
            self.thread.wakeup.notify_progress();
        }
    }

    fn deal_with(&mut self, item: LaneItem) {
        match item {
            LaneItem::Deliver(delivery) => self.deliver(&delivery),
            LaneItem::Lost { partition, logs } => {
                let first_ticket = self.thread.ledger.settled() + 1;
                self.thread.ledger.add_lost(u64::from(logs));
                self.thread.outcome.call(partition.0, first_ticket, u64::from(logs), Outcome::Lost);
            }
        }
    }

    fn deliver(&mut self, delivery: &Delivery) {
        let Slot(first_slot) = delivery.first_slot;
        // The other half of the assertion pair of the replica, which numbers the slots.
        assert!(
            self.last == Slot(0) || first_slot == self.last.0 + 1,
            "partition {}: slot {first_slot} follows {}",
            self.lane.partition,
            self.last
        );
        let role = if delivery.executed_here { CallbackRole::Leader } else { CallbackRole::Follower };
        let first_ticket = self.thread.ledger.settled() + 1;
        let done = match &delivery.body {
            DeliveryBody::Logs(run) => {
                let logs = run.iter().zip(first_slot..);
                logs.take_while(|&(log, slot)| self.call(role, log, slot)).count() as u64
            }
            DeliveryBody::Joined { fragments, length } => {
                u64::from(self.deliver_joined(role, fragments, *length, first_slot))
            }
        };
        if delivery.executed_here {
            self.thread.outcome.call(self.lane.partition.0, first_ticket, done, Outcome::Delivered);
        }
        self.report(delivery.body.byte_len());
    }

    fn deliver_joined(&mut self, role: CallbackRole, fragments: &[Bytes], length: usize, slot: u64) -> bool {
        let mut joined = std::mem::take(&mut self.joined);
        joined.clear();
        joined.reserve_exact(length + 1);
        fragments.iter().for_each(|fragment| joined.extend_from_slice(fragment));
        assert_eq!(joined.len(), length, "partition {}: slot {slot} is joined whole", self.lane.partition);
        joined.push(0);
        let called = self.call(role, LogBytes::new(&joined), slot);
        if joined.capacity() <= JOIN_BUFFER_KEPT_BYTES {
            self.joined = joined;
        }
        called
    }

    /// Calls the host for one log; false, without a call, when the lane is stopping.
    fn call(&mut self, role: CallbackRole, log: LogBytes<'_>, slot: u64) -> bool {
        self.held.refresh(&self.lane.callbacks);
        if self.lane.is_stopping() || !self.wait_for_callback(role) {
            return false;
        }
        let callback = self.held.choose(role).expect("waited for one");
        let partition = self.lane.partition.0;
        self.lane.calling.store(slot, Ordering::Relaxed);
        inside_callback(|| callback(LogCall { log, partition, slot }));
        self.lane.calling.store(0, Ordering::Relaxed);
        self.last = Slot(slot);
        self.lane.delivered.store(slot, Ordering::Release);
        match role {
            CallbackRole::Leader => self.thread.ledger.add_delivered(),
            CallbackRole::Follower => self.thread.ledger.add_replayed(),
        }
        true
    }

    /// Waits, with a warning now and then, until a callback is registered; false when stopping.
    fn wait_for_callback(&mut self, role: CallbackRole) -> bool {
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
