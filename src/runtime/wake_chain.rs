//! Wakes lanes: a few by the loop, the others each by the one before.
//!
//! A turn of the loop may have logs for many lanes that sleep. More of them than there are cores can't run at once, and
//! each wake-up of a thread on another core costs the waker some microseconds, which the loop has not to give. So the
//! loop wakes as many as there are cores, and each lane, before it calls the host, the next one: on its own core.
//!
//! No lane is forgotten: whoever puts lanes into the list wakes one of it, and whoever was woken takes the next one out.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::callbacks::locked;
use super::lane::Lane;

/// The lanes of one process that have logs, sleep, and were not woken yet.
#[derive(Default)]
pub(super) struct WakeChain {
    waiting: Mutex<VecDeque<Arc<Lane>>>,
    /// Of the list above, for those who find it empty.
    length: AtomicUsize,
}

impl WakeChain {
    /// Loop: wakes `lanes`, `at_once` of them by itself, and leaves an empty vector.
    pub(super) fn wake(&self, lanes: &mut Vec<Arc<Lane>>, at_once: NonZeroUsize) {
        let rest = lanes.split_off(lanes.len().min(at_once.get()));
        if !rest.is_empty() {
            let mut waiting = locked(&self.waiting);
            waiting.extend(rest);
            self.length.store(waiting.len(), Ordering::SeqCst);
        }
        // One that woke by itself meanwhile passed on then, and need not do so again.
        let woken = lanes.drain(..).filter(|lane| lane.wake()).count();
        if woken == 0 {
            self.pass_on();
        }
    }

    /// Lane: was woken, and wakes the next.
    pub(super) fn pass_on(&self) {
        if self.length.load(Ordering::SeqCst) == 0 {
            return;
        }
        while let Some(lane) = self.next() {
            // One that woke by itself may be in a callback that does not return: nobody may wait for it.
            if lane.wake() {
                return;
            }
        }
    }

    fn next(&self) -> Option<Arc<Lane>> {
        let mut waiting = locked(&self.waiting);
        let next = waiting.pop_front();
        self.length.store(waiting.len(), Ordering::SeqCst);
        next
    }
}
