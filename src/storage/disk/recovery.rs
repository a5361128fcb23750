//! What a directory holds: reads the log from its first record to its end, and decides what the end is.
//!
//! The first record that is not whole ends the log, if a crash explains it: nothing behind it may claim
//! that it was synced. Where something does, the record was damaged later, and that is an error. What lay
//! behind the end was never acknowledged; it is erased before anything is appended. An erasing whose sync failed may
//! have reached the page cache only, where the next process finds nothing to erase: so what comes back behind records
//! that were written since is told by its opening, which is an earlier one than theirs.
//!
//! What was read from behind the last known sync may exist in the page cache only, and a sync that
//! failed before may have left it there marked as clean. So it is written once more, synced, and looked at again: the
//! system may have dropped it before it was written, and then something older was. After that, what the replica is told
//! is on the disk.

use std::io::IoSlice;
use std::ops::Range;
use std::time::Instant;

use raft::eraftpb::HardState;

use super::directory::Directory;
use super::error::DiskError;
use super::index::LogIndex;
use super::prepare::SPARE_NAME;
use super::progress::{Progress, Teller};
use super::record::{Header, Kind, Position, Sections};
use super::segment::{self, Scanner, Segment, RECORDS_START};
use crate::ids::MemberId;
use crate::replica::formation::Formation;
use crate::replica::planted::{self, Bug};

/// Erasing and writing again go in pieces of this size.
const PIECE_BYTES: usize = 256 << 10;

/// The log as it was found.
pub(super) struct Found {
    pub index: LogIndex,
    pub membership: Option<(Formation, MemberId)>,
    pub hard_state: HardState,
    /// The last segment, and where the next record goes in it.
    pub segment: Segment,
    pub end: u64,
    /// The last record's ordinal; 0 when there is none.
    pub ordinal: u64,
    /// The last one that any record was written in; 0 where an earlier version wrote all.
    pub opening: u32,
    /// Synced before the last record was written.
    synced: Position,
    /// The last record says that the log was closed in good order.
    pub closed: bool,
}

/// How reading a segment ended.
enum End {
    /// The log goes on in the next segment.
    Rolled,
    /// No whole record at this offset.
    Here(u64),
}

/// Reads the whole log, makes it durable, and erases what lies behind its end. `None` when the directory
/// has no segment.
pub(super) fn recover(directory: &Directory) -> Result<Option<Found>, DiskError> {
    recover_telling(directory, Teller { now: &Instant::now, say: &|line| log::info!("durable log: {line}") })
}

/// The same with another clock, and another ear.
pub(super) fn recover_telling(directory: &Directory, teller: Teller<'_>) -> Result<Option<Found>, DiskError> {
    let numbers = segment_numbers(directory)?;
    let Some(&first) = numbers.first() else { return Ok(None) };
    let mut progress = Progress::new(teller, &directory.path, length(directory, &numbers)?);
    let mut found = Found::nothing(Segment::open(directory, first)?);
    for at in 0..numbers.len() {
        let end = found.replay_segment(&mut progress)?;
        match end {
            End::Rolled => {
                let next = found.segment.number + 1;
                let Some(&number) = numbers.get(at + 1) else {
                    let path = segment::path(&directory.path, next);
                    return Err(DiskError::corrupt(&path, 0, "the log goes on in this segment, and it is missing"));
                };
                found.segment = Segment::open(directory, number)?;
            }
            End::Here(offset) => {
                found.end = offset;
                found.settle_end(directory, &numbers[at + 1..])?;
                found.write_again(directory)?;
                return Ok(Some(found));
            }
        }
    }
    unreachable!("the last segment can't have rolled into one that exists")
}

/// The segments' numbers: 1, 2, 3, ... without a gap.
fn segment_numbers(directory: &Directory) -> Result<Vec<u32>, DiskError> {
    let names = directory.names()?;
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| segment::parse_name(name)).collect();
    numbers.sort_unstable();
    for (number, expected) in numbers.iter().zip(1..) {
        if *number != expected {
            let path = segment::path(&directory.path, expected);
            return Err(DiskError::corrupt(&path, 0, format!("it is missing, but segment {number} is there")));
        }
    }
    Ok(numbers)
}

/// Of all segments together, in bytes. The last is mostly longer than what was written to it.
fn length(directory: &Directory, numbers: &[u32]) -> Result<u64, DiskError> {
    let length = |&number: &u32| Segment::open(directory, number)?.length();
    numbers.iter().map(length).sum()
}

