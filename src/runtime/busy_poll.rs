//! How long the event loop looks for work before it sleeps.
//!
//! To be woken takes longer than most waits of a busy shard last, most of all when the processor had nothing else to do and
//! has halted. So a loop whose waits are short looks on for a while instead, and lets other threads run between two looks.
//! Two things end that. Long waits: a quiet shard's loop sleeps at once. And a thread that was let run and keeps the
//! processor, as those of a busy host do that has more of them than processors: to give way to it costs more than to sleep,
//! since the scheduler prefers who wakes to who gave way.

use std::time::{Duration, Instant};

/// Short waits that make a busy shard.
const BUSY: u32 = 8;
/// As many count at most.
const BUSY_MAX: u32 = 16;
/// A long wait counts against so many short ones.
const LONG: u32 = 4;
/// About what it saves to find work without having slept.
const SAVED: Duration = Duration::from_micros(10);
/// What was saved counts up to this against what giving way cost: less than the time slice of one that wants the
/// processor for itself, more than what a machine that is shared takes away now and then.
const CREDIT_MAX: Duration = Duration::from_millis(2);
/// Giving way for no longer than this is what it is for.
const GIVEN: Duration = Duration::from_micros(250);
/// When giving way cost too much, the loop sleeps at once for so many times that.
const PAUSE: u32 = 64;
/// Twice as long each time that it does again, up to this.
const PAUSE_MAX: Duration = Duration::from_secs(16);

/// What one loop knows of its waits.
#[derive(Debug)]
pub(super) struct BusyPoll {
    max: Duration,
    /// Short waits lately, less what long ones count.
    short: u32,
    credit: Duration,
    pause: Duration,
    /// The loop sleeps at once until then.
    paused_until: Option<Instant>,
}

impl BusyPoll {
    /// For at most `max` in each wait; zero: never.
    pub(super) fn at_most(max: Duration) -> Self {
        Self { max, short: 0, credit: Duration::ZERO, pause: Duration::ZERO, paused_until: None }
    }

    /// For how long to look in the wait that begins.
    pub(super) fn window(&self, now: Instant) -> Duration {
        let paused = self.paused_until.is_some_and(|until| now < until);
        if paused || self.short < BUSY { Duration::ZERO } else { self.max }
    }

    /// Between two looks: lets other threads run. False when it is time to sleep, at `end` or before.
    pub(super) fn give_way(&mut self, end: Instant) -> bool {
        let begun = Instant::now();
        if begun >= end {
            return false;
        }
        std::thread::yield_now();
        let now = Instant::now();
        self.gave_way(now - begun, now);
        !self.window(now).is_zero()
    }

    /// Work was found after so long, without sleep.
    pub(super) fn found(&mut self, after: Duration) {
        self.credit = (self.credit + SAVED).min(CREDIT_MAX);
        self.woken(after);
    }

    /// Work came after so long, to a loop that slept in the end.
    pub(super) fn woken(&mut self, after: Duration) {
        if after > self.max {
            self.nothing_came();
        } else {
            self.short = (self.short + 1).min(BUSY_MAX);
        }
    }

    /// No work came until the clock ended the wait, however soon: a long one.
    pub(super) fn nothing_came(&mut self) {
        self.short = self.short.saturating_sub(LONG);
    }

