//! The threads of a replica: named, caught when they panic, and joined with a deadline.

use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

use rustix::process::{getrlimit, Resource};

use crate::ffi::joining::join_before;

use super::callbacks::{locked, mark_own_thread};
use super::failure::{panic_text, Failure};

/// What a thread of a C++ program has on the usual Linux, and what code that was written for one may count on.
const HOST_STACK_BYTES: usize = 8 << 20;

/// All threads that were started and not joined.
pub(super) struct Roster {
    failure: Arc<Failure>,
    threads: Mutex<Vec<Member>>,
    /// The system has so many left.
    #[cfg(test)]
    pub(super) left: std::sync::atomic::AtomicUsize,
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
        Self {
            failure,
            threads: Mutex::default(),
            #[cfg(test)]
            left: usize::MAX.into(),
        }
    }

    /// Starts a thread; `name` is at most 15 bytes, or the kernel cuts it. A panic in `body` stops the replica.
    pub(super) fn spawn(&self, name: String, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.start(name, Builder::new(), body)
    }

    /// The same for a thread that runs the host's callbacks: its stack is as large as one that the host starts itself. A
    /// library's `thread_local` objects are taken from it too.
    pub(super) fn spawn_for_host(&self, name: String, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let stack = host_stack_bytes(getrlimit(Resource::Stack).current);
        self.start(name, Builder::new().stack_size(stack), body)
    }

    fn start(&self, name: String, builder: Builder, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
        #[cfg(test)]
        if self.left.fetch_sub(1, Ordering::Relaxed) == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let (failure, own_name) = (self.failure.clone(), name.clone());
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let thread = builder.name(name.clone()).spawn(move || {
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

/// `limit`: the process's for a stack, in bytes; `None` for unlimited.
fn host_stack_bytes(limit: Option<u64>) -> usize {
    let limit = limit.and_then(|bytes| usize::try_from(bytes).ok());
    limit.unwrap_or(0).max(HOST_STACK_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_for_the_host_has_the_processs_limit_for_a_stack_and_no_less_than_is_usual() {
        let mib = |mib: usize| mib << 20;
        let limited = |bytes: usize| host_stack_bytes(Some(bytes as u64));
        assert_eq!((limited(mib(64)), limited(mib(8)), limited(mib(1))), (mib(64), mib(8), mib(8)));
        assert_eq!(host_stack_bytes(None), mib(8), "unlimited is no size");
    }
}
