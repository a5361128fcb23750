//! Reading entries back, from any thread, while the log goes on growing.
//!
//! Records are never overwritten, so a reader needs no lock while it reads: it looks up a place in the
//! index and reads what the appender had finished before. Every record that it touches is checked
//! again, header and body: old data that went bad on the disk becomes an error, never an entry.

use std::io;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use raft::eraftpb::Entry;

use super::directory::Directory;
use super::error::DiskError;
use super::index::{LogIndex, Span};
use super::record::{Batch, Kind, Sections};
use super::segment::{Scanner, Segment};
use crate::storage::OlderEntries;

/// Segments that stay open for reading.
const OPEN_SEGMENTS_MAX: usize = 16;

/// What the appender and the readers share.
pub(super) struct Shared {
    pub directory: Directory,
    pub index: RwLock<LogIndex>,
    /// Open segments, the most recently used last.
    open: Mutex<Vec<Segment>>,
}

impl Shared {
    pub fn new(directory: Directory, index: LogIndex) -> Self {
        Self { directory, index: RwLock::new(index), open: Mutex::new(Vec::new()) }
    }

    fn segment(&self, number: u32) -> Result<Segment, DiskError> {
        let mut open = self.open.lock();
        let segment = match open.iter().position(|segment| segment.number == number) {
            Some(at) => open.remove(at),
            None => Segment::open(&self.directory, number)?,
        };
        if open.len() == OPEN_SEGMENTS_MAX {
            open.remove(0);
        }
        open.push(segment.clone());
        Ok(segment)
    }

    #[cfg(test)]
    pub fn open_segments(&self) -> usize {
        self.open.lock().len()
    }

    /// Entries `low..high` (at least one), as many as hold at most `max_bytes` of data and context.
    pub fn read(&self, low: u64, high: u64, max_bytes: u64) -> io::Result<Vec<Entry>> {
        let mut wanted = Wanted { next: low, high, bytes_left: max_bytes, entries: Vec::new(), full: false };
        while wanted.next < high && !wanted.full {
            let span = self.span(wanted.next)?;
            self.read_span(span, &mut wanted)?;
        }
        Ok(wanted.entries)
    }

    fn span(&self, index: u64) -> io::Result<Span> {
        // One guard: a second one behind it waits for ever when the appender came in between.
        let known = self.index.read();
        known.span(index).ok_or_else(|| unknown(index, &known))
    }

    /// Takes what is wanted from the records of one span.
    fn read_span(&self, span: Span, wanted: &mut Wanted) -> Result<(), DiskError> {
        let segment = self.segment(span.at.segment)?;
        let mut scanner = Scanner::new(&segment);
        let mut offset = u64::from(span.at.offset);
        let mut expected = span.first_index;
        let end = span.end_index.min(wanted.high);
        while wanted.next < end && !wanted.full {
            let damaged = |what: &str| DiskError::corrupt(&segment.path, offset, what);
            let Some((header, body)) = scanner.record(offset)? else {
                return Err(damaged("a record that was whole when it was written is not any more"));
            };
            if header.kind != Kind::Write && header.kind != Kind::Closed {
                return Err(damaged("the segment ends before the entries that the index places in it"));
            }
            if let Some(batch) = Sections::parse(&header, body).map_err(damaged)?.entries {
                if batch.first_index != expected {
                    return Err(damaged("entries that do not follow those before"));
                }
                wanted.take(&batch, end);
                expected = batch.end_index();
            }
            offset += header.record_bytes();
        }
        Ok(())
    }
}

fn unknown(index: u64, known: &LogIndex) -> io::Error {
    let text = format!("durable log: entry {index} is not among 1..={}", known.last_index());
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// What a read still looks for.
struct Wanted {
    next: u64,
    high: u64,
    bytes_left: u64,
    entries: Vec<Entry>,
    full: bool,
}

impl Wanted {
    fn take(&mut self, batch: &Batch, end: u64) {
        if batch.end_index() <= self.next {
            return;
        }
        let first = self.next;
        for entry in batch.entries().skip_while(|entry| entry.index < first).take_while(|e| e.index < end) {
            let bytes = (entry.data.len() + entry.context.len()) as u64;
            if bytes > self.bytes_left && !self.entries.is_empty() {
                self.full = true;
                return;
            }
            self.bytes_left = self.bytes_left.saturating_sub(bytes);
            self.next = entry.index + 1;
            self.entries.push(entry);
        }
    }
}

/// The log's entries, for the replica.
pub(super) struct Reader {
    pub shared: Arc<Shared>,
}

impl OlderEntries for Reader {
    fn read(&self, low: u64, high: u64, max_bytes: u64) -> io::Result<Vec<Entry>> {
        self.shared.read(low, high, max_bytes)
    }

    fn term(&self, index: u64) -> io::Result<u64> {
        let known = self.shared.index.read();
        known.term(index).ok_or_else(|| unknown(index, &known))
    }
}
