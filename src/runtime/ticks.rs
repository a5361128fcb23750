//! When the loop's clock ticks: every `raft.tick_ms`, or more rarely while nothing happens.

use std::time::{Duration, Instant};

/// The longest time between two looks at the clock, which the transport asks for.
const SLEEP_MAX: Duration = Duration::from_millis(50);

/// The ticks of one loop.
pub(super) struct Ticks {
    interval: Duration,
    /// When the last tick that was counted was due; `None` before the first.
    last: Option<Instant>,
    /// The next tick that somebody waits for is so many behind that.
    awaited: u32,
}

impl Ticks {
    /// The first tick is due at once.
    pub(super) fn every(interval: Duration) -> Self {
        Self { interval, last: None, awaited: 1 }
    }

    /// Nothing is due for `ticks` ticks, so the ones between may be slept through.
    pub(super) fn sleep_through(&mut self, ticks: u32) {
        let at_most = SLEEP_MAX.as_nanos() / self.interval.as_nanos().max(1);
        self.awaited = ticks.min(u32::try_from(at_most).unwrap_or(u32::MAX)).max(1);
    }

    /// How long until the tick that is waited for.
    pub(super) fn left(&self, now: Instant) -> Duration {
        self.last.map_or(Duration::ZERO, |last| (last + self.interval * self.awaited).saturating_duration_since(now))
    }

    /// How many ticks have passed since the last call. No more than were to be slept through: the others were missed, while
    /// this process or its machine stood still, and are not made up for.
    pub(super) fn passed(&mut self, now: Instant) -> u32 {
        let Some(last) = self.last else {
            self.last = Some(now);
            return 1;
        };
        let passed = now.saturating_duration_since(last).as_nanos() / self.interval.as_nanos().max(1);
        let awaited = std::mem::replace(&mut self.awaited, 1);
        match u32::try_from(passed) {
            Ok(passed) if passed <= awaited => {
                self.last = Some(last + self.interval * passed);
                passed
            }
            _ => {
                self.last = Some(now);
                awaited
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(10);

    #[test]
    fn ticks_that_were_slept_through_are_counted_and_those_that_were_missed_are_not() {
        let (mut ticks, start) = (Ticks::every(TICK), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!((ticks.left(at(0)), ticks.passed(at(0)), ticks.passed(at(9))), (Duration::ZERO, 1, 0));
        assert_eq!((ticks.passed(at(13)), ticks.left(at(13))), (1, Duration::from_millis(7)), "no delay adds up");
        assert_eq!((ticks.passed(at(75)), ticks.left(at(75))), (1, TICK), "missed");
        ticks.sleep_through(4);
        assert_eq!(ticks.left(at(75)), 4 * TICK);
        assert_eq!((ticks.passed(at(103)), ticks.left(at(103))), (2, Duration::from_millis(2)), "woken before");
        ticks.sleep_through(4);
        assert_eq!((ticks.passed(at(139)), ticks.passed(at(145))), (4, 1));
        ticks.sleep_through(4);
        assert_eq!((ticks.passed(at(4_000)), ticks.left(at(4_000))), (4, TICK), "stood still");
        ticks.sleep_through(100);
        assert_eq!(ticks.left(at(4_000)), SLEEP_MAX);
    }
}
