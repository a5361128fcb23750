//! The host's callbacks: who is called for a log, and how a registration reaches a running lane.
//!
//! A lane owns the callbacks that it calls. A registration never touches those: it leaves the new
//! callback beside them and the lane picks it up before its next call. So no lock is held during a
//! call, a callback may register another for its own partition, and a replaced callback is dropped by
//! the thread that used to call it, between two calls.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use crate::replica::payload::LogBytes;

/// Whose callback: chosen by who executed the log (contract section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallbackRole {
    /// Logs that this run of this process accepted.
    Leader,
    /// Every other log.
    Follower,
}

/// One call of a log callback.
#[derive(Clone, Copy, Debug)]
pub struct LogCall<'a> {
    /// The log; its NUL lies one byte past its end. Valid during the call.
    pub log: LogBytes<'a>,
    /// Its partition.
    pub partition: u32,
    /// Its slot: 1, 2, 3, ...
    pub slot: u64,
}

/// Called on the partition's own thread; returns `timestamp * 10 + status` (contract section 5). The
/// simple forms return 0.
pub type LogCallback = Box<dyn FnMut(LogCall<'_>) -> u32 + Send>;
/// Called on the election thread with a code of `raft.election_codes`.
pub type ElectionCallback = Box<dyn FnMut(i32) + Send>;
/// Called on the partition's own thread with (partition, first ticket, count, delivered or lost), in
/// ticket order per partition. Several partitions call it at the same time.
pub type OutcomeCallback = Box<dyn Fn(u32, u64, u64, Outcome) + Send + Sync>;

/// How an accepted log ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The callback here has returned for it.
    Delivered,
    /// It never will be.
    Lost,
}

thread_local! {
    /// See [`in_callback`]. Const-initialised and without a destructor, so reading it works in C++ `thread_local`
    /// destructors too.
    static INSIDE_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

/// True inside one of the library's callbacks or the destructor of what it owns, and wherever the host's code runs on
/// a thread of the library, in its `thread_local` destructors too. Works during thread exit.
pub fn in_callback() -> bool {
    INSIDE_CALLBACK.try_with(Cell::get).unwrap_or(false)
}

/// This thread is the library's, to its very end: what the host does here, a shutdown would wait for.
pub(crate) fn mark_own_thread() {
    INSIDE_CALLBACK.set(true);
}

/// Runs `call` with [`in_callback`] true on this thread.
pub(crate) fn inside_callback<T>(call: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            INSIDE_CALLBACK.with(|inside| inside.set(self.0));
        }
    }
    let _restore = Restore(INSIDE_CALLBACK.with(|inside| inside.replace(true)));
    call()
}

/// A lock whose holder panicked still guards consistent data here: every critical section of this room
/// only moves values in or out.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the callbacks of one partition are registered. Shared by the registering threads and the lane.
#[derive(Default)]
pub struct PartitionCallbacks {
    arriving: Mutex<Arriving>,
    changed: Condvar,
    /// Grows with each registration; the lane compares it before each call.
    version: AtomicU64,
}

#[derive(Default)]
struct Arriving {
    leader: Option<LogCallback>,
    follower: Option<LogCallback>,
}

impl PartitionCallbacks {
    /// Registers `callback`; the last one of a role wins. While the partition is being delivered, the
    /// lane uses it from the next log on.
    pub fn register(&self, role: CallbackRole, callback: LogCallback) {
        let replaced = {
            let mut arriving = locked(&self.arriving);
            self.version.fetch_add(1, Ordering::Release);
            match role {
                CallbackRole::Leader => arriving.leader.replace(callback),
                CallbackRole::Follower => arriving.follower.replace(callback),
            }
        };
        self.changed.notify_all();
        // The host's destructor runs here: outside the lock.
        drop(replaced);
    }

    /// Forgets what was registered and not picked up by a lane.
    pub fn forget(&self) {
        let forgotten = std::mem::take(&mut *locked(&self.arriving));
        // The host's destructors run here: outside the lock.
        drop(forgotten);
    }

    /// Wakes a lane that waits for a registration, so that it sees that it was stopped.
    pub(super) fn nudge(&self) {
        drop(locked(&self.arriving));
        self.changed.notify_all();
    }

    /// Waits until something is registered beyond `version`, `stopped` says so, or `timeout` passed.
    pub(super) fn wait_change(&self, version: u64, timeout: Duration, stopped: impl Fn() -> bool) {
        let arriving = locked(&self.arriving);
        let unchanged = |_: &mut Arriving| {
            self.version.load(Ordering::Acquire) == version && !stopped()
        };
        drop(self.changed.wait_timeout_while(arriving, timeout, unchanged));
    }
}

/// The callbacks that a lane owns.
#[derive(Default)]
pub(super) struct HeldCallbacks {
    leader: Option<LogCallback>,
    follower: Option<LogCallback>,
    /// The registrations that were looked at.
    pub(super) version: u64,
}

