//! How quick a disk has been lately.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A write that takes longer is no quick one. A tenth of the default heartbeat interval or less, so that
/// waiting for one delays no heartbeat that anybody would miss.
const QUICK: Duration = Duration::from_millis(1);
/// One slow write is forgotten by a factor of 7/8 per write behind it.
const FORGET_SHIFT: u32 = 3;

/// A maximum that fades: one slow write makes the disk slow for as many writes as it was slow. Written by
/// one thread at a time.
#[derive(Debug)]
pub(super) struct DiskPace {
    recent_ns: AtomicU64,
}

impl Default for DiskPace {
    /// Nothing is known yet: a disk is quick when it has shown so.
    fn default() -> Self {
        Self { recent_ns: AtomicU64::new(2 * QUICK.as_nanos() as u64) }
    }
}

impl DiskPace {
    /// A write, with its sync, took so long.
    pub(super) fn took(&self, time: Duration) {
        let recent = self.recent_ns.load(Ordering::Relaxed);
        let faded = recent - (recent >> FORGET_SHIFT);
        self.recent_ns.store(faded.max(time.as_nanos() as u64), Ordering::Relaxed);
    }

    /// The next write is likely to be quick.
    pub(super) fn is_quick(&self) -> bool {
        self.recent_ns.load(Ordering::Relaxed) < QUICK.as_nanos() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quick_writes_until_quick(pace: &DiskPace) -> usize {
        (0..1000).take_while(|_| {
            pace.took(Duration::from_micros(100));
            !pace.is_quick()
        }).count()
    }

    #[test]
    fn a_disk_is_quick_once_it_has_shown_so() {
        let pace = DiskPace::default();
        assert!(!pace.is_quick());
        assert!((3..10).contains(&quick_writes_until_quick(&pace)));
    }

    #[test]
    fn one_slow_write_is_remembered_for_longer_the_slower_it_was() {
        let after = |slow_ms| {
            let pace = DiskPace::default();
            quick_writes_until_quick(&pace);
            pace.took(Duration::from_millis(slow_ms));
            assert!(!pace.is_quick());
            quick_writes_until_quick(&pace)
        };
        let (short, long) = (after(2), after(200));
        assert!(short < 10 && long > 30, "{short} and {long}");
    }
}
