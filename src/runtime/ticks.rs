//! When the loop's clock ticks: every `raft.tick_ms`, or more rarely while nothing happens.

use std::time::{Duration, Instant};

/// The longest time between two looks at the clock, which the transport asks for: by its deadlines and keep-alives others judge
/// whether this process lives, however rarely the replicas tick.
const SLEEP_MAX: Duration = Duration::from_millis(50);

/// The ticks of one loop.
pub(super) struct Ticks {
    interval: Duration,
    /// When the last tick that was counted was due; `None` before the first.
    last: Option<Instant>,
    /// The next tick that somebody waits for is so many behind that.
    awaited: u32,
    /// When the transport's next look at the clock is due; `None` before the first.
    look_by: Option<Instant>,
}

impl Ticks {
    /// The first tick is due at once.
    pub(super) fn every(interval: Duration) -> Self {
        Self { interval, last: None, awaited: 1, look_by: None }
    }

    /// Nothing is due for `ticks` ticks, so the ones between may be slept through.
    pub(super) fn sleep_through(&mut self, ticks: u32) {
        let at_most = SLEEP_MAX.as_nanos() / self.interval.as_nanos().max(1);
        self.awaited = ticks.min(u32::try_from(at_most).unwrap_or(u32::MAX)).max(1);
    }

    /// How long until the tick that is waited for, or the transport's look before it.
    pub(super) fn left(&self, now: Instant) -> Duration {
        let tick = self.last.map(|last| last + self.interval * self.awaited);
        let due = tick.into_iter().chain(self.look_by).min();
        due.map_or(Duration::ZERO, |due| due.saturating_duration_since(now))
    }

    /// Whether the transport is to look at the clock: with every tick, of which `ticks` have just passed, and between two that
    /// are further apart than it allows. Closer ones come before a look is due, so it wakes nobody.
    pub(super) fn take_look(&mut self, now: Instant, ticks: u32) -> bool {
        let due = ticks > 0 || self.look_by.is_none_or(|by| now >= by);
        if due {
            self.look_by = Some(now + SLEEP_MAX);
        }
        due
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

    #[test]
    fn the_transport_looks_between_ticks_that_are_far_apart_and_else_wakes_nobody() {
        let (mut rare, start) = (Ticks::every(10 * SLEEP_MAX), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let mut looks = 0;
        for ms in 0..1_000 {
            let ticks = rare.passed(at(ms));
            assert_eq!(ticks, u32::from(ms % 500 == 0), "at {ms} ms");
            looks += u32::from(rare.take_look(at(ms), ticks));
            rare.sleep_through(u32::MAX);
            assert!(rare.left(at(ms)) <= SLEEP_MAX && !rare.left(at(ms)).is_zero());
        }
        assert_eq!(looks, 20);

        for interval_ms in [1, 7, 10, 50] {
            let mut ticks = Ticks::every(Duration::from_millis(interval_ms));
            let (mut now, mut wakes) = (0, 0);
            while now < 5_000 {
                let passed = ticks.passed(at(now));
                ticks.take_look(at(now), passed);
                assert!(passed > 0, "woken for the transport at {now} ms, with a tick of {interval_ms} ms");
                ticks.sleep_through(u32::MAX);
                // A sleep ends late.
                now += u64::try_from(ticks.left(at(now)).as_millis()).unwrap() + wakes % 3;
                wakes += 1;
            }
        }
    }
}