impl HeldCallbacks {
    /// Takes over what was registered since the last call.
    pub(super) fn refresh(&mut self, from: &PartitionCallbacks) {
        if from.version.load(Ordering::Acquire) == self.version {
            return;
        }
        let (leader, follower) = {
            let mut arriving = locked(&from.arriving);
            self.version = from.version.load(Ordering::Acquire);
            (arriving.leader.take(), arriving.follower.take())
        };
        // Replaced ones are dropped here, outside the lock.
        if leader.is_some() {
            self.leader = leader;
        }
        if follower.is_some() {
            self.follower = follower;
        }
    }

    /// The callback for a log: the role's own, else the other role's, else none.
    pub(super) fn choose(&mut self, role: CallbackRole) -> Option<&mut LogCallback> {
        match role {
            CallbackRole::Leader => self.leader.as_mut().or(self.follower.as_mut()),
            CallbackRole::Follower => self.follower.as_mut().or(self.leader.as_mut()),
        }
    }
}

/// Where the election callback is registered.
#[derive(Default)]
pub struct ElectionSlot {
    state: Mutex<ElectionState>,
}

#[derive(Default)]
struct ElectionState {
    callback: Option<ElectionCallback>,
    version: u64,
}

impl ElectionSlot {
    /// Replaces the callback, or removes it. A call that is running ends undisturbed.
    pub fn register(&self, callback: Option<ElectionCallback>) {
        let replaced = {
            let mut state = locked(&self.state);
            state.version += 1;
            std::mem::replace(&mut state.callback, callback)
        };
        drop(replaced);
    }

    /// Calls the callback, if there is one, with no lock held: it may register another.
    pub(super) fn call(&self, code: i32) {
        let (callback, version) = {
            let mut state = locked(&self.state);
            (state.callback.take(), state.version)
        };
        let Some(mut callback) = callback else { return };
        inside_callback(|| callback(code));
        let mut state = locked(&self.state);
        if state.version == version {
            state.callback = Some(callback);
        }
    }
}

/// Where the outcome callback is registered.
#[derive(Default)]
pub struct OutcomeSlot {
    /// So that a process without the callback pays one load per delivery.
    registered: AtomicBool,
    callback: RwLock<Option<Arc<OutcomeCallback>>>,
}

impl OutcomeSlot {
    /// Replaces the callback, or removes it. Calls that are running end undisturbed.
    pub fn register(&self, callback: Option<OutcomeCallback>) {
        let callback = callback.map(Arc::new);
        let replaced = {
            let mut slot = self.callback.write().unwrap_or_else(PoisonError::into_inner);
            self.registered.store(callback.is_some(), Ordering::Release);
            std::mem::replace(&mut *slot, callback)
        };
        drop(replaced);
    }

    /// Tells the host how `count` logs from `first_ticket` on ended.
    pub(super) fn call(&self, partition: u32, first_ticket: u64, count: u64, outcome: Outcome) {
        if count == 0 || !self.registered.load(Ordering::Acquire) {
            return;
        }
        let callback = self.callback.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(callback) = callback {
            inside_callback(|| callback(partition, first_ticket, count, outcome));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_may_replace_itself_from_inside() {
        let slot = Arc::new(ElectionSlot::default());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (inner_slot, first, second) = (slot.clone(), seen.clone(), seen.clone());
        let mut second = Some(second);
        slot.register(Some(Box::new(move |code| {
            locked(&first).push(("first", code));
            let Some(second) = second.take() else { return };
            inner_slot.register(Some(Box::new(move |code| locked(&second).push(("second", code)))));
        })));
        slot.call(1);
        slot.call(0);
        assert_eq!(*locked(&seen), [("first", 1), ("second", 0)]);
    }

    #[test]
    fn the_flag_is_set_inside_and_restored_after_a_panic() {
        assert!(!in_callback());
        inside_callback(|| {
            assert!(in_callback());
            inside_callback(|| ());
            assert!(in_callback(), "an inner call does not end the outer one");
        });
        let panicked = std::panic::catch_unwind(|| inside_callback(|| panic!("as a callback might")));
        assert!(panicked.is_err() && !in_callback());
    }

    #[test]
    fn where_one_role_is_registered_it_serves_both() {
        let callbacks = PartitionCallbacks::default();
        let mut held = HeldCallbacks::default();
        held.refresh(&callbacks);
        assert!(held.choose(CallbackRole::Leader).is_none());
        callbacks.register(CallbackRole::Follower, Box::new(|_| 7));
        held.refresh(&callbacks);
        let log = LogCall { log: LogBytes::new(b"x\0"), partition: 0, slot: 1 };
        assert_eq!(held.choose(CallbackRole::Leader).map(|call| call(log)), Some(7));
        callbacks.register(CallbackRole::Leader, Box::new(|_| 8));
        held.refresh(&callbacks);
        assert_eq!(held.choose(CallbackRole::Leader).map(|call| call(log)), Some(8));
        assert_eq!(held.choose(CallbackRole::Follower).map(|call| call(log)), Some(7));
    }
}
