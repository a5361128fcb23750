//! The clock that all processes of a run share.

use std::time::Duration;

use rustix::time::{clock_gettime, ClockId};

/// Nanoseconds on CLOCK_MONOTONIC: steady, and the same in every process of this machine, so a log may
/// carry the time at which it was submitted and any replica can subtract.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Sleeps until `at_ns`; returns at once when that has passed.
pub fn sleep_until(at_ns: u64) {
    let left = at_ns.saturating_sub(now_ns());
    if left > 0 {
        std::thread::sleep(Duration::from_nanos(left));
    }
}
