//! One record: its bytes, both ways.
//!
//! A record is a header of 40 bytes and a body, padded to a multiple of 8. Whole numbers are little
//! endian.
//!
//! ```text
//!  0  magic u32 | kind u8 | sections u8 | 0 u16
//!  8  body length u32 | CRC32C of the body u32
//! 16  "everything before this position was synced when this was written": segment u32, offset u32
//! 24  ordinal u64: 1, 2, 3, ... over the whole log
//! 32  opening u32 | CRC32C u32 over the segment's salt, the record's offset, and header bytes 0..36
//! ```
//!
//! The salt is never used twice in a directory, so what an earlier use left in a recycled file is not
//! a record of this one, and neither is a copy of a record inside somebody's payload. The synced
//! position is what tells a torn last write from damage: a bad record that a later one calls synced was
//! whole once. The opening, of those that `META` counts, never falls from one record to the next: a lower one was left
//! behind the log's end by an earlier process. 0 is that of a version that did not write it.
//!
//! The body of [`Kind::Write`] holds up to four sections, so that one replica write is one record and
//! is either there or not: membership, the formations before the parent, hard state, entries. The sections of a write
//! larger than [`SPLIT_BYTES`] continue in further records that carry only entries.
//!
//! The second section is there only where a shard was restored twice: a version that does not know it refuses such a
//! directory, and reads every other. The same goes for whatever a later version may add: a header whose CRC is right and
//! that names another kind, another section, or something in the two bytes that are 0 now, was written whole. It is no torn
//! write, and no end of the log.

use std::io::IoSlice;
use std::ops::Range;

use bytes::Bytes;
use raft::eraftpb::{Entry, EntryType, HardState};

use crate::checksum::{crc32c, crc32c_append};
use crate::ids::{MemberId, ProcessId, RunId};
use crate::replica::formation::{Formation, Member};

/// Length of a record's header.
pub(super) const HEADER_BYTES: usize = 40;
/// Records start at multiples of this.
pub(super) const ALIGNMENT: u64 = 8;
/// Entries are gathered into records of about this size: large enough for the disk, small enough that
/// reading one old entry, which checks its whole record, stays cheap.
pub(super) const SPLIT_BYTES: u64 = 1 << 20;
/// Longest body. A record must lie within 4 GiB of its segment's start.
pub(super) const BODY_MAX_BYTES: u64 = 2 << 30;
/// Entries' bytes from this size on are handed to the system where they are; shorter ones are copied
/// together, which costs less than another piece of a gathering write.
const SHARE_FROM_BYTES: usize = 2048;

const MAGIC: u32 = 0x4c52_4b4d;
const NO_PARENT: u64 = 0;
const SECTION_MEMBERSHIP: u8 = 1;
const SECTION_HARD_STATE: u8 = 2;
const SECTION_ENTRIES: u8 = 4;
/// Behind the membership in the body.
const SECTION_ANCESTORS: u8 = 8;
const SECTIONS_KNOWN: u8 = SECTION_MEMBERSHIP | SECTION_HARD_STATE | SECTION_ENTRIES | SECTION_ANCESTORS;
const HARD_STATE_BYTES: usize = 24;
const MEMBERSHIP_BYTES: usize = 40;
const MEMBER_BYTES: usize = 24;
const ANCESTORS_BYTES: usize = 8;
const ANCESTOR_BYTES: usize = 8;
const ENTRIES_BYTES: usize = 16;
const ROW_BYTES: usize = 24;

/// A place in the log: segment number and byte offset. Ordered as the log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub segment: u32,
    pub offset: u32,
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A replica's write, or a part of one.
    Write,
    /// The log goes on in the next segment.
    Rolled,
    /// The log was closed in good order here.
    Closed,
}

impl Kind {
    fn number(self) -> u8 {
        match self {
            Kind::Write => 1,
            Kind::Rolled => 2,
            Kind::Closed => 3,
        }
    }

    fn from_number(number: u8) -> Option<Kind> {
        [Kind::Write, Kind::Rolled, Kind::Closed].into_iter().find(|kind| kind.number() == number)
    }
}

/// What a header says that is whole, and that this version does not know.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unknown(pub String);

