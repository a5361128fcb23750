//! Where each entry lies: a sparse index in memory.
//!
//! A point (16 bytes) for every 64 KiB of log, not for every entry: a log of 100 GiB needs 26 MB, and
//! a log of one-byte entries no more than one of megabytes. Terms are kept as runs.

use super::record::Position;

/// Log bytes between two points. Finding an entry reads at most this much, and one record.
const SPACING_BYTES: u64 = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    first_index: u64,
    at: Position,
}

/// Entries from a point on: they follow each other in one segment, from `at`, as indexes
/// `first_index..end_index`. What comes behind them may have been replaced since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub first_index: u64,
    pub end_index: u64,
    pub at: Position,
}

/// The index of the whole log.
#[derive(Debug, Default)]
pub(super) struct LogIndex {
    points: Vec<Point>,
    /// First index of each run of entries with one term.
    terms: Vec<(u64, u64)>,
    last_index: u64,
    /// Log bytes since the last point.
    since_point: u64,
}

impl LogIndex {
    /// The last entry's index; 0 when there is none.
    pub fn last_index(&self) -> u64 {
        self.last_index
    }

    /// A record with entries (index and term each, in order) was written at `at`. The first index is at
    /// most one behind the last one; what it meets is replaced.
    pub fn add(&mut self, entries: impl Iterator<Item = (u64, u64)>, at: Position, record_bytes: u64) {
        let mut entries = entries.peekable();
        let Some(&(first, _)) = entries.peek() else { return };
        assert!(first >= 1 && first <= self.last_index + 1, "entries follow each other");
        let replaces = first <= self.last_index;
        if replaces {
            self.truncate(first);
        }
        let new_segment = self.points.last().is_none_or(|point| point.at.segment != at.segment);
        if replaces || new_segment || self.since_point >= SPACING_BYTES {
            self.points.push(Point { first_index: first, at });
            self.since_point = 0;
        }
        self.since_point += record_bytes;
        for (index, term) in entries {
            if self.terms.last().is_none_or(|&(_, last)| last != term) {
                self.terms.push((index, term));
            }
            self.last_index = index;
        }
    }

    fn truncate(&mut self, first: u64) {
        self.points.truncate(self.points.partition_point(|point| point.first_index < first));
        self.terms.truncate(self.terms.partition_point(|&(start, _)| start < first));
        self.last_index = first - 1;
    }

    /// The span that holds `index`, or `None` when it is not in the log.
    pub fn span(&self, index: u64) -> Option<Span> {
        if index == 0 || index > self.last_index {
            return None;
        }
        let behind = self.points.partition_point(|point| point.first_index <= index);
        let point = self.points[behind.checked_sub(1).expect("the first point is at index 1")];
        let end_index = self.points.get(behind).map_or(self.last_index + 1, |next| next.first_index);
        Some(Span { first_index: point.first_index, end_index, at: point.at })
    }

    /// The term of the entry at `index`, or `None` when it is not in the log.
    pub fn term(&self, index: u64) -> Option<u64> {
        if index == 0 || index > self.last_index {
            return None;
        }
        let behind = self.terms.partition_point(|&(start, _)| start <= index);
        Some(self.terms[behind - 1].1)
    }

    /// An index from which on there are at least `bytes` bytes of log and few more; 1 when the log is
    /// shorter.
    pub fn start_of_tail(&self, bytes: u64) -> u64 {
        let mut behind = self.since_point;
        let mut next: Option<Point> = None;
        for point in self.points.iter().rev() {
            behind += match next {
                None => 0,
                Some(next) if next.at.segment == point.at.segment => u64::from(next.at.offset - point.at.offset),
                // The end of the former segment is not known here; a little too far back does no harm.
                Some(_) => SPACING_BYTES,
            };
            if behind >= bytes {
                return point.first_index;
            }
            next = Some(*point);
        }
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(segment: u32, offset: u32) -> Position {
        Position { segment, offset }
    }

    #[test]
    fn an_index_needs_a_point_per_64_kib_whatever_the_entries_are() {
        let mut index = LogIndex::default();
        for i in 1..=100_000u64 {
            index.add([(i, 1)].into_iter(), at(1, (i * 64) as u32), 64);
        }
        assert!(index.points.len() <= 100_000 * 64 / (64 << 10) + 1, "{} points", index.points.len());
        let span = index.span(50_000).unwrap();
        assert!(span.first_index <= 50_000 && span.end_index > 50_000);
        assert_eq!(span.at.offset as u64, span.first_index * 64);
    }

    #[test]
    fn replaced_entries_are_found_at_their_new_place_with_their_new_terms() {
        let mut index = LogIndex::default();
        index.add([(1, 1), (2, 1), (3, 2), (4, 2)].into_iter(), at(1, 4096), 100);
        index.add([(3, 5), (4, 6)].into_iter(), at(1, 4200), 100);
        assert_eq!(index.span(2), Some(Span { first_index: 1, end_index: 3, at: at(1, 4096) }));
        assert_eq!(index.span(4), Some(Span { first_index: 3, end_index: 5, at: at(1, 4200) }));
        assert_eq!((1..=5).map(|i| index.term(i)).collect::<Vec<_>>(), [Some(1), Some(1), Some(5), Some(6), None]);
        index.add([(1, 7)].into_iter(), at(2, 4096), 50);
        assert_eq!((index.last_index(), index.term(1), index.term(2)), (1, Some(7), None));
    }
}
