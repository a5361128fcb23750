//! What stands still in this process: a callback that does not return, a write that does not end, submitters that
//! wait while nothing is committed.
//!
//! The event loop looks once a second; nothing on the hot path pays for it. Each wait has a line when it has lasted,
//! again after ever longer pauses, and one when it is over. What a replica waits for is said by `replica/waiting.rs`.

use std::time::Duration;

use crate::ids::{GroupId, Time};
use crate::repeats::Repeats;
use crate::replica::output::WaitsFor;

use super::log_writer::LogWriter;
use super::shared::Port;

/// Mako's callbacks wait for other shards, which is no news before it has lasted.
const CALLBACK_PATIENCE_MS: u64 = 10_000;
/// A disk takes milliseconds, a commit as well.
const WRITE_PATIENCE_MS: u64 = 1_000;
const SUBMITTER_PATIENCE_MS: u64 = 1_000;

/// What there is to say about a wait, and how long it has lasted.
#[derive(Debug, PartialEq, Eq)]
enum News {
    LastsMs(u64),
    OverMs(u64),
}

/// A line for the operator.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) level: log::Level,
    pub(super) text: String,
}

impl Line {
    pub(super) fn log(&self) {
        log::log!(self.level, "{}", self.text);
    }
}

/// One thing that may stand still.
#[derive(Debug, Default)]
struct Stand {
    /// At which number it stands, and since when.
    at: Option<(u64, Time)>,
    /// A line was written about this one.
    said: bool,
    /// How often one was written lately, about this one and those before.
    repeats: Repeats,
}

impl Stand {
    /// `at`: the number that does not move while this stands still; `None` while there is nothing to wait for.
    fn look(&mut self, at: Option<u64>, now: Time, patience_ms: u64) -> Option<News> {
        let since = match (self.at, at) {
            (Some((before, since)), Some(number)) if before == number => since,
            (before, _) => {
                self.at = at.map(|number| (number, now));
                let said = std::mem::take(&mut self.said);
                return before.filter(|_| said).map(|(_, since)| News::OverMs(now.millis_since(since)));
            }
        };
        let lasts_ms = now.millis_since(since);
        if lasts_ms < patience_ms || !self.repeats.take_turn(now) {
            return None;
        }
        self.said = true;
        Some(News::LastsMs(lasts_ms))
    }
}

/// Everything that is looked at. Owned by the event loop.
#[derive(Default)]
pub(super) struct Watch {
    callbacks: Vec<Stand>,
    submitters: Vec<Stand>,
    writers: Vec<Stand>,
}

impl Watch {
    /// Looks at the partition with this index. `waits_for` is its replica's word.
    pub(super) fn port(&mut self, index: usize, port: &Port, waits_for: WaitsFor, now: Time, lines: &mut Vec<Line>) {
        let partition = port.partition;
        let calling = port.lane.calling();
        let callback = stand(&mut self.callbacks, index).look(calling.map(|slot| slot.0), now, CALLBACK_PATIENCE_MS);
        lines.extend(callback.map(|news| match news {
            News::LastsMs(ms) => warning(format!(
                "partition {partition}: the callback of slot {} has been running for {} s: nothing more of this partition \
                 is delivered here until it returns",
                calling.unwrap_or_default(),
                ms / 1_000
            )),
            News::OverMs(ms) => info(format!("partition {partition}: a callback has returned, after {} s", ms / 1_000)),
        }));
        let (waiting, queued, bound) = port.intake.waiting();
        let stands_at = (waiting > 0).then(|| port.lane.committed().0);
        let submitters = stand(&mut self.submitters, index).look(stands_at, now, SUBMITTER_PATIENCE_MS);
        lines.extend(submitters.map(|news| match news {
            News::LastsMs(ms) => warning(format!(
                "partition {partition}: {waiting} submitter(s) wait, and nothing has been committed for {} s: {queued} of \
                 {bound} bytes (raft.queue_bytes) are on their way; this replica waits for {waits_for}",
                ms / 1_000
            )),
            News::OverMs(ms) => info(format!("partition {partition}: submitters go on, after {} s", ms / 1_000)),
        }));
    }

    /// Looks at the durable log with this index.
    pub(super) fn writer(&mut self, index: usize, writer: &LogWriter, now: Time, lines: &mut Vec<Line>) {
        let group = writer.group();
        let stands_at = (writer.unwritten() > 0).then(|| writer.persisted());
        let write = stand(&mut self.writers, index).look(stands_at, now, WRITE_PATIENCE_MS);
        lines.extend(write.map(|news| match news {
            News::LastsMs(ms) => warning(format!(
                "{group}: the disk has not finished a write for {} s: nothing is acknowledged here until it has; look at \
                 the disk of raft.data_dir",
                ms / 1_000
            )),
            News::OverMs(ms) => info(format!("{group}: the disk has finished a write, after {} s", ms / 1_000)),
        }));
    }

    /// What there is to say of a write that the loop made by itself: it could not look meanwhile.
    pub(super) fn own_write(group: GroupId, took: Duration) -> Option<Line> {
        let took_ms = took.as_millis();
        let text = || format!("{group}: a write took {took_ms} ms; look at the disk of raft.data_dir");
        (took_ms >= u128::from(WRITE_PATIENCE_MS)).then(|| warning(text()))
    }
}

fn warning(text: String) -> Line {
    Line { level: log::Level::Warn, text }
}

fn info(text: String) -> Line {
    Line { level: log::Level::Info, text }
}

fn stand(stands: &mut Vec<Stand>, index: usize) -> &mut Stand {
    if stands.len() <= index {
        stands.resize_with(index + 1, Stand::default);
    }
    &mut stands[index]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: u64) -> Time {
        Time(0).plus_millis(1_000 * second)
    }

    #[test]
    fn what_stands_still_is_said_after_its_patience_then_ever_more_rarely_and_once_when_it_moves() {
        let mut stand = Stand::default();
        let lines: Vec<News> = (0..100).filter_map(|n| stand.look(Some(7), second(n), 3_000)).collect();
        assert_eq!(lines, [3_000, 13_000, 33_000, 73_000].map(News::LastsMs));
        assert_eq!(stand.look(Some(8), second(100), 3_000), Some(News::OverMs(100_000)));
        assert_eq!(stand.look(None, second(101), 3_000), None, "8 was not said");
    }

    #[test]
    fn what_moves_is_never_said() {
        let mut stand = Stand::default();
        let looks = (0..100).map(|n| stand.look(Some(n), second(n), 2_000));
        assert_eq!(looks.flatten().count(), 0);
    }

    #[test]
    fn what_stands_still_again_and_again_is_said_ever_more_rarely_too() {
        let mut stand = Stand::default();
        let lasts = |news: &News| matches!(news, News::LastsMs(_));
        let looks = (0..100).filter_map(|n| stand.look(Some(n / 5), second(n), 3_000));
        assert_eq!(looks.filter(lasts).count(), 4, "20 of them stood still for their patience");
    }
}