/// A record's header, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub kind: Kind,
    sections: u8,
    pub body_bytes: u32,
    body_crc: u32,
    pub synced: Position,
    pub ordinal: u64,
    pub opening: u32,
}

impl Header {
    /// The header at `offset` of the segment with `salt`, or `None` when that is not one.
    pub fn parse(bytes: &[u8], salt: u64, offset: u64) -> Result<Option<Header>, Unknown> {
        let Some(bytes) = bytes.get(..HEADER_BYTES) else { return Ok(None) };
        if u32_at(bytes, 0) != MAGIC || header_crc(bytes, salt, offset) != u32_at(bytes, 36) {
            return Ok(None);
        }
        let kind = Kind::from_number(bytes[4]).ok_or_else(|| Unknown(format!("a record of kind {}", bytes[4])))?;
        let (sections, reserved) = (bytes[5], [bytes[6], bytes[7]]);
        if sections & !SECTIONS_KNOWN != 0 || reserved != [0, 0] {
            return Err(Unknown(format!("a record with sections {sections:#04x} and {reserved:02x?} behind them")));
        }
        Ok(Some(Header {
            kind,
            sections,
            body_bytes: u32_at(bytes, 8),
            body_crc: u32_at(bytes, 12),
            synced: Position { segment: u32_at(bytes, 16), offset: u32_at(bytes, 20) },
            ordinal: u64_at(bytes, 24),
            opening: u32_at(bytes, 32),
        }))
    }

    fn write(&self, out: &mut [u8], salt: u64, offset: u64) {
        out[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        out[4] = self.kind.number();
        out[5] = self.sections;
        out[8..12].copy_from_slice(&self.body_bytes.to_le_bytes());
        out[12..16].copy_from_slice(&self.body_crc.to_le_bytes());
        out[16..20].copy_from_slice(&self.synced.segment.to_le_bytes());
        out[20..24].copy_from_slice(&self.synced.offset.to_le_bytes());
        out[24..32].copy_from_slice(&self.ordinal.to_le_bytes());
        out[32..36].copy_from_slice(&self.opening.to_le_bytes());
        let crc = header_crc(out, salt, offset);
        out[36..40].copy_from_slice(&crc.to_le_bytes());
    }

    /// Whether `body` is what was written.
    pub fn body_is_whole(&self, body: &[u8]) -> bool {
        body.len() == self.body_bytes as usize && crc32c(body) == self.body_crc
    }

    /// Length of the record with its padding.
    pub fn record_bytes(&self) -> u64 {
        padded(HEADER_BYTES as u64 + u64::from(self.body_bytes))
    }
}

fn header_crc(header: &[u8], salt: u64, offset: u64) -> u32 {
    let mut place = [0; 16];
    place[..8].copy_from_slice(&salt.to_le_bytes());
    place[8..].copy_from_slice(&offset.to_le_bytes());
    crc32c_append(crc32c(&place), &header[..36])
}

fn padded(bytes: u64) -> u64 {
    bytes.next_multiple_of(ALIGNMENT)
}

/// What one record is to hold.
#[derive(Clone, Copy)]
pub(super) struct Body<'a> {
    pub kind: Kind,
    pub membership: Option<&'a (Formation, MemberId)>,
    pub hard_state: Option<&'a HardState>,
    /// With consecutive indexes.
    pub entries: &'a [Entry],
}

