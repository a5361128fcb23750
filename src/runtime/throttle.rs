//! Keeps a line that repeats from filling the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Lets one line pass per interval and counts the others.
#[derive(Debug)]
pub(crate) struct Throttle {
    interval: Duration,
    /// Microseconds since the first use of any throttle when the next line may pass.
    next_us: AtomicU64,
    held_back: AtomicU64,
}

impl Throttle {
    pub(crate) const fn every(interval: Duration) -> Self {
        Self { interval, next_us: AtomicU64::new(0), held_back: AtomicU64::new(0) }
    }

    /// `Some(n)` when the line may be written; n lines were held back since the last one.
    pub(crate) fn pass(&self) -> Option<u64> {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        let now_us = ORIGIN.get_or_init(Instant::now).elapsed().as_micros() as u64;
        let next_us = self.next_us.load(Ordering::Relaxed);
        let following_us = now_us + self.interval.as_micros() as u64;
        let passes = now_us >= next_us
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
}
