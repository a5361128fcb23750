//! Waiting for a thread's very end, but not for ever.
//!
//! A thread is not over with its body: behind it run the destructors of the `thread_local` objects that the host
//! made in its callbacks. `JoinHandle::join` waits for them without a bound, and `is_finished` not at all.

use std::os::unix::thread::JoinHandleExt;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// Joins `thread`, or gives it back when it has not ended by `deadline`. One that has ended is joined also after it.
pub(crate) fn join_before(thread: JoinHandle<()>, deadline: Instant) -> Result<(), JoinHandle<()>> {
    let left = deadline.saturating_duration_since(Instant::now());
    // The call goes by the time of day. A clock that is set back meanwhile makes it wait longer.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let until = now.saturating_add(left);
    let until = libc::timespec {
        tv_sec: libc::time_t::try_from(until.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: until.subsec_nanos().into(),
    };
    // SAFETY: the handle is that of a thread which nobody has joined or detached; a null result is allowed.
    let error = unsafe { libc::pthread_timedjoin_np(thread.as_pthread_t(), std::ptr::null_mut(), &until) };
    if error != 0 {
        return Err(thread);
    }
    // It is joined: dropped as it is, the handle would detach it.
    let _joined = thread.into_pthread_t();
    Ok(())
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
