//! What stands still in this process: a callback that does not return, a write that does not end, submitters that
//! wait while nothing is committed.
//!
//! The event loop looks once a second; nothing on the hot path pays for it. Each wait has a line when it has lasted,
//! again after ever longer pauses, and one when it is over. What a replica waits for is said by `replica/waiting.rs`.

use std::time::{Duration, Instant};

use crate::replica::output::WaitsFor;

use super::log_writer::LogWriter;
use super::shared::Port;

/// Mako's callbacks wait for other shards, which is no news before it has lasted.
const CALLBACK_PATIENCE: Duration = Duration::from_secs(10);
/// A disk takes milliseconds, a commit as well.
const WRITE_PATIENCE: Duration = Duration::from_secs(1);
const SUBMITTER_PATIENCE: Duration = Duration::from_secs(1);
/// The first pause between two lines about the same wait; doubled each time.
const REPEAT: Duration = Duration::from_secs(10);
const REPEAT_MAX: Duration = Duration::from_secs(600);

/// What there is to say about a wait.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Lasts(Duration),
    Over(Duration),
}

/// A line for the operator.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) level: log::Level,
    pub(super) text: String,
}

/// One thing that may stand still.
#[derive(Debug, Default)]
struct Stand {
    /// At which number it stands, and since when.
    at: Option<(u64, Instant)>,
    /// When the next line is due; none was written before it is set.
    again: Option<(Instant, Duration)>,
}

impl Stand {
    /// `at`: the number that does not move while this stands still; `None` while there is nothing to wait for.
    fn look(&mut self, at: Option<u64>, now: Instant, patience: Duration) -> Option<News> {
        let (number, since) = match (self.at, at) {
            (Some((before, since)), Some(number)) if before == number => (number, since),
            (before, _) => {
                self.at = at.map(|number| (number, now));
                let said = self.again.take();
                return before.filter(|_| said.is_some()).map(|(_, since)| News::Over(now - since));
            }
        };
        debug_assert_eq!(self.at, Some((number, since)));
        let (due, pause) = self.again.unwrap_or((since + patience, REPEAT));
        if now < due {
            return None;
        }
        self.again = Some((now + pause, (2 * pause).min(REPEAT_MAX)));
        Some(News::Lasts(now - since))
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
    pub(super) fn port(&mut self, index: usize, port: &Port, waits_for: WaitsFor, now: Instant, lines: &mut Vec<Line>) {
        let partition = port.partition;
        let calling = port.lane.calling();
        let callback = stand(&mut self.callbacks, index).look(calling.map(|slot| slot.0), now, CALLBACK_PATIENCE);
        lines.extend(callback.map(|news| match news {
            News::Lasts(time) => warning(format!(
                "partition {partition}: the callback of slot {} has been running for {} s: nothing more of this partition \
                 is delivered here until it returns",
                calling.unwrap_or_default(),
                time.as_secs()
            )),
            News::Over(time) => info(format!("partition {partition}: a callback has returned, after {} s", time.as_secs())),
        }));
        let (waiting, queued, bound) = port.intake.waiting();
        let stands_at = (waiting > 0).then(|| port.lane.committed().0);
        let submitters = stand(&mut self.submitters, index).look(stands_at, now, SUBMITTER_PATIENCE);
        lines.extend(submitters.map(|news| match news {
            News::Lasts(time) => warning(format!(
                "partition {partition}: {waiting} submitter(s) wait, and nothing has been committed for {} s: {queued} of \
                 {bound} bytes (raft.queue_bytes) are on their way; this replica waits for {waits_for}",
                time.as_secs()
            )),
            News::Over(time) => info(format!("partition {partition}: submitters go on, after {} s", time.as_secs())),
        }));
    }

    /// Looks at the durable log with this index.
    pub(super) fn writer(&mut self, index: usize, writer: &LogWriter, now: Instant, lines: &mut Vec<Line>) {
        let group = writer.group();
        let stands_at = (writer.unwritten() > 0).then(|| writer.persisted());
        let write = stand(&mut self.writers, index).look(stands_at, now, WRITE_PATIENCE);
        lines.extend(write.map(|news| match news {
            News::Lasts(time) => warning(format!(
                "{group}: the disk has not finished a write for {} s: nothing is acknowledged here until it has; look at \
                 the disk of raft.data_dir",
                time.as_secs()
            )),
            News::Over(time) => info(format!("{group}: the disk has finished a write, after {} s", time.as_secs())),
        }));
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

    #[test]
    fn what_stands_still_is_said_after_its_patience_then_ever_more_rarely_and_once_when_it_moves() {
        let (mut stand, begin) = (Stand::default(), Instant::now());
        let mut lines = Vec::new();
        for second in 0..100 {
            let now = begin + Duration::from_secs(second);
            lines.extend(stand.look(Some(7), now, Duration::from_secs(3)));
        }
        let lasts = |second| News::Lasts(Duration::from_secs(second));
        assert_eq!(lines, [lasts(3), lasts(13), lasts(33), lasts(73)]);
        let moved = stand.look(Some(8), begin + Duration::from_secs(100), Duration::from_secs(3));
        assert_eq!(moved, Some(News::Over(Duration::from_secs(100))));
        assert_eq!(stand.look(None, begin + Duration::from_secs(101), Duration::from_secs(3)), None, "8 was not said");
    }

    #[test]
    fn what_moves_is_never_said() {
        let (mut stand, begin) = (Stand::default(), Instant::now());
        let looks = (0..100).map(|n| stand.look(Some(n), begin + Duration::from_secs(n), Duration::from_secs(2)));
        assert_eq!(looks.flatten().count(), 0);
    }
}
