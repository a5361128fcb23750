//! The Raft log as raft-rs reads it: a window in memory, with older entries on disk where the log is durable.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, Storage, StorageError};

use super::disk::DiskError;
use super::OlderEntries;
use crate::replica::NotResumed;
use crate::replica::planted::{self, Bug};

/// What an entry costs in memory beside its payload: the `Entry` itself (104), as much again where the window has just
/// grown, and what sharing and allocating a payload take.
const ENTRY_OVERHEAD_BYTES: usize = 272;

/// Entries `first..` of the log, hard state and configuration.
///
/// Without [`OlderEntries`], what [`MemoryLog::drop_through`] removed is gone: raft-rs is then told
/// "compacted" and "snapshot temporarily unavailable", which leaves the follower where it is.
pub struct MemoryLog {
    hard_state: HardState,
    conf_state: ConfState,
    entries: VecDeque<Entry>,
    /// Index of `entries[0]`, or of the next entry when there is none.
    first: u64,
    /// Term of the entry before `first`.
    term_before_first: u64,
    bytes: usize,
    older: Option<Box<dyn OlderEntries>>,
    reads: Reads,
    /// What could not be read for followers. They ask again with each message, the disk is not asked again before
    /// [`MemoryLog::take_unread`].
    unread: RefCell<Option<Unread>>,
    /// What this member is to apply could not be read for want of a file handle: to be tried again.
    put_off: RefCell<Option<String>>,
    /// What this member itself needs can't be read.
    broken: OnceCell<String>,
}

/// Reads from disk for followers, which the caller of raft-rs can put off.
#[derive(Default)]
struct Reads {
    granted: Cell<u32>,
    /// One was asked for that was not granted.
    postponed: Cell<bool>,
}

impl Reads {
    fn take(&self) -> bool {
        let left = self.granted.get().checked_sub(1);
        match left {
            Some(left) => self.granted.set(left),
            None => self.postponed.set(true),
        }
        left.is_some()
    }
}

/// Older entries that could not be read for a follower.
#[derive(Debug)]
pub struct Unread {
    /// Where the reads began.
    pub lows: BTreeSet<u64>,
    /// What the last one came to.
    pub error: String,
    /// All that was missing was a file handle.
    pub is_passing: bool,
}

/// For what entries are read from disk.
enum ReadBy {
    /// To be sent.
    Follower,
    /// To be applied here; a short answer, or none, is no harm.
    OwnReplay,
    /// For this member to decide by what is in them, and by what is not.
    OwnDecision,
}

fn cost(entry: &Entry) -> usize {
    entry.data.len() + entry.context.len() + ENTRY_OVERHEAD_BYTES
}

/// The recovered tail, made longer where entries before it may not be committed: those may be replaced,
/// which [`MemoryLog::append`] does only in memory. They are few: a leader's window of proposals.
fn with_all_uncommitted(
    tail: Vec<Entry>,
    commit: u64,
    last_index: u64,
    older: Option<&dyn OlderEntries>,
) -> Result<Vec<Entry>, NotResumed> {
    let first = tail.first().map_or(last_index + 1, |e| e.index);
    let next = commit + 1;
    let Some(older) = older.filter(|_| next < first) else { return Ok(tail) };
    let unread = |e| NotResumed::Unread(format!("reading uncommitted entries {next}..{first}: {e}"));
    let mut out = read_all(older, next, first).map_err(unread)?;
    out.extend(tail);
    Ok(out)
}

/// All entries from `low` to before `high`: a single read may end early.
fn read_all(older: &dyn OlderEntries, low: u64, high: u64) -> std::io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut next = low;
    while next < high {
        let read = older.read(next, high, u64::MAX)?;
        next = read.last().map(|entry| entry.index + 1).ok_or(std::io::ErrorKind::UnexpectedEof)?;
        entries.extend(read);
    }
    Ok(entries)
}

impl MemoryLog {
    /// An empty log whose configuration before its first entry is `conf_state`. What will have left memory
    /// is read through `older`, where there is one.
    pub fn new(conf_state: ConfState, older: Option<Box<dyn OlderEntries>>) -> Self {
        Self {
            hard_state: HardState::default(),
            conf_state,
            entries: VecDeque::new(),
            first: 1,
            term_before_first: 0,
            bytes: 0,
            older,
            reads: Reads::default(),
            unread: RefCell::default(),
            put_off: RefCell::default(),
            broken: OnceCell::new(),
        }
    }