impl<'a> Body<'a> {
    /// A record that only says something about the log.
    pub fn mark(kind: Kind) -> Body<'static> {
        Body { kind, membership: None, hard_state: None, entries: &[] }
    }

    fn sections(&self) -> u8 {
        let mut sections = 0;
        if self.membership.is_some() {
            sections |= SECTION_MEMBERSHIP;
        }
        if !self.before_parent().is_empty() {
            sections |= SECTION_ANCESTORS;
        }
        if self.hard_state.is_some() {
            sections |= SECTION_HARD_STATE;
        }
        if !self.entries.is_empty() {
            sections |= SECTION_ENTRIES;
        }
        sections
    }

    /// The formation's ancestors without its parent, which has a place in the membership.
    fn before_parent(&self) -> &'a [u64] {
        self.membership.and_then(|(formation, _)| formation.ancestors.get(1..)).unwrap_or_default()
    }

    /// Length of the body in bytes.
    pub fn bytes(&self) -> u64 {
        let mut bytes = 0;
        if let Some((formation, _)) = self.membership {
            bytes += MEMBERSHIP_BYTES + formation.members.len() * MEMBER_BYTES;
        }
        if !self.before_parent().is_empty() {
            bytes += ANCESTORS_BYTES + self.before_parent().len() * ANCESTOR_BYTES;
        }
        if self.hard_state.is_some() {
            bytes += HARD_STATE_BYTES;
        }
        if !self.entries.is_empty() {
            bytes += ENTRIES_BYTES;
        }
        bytes as u64 + self.entries.iter().map(entry_bytes).sum::<u64>()
    }

    /// Length of the record with header and padding.
    pub fn record_bytes(&self) -> u64 {
        padded(HEADER_BYTES as u64 + self.bytes())
    }
}

/// What an entry takes in a record.
pub(super) fn entry_bytes(entry: &Entry) -> u64 {
    (ROW_BYTES + entry.data.len() + entry.context.len()) as u64
}

/// Where a record goes, and what it says about the log around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub salt: u64,
    pub offset: u64,
    pub synced: Position,
    pub ordinal: u64,
    pub opening: u32,
}

enum Piece<'a> {
    Copied(Range<usize>),
    Shared(&'a [u8]),
}

/// Gathers records for one write to a file. Large payloads stay where they are.
pub(super) struct Encoder<'a> {
    copied: Vec<u8>,
    /// `copied` up to here is in `pieces`.
    cut: usize,
    pieces: Vec<Piece<'a>>,
    bytes: u64,
}

impl<'a> Encoder<'a> {
    /// An empty one that uses `buffer`'s memory.
    pub fn new(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self { copied: buffer, cut: 0, pieces: Vec::new(), bytes: 0 }
    }

    /// Bytes gathered.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The buffer's memory, for the next one.
    pub fn into_buffer(self) -> Vec<u8> {
        self.copied
    }

    /// Forgets what was gathered, after it was written.
    pub fn clear(&mut self) {
        self.copied.clear();
        self.pieces.clear();
        self.cut = 0;
        self.bytes = 0;
    }

    /// Adds one record.
    pub fn record(&mut self, place: Place, body: &Body<'a>) {
        let header_at = self.copied.len();
        self.copied.resize(header_at + HEADER_BYTES, 0);
        let mut unsummed = self.copied.len();
        let mut crc = 0;
        self.fixed_sections(body);
        for bytes in body.entries.iter().flat_map(|entry| [&entry.data, &entry.context]) {
            if bytes.len() < SHARE_FROM_BYTES {
                self.copied.extend_from_slice(bytes);
                continue;
            }
            crc = crc32c_append(crc, &self.copied[unsummed..]);
            crc = crc32c_append(crc, bytes);
            self.cut_copied();
            self.pieces.push(Piece::Shared(bytes));
            unsummed = self.copied.len();
        }
        crc = crc32c_append(crc, &self.copied[unsummed..]);
        let body_bytes = body.bytes();
        let length = HEADER_BYTES as u64 + body_bytes;
        let padding = (padded(length) - length) as usize;
        self.copied.resize(self.copied.len() + padding, 0);
        let header = Header {
            kind: body.kind,
            sections: body.sections(),
            body_bytes: u32::try_from(body_bytes).expect("checked against BODY_MAX_BYTES"),
            body_crc: crc,
            synced: place.synced,
            ordinal: place.ordinal,
            opening: place.opening,
        };
        header.write(&mut self.copied[header_at..header_at + HEADER_BYTES], place.salt, place.offset);
        self.bytes += length + padding as u64;
    }

