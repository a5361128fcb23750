//! When a line about something that lasts is due again: one schedule for all rooms. The moment is handed in.

use crate::ids::Time;

/// The pause after the first line; each is twice the one before.
const PAUSE_MS: u64 = 10_000;
const PAUSE_MS_MAX: u64 = 600_000;
/// After so long without a line it is news again. Far above the longest pause, which what lasts leaves as well.
const NEWS_AGAIN_MS: u64 = 2 * PAUSE_MS_MAX;

/// When a line was written last. It outlives the wait that it is about, so that one that comes and goes fills no log.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Repeats {
    /// With the pause that follows.
    last: Option<(Time, u64)>,
}

impl Repeats {
    /// True when the line is due, which then counts as written.
    pub(crate) fn take_turn(&mut self, now: Time) -> bool {
        let next_pause_ms = match self.last {
            None => PAUSE_MS,
            Some((last, pause_ms)) => match now.millis_since(last) {
                quiet_ms if quiet_ms < pause_ms => return false,
                quiet_ms if quiet_ms >= NEWS_AGAIN_MS => PAUSE_MS,
                _ => (2 * pause_ms).min(PAUSE_MS_MAX),
            },
        };
        self.last = Some((now, next_pause_ms));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seconds at which a line is written, of those at which it is asked for.
    fn said_at(seconds: impl Iterator<Item = u64>) -> Vec<u64> {
        let mut repeats = Repeats::default();
        seconds.filter(|&second| repeats.take_turn(Time(0).plus_millis(second * 1_000))).collect()
    }

    #[test]
    fn a_line_comes_at_once_then_after_ten_seconds_then_ever_more_rarely_up_to_ten_minutes() {
        assert_eq!(said_at(0..3_000), [0, 10, 30, 70, 150, 310, 630, 1_230, 1_830, 2_430]);
    }

    #[test]
    fn what_comes_and_goes_is_said_as_rarely_and_after_twenty_minutes_without_it_is_news_again() {
        assert_eq!(said_at((0..100).step_by(9)), [0, 18, 45, 90]);
        assert_eq!(said_at((0..40).chain(1_230..1_270)), [0, 10, 30, 1_230, 1_240, 1_260]);
    }
}
