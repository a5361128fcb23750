//! The fate of every log of one partition, in counters, and waiting for it.
//!
//! Each number has one writer (the intake under its lock, or the lane), so accepted + refused =
//! submitted and delivered + lost + outstanding = accepted hold at any moment somebody reads them.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Instant;

use crossbeam::utils::CachePadded;

use super::callbacks::locked;

/// Counters of one partition (contract section 7). accepted + refused = submitted; delivered_own + lost
/// + outstanding = accepted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PartitionCounters {
    /// Logs that were handed to `submit`.
    pub submitted: u64,
    /// Logs that got a ticket.
    pub accepted: u64,
    /// Logs that were not accepted.
    pub refused: u64,
    /// Logs of this run whose callback has returned.
    pub delivered_own: u64,
    /// Logs of other runs whose callback has returned.
    pub delivered_replayed: u64,
    /// Accepted logs that will never be delivered.
    pub lost: u64,
    /// Accepted, and neither delivered nor lost yet.
    pub outstanding: u64,
    /// Bytes that count against `raft.queue_bytes`.
    pub queued_bytes: u64,
    /// Logs in the C++ part's un-replayed queue.
    pub unreplayed: u64,
}

/// The live counters of one partition.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Written by submitters for each log, while the lane writes `delivered_own`: on cache lines of their
    /// own they don't slow each other down.
    accepted: CachePadded<AtomicU64>,
    refused: AtomicU64,
    delivered_own: CachePadded<AtomicU64>,
    delivered_replayed: AtomicU64,
    lost: AtomicU64,
    unreplayed: AtomicU64,
    /// Nothing more will be settled by waiting: leadership is lost for good, or the library stops.
    ended: AtomicBool,
    /// How often that came about. A wait ends with the leadership in which it began, though another may have begun when it looks.
    endings: AtomicU64,
    /// Threads in [`Ledger::wait`].
    waiting: AtomicUsize,
    lock: Mutex<()>,
    settled: Condvar,
}

/// Why a wait returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// What was waited for is delivered or lost.
    Settled,
    /// Leadership is lost for good, or the library stops.
    Ended,
    /// The deadline passed.
    TimedOut,
}

impl Ledger {
    /// The ticket of a log that is accepted now. Called under the intake's lock, before the log can be
    /// seen by anyone else, so `outstanding` is never negative.
    pub(super) fn accept(&self) -> u64 {
        self.accepted.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(super) fn refuse(&self, logs: u64) {
        self.refused.fetch_add(logs, Ordering::Relaxed);
    }

    pub(super) fn add_replayed(&self) {
        self.delivered_replayed.fetch_add(1, Ordering::Relaxed);
    }

    /// Lane: the callback has returned for one log of this run. Returns its ticket.
    pub(super) fn add_delivered(&self) -> u64 {
        let delivered = self.delivered_own.fetch_add(1, Ordering::SeqCst) + 1;
        self.wake_waiting();
        delivered + self.lost.load(Ordering::SeqCst)
    }

    /// Lane: so many accepted logs will never be delivered.
    pub(super) fn add_lost(&self, logs: u64) {
        self.lost.fetch_add(logs, Ordering::SeqCst);
        self.wake_waiting();
    }

    /// Delivered or lost so far: the ticket through which every log's fate is known.
    pub(super) fn settled(&self) -> u64 {
        self.delivered_own.load(Ordering::SeqCst) + self.lost.load(Ordering::SeqCst)
    }

    pub(super) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::SeqCst)
    }

    pub(super) fn outstanding(&self) -> u64 {
        // Read first what can only catch up with the second.
        let settled = self.settled();
        self.accepted() - settled
    }

    pub(super) fn set_unreplayed(&self, logs: u64) {
        self.unreplayed.store(logs, Ordering::Relaxed);
    }

    pub(super) fn unreplayed(&self) -> u64 {
        self.unreplayed.load(Ordering::Relaxed)
    }

    /// Whether waiting makes sense; `true` ends the waits that are under way.
    pub(super) fn set_ended(&self, ended: bool) {
        self.ended.store(ended, Ordering::SeqCst);
        self.endings.fetch_add(u64::from(ended), Ordering::SeqCst);
        self.wake_waiting();
    }

    /// A waiter registers before it looks, the lane stores before it looks for waiters: one of them sees
    /// the other, and the lock keeps the notification from falling between look and sleep.
    fn wake_waiting(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            drop(locked(&self.lock));
            self.settled.notify_all();
        }
    }

    /// Waits until `done` holds, the ledger has ended, or the deadline. `done` reads the ledger.
    pub(super) fn wait(&self, done: impl Fn(&Ledger) -> bool, deadline: Option<Instant>) -> Waited {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let waited = self.wait_registered(done, deadline);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        waited
    }

    fn wait_registered(&self, done: impl Fn(&Ledger) -> bool, deadline: Option<Instant>) -> Waited {
        let endings = self.endings.load(Ordering::SeqCst);
        let mut guard = locked(&self.lock);
        loop {
            if done(self) {
                return Waited::Settled;
            }
            if self.ended.load(Ordering::SeqCst) || self.endings.load(Ordering::SeqCst) != endings {
                return Waited::Ended;
            }
            guard = match deadline {
                None => self.settled.wait(guard).unwrap_or_else(|e| e.into_inner()),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Waited::TimedOut;
                    }
                    self.settled.wait_timeout(guard, left).unwrap_or_else(|e| e.into_inner()).0
                }
            };
        }
    }

    /// A consistent view; `queued_bytes` comes from the intake.
    pub(super) fn counters(&self, queued_bytes: u64) -> PartitionCounters {
        let delivered_own = self.delivered_own.load(Ordering::SeqCst);
        let lost = self.lost.load(Ordering::SeqCst);
        let accepted = self.accepted();
        let refused = self.refused.load(Ordering::Relaxed);
        PartitionCounters {
            submitted: accepted + refused,
            accepted,
            refused,
            delivered_own,
            delivered_replayed: self.delivered_replayed.load(Ordering::Relaxed),
            lost,
            outstanding: accepted - delivered_own - lost,
            queued_bytes,
            unreplayed: self.unreplayed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn a_wait_ends_with_its_leadership_even_if_the_next_one_has_begun_when_it_looks() {
        let ledger = Ledger::default();
        let (look, looked) = mpsc::channel();
        let ledger = &ledger;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                looked.recv().expect("the wait looks");
                // It holds the lock until it sleeps.
                drop(locked(&ledger.lock));
                ledger.set_ended(true);
                ledger.set_ended(false);
            });
            let has_slept = Cell::new(false);
            let done = |ledger: &Ledger| {
                if has_slept.replace(true) {
                    while ledger.ended.load(Ordering::SeqCst) {
                        std::thread::yield_now();
                    }
                } else {
                    look.send(()).expect("the other thread listens");
                }
                false
            };
            let deadline = Instant::now() + Duration::from_secs(10);
            assert_eq!(ledger.wait(done, Some(deadline)), Waited::Ended);
        });
    }
}
