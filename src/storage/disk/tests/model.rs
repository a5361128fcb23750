//! What a log should hold, and random writes for it.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use raft::eraftpb::{Entry, EntryType, HardState};

use crate::ids::{GroupId, MemberId, PartitionId, ProcessId, RunId};
use crate::replica::config::Recovered;
use crate::replica::formation::{Formation, Member};
use crate::replica::output::Write;
use crate::storage::disk::simulated::{Seeded, SimulatedFiles};
use crate::storage::disk::{DiskError, DiskLog, DiskOptions, Durability, Prepare};

pub const DIRECTORY: &str = "/log";

/// Small segments, so that a short test crosses many of them.
pub fn options() -> DiskOptions {
    DiskOptions {
        segment_bytes: 8 << 10,
        durability: Durability::Fsync,
        prepare: Prepare::OnDemand,
        memory_tail_bytes: 4 << 10,
        shard_fingerprint: 0xfeed_beef,
        addressed_fingerprint: 0xadd,
        moved_from: None,
        process: ProcessId(2),
        group: GroupId(1),
        partitions: vec![PartitionId(4), PartitionId(5), PartitionId(7)],
    }
}

pub fn open(files: &SimulatedFiles) -> Result<(Option<Recovered>, DiskLog), DiskError> {
    open_with(files, options())
}

pub fn open_with(
    files: &SimulatedFiles,
    options: DiskOptions,
) -> Result<(Option<Recovered>, DiskLog), DiskError> {
    DiskLog::open(Path::new(DIRECTORY), options, Arc::new(files.clone()))
}

pub fn member(id: u64) -> MemberId {
    MemberId::new(id).expect("not zero")
}

pub fn formation(generation: u32) -> Formation {
    let one = |process, run, id| Member { process: ProcessId(process), run: RunId(run), id: member(id) };
    Formation {
        generation,
        id: 77 + u64::from(generation),
        ancestors: (1..generation).rev().map(|before| 77 + u64::from(before)).collect(),
        inherited: 5,
        members: vec![one(0, 10, 1), one(2, 30, 2), one(65_535, u64::MAX, 3)],
    }
}

pub fn entry(index: u64, term: u64, data: Vec<u8>) -> Entry {
    Entry { index, term, data: Bytes::from(data), ..Entry::default() }
}

pub fn entries_write(id: u64, entries: Vec<Entry>) -> Write {
    Write { id, entries, must_sync: true, ..Write::default() }
}

/// A write of nothing but a term and a vote.
pub fn vote(id: u64, term: u64, vote: u64) -> Write {
    let hard_state = Some(HardState { term, vote, ..HardState::default() });
    Write { id, hard_state, must_sync: true, ..Write::default() }
}

/// The first write of a directory.
pub fn first_write() -> Write {
    Write { id: 1, membership: Some((formation(1), member(2))), must_sync: true, ..Write::default() }
}

/// What a log holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    pub membership: Option<(Formation, MemberId)>,
    pub hard_state: HardState,
    pub entries: Vec<Entry>,
}

impl Model {
    pub fn apply(&mut self, write: &Write) {
        if write.membership.is_some() {
            self.membership = write.membership.clone();
        }
        if let Some(first) = write.entries.first() {
            self.entries.truncate(first.index as usize - 1);
            self.entries.extend_from_slice(&write.entries);
        }
        if let Some(state) = &write.hard_state {
            self.hard_state = state.clone();
        }
    }

    pub fn after<'a>(writes: impl IntoIterator<Item = &'a Write>) -> Model {
        let mut model = Model::default();
        writes.into_iter().for_each(|write| model.apply(write));
        model
    }

    /// What was recovered, read in full through the reader; its tail and terms are compared on the way.
    pub fn of(recovered: Option<&Recovered>) -> Model {
        let Some(recovered) = recovered else { return Model::default() };
        let mut entries = Vec::new();
        if let Some(older) = &recovered.older {
            while (entries.len() as u64) < recovered.last_index {
                let next = entries.len() as u64 + 1;
                entries.extend(older.read(next, recovered.last_index + 1, 10_000).expect("readable"));
            }
            for entry in &entries {
                assert_eq!(older.term(entry.index).unwrap(), entry.term, "term of {}", entry.index);
            }
        }
        assert_eq!(entries.len() as u64, recovered.last_index);
        assert_eq!(recovered.tail, entries[entries.len() - recovered.tail.len()..], "the tail is the log's end");
        assert_eq!(recovered.tail.is_empty(), entries.is_empty(), "the tail has an entry if there is one");
        Model {
            membership: Some((recovered.formation.clone(), recovered.member)),
            hard_state: recovered.hard_state.clone(),
            entries,
        }
    }

    /// As it comes back: no commit index beyond the log.
    pub fn clamped(&self) -> Model {
        let mut model = self.clone();
        model.hard_state.commit = model.hard_state.commit.min(model.entries.len() as u64);
        model
    }
}

/// Random writes as a replica could ask for them: mostly appending, sometimes replacing what is not
/// committed, from empty entries to some that are larger than a segment.
pub struct Writer {
    pub random: Seeded,
    pub model: Model,
    next_id: u64,
}

impl Writer {
    pub fn new(seed: u64) -> Self {
        Self { random: Seeded::new(seed), model: Model::default(), next_id: 1 }
    }

    pub fn next_write(&mut self) -> Write {
        let mut write = Write { id: self.next_id, ..Write::default() };
        self.next_id += 1;
        if self.model.membership.is_none() {
            write.membership = Some((formation(1), member(2)));
        }
        let term = self.model.hard_state.term + u64::from(self.random.below(5) == 0);
        let commit = self.model.hard_state.commit.min(self.model.entries.len() as u64);
        if self.random.below(4) != 0 {
            write.entries = self.entries(term, commit);
        }
        if self.random.below(2) == 0 || term != self.model.hard_state.term || write.entries.is_empty() {
            let last = write.entries.last().map_or(self.model.entries.len() as u64, |entry| entry.index);
            let voted = Some(self.model.hard_state.vote).filter(|&vote| vote != 0 && term == self.model.hard_state.term);
            let any = self.random.below(4);
            write.hard_state = Some(HardState {
                term,
                vote: voted.unwrap_or(any),
                commit: commit + self.random.below(last.saturating_sub(commit) + 1),
                ..HardState::default()
            });
        }
        write.must_sync = !write.entries.is_empty() || write.membership.is_some() || self.random.below(2) == 0;
        self.model.apply(&write);
        write
    }

    fn entries(&mut self, term: u64, commit: u64) -> Vec<Entry> {
        let last = self.model.entries.len() as u64;
        let replaced = if self.random.below(4) == 0 { self.random.below(last - commit + 1) } else { 0 };
        let first = last + 1 - replaced;
        (first..first + 1 + self.random.below(4)).map(|index| self.entry(index, term)).collect()
    }

    fn entry(&mut self, index: u64, term: u64) -> Entry {
        let bytes = match self.random.below(24) {
            0 => 9_000 + self.random.below(4_000),
            1..=3 => 2_000 + self.random.below(2_000),
            4..=6 => 0,
            _ => self.random.below(300),
        };
        let fill = self.random.next_u64() as u8;
        // Half of them are zeros: what an unwritten block looks like.
        let fill = if fill.is_multiple_of(2) { 0 } else { fill };
        let mut entry = entry(index, term, vec![fill; bytes as usize]);
        if self.random.below(8) == 0 {
            entry.context = Bytes::from(vec![7; self.random.below(3_000) as usize]);
            entry.entry_type = EntryType::EntryConfChangeV2;
        }
        entry
    }
}