impl Found {
    /// Reads the records of the current segment.
    fn replay_segment(&mut self, progress: &mut Progress<'_>) -> Result<End, DiskError> {
        let segment = self.segment.clone();
        let mut scanner = Scanner::new(&segment);
        let mut offset = RECORDS_START;
        loop {
            let Some((header, body)) = scanner.record(offset)? else { return Ok(End::Here(offset)) };
            // It lay behind the end when the record before it was written.
            if header.opening != 0 && header.opening < self.opening {
                return Ok(End::Here(offset));
            }
            self.opening = self.opening.max(header.opening);
            let at = Position { segment: segment.number, offset: offset as u32 };
            let damaged = |what: String| DiskError::corrupt(&segment.path, offset, what);
            if header.ordinal != self.ordinal + 1 {
                let what = format!("record {} where {} is due", header.ordinal, self.ordinal + 1);
                return Err(damaged(what));
            }
            self.ordinal = header.ordinal;
            self.synced = header.synced;
            self.closed = header.kind == Kind::Closed;
            match header.kind {
                Kind::Rolled => return Ok(End::Rolled),
                Kind::Closed => {}
                Kind::Write => {
                    let sections = Sections::parse(&header, body).map_err(|what| damaged(what.to_string()))?;
                    self.apply(sections, at, &header).map_err(damaged)?;
                }
            }
            offset += header.record_bytes();
            progress.read(header.record_bytes());
        }
    }

    fn apply(&mut self, sections: Sections, at: Position, header: &Header) -> Result<(), String> {
        if let Some(membership) = sections.membership {
            self.membership = Some(membership);
        }
        if let Some(state) = sections.hard_state {
            check_follows(&self.hard_state, &state)?;
            self.hard_state = state;
        }
        if let Some(batch) = sections.entries {
            let last = self.index.last_index();
            if batch.first_index > last + 1 {
                return Err(format!("entries from {} on, and the log ends at {last}", batch.first_index));
            }
            let mut term = self.index.term(batch.first_index - 1).unwrap_or(0);
            for (index, its) in batch.terms() {
                if its < term {
                    return Err(format!("entry {index} of term {its} behind one of term {term}"));
                }
                term = its;
            }
            self.index.add(batch.terms(), at, header.record_bytes());
        }
        Ok(())
    }

    /// The log ends in this segment at `self.end`, unless what lies behind shows that more of it was
    /// synced. `later` are the segments behind this one.
    fn settle_end(&mut self, directory: &Directory, later: &[u32]) -> Result<(), DiskError> {
        let end = Position { segment: self.segment.number, offset: self.end as u32 };
        let mut dropped = check_behind(&self.segment, self.end, &self.segment, end)?;
        let behind = dropped > 0;
        for &number in later {
            let segment = Segment::open(directory, number)?;
            dropped += check_behind(&segment, RECORDS_START, &self.segment, end)?;
        }
        if dropped > 0 {
            log::warn!(
                "durable log: {} ends at byte {}: the last write was cut short, and at least {dropped} records \
                 behind it that were never acknowledged as durable are dropped",
                self.segment.path.display(),
                self.end
            );
        }
        if behind {
            erase(&self.segment, self.end)?;
        }
        recycle(directory, later)
    }

    /// Makes durable what is not known to be.
    fn write_again(&self, directory: &Directory) -> Result<(), DiskError> {
        let mut ordinal = None;
        let mut from = u64::from(self.synced.offset);
        for number in self.synced.segment..self.segment.number {
            let segment = Segment::open(directory, number)?;
            write_range_again(&segment, from..segment.length()?)?;
            ordinal = self.check_again(&segment, from, ordinal)?;
            from = RECORDS_START;
        }
        write_range_again(&self.segment, from..self.end)?;
        self.check_again(&self.segment, from, ordinal)?;
        Ok(())
    }

    /// Looks whether the records from `from` on are those that were read; `before` is the ordinal of the one before, where
    /// it is known. Returns that of the last.
    ///
    /// What begins an opening writes again all before it, so all that is not known to be synced is of one opening, and that
    /// wrote once to each place: a whole record with its number there is the same one.
    fn check_again(&self, segment: &Segment, from: u64, before: Option<u64>) -> Result<Option<u64>, DiskError> {
        let is_last = segment.number == self.segment.number;
        let (mut scanner, mut offset, mut ordinal) = (Scanner::new(segment), from, before);
        while !is_last || offset < self.end {
            let is_the_same = |header: &Header| {
                let opening = header.opening == self.opening || header.opening == 0;
                opening && ordinal.is_none_or(|before| header.ordinal == before + 1)
            };
            let Some((header, _)) = scanner.record(offset)?.filter(|(header, _)| is_the_same(header)) else {
                return Err(self.gone(segment, offset));
            };
            ordinal = Some(header.ordinal);
            offset += header.record_bytes();
            if header.kind == Kind::Rolled {
                break;
            }
        }
        if is_last && ordinal.is_some_and(|last| last != self.ordinal) {
            return Err(self.gone(segment, offset));
        }
        Ok(ordinal)
    }

