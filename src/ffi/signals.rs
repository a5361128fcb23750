//! The host's signal handlers run on the host's threads, not on ours.
//!
//! A handler that runs on a lane or on the event loop would find thread-local state that it does not
//! expect, and could delay a heartbeat. A thread inherits the mask of the thread that starts it, so
//! everything that starts our threads runs under [`blocked`]. No disposition is ever changed.
//!
//! The threads that call the host are another matter: what the host starts there, a thread or a program, inherits their
//! mask, and a program that can't be ended by SIGTERM is nobody's wish. They take the mask of who called `setup2`.

use std::cell::Cell;
use std::mem::MaybeUninit;

/// Raised by the thread's own fault: blocking them would only turn a handler's report into a silent
/// death. SIGPROF stays open too, so that the host's profiler sees our threads.
const LEFT_OPEN: [libc::c_int; 8] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGABRT,
    libc::SIGSYS,
    libc::SIGPROF,
];

/// Restores the calling thread's mask when dropped.
struct Restore(Option<libc::sigset_t>);

impl Drop for Restore {
    fn drop(&mut self) {
        if let Some(former) = &self.0 {
            // SAFETY: `former` was filled in by pthread_sigmask; a null old set is allowed.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, former, std::ptr::null_mut()) };
        }
    }
}

thread_local! {
    /// What this thread's mask was before [`blocked`], while that runs.
    static HOSTS: Cell<Option<libc::sigset_t>> = const { Cell::new(None) };
}

/// Runs `start` with signals blocked on this thread, and so on every thread that it starts.
pub(super) fn blocked<T>(start: impl FnOnce() -> T) -> T {
    struct Forget;
    impl Drop for Forget {
        fn drop(&mut self) {
            HOSTS.set(None);
        }
    }
    let former = block();
    let _restore = Restore(former);
    HOSTS.set(former);
    let _forget = Forget;
    start()
}

/// The mask for threads that run the host's callbacks.
#[derive(Clone, Copy)]
pub(crate) struct HostMask(Option<libc::sigset_t>);

impl HostMask {
    /// Of the thread that has called the library. Outside [`blocked`] its own, which new threads inherit anyway.
    pub(crate) fn of_the_caller() -> Self {
        Self(HOSTS.get())
    }

    /// Sets it on this thread, to the thread's end.
    pub(crate) fn take_on(self) {
        drop(Restore(self.0));
    }
}

/// The former mask; `None` when the system refused, which leaves the mask as it was.
fn block() -> Option<libc::sigset_t> {
    let mut ours = MaybeUninit::<libc::sigset_t>::uninit();
    let mut former = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises `ours` before sigdelset and pthread_sigmask read it; `former` is
    // read only after pthread_sigmask returned 0, which means that it was written.
    unsafe {
        libc::sigfillset(ours.as_mut_ptr());
        for signal in LEFT_OPEN {
            libc::sigdelset(ours.as_mut_ptr(), signal);
        }
        let refused = libc::pthread_sigmask(libc::SIG_BLOCK, ours.as_ptr(), former.as_mut_ptr());
        (refused == 0).then(|| former.assume_init())
    }
}

/// Runs `write` so that a reader of standard error that is gone costs the line, and not the host its life: its own
/// threads log too, and do not block SIGPIPE. One that was pending before stays so.
pub(super) fn without_sigpipe(write: impl FnOnce()) {
    let mut ours = MaybeUninit::<libc::sigset_t>::uninit();
    let mut former = MaybeUninit::<libc::sigset_t>::uninit();
    let mut pending = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises `ours` before it is read; `pending` and `former` are read only after the call
    // that fills them returned 0.
    let (ours, was_pending, _restore) = unsafe {
        libc::sigemptyset(ours.as_mut_ptr());
        libc::sigaddset(ours.as_mut_ptr(), libc::SIGPIPE);
        let ours = ours.assume_init();
        let seen = libc::sigpending(pending.as_mut_ptr()) == 0;
        let was_pending = seen && libc::sigismember(pending.as_ptr(), libc::SIGPIPE) == 1;
        let refused = libc::pthread_sigmask(libc::SIG_BLOCK, &ours, former.as_mut_ptr());
        (ours, was_pending, Restore((refused == 0).then(|| former.assume_init())))
    };
    write();
    if !was_pending {
        let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: takes the SIGPIPE that `write` may have raised on this thread; a null info is allowed.
        unsafe { libc::sigtimedwait(&ours, std::ptr::null_mut(), &at_once) };
    }
}

/// This thread's mask as the kernel reports it, one bit per signal from 1.
#[cfg(test)]
pub(super) fn mask() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).expect("a mask");
    u64::from_str_radix(line.trim(), 16).expect("hexadecimal")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_blocked(mask: u64, signal: libc::c_int) -> bool {
        mask & (1 << (signal - 1)) != 0
    }

    #[test]
    fn a_thread_started_under_it_takes_no_signals_but_its_own_faults_and_the_starter_is_as_before() {
        let before = mask();
        let started = blocked(|| std::thread::spawn(mask).join().expect("it only reads"));
        assert!(is_blocked(started, libc::SIGTERM) && is_blocked(started, libc::SIGUSR1));
        assert!(!is_blocked(started, libc::SIGSEGV) && !is_blocked(started, libc::SIGPROF));
        assert_eq!(mask(), before);
    }

    #[test]
    fn a_thread_that_calls_the_host_has_the_mask_of_the_caller() {
        let usual = std::thread::spawn(|| {
            let mut one = MaybeUninit::<libc::sigset_t>::uninit();
            // SAFETY: sigemptyset initialises the set before it is read; a null old set is allowed.
            unsafe {
                libc::sigemptyset(one.as_mut_ptr());
                libc::sigaddset(one.as_mut_ptr(), libc::SIGUSR2);
                libc::pthread_sigmask(libc::SIG_BLOCK, one.as_ptr(), std::ptr::null_mut());
            }
            let calling = || {
                let host = HostMask::of_the_caller();
                let take_on = move || {
                    host.take_on();
                    mask()
                };
                std::thread::spawn(take_on).join().expect("it only reads")
            };
            assert_eq!((blocked(calling), calling()), (mask(), mask()), "inside and outside");
            mask()
        });
        let usual = usual.join().expect("its assertions hold");
        assert!(is_blocked(usual, libc::SIGUSR2) && !is_blocked(usual, libc::SIGTERM));
    }

    #[test]
    fn a_write_to_a_reader_that_is_gone_raises_no_signal_and_leaves_none_pending() {
        use std::io::Write as _;
        // The signal's default ends the process; Rust's test harness ignores it, so ask for what a C++ host has.
        // SAFETY: no other thread of this test changes it, and the former disposition is put back.
        let former = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let before = mask();
        let mut written = Ok(());
        without_sigpipe(|| written = writer.write_all(b"line"));
        assert_eq!(written.expect_err("nobody reads").kind(), std::io::ErrorKind::BrokenPipe);
        assert_eq!(mask(), before);
        // SAFETY: as above.
        unsafe { libc::signal(libc::SIGPIPE, former) };
    }
}
