//! The threads of a replica: named, caught when they panic, and joined with a deadline.

use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::ffi::joining::join_before;

use super::callbacks::{locked, mark_own_thread};
use super::failure::{panic_text, Failure};

/// All threads that were started and not joined.
pub(super) struct Roster {
    failure: Arc<Failure>,
    threads: Mutex<Vec<Member>>,
}

struct Member {
    name: String,
    /// The last line of ours is behind it.
    is_over: Arc<AtomicBool>,
    handle: JoinHandle<()>,
}

/// A thread that has not ended in time.
pub(super) struct Lingering {
    pub(super) name: String,
    /// What still runs is the host's: destructors of the `thread_local` objects that its callbacks made there.
    pub(super) is_over: bool,
}

impl Roster {
    pub(super) fn new(failure: Arc<Failure>) -> Self {
        Self { failure, threads: Mutex::default() }
    }

    /// Starts a thread; `name` is at most 15 bytes, or the kernel cuts it. A panic in `body` stops the replica.
    pub(super) fn spawn(&self, name: String, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let (failure, own_name) = (self.failure.clone(), name.clone());
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let thread = std::thread::Builder::new().name(name.clone()).spawn(move || {
            mark_own_thread();
            if let Err(panic) = catch_unwind(AssertUnwindSafe(body)) {
                failure.report(format!("thread {own_name} panicked: {}", panic_text(&*panic)));
            }
            over.store(true, Ordering::Release);
        });
        match thread {
            Ok(handle) => {
                locked(&self.threads).push(Member { name, is_over, handle });
                Ok(())
            }
            Err(error) => Err(io::Error::new(error.kind(), format!("starting thread {name}: {error}"))),
        }
    }

    /// Joins every thread that ends before `deadline`, and returns the others, which stay in the list. Who calls it
    /// meanwhile waits for this call first.
    pub(super) fn join(&self, deadline: Instant) -> Vec<Lingering> {
        let mut threads = locked(&self.threads);
        let joined = |Member { name, is_over, handle }| {
            join_before(handle, deadline).err().map(|handle| Member { name, is_over, handle })
        };
        *threads = std::mem::take(&mut *threads).into_iter().filter_map(joined).collect();
        let lingering = |thread: &Member| {
            Lingering { name: thread.name.clone(), is_over: thread.is_over.load(Ordering::Acquire) }
        };
        threads.iter().map(lingering).collect()
    }
}
