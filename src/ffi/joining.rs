//! Waiting for a thread's very end, but not for ever.
//!
//! A thread is not over with its body: behind it run the destructors of the `thread_local` objects that the host
//! made in its callbacks. `JoinHandle::join` waits for them without a bound, and `is_finished` not at all.

//!
//! The wait goes by the monotonic clock. `pthread_timedjoin_np` takes a time of day, which jumps when somebody sets it: forward, and
//! a thread that needs a second more is left alone at once; back, and the wait is longer by as much. `pthread_clockjoin_np` is in
//! no glibc before 2.31. So the thread is asked whether it has ended, at short intervals: this happens at a shutdown only.

use std::os::unix::thread::JoinHandleExt;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between the first two looks. A thread that was told to end mostly does so at once.
const PAUSE_MIN: Duration = Duration::from_micros(50);
/// Each pause is twice the one before, up to this: a shutdown may be so much later than its last thread.
const PAUSE_MAX: Duration = Duration::from_millis(2);

/// Joins `thread`, or gives it back when it has not ended by `deadline`. One that has ended is joined also after it.
pub(crate) fn join_before(thread: JoinHandle<()>, deadline: Instant) -> Result<(), JoinHandle<()>> {
    let mut pause = PAUSE_MIN;
    loop {
        // SAFETY: the handle is that of a thread which nobody has joined or detached; a null result is allowed.
        let error = unsafe { libc::pthread_tryjoin_np(thread.as_pthread_t(), std::ptr::null_mut()) };
        if error == 0 {
            // It is joined: dropped as it is, the handle would detach it.
            let _joined = thread.into_pthread_t();
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(thread);
        }
        std::thread::sleep(pause.min(left));
        pause = (2 * pause).min(PAUSE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_thread_is_given_back_at_the_deadline_and_joined_once_it_ends() {
        let (release, released) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            // Ends when the test lets go of the sender.
            let _ = released.recv();
        });
        let began = Instant::now();
        let thread = join_before(thread, began + Duration::from_millis(30)).expect_err("it waits for the test");
        assert!(began.elapsed() >= Duration::from_millis(30), "{:?}", began.elapsed());
        let thread = join_before(thread, began).expect_err("the deadline is over, and so is the wait");
        drop(release);
        join_before(thread, Instant::now() + Duration::from_secs(20)).expect("it ends");
    }

    #[test]
    fn a_thread_is_joined_soon_after_its_end_however_long_it_was_waited_for() {
        let thread = std::thread::spawn(|| std::thread::sleep(Duration::from_millis(200)));
        let began = Instant::now();
        join_before(thread, began + Duration::from_secs(60)).expect("it ends");
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }

    #[test]
    fn a_thread_that_has_ended_is_joined_also_after_the_deadline() {
        let past = Instant::now();
        let mut thread = Some(std::thread::spawn(|| ()));
        let patience = past + Duration::from_secs(20);
        while let Some(running) = thread.take() {
            assert!(Instant::now() < patience, "it does nothing, and does not end");
            thread = join_before(running, past).err();
        }
    }
}
