//! How closely logs follow each other: whether a commit index can wait for the next entries, which carry it.
//!
//! Told by an append of its own, a commit index costs each follower a message, a wake-up and an answer. While logs come one
//! after the other the next append tells it soon enough. Raft leaves the moment open (Ongaro's dissertation, section 3.5): a
//! follower may learn of a commitment at any time.

use crate::ids::Time;

/// The times of the logs that this replica took.
#[derive(Debug)]
pub struct Pace {
    /// A commit index waits for the next log no longer than this after the last one; 0 for not at all.
    wait_us: u64,
    turn: Time,
    last: Option<Time>,
    /// The last two turns that took logs were less than that apart.
    is_close: bool,
}

impl Pace {
    /// No log came yet.
    pub fn new(wait_us: u64) -> Self {
        Self { wait_us, turn: Time(0), last: None, is_close: false }
    }

    /// A turn begins at this time.
    pub fn turn(&mut self, at: Time) {
        self.turn = self.turn.max(at);
    }

    /// Logs were taken in this turn.
    pub fn took_logs(&mut self) {
        if self.last != Some(self.turn) {
            self.is_close = self.last.is_some_and(|last| self.turn < self.plus_wait(last));
            self.last = Some(self.turn);
        }
    }

    /// Until when the next log is waited for; `None` when logs are far between, or were until now.
    pub fn next_log_by(&self) -> Option<Time> {
        let by = self.plus_wait(self.last?);
        (self.is_close && self.turn < by).then_some(by)
    }

    fn plus_wait(&self, time: Time) -> Time {
        Time(time.0.saturating_add(self.wait_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_log_is_waited_for_while_logs_come_closely() {
        let mut pace = Pace::new(1_000);
        let mut take = |at| {
            pace.turn(Time(at));
            pace.took_logs();
            pace.took_logs();
            pace.next_log_by()
        };
        assert_eq!(take(5_000), None, "many logs in one turn say nothing of the next turn");
        assert_eq!(take(6_000), None);
        assert_eq!(take(6_999), Some(Time(7_999)));
        assert_eq!(take(7_500), Some(Time(8_500)));
        pace.turn(Time(8_499));
        assert_eq!(pace.next_log_by(), Some(Time(8_500)));
        pace.turn(Time(8_500));
        assert_eq!(pace.next_log_by(), None, "none came");
        pace.turn(Time(8_600));
        pace.took_logs();
        assert_eq!(pace.next_log_by(), None);
    }

    #[test]
    fn with_a_wait_of_0_nothing_waits() {
        let mut pace = Pace::new(0);
        for at in 0..3 {
            pace.turn(Time(at));
            pace.took_logs();
            assert_eq!(pace.next_log_by(), None);
        }
    }
}