    /// No damage: nothing says that it was ever on the disk.
    fn gone(&self, segment: &Segment, offset: u64) -> DiskError {
        let what = format!(
            "the record at byte {offset} was there a moment ago and is not any more: the disk did not take it when it was \
             written, and the system has dropped it meanwhile; look at the disk, and restart"
        );
        DiskError::io("write again", &segment.path, std::io::Error::other(what))
    }

    /// The log of a new directory, in its first segment.
    pub fn nothing(segment: Segment) -> Found {
        Found {
            index: LogIndex::default(),
            membership: None,
            hard_state: HardState::default(),
            end: RECORDS_START,
            ordinal: 0,
            opening: 0,
            synced: Position { segment: segment.number, offset: RECORDS_START as u32 },
            segment,
            closed: false,
        }
    }
}

/// Refuses what no replica writes behind `before`: a lower term, or another vote in the same one. Whoever believed it
/// could vote twice.
pub(super) fn check_follows(before: &HardState, state: &HardState) -> Result<(), String> {
    if state.term < before.term {
        return Err(format!("term {} behind term {}", state.term, before.term));
    }
    let forgets = planted::has(Bug::VoteTwice) || planted::has(Bug::ForgetVoteAtRestart);
    if state.term == before.term && before.vote != 0 && state.vote != before.vote && !forgets {
        return Err(format!("a vote for member {} in term {}, in which member {} has it", state.vote, state.term, before.vote));
    }
    Ok(())
}

/// Reads and writes `range` of a segment in place, and syncs it.
fn write_range_again(segment: &Segment, range: Range<u64>) -> Result<(), DiskError> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut at = range.start;
    while at < range.end {
        let wanted = PIECE_BYTES.min((range.end - at) as usize);
        let read = segment
            .file
            .read_at(&mut piece[..wanted], at)
            .map_err(|e| DiskError::io("read", &segment.path, e))?;
        if read == 0 {
            break;
        }
        let pieces = [IoSlice::new(&piece[..read])];
        segment.file.write_at(&pieces, at).map_err(|e| DiskError::io("write again", &segment.path, e))?;
        at += read as u64;
    }
    segment.sync()
}

/// Looks for records at or behind `from`; returns how many there are. One that says that `end` was synced
/// proves that the record there was damaged later.
fn check_behind(segment: &Segment, from: u64, last: &Segment, end: Position) -> Result<u64, DiskError> {
    let length = segment.length()?;
    let mut scanner = Scanner::new(segment);
    let (mut offset, mut records) = (from, 0);
    while let Some((at, header)) = scanner.next_header(offset, length)? {
        if header.synced > end {
            let what = format!(
                "no whole record here, but the one at byte {at} of {} was written after everything before byte {} \
                 of segment {} had been synced",
                segment.path.display(),
                header.synced.offset,
                header.synced.segment
            );
            return Err(DiskError::corrupt(&last.path, u64::from(end.offset), what));
        }
        records += 1;
        offset = at + super::record::ALIGNMENT;
    }
    Ok(records)
}

/// Overwrites everything from `from` on with zeros, durably.
fn erase(segment: &Segment, from: u64) -> Result<(), DiskError> {
    let zeros = vec![0; PIECE_BYTES];
    let length = segment.length()?;
    let mut at = from;
    while at < length {
        let bytes = (PIECE_BYTES as u64).min(length - at);
        let pieces = [IoSlice::new(&zeros[..bytes as usize])];
        segment.file.write_at(&pieces, at).map_err(|e| DiskError::io("erase the end of", &segment.path, e))?;
        at += bytes;
    }
    segment.sync()
}

/// Takes the segments behind the log's end out of it, the last one first so that no gap can arise; one
/// is kept to become the next segment.
fn recycle(directory: &Directory, later: &[u32]) -> Result<(), DiskError> {
    for (at, &number) in later.iter().enumerate().rev() {
        let name = segment::name(number);
        if at == 0 {
            directory.rename(&name, SPARE_NAME)?;
        } else {
            directory.remove(&name)?;
        }
        directory.sync()?;
    }
    Ok(())
}