    /// A recovered log. `tail` is its end, in order; everything before it is read through `older`.
    pub fn recovered(
        conf_state: ConfState,
        hard_state: HardState,
        last_index: u64,
        tail: Vec<Entry>,
        older: Option<Box<dyn OlderEntries>>,
    ) -> Result<Self, NotResumed> {
        let tail = with_all_uncommitted(tail, hard_state.commit, last_index, older.as_deref())?;
        let first = tail.first().map_or(last_index + 1, |e| e.index);
        if tail.last().is_some_and(|e| e.index != last_index) {
            return Err(format!("the recovered tail does not end at index {last_index}").into());
        }
        let term_before_first = match (&older, first) {
            (_, 1) => 0,
            (Some(older), _) => older
                .term(first - 1)
                .map_err(|e| NotResumed::Unread(format!("reading the term of index {}: {e}", first - 1)))?,
            (None, _) => return Err(format!("entries before index {first} are missing").into()),
        };
        let bytes = tail.iter().map(cost).sum();
        let log = Self { hard_state, entries: tail.into(), first, term_before_first, bytes, ..Self::new(conf_state, older) };
        Ok(log)
    }

    /// What reads older entries, for another log.
    pub fn into_older(self) -> Option<Box<dyn OlderEntries>> {
        self.older
    }

    /// Payload and overhead of the entries in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// First index still in memory.
    pub fn first_in_memory(&self) -> u64 {
        self.first
    }

    /// Whether entry 1 can still be read, so that a replica can be rebuilt from here.
    pub fn reaches_back_to_the_start(&self) -> bool {
        self.first == 1 || self.older.is_some()
    }

    /// Entries that left memory can be read from disk.
    pub fn has_older(&self) -> bool {
        self.older.is_some()
    }

    /// From now on so many reads from disk are made for followers; what is asked for beyond is put off. True: something was.
    pub fn grant_reads(&self, count: u32) -> bool {
        self.reads.granted.set(count);
        self.reads.postponed.take()
    }

    /// See [`Self::grant_reads`].
    pub fn has_postponed_reads(&self) -> bool {
        self.reads.postponed.get()
    }

    /// What could not be read for followers since the last call, if anything; from now on it is tried again.
    pub fn take_unread(&self) -> Option<Unread> {
        self.unread.take()
    }

    /// See [`Self::take_put_off`].
    pub fn has_put_off(&self) -> bool {
        self.put_off.borrow().is_some()
    }

    /// Why this member could not apply what comes next, where that may pass: no file handle was left. Each pass asks for it
    /// anew and gets nothing, so let none before the next tick, with which this is taken.
    pub fn take_put_off(&self) -> Option<String> {
        self.put_off.take()
    }

    /// Why this member can't go on: what it has to apply, or to look at before it campaigns, can't be read.
    pub fn broken(&self) -> Option<&str> {
        self.broken.get().map(String::as_str)
    }

    /// raft-rs takes no error but "asked too early" and "gone for good", and the latter not for its own needs.
    fn could_not_read(&self, wanted: Range<u64>, reader: ReadBy, error: &std::io::Error) -> raft::Result<Vec<Entry>> {
        let low = wanted.start;
        let text = format!("reading entries {low}..{}: {error}", wanted.end);
        let is_passing = DiskError::is_passing(error);
        match reader {
            ReadBy::Follower => {}
            ReadBy::OwnReplay if is_passing => {
                self.put_off.replace(Some(text));
                return Ok(Vec::new());
            }
            ReadBy::OwnReplay | ReadBy::OwnDecision => {
                let _ = self.broken.set(text);
                return Ok(Vec::new());
            }
        }
        let mut lows = self.unread.take().map(|unread| unread.lows).unwrap_or_default();
        lows.insert(low);
        self.unread.replace(Some(Unread { lows, error: text, is_passing }));
        Err(Error::Store(StorageError::LogTemporarilyUnavailable))
    }

    /// Index of the last entry.
    pub fn last(&self) -> u64 {
        self.first + self.entries.len() as u64 - 1
    }

    /// Appends; entries at or above the first new index are replaced.
    ///
    /// # Panics
    /// When that would leave a gap, or replace entries that are no longer in memory (both are
    /// raft-rs invariants: unstable entries follow the stable ones, committed ones stay).
    pub fn append(&mut self, entries: &[Entry]) {
        let Some(first_new) = entries.first().map(|e| e.index) else { return };
        assert!(first_new <= self.last() + 1, "gap: {} after {}", first_new, self.last());
        assert!(first_new >= self.first, "entry {first_new} replaces one that left memory");
        while self.last() >= first_new {
            let dropped = self.entries.pop_back().expect("last() >= first");
            self.bytes -= cost(&dropped);
        }
        self.bytes += entries.iter().map(cost).sum::<usize>();
        self.entries.extend(entries.iter().cloned());
    }

