//! The threads of a replica: named, caught when they panic, and joined with a deadline.

use std::collections::BTreeSet;
use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use super::callbacks::locked;
use super::failure::{panic_text, Failure};

/// All threads that were started and not joined.
pub(super) struct Roster {
    failure: Arc<Failure>,
    running: Arc<Running>,
    handles: Mutex<Vec<(String, JoinHandle<()>)>>,
}

#[derive(Default)]
struct Running {
    names: Mutex<BTreeSet<String>>,
    ended: Condvar,
}

impl Roster {
    pub(super) fn new(failure: Arc<Failure>) -> Self {
        Self { failure, running: Arc::default(), handles: Mutex::default() }
    }

    /// Starts a thread; `name` is at most 15 bytes, or the kernel cuts it. A panic in `body` stops the replica.
    pub(super) fn spawn(&self, name: String, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let (running, failure, own_name) = (self.running.clone(), self.failure.clone(), name.clone());
        locked(&running.names).insert(name.clone());
        let thread = std::thread::Builder::new().name(name.clone()).spawn(move || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(body)) {
                failure.report(format!("thread {own_name} panicked: {}", panic_text(&*panic)));
            }
            locked(&running.names).remove(&own_name);
            running.ended.notify_all();
        });
        match thread {
            Ok(handle) => {
                locked(&self.handles).push((name, handle));
                Ok(())
            }
            Err(error) => {
                locked(&self.running.names).remove(&name);
                Err(io::Error::new(error.kind(), format!("starting thread {name}: {error}")))
            }
        }
    }

    /// Waits until every thread has ended, or for `deadline`; the names of the others.
    pub(super) fn wait(&self, deadline: Instant) -> Vec<String> {
        let mut names = locked(&self.running.names);
        while !names.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            names = self.running.ended.wait_timeout(names, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        names.iter().cloned().collect()
    }

    /// Joins every thread that ends before `deadline`; the names of the others. Those are left alone.
    pub(super) fn join(&self, deadline: Instant) -> Vec<String> {
        let still_running = self.wait(deadline);
        for (name, handle) in locked(&self.handles).drain(..) {
            // A thread that has left the list is past its last line: this join is short.
            if !still_running.contains(&name) && handle.join().is_err() {
                log::error!("thread {name} panicked outside of its body");
            }
        }
        still_running
    }
}