    /// The membership, the hard state, and the entries' table.
    fn fixed_sections(&mut self, body: &Body<'a>) {
        let out = &mut self.copied;
        if let Some((formation, member)) = body.membership {
            out.extend_from_slice(&formation.id.to_le_bytes());
            out.extend_from_slice(&formation.ancestors.first().unwrap_or(&NO_PARENT).to_le_bytes());
            out.extend_from_slice(&formation.inherited.to_le_bytes());
            out.extend_from_slice(&member.get().to_le_bytes());
            out.extend_from_slice(&formation.generation.to_le_bytes());
            out.extend_from_slice(&(formation.members.len() as u32).to_le_bytes());
            for member in &formation.members {
                out.extend_from_slice(&member.run.0.to_le_bytes());
                out.extend_from_slice(&member.id.get().to_le_bytes());
                out.extend_from_slice(&u64::from(member.process.0).to_le_bytes());
            }
        }
        let before_parent = body.before_parent();
        if !before_parent.is_empty() {
            out.extend_from_slice(&(before_parent.len() as u64).to_le_bytes());
            before_parent.iter().for_each(|id| out.extend_from_slice(&id.to_le_bytes()));
        }
        if let Some(state) = body.hard_state {
            out.extend_from_slice(&state.term.to_le_bytes());
            out.extend_from_slice(&state.vote.to_le_bytes());
            out.extend_from_slice(&state.commit.to_le_bytes());
        }
        if let Some(first) = body.entries.first() {
            out.extend_from_slice(&first.index.to_le_bytes());
            out.extend_from_slice(&(body.entries.len() as u64).to_le_bytes());
            for entry in body.entries {
                out.extend_from_slice(&entry.term.to_le_bytes());
                out.extend_from_slice(&(entry.data.len() as u32).to_le_bytes());
                out.extend_from_slice(&(entry.context.len() as u32).to_le_bytes());
                out.extend_from_slice(&(entry.entry_type as u64).to_le_bytes());
            }
        }
    }

    fn cut_copied(&mut self) {
        if self.cut < self.copied.len() {
            self.pieces.push(Piece::Copied(self.cut..self.copied.len()));
            self.cut = self.copied.len();
        }
    }

    /// What is gathered, for a gathering write.
    pub fn slices(&mut self) -> Vec<IoSlice<'_>> {
        self.cut_copied();
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Copied(range) => IoSlice::new(&self.copied[range.clone()]),
                Piece::Shared(bytes) => IoSlice::new(bytes),
            })
            .collect()
    }
}

/// A parsed body. Entries share its buffer.
pub(super) struct Sections {
    pub membership: Option<(Formation, MemberId)>,
    pub hard_state: Option<HardState>,
    pub entries: Option<Batch>,
}

/// Entries of one record.
pub(super) struct Batch {
    pub first_index: u64,
    rows: Bytes,
    data: Bytes,
}

/// Reads numbers off the front of a body.
struct Cursor {
    rest: Bytes,
}

impl Cursor {
    fn take(&mut self, bytes: usize, what: &'static str) -> Result<Bytes, &'static str> {
        if self.rest.len() < bytes {
            return Err(what);
        }
        Ok(self.rest.split_to(bytes))
    }
}

impl Sections {
    /// Parses the body of a record with this header. The error says what is wrong: bytes whose CRC is
    /// right and that still make no sense were written by something else than this version.
    pub fn parse(header: &Header, body: Bytes) -> Result<Sections, &'static str> {
        let mut cursor = Cursor { rest: body };
        let mut out = Sections { membership: None, hard_state: None, entries: None };
        if header.sections & SECTION_MEMBERSHIP != 0 {
            out.membership = Some(parse_membership(&mut cursor)?);
        }
        if header.sections & SECTION_ANCESTORS != 0 {
            let before_parent = parse_ancestors(&mut cursor)?;
            let (formation, _) = out.membership.as_mut().ok_or("ancestors of no formation")?;
            if formation.ancestors.is_empty() {
                return Err("ancestors of a formation without a parent");
            }
            formation.ancestors.extend(before_parent);
        }
        if header.sections & SECTION_HARD_STATE != 0 {
            let bytes = cursor.take(HARD_STATE_BYTES, "a hard state that is cut short")?;
            out.hard_state = Some(HardState {
                term: u64_at(&bytes, 0),
                vote: u64_at(&bytes, 8),
                commit: u64_at(&bytes, 16),
                ..HardState::default()
            });
        }
        if header.sections & SECTION_ENTRIES != 0 {
            out.entries = Some(parse_entries(&mut cursor)?);
        }
        if !cursor.rest.is_empty() {
            return Err("bytes behind the last section");
        }
        Ok(out)
    }
}

