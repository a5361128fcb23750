//! Callbacks as C gives them: function pointer, context, destructor.

use std::ffi::{c_char, c_void};

use crate::helper::{inside_callback, ElectionCallback, LogCall, LogCallback, Outcome, OutcomeCallback};

/// Called once per committed log of a partition.
///
/// `log` points at `len` bytes with a NUL one byte past them; it is never null, also where `len` is
/// 0, belongs to the library and is valid during the call. `slot` is the log's position in the
/// partition: 1, 2, 3, ... without a gap, the same on every replica. All calls of a partition come
/// from one and the same thread, one at a time, in slot order; partitions run in parallel, and a
/// call that blocks holds up its own partition only. That holds until raft.log_memory_bytes (1 GiB) of
/// the shard's logs lie behind it: then a follower takes no more, and a leader makes all submitters
/// wait (docs/operations.md, "The bound on the log in memory").
///
/// Returns timestamp * 10 + status as Mako defines it (see mako_raft_decode_value); return 0 where
/// that has no meaning. The library itself only shows the value in messages.
pub type mako_raft_log_callback = Option<
    unsafe extern "C" fn(
        context: *mut c_void,
        log: *const c_char,
        len: usize,
        partition: u32,
        slot: u64,
    ) -> u32,
>;

/// Called on one thread of the library, in order: `code` is 1 when this process has become the
/// leader, after every log of earlier leaders has been delivered here, and 0 when another run has
/// taken over. raft.election_codes changes or silences the values.
pub type mako_raft_election_callback = Option<unsafe extern "C" fn(context: *mut c_void, code: i32)>;

/// Called on the partition's thread, in ticket order per partition: the `count` logs with the
/// tickets `first_ticket`, `first_ticket` + 1, ... that mako_raft_submit gave out have been
/// delivered here (`delivered` is true: the log callback has returned for them) or are lost
/// (false: they never will be).
pub type mako_raft_outcome_callback = Option<
    unsafe extern "C" fn(
        context: *mut c_void,
        partition: u32,
        first_ticket: u64,
        count: u64,
        delivered: bool,
    ),
>;

/// Receives one message of the library, from any of its threads and from any thread that calls it,
/// several at once. `level` is 1 error, 2 warning, 3 info, 4 debug, 5 trace. `target` names the
/// part of the library, `message` has no newline at its end; both are valid during the call.
/// Messages that the sink itself causes are dropped.
pub type mako_raft_log_sink = Option<
    unsafe extern "C" fn(
        context: *mut c_void,
        level: i32,
        target: *const c_char,
        message: *const c_char,
    ),
>;

/// Frees a callback's context. Called exactly once for each registration; may be null. What is an error
/// inside a callback is one in here too.
pub type mako_raft_destructor = Option<unsafe extern "C" fn(context: *mut c_void)>;

/// The caller's `void*`; its destructor runs when this is dropped, so exactly once on every path.
pub(super) struct Context {
    pointer: *mut c_void,
    destructor: mako_raft_destructor,
}

// SAFETY: the header says that callbacks and destructors may be called on other threads than the
// registering one; the library itself never looks through the pointer.
unsafe impl Send for Context {}
// SAFETY: as above; only the log sink is called from several threads at once, and its typedef says so.
unsafe impl Sync for Context {}

impl Context {
    /// Takes the context over, first thing in every registering function.
    pub(super) fn new(pointer: *mut c_void, destructor: mako_raft_destructor) -> Self {
        Self { pointer, destructor }
    }

    /// A method and not a field, so that closures capture the whole context with its destructor.
    pub(super) fn pointer(&self) -> *mut c_void {
        self.pointer
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if let Some(destructor) = self.destructor {
            // The host's code, as the callback is: what it would wait for may be waiting for it.
            // SAFETY: the caller gave this function for this pointer, and a value is dropped once.
            inside_callback(|| unsafe { destructor(self.pointer) });
        }
    }
}

/// `None` for a null function; the context is then destroyed.
pub(super) fn log_callback(callback: mako_raft_log_callback, context: Context) -> Option<LogCallback> {
    let callback = callback?;
    Some(Box::new(move |call: LogCall<'_>| {
        let log = call.log.with_nul().as_ptr().cast::<c_char>();
        // SAFETY: `log` is valid for `len` bytes and its NUL during the call; the context lives
        // as long as this closure.
        unsafe { callback(context.pointer(), log, call.log.bytes().len(), call.partition, call.slot) }
    }))
}

/// `None` for a null function; the context is then destroyed.
pub(super) fn election_callback(
    callback: mako_raft_election_callback,
    context: Context,
) -> Option<ElectionCallback> {
    let callback = callback?;
    // SAFETY: the context lives as long as this closure.
    Some(Box::new(move |code| unsafe { callback(context.pointer(), code) }))
}

/// `None` for a null function; the context is then destroyed.
pub(super) fn outcome_callback(
    callback: mako_raft_outcome_callback,
    context: Context,
) -> Option<OutcomeCallback> {
    let callback = callback?;
    Some(Box::new(move |partition, first_ticket, count, outcome| {
        let delivered = outcome == Outcome::Delivered;
        // SAFETY: the context lives as long as this closure.
        unsafe { callback(context.pointer(), partition, first_ticket, count, delivered) }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::payload::LogBytes;
    use std::sync::atomic::{AtomicU32, Ordering};

    unsafe extern "C" fn count_destruction(context: *mut c_void) {
        // SAFETY: the tests pass a live counter.
        unsafe { &*context.cast::<AtomicU32>() }.fetch_add(1, Ordering::Relaxed);
    }

    fn counted(counter: &AtomicU32) -> Context {
        Context::new(std::ptr::from_ref(counter).cast_mut().cast(), Some(count_destruction))
    }

    unsafe extern "C" fn length_and_nul(
        _context: *mut c_void,
        log: *const c_char,
        len: usize,
        partition: u32,
        slot: u64,
    ) -> u32 {
        // SAFETY: one byte past the log is its NUL.
        let nul = unsafe { *log.add(len) };
        assert_eq!((nul, partition, slot), (0, 7, 1 << 40));
        len as u32
    }

    #[test]
    fn the_context_is_destroyed_once_after_the_last_call() {
        let destroyed = AtomicU32::new(0);
        let mut callback = log_callback(Some(length_and_nul), counted(&destroyed)).unwrap();
        for log in [&b"abc\0"[..], b"\0"] {
            let call = LogCall { log: LogBytes::new(log), partition: 7, slot: 1 << 40 };
            assert_eq!(callback(call) as usize, log.len() - 1);
        }
        assert_eq!(destroyed.load(Ordering::Relaxed), 0);
        drop(callback);
        assert_eq!(destroyed.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_null_function_destroys_the_context_at_once() {
        let destroyed = AtomicU32::new(0);
        assert!(log_callback(None, counted(&destroyed)).is_none());
        assert!(election_callback(None, counted(&destroyed)).is_none());
        assert!(outcome_callback(None, counted(&destroyed)).is_none());
        assert_eq!(destroyed.load(Ordering::Relaxed), 3);
    }
}