    /// Others were let run, and took so long until `now`.
    fn gave_way(&mut self, time: Duration, now: Instant) {
        if time <= GIVEN {
            return;
        }
        if let Some(left) = self.credit.checked_sub(time) {
            self.credit = left;
            return;
        }
        self.credit = Duration::ZERO;
        let again = self.paused_until.is_some_and(|until| now < until + self.pause);
        let longer = if again { 2 * self.pause } else { Duration::ZERO };
        self.pause = (PAUSE * time).max(longer).min(PAUSE_MAX);
        self.paused_until = Some(now + self.pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_micros(60);
    const SHORT: Duration = Duration::from_micros(40);
    const LONG_WAIT: Duration = Duration::from_millis(5);
    /// What a thread that computes takes when it is given the processor.
    const SLICE: Duration = Duration::from_millis(4);

    fn busy() -> BusyPoll {
        let mut poll = BusyPoll::at_most(MAX);
        (0..BUSY).for_each(|_| poll.woken(SHORT));
        poll
    }

    #[test]
    fn a_busy_loop_looks_on_and_one_long_wait_does_not_end_it() {
        let (now, mut poll) = (Instant::now(), BusyPoll::at_most(MAX));
        assert_eq!(poll.window(now), Duration::ZERO, "nothing is known yet");
        poll = busy();
        assert_eq!(poll.window(now), MAX);
        for _ in 0..100 {
            (0..BUSY).for_each(|_| poll.found(SHORT));
            poll.woken(LONG_WAIT);
            assert_eq!(poll.window(now), MAX);
        }
        (0..3).for_each(|_| poll.woken(LONG_WAIT));
        assert_eq!(poll.window(now), Duration::ZERO);
    }

    #[test]
    fn a_quiet_loop_sleeps_at_once_although_answers_come_soon() {
        let (now, mut poll) = (Instant::now(), busy());
        for _ in 0..100 {
            // A heartbeat, and what comes back.
            poll.woken(LONG_WAIT);
            poll.woken(SHORT);
            poll.woken(SHORT);
        }
        assert_eq!(poll.window(now), Duration::ZERO);
    }

    #[test]
    fn a_wait_that_the_clock_ends_is_no_sign_of_work() {
        let (now, mut poll) = (Instant::now(), busy());
        (0..3).for_each(|_| poll.nothing_came());
        assert_eq!(poll.window(now), Duration::ZERO);
    }

    #[test]
    fn zero_is_never() {
        let mut poll = BusyPoll::at_most(Duration::ZERO);
        (0..100).for_each(|_| poll.woken(Duration::ZERO));
        assert_eq!(poll.window(Instant::now()), Duration::ZERO);
    }

    /// What happens within `time` when each look gives way to a thread that keeps the processor: how often the loop did.
    fn given_away(poll: &mut BusyPoll, mut now: Instant, time: Duration) -> u32 {
        let (end, mut count) = (now + time, 0);
        while now < end {
            if poll.window(now).is_zero() {
                now += SHORT;
                poll.woken(SHORT);
                continue;
            }
            now += SLICE;
            count += 1;
            poll.gave_way(SLICE, now);
            poll.found(SLICE);
            (0..BUSY).for_each(|_| poll.woken(SHORT));
        }
        count
    }

    #[test]
    fn a_thread_that_keeps_the_processor_is_given_way_to_rarely_and_more_rarely_the_longer_it_goes_on() {
        let (now, mut poll) = (Instant::now(), busy());
        (0..1_000).for_each(|_| poll.found(SHORT));
        assert!(given_away(&mut poll, now, Duration::from_secs(1)) <= 3);
        let minute = Duration::from_secs(60);
        assert!((3..=8).contains(&given_away(&mut poll, now + Duration::from_secs(1), minute)));
    }

    #[test]
    fn the_loop_looks_on_again_when_the_thread_is_gone_and_forgets_it() {
        let (start, mut poll) = (Instant::now(), busy());
        poll.gave_way(SLICE, start);
        assert_eq!(poll.window(start), Duration::ZERO);
        assert_eq!(poll.window(start + PAUSE * SLICE), MAX);
        let later = start + Duration::from_secs(3);
        poll.gave_way(SLICE, later);
        assert_eq!(poll.window(later + PAUSE * SLICE), MAX, "no longer than the first time");
    }

    #[test]
    fn a_pause_is_never_shorter_than_what_was_paid_asks_for() {
        let (start, mut poll) = (Instant::now(), busy());
        poll.gave_way(Duration::from_micros(300), start);
        let again = start + PAUSE * Duration::from_micros(300);
        assert_eq!(poll.window(again), MAX);
        poll.gave_way(SLICE, again);
        assert_eq!(poll.window(again + PAUSE * SLICE - Duration::from_micros(1)), Duration::ZERO);
    }

    #[test]
    fn what_a_shared_machine_takes_away_now_and_then_is_no_reason_to_sleep() {
        let (now, mut poll) = (Instant::now(), busy());
        for _ in 0..100 {
            (0..100).for_each(|_| poll.found(SHORT));
            poll.gave_way(Duration::from_millis(1), now);
            assert_eq!(poll.window(now), MAX);
        }
    }
}
