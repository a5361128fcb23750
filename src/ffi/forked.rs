//! A forked child has a copy of this library's memory and none of its threads.
//!
//! A log accepted there would be queued for nobody, a lock that another thread held at the fork stays locked, and
//! sockets, epoll and the data directory's lock are the parent's. So a child of a process whose library is set up
//! is refused at the boundary, until it calls exec.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Once;

use crate::helper::{self, HelperError};

static IN_CHILD: AtomicBool = AtomicBool::new(false);

/// Runs in the child, before fork returns there: two atomics and nothing else.
extern "C" fn note_child() {
    if helper::is_set_up() {
        IN_CHILD.store(true, Ordering::Relaxed);
    }
}

/// From now on a child is recognised.
pub(super) fn watch() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        // SAFETY: the handler is a function of this library, which is never unloaded (-z nodelete), and is
        // async-signal-safe. Where the system has no memory left for it, children are not recognised.
        unsafe { libc::pthread_atfork(None, None, Some(note_child)) };
    });
}

pub(super) fn is_child() -> bool {
    IN_CHILD.load(Ordering::Relaxed)
}

/// `MAKO_RAFT_ORDER` in a forked child.
pub(super) fn refuse() -> Result<(), HelperError> {
    if is_child() {
        let text = "this process was forked from one in which the library is set up: it has none of its threads, and its \
                    sockets and data directory are the parent's; call the library in the parent only, or call exec first";
        return Err(HelperError::Order(text.to_owned()));
    }
    Ok(())
}

/// A line on standard error without the locks that another thread may have held at the fork.
pub(super) fn write_line(message: &str) {
    let line = format!("{message}\n");
    // SAFETY: pointer and length are of one string. What can't be written has nowhere else to go.
    unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len()) };
}