    /// Drops entries through `index` from memory. Returns the bytes freed.
    pub fn drop_through(&mut self, index: u64) -> usize {
        let before = self.bytes;
        while self.first <= index {
            let Some(entry) = self.entries.pop_front() else { break };
            self.bytes -= cost(&entry);
            self.first = entry.index + 1;
            self.term_before_first = entry.term;
        }
        before - self.bytes
    }

    /// Replaces the hard state.
    pub fn set_hard_state(&mut self, hard_state: HardState) {
        self.hard_state = hard_state;
    }

    /// The hard state last set.
    pub fn hard_state(&self) -> &HardState {
        &self.hard_state
    }

    /// Replaces the configuration.
    pub fn set_conf_state(&mut self, conf_state: ConfState) {
        self.conf_state = conf_state;
    }

    /// The configuration as of the last applied entry.
    pub fn conf_state(&self) -> &ConfState {
        &self.conf_state
    }

    fn slice(&self, low: u64, high: u64, max_bytes: u64) -> Vec<Entry> {
        let from = (low - self.first) as usize;
        let to = (high - self.first) as usize;
        let mut bytes = 0u64;
        let mut out = Vec::with_capacity((to - from).min(256));
        for entry in self.entries.range(from..to) {
            bytes += entry.data.len() as u64 + ENTRY_OVERHEAD_BYTES as u64;
            if bytes > max_bytes && !out.is_empty() {
                break;
            }
            out.push(entry.clone());
        }
        out
    }
}

