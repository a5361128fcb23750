//! Keeps a line that repeats from filling the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Lets one line pass per interval, after a burst where it was given one, and counts the others.
#[derive(Debug)]
pub(crate) struct Throttle {
    interval: Duration,
    burst: u32,
    /// Microseconds since the first use of any throttle when the next line would be due, had each line
    /// waited its interval.
    next_us: AtomicU64,
    held_back: AtomicU64,
}

impl Throttle {
    pub(crate) const fn every(interval: Duration) -> Self {
        Self::burst(1, interval)
    }

    /// `burst` lines pass at once; one more may with every interval.
    pub(crate) const fn burst(burst: u32, interval: Duration) -> Self {
        Self { interval, burst, next_us: AtomicU64::new(0), held_back: AtomicU64::new(0) }
    }

    /// `Some(n)` when the line may be written; n lines were held back since the last one.
    pub(crate) fn pass(&self) -> Option<u64> {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        let now_us = ORIGIN.get_or_init(Instant::now).elapsed().as_micros() as u64;
        let interval_us = self.interval.as_micros() as u64;
        let next_us = self.next_us.load(Ordering::Relaxed);
        let following_us = next_us.max(now_us) + interval_us;
        let passes = following_us - now_us <= u64::from(self.burst) * interval_us
            && self
                .next_us
                .compare_exchange(next_us, following_us, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if passes {
            return Some(self.held_back.swap(0, Ordering::Relaxed));
        }
        self.held_back.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_per_interval_passes_and_the_next_tells_how_many_were_held_back() {
        let throttle = Throttle::every(Duration::from_secs(3600));
        assert_eq!(throttle.pass(), Some(0));
        assert_eq!(throttle.pass(), None);
        assert_eq!(throttle.pass(), None);
        throttle.next_us.store(0, Ordering::Relaxed);
        assert_eq!(throttle.pass(), Some(2));
    }

    #[test]
    fn a_burst_passes_whole_and_is_then_one_line_per_interval() {
        let throttle = Throttle::burst(3, Duration::from_secs(3600));
        assert_eq!([(); 5].map(|()| throttle.pass()), [Some(0), Some(0), Some(0), None, None]);
        // One interval less to wait: one line more.
        throttle.next_us.fetch_sub(3_600_000_000, Ordering::Relaxed);
        assert_eq!([throttle.pass(), throttle.pass()], [Some(2), None]);
    }
}