fn parse_membership(cursor: &mut Cursor) -> Result<(Formation, MemberId), &'static str> {
    let fixed = cursor.take(MEMBERSHIP_BYTES, "a membership that is cut short")?;
    let count = u32_at(&fixed, 36) as usize;
    let rows = cursor.take(count.saturating_mul(MEMBER_BYTES), "a membership with fewer members than counted")?;
    let member = |raw: u64| MemberId::new(raw).ok_or("a member id of 0");
    let mut members = Vec::with_capacity(count);
    for row in rows.chunks_exact(MEMBER_BYTES) {
        members.push(Member {
            run: RunId(u64_at(row, 0)),
            id: member(u64_at(row, 8))?,
            process: ProcessId(u64_at(row, 16).try_into().map_err(|_| "a process number above 65535")?),
        });
    }
    let parent = u64_at(&fixed, 8);
    let formation = Formation {
        id: u64_at(&fixed, 0),
        ancestors: if parent == NO_PARENT { Vec::new() } else { vec![parent] },
        inherited: u64_at(&fixed, 16),
        generation: u32_at(&fixed, 32),
        members,
    };
    Ok((formation, member(u64_at(&fixed, 24))?))
}

fn parse_ancestors(cursor: &mut Cursor) -> Result<Vec<u64>, &'static str> {
    let count = cursor.take(ANCESTORS_BYTES, "ancestors that are cut short")?;
    let bytes = (u64_at(&count, 0) as usize).saturating_mul(ANCESTOR_BYTES);
    let rows = cursor.take(bytes, "fewer ancestors than counted")?;
    Ok(rows.chunks_exact(ANCESTOR_BYTES).map(|row| u64_at(row, 0)).collect())
}

fn parse_entries(cursor: &mut Cursor) -> Result<Batch, &'static str> {
    let fixed = cursor.take(ENTRIES_BYTES, "entries that are cut short")?;
    let (first_index, count) = (u64_at(&fixed, 0), u64_at(&fixed, 8));
    if first_index == 0 || count == 0 {
        return Err("entries without an index");
    }
    let rows = cursor.take((count as usize).saturating_mul(ROW_BYTES), "fewer entries than counted")?;
    let mut bytes = 0u64;
    for row in rows.chunks_exact(ROW_BYTES) {
        bytes += u64::from(u32_at(row, 8)) + u64::from(u32_at(row, 12));
        if entry_type(u64_at(row, 16)).is_none() {
            return Err("an entry of an unknown type");
        }
    }
    if first_index.checked_add(count).is_none() {
        return Err("indexes past the end of the numbers");
    }
    let data = cursor.take(usize::try_from(bytes).unwrap_or(usize::MAX), "entries with fewer bytes than counted")?;
    Ok(Batch { first_index, rows, data })
}

fn entry_type(number: u64) -> Option<EntryType> {
    [EntryType::EntryNormal, EntryType::EntryConfChange, EntryType::EntryConfChangeV2]
        .into_iter()
        .find(|kind| *kind as u64 == number)
}

impl Batch {
    /// The index behind the last entry.
    pub fn end_index(&self) -> u64 {
        self.first_index + (self.rows.len() / ROW_BYTES) as u64
    }

    /// Index and term of each entry.
    pub fn terms(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        (self.first_index..).zip(self.rows.chunks_exact(ROW_BYTES).map(|row| u64_at(row, 0)))
    }

    /// The entries, sharing the record's buffer.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        let mut at = 0;
        let mut next = move |data: &Bytes, length: u32| {
            let bytes = data.slice(at..at + length as usize);
            at += length as usize;
            bytes
        };
        (self.first_index..).zip(self.rows.chunks_exact(ROW_BYTES)).map(move |(index, row)| Entry {
            index,
            term: u64_at(row, 0),
            // In this order the data lies there.
            data: next(&self.data, u32_at(row, 8)),
            context: next(&self.data, u32_at(row, 12)),
            entry_type: entry_type(u64_at(row, 16)).expect("checked when the batch was parsed"),
            ..Entry::default()
        })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