impl Storage for MemoryLog {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), self.conf_state.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        let max_bytes = max_size.into();
        assert!(high <= self.last() + 1, "raft-rs reads past the end: {high}");
        if low >= self.first {
            return Ok(self.slice(low, high, max_bytes.unwrap_or(u64::MAX)));
        }
        let Some(older) = &self.older else {
            return Err(Error::Store(StorageError::Compacted));
        };
        if self.unread.borrow().as_ref().is_some_and(|unread| unread.lows.contains(&low)) && context.can_async() {
            return Err(Error::Store(StorageError::LogTemporarilyUnavailable));
        }
        if context.can_async() && !self.reads.take() {
            return Err(Error::Store(StorageError::LogTemporarilyUnavailable));
        }
        let end = high.min(self.first);
        let read = match max_bytes {
            // A short answer is allowed; the rest is asked for again, from memory when it reaches there.
            Some(max_bytes) => older.read(low, end, max_bytes),
            None if planted::has(Bug::CampaignBeforeMembers) => older.read(low, end, u64::MAX),
            // Who sets no limit draws conclusions from what is not there, such as a membership change.
            None => read_all(older.as_ref(), low, end).map(|mut entries| {
                entries.extend(self.slice(self.first, high.max(self.first), u64::MAX));
                entries
            }),
        };
        let reader = match max_bytes {
            _ if context.can_async() => ReadBy::Follower,
            Some(_) => ReadBy::OwnReplay,
            None => ReadBy::OwnDecision,
        };
        read.or_else(|error| self.could_not_read(low..high, reader, &error))
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index + 1 == self.first {
            return Ok(self.term_before_first);
        }
        if index + 1 < self.first {
            return match &self.older {
                Some(_) if index == 0 => Ok(0),
                Some(older) => older.term(index).map_err(|_| Error::Store(StorageError::Compacted)),
                None => Err(Error::Store(StorageError::Compacted)),
            };
        }
        match self.entries.get((index - self.first) as usize) {
            Some(entry) => Ok(entry.term),
            None => Err(Error::Store(StorageError::Unavailable)),
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(if self.older.is_some() { 1 } else { self.first })
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, _request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u64, term: u64) -> Entry {
        Entry { index, term, data: vec![7; 10].into(), ..Entry::default() }
    }

    fn filled(last: u64) -> MemoryLog {
        let mut log = MemoryLog::new(ConfState::default(), None);
        log.append(&(1..=last).map(|i| entry(i, 1)).collect::<Vec<_>>());
        log
    }

    fn read(log: &MemoryLog, low: u64, high: u64, max: u64) -> raft::Result<Vec<u64>> {
        let entries = log.entries(low, high, max, GetEntriesContext::empty(false))?;
        Ok(entries.iter().map(|e| e.index).collect())
    }

    #[test]
    fn an_append_at_a_lower_index_replaces_the_tail() {
        let mut log = filled(5);
        log.append(&[entry(3, 2)]);
        assert_eq!((log.last(), log.term(3).unwrap(), log.term(2).unwrap()), (3, 2, 1));
        assert_eq!(log.bytes(), 3 * (10 + ENTRY_OVERHEAD_BYTES));
    }

    #[test]
    fn what_was_dropped_is_compacted_and_its_last_term_stays_known() {
        let mut log = filled(5);
        assert_eq!(log.drop_through(2), 2 * (10 + ENTRY_OVERHEAD_BYTES));
        assert!(read(&log, 2, 4, 1 << 20).is_err());
        assert_eq!(read(&log, 3, 6, 1 << 20).unwrap(), [3, 4, 5]);
        assert_eq!((log.term(2).unwrap(), log.first_index().unwrap()), (1, 3));
        assert!(!log.reaches_back_to_the_start());
    }

    #[test]
    fn a_read_stops_at_its_size_but_returns_at_least_one() {
        assert_eq!(read(&filled(5), 2, 6, 1).unwrap(), [2]);
        assert_eq!(read(&filled(5), 2, 6, 2 * (10 + ENTRY_OVERHEAD_BYTES as u64)).unwrap(), [2, 3]);
    }

    /// Entries 1..=n of term 1, as a disk has them.
    struct OnDisk(u64);

    impl OlderEntries for OnDisk {
        /// Two at a time.
        fn read(&self, low: u64, high: u64, _max_bytes: u64) -> std::io::Result<Vec<Entry>> {
            assert!(high <= self.0 + 1, "reading {low}..{high} of {}", self.0);
            Ok((low..high.min(low + 2)).map(|i| entry(i, 1)).collect())
        }

        fn term(&self, _index: u64) -> std::io::Result<u64> {
            Ok(1)
        }
    }

    #[test]
    fn a_read_without_a_limit_is_whole_and_one_with_a_limit_may_end_with_what_is_on_disk() {
        let hard_state = HardState { commit: 5, term: 1, ..HardState::default() };
        let log =
            MemoryLog::recovered(ConfState::default(), hard_state, 5, vec![entry(5, 1)], Some(Box::new(OnDisk(5)))).unwrap();
        let all = log.entries(1, 6, None, GetEntriesContext::empty(false)).unwrap();
        assert_eq!(all.iter().map(|e| e.index).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        assert_eq!(read(&log, 1, 4, 1 << 20).unwrap(), [1, 2]);
        assert_eq!(log.entries(2, 4, None, GetEntriesContext::empty(false)).unwrap().len(), 2);
    }

    /// Entries that can't be read, with this error; counts the tries.
    struct Unreadable(i32, std::sync::Arc<std::sync::atomic::AtomicU64>);

    impl OlderEntries for Unreadable {
        fn read(&self, _low: u64, _high: u64, _max_bytes: u64) -> std::io::Result<Vec<Entry>> {
            self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Err(std::io::Error::from_raw_os_error(self.0))
        }

        fn term(&self, _index: u64) -> std::io::Result<u64> {
            Ok(1)
        }
    }

    #[test]
    fn what_can_not_be_read_at_the_start_is_no_wrong_log() {
        let recovered = |tail| {
            let older = Unreadable(rustix::io::Errno::MFILE.raw_os_error(), std::sync::Arc::default());
            let hard_state = HardState { commit: 2, term: 1, ..HardState::default() };
            MemoryLog::recovered(ConfState::default(), hard_state, 5, tail, Some(Box::new(older))).map(drop).unwrap_err()
        };
        let unread = recovered(vec![entry(5, 1)]);
        assert!(matches!(&unread, NotResumed::Unread(text) if text.starts_with("reading uncommitted entries 3..5: ")), "{unread}");
        let wrong = recovered(vec![entry(3, 1)]);
        assert!(matches!(&wrong, NotResumed::Refused(_)), "{wrong}");
    }

    fn on_unreadable(errno: rustix::io::Errno) -> (MemoryLog, std::sync::Arc<std::sync::atomic::AtomicU64>) {
        let tries = std::sync::Arc::default();
        let older = Unreadable(errno.raw_os_error(), std::sync::Arc::clone(&tries));
        let hard_state = HardState { commit: 5, term: 1, ..HardState::default() };
        let tail = vec![entry(5, 1)];
        let log = MemoryLog::recovered(ConfState::default(), hard_state, 5, tail, Some(Box::new(older))).unwrap();
        log.grant_reads(u32::MAX);
        (log, tries)
    }

    #[test]
    fn what_can_not_be_read_for_a_follower_is_read_once_until_somebody_has_taken_note() {
        for (errno, is_passing) in [(rustix::io::Errno::IO, false), (rustix::io::Errno::MFILE, true)] {
            let (log, tries) = on_unreadable(errno);
            let tries = || tries.load(std::sync::atomic::Ordering::Relaxed);
            for _ in 0..100 {
                let read = log.entries(2, 5, 1 << 20, GetEntriesContext::empty(true));
                assert_eq!(read, Err(Error::Store(StorageError::LogTemporarilyUnavailable)));
            }
            assert_eq!(tries(), 1);
            log.entries(3, 5, 1 << 20, GetEntriesContext::empty(true)).unwrap_err();
            let unread = log.take_unread().unwrap();
            assert_eq!((unread.lows, unread.is_passing), (BTreeSet::from([2, 3]), is_passing));
            assert!(unread.error.starts_with("reading entries 3..5: "), "{}", unread.error);
            log.entries(2, 5, 1 << 20, GetEntriesContext::empty(true)).unwrap_err();
            assert_eq!((tries(), log.broken()), (3, None));
        }
    }

    #[test]
    fn reads_for_followers_are_put_off_when_as_many_as_were_granted_are_made() {
        let hard_state = HardState { commit: 5, term: 1, ..HardState::default() };
        let log =
            MemoryLog::recovered(ConfState::default(), hard_state, 5, vec![entry(5, 1)], Some(Box::new(OnDisk(5)))).unwrap();
        let read = || log.entries(1, 3, 1 << 20, GetEntriesContext::empty(true)).map(|entries| entries.len());
        assert!(!log.grant_reads(2));
        assert_eq!([read(), read()], [Ok(2), Ok(2)]);
        assert!(!log.has_postponed_reads());
        assert_eq!(read(), Err(Error::Store(StorageError::LogTemporarilyUnavailable)));
        assert!(log.has_postponed_reads());
        assert_eq!(log.entries(5, 6, 1 << 20, GetEntriesContext::empty(true)).unwrap().len(), 1, "from memory");
        assert!(log.grant_reads(1) && !log.has_postponed_reads());
        assert_eq!(read(), Ok(2));
    }

    #[test]
    fn a_log_of_which_its_own_member_can_not_read_what_it_needs_is_broken() {
        let (log, _) = on_unreadable(rustix::io::Errno::IO);
        assert_eq!(log.entries(2, 5, 1 << 20, GetEntriesContext::empty(false)), Ok(Vec::new()));
        assert!(log.broken().unwrap().starts_with("reading entries 2..5: "));
    }

    #[test]
    fn a_replay_that_finds_no_file_handle_is_tried_again_and_a_decision_is_not_made_without_them() {
        let (log, tries) = on_unreadable(rustix::io::Errno::MFILE);
        for nth in 1..=2 {
            assert_eq!(read(&log, 2, 5, 1 << 20), Ok(Vec::new()));
            assert!(log.has_put_off() && log.take_put_off().unwrap().starts_with("reading entries 2..5: "));
            assert!(!log.has_put_off());
            assert_eq!((tries.load(std::sync::atomic::Ordering::Relaxed), log.broken()), (nth, None));
        }
        assert_eq!(log.entries(2, 5, None, GetEntriesContext::empty(false)), Ok(Vec::new()));
        assert!(!log.has_put_off() && log.broken().is_some());
    }

    #[test]
    fn uncommitted_entries_before_the_recovered_tail_can_be_replaced() {
        let hard_state = HardState { commit: 2, term: 1, ..HardState::default() };
        let tail = vec![entry(5, 1)];
        let mut log =
            MemoryLog::recovered(ConfState::default(), hard_state, 5, tail, Some(Box::new(OnDisk(5)))).unwrap();
        assert_eq!((log.first_in_memory(), log.last()), (3, 5));
        log.append(&[entry(3, 2)]);
        assert_eq!((log.last(), log.term(3).unwrap(), log.term(2).unwrap()), (3, 2, 1));
    }
}
