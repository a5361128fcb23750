//! A process's data directory: the real durable log on simulated files.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use mako_raft::ids::{GroupId, MemberId, PartitionId, ProcessId};
use mako_raft::replica::output::Write;
use mako_raft::replica::Recovered;
use mako_raft::storage::disk::simulated::SimulatedFiles;
use mako_raft::storage::disk::{DiskLog, DiskOptions, Durability, Prepare};
use mako_raft::storage::OlderEntries;
use raft::eraftpb::HardState;

use super::checks::{Checked, Violation};
use super::random::Random;

const DIRECTORY: &str = "/data";
const FINGERPRINT: u64 = 0x5eed;
/// Within the first entries' records.
const DAMAGED_BYTE: u64 = 4096 + 2_000;

/// A process's disk, and the log on it while the process runs.
#[derive(Default)]
pub struct Disk {
    files: SimulatedFiles,
    log: Option<DiskLog>,
    /// `raft.durability: os`: what was written counts, synced or not. It survives the process, not the machine.
    pub os: bool,
    /// Asked for, and not handed to the log yet.
    pending: Vec<Write>,
    /// A failure was asked for and may not have struck yet.
    pub armed: bool,
    /// What must survive: what was written before a sync that succeeded; with `os`, what was written.
    safe: Safe,
    /// As `safe`, with what was written since, and what was tried.
    written: Safe,
    /// A copy of the data directory as it was once.
    saved: Option<SavedCopy>,
}

/// A copy of a data directory, with what was safe and what was written when it was made.
#[derive(Clone)]
struct SavedCopy {
    files: SimulatedFiles,
    safe: Safe,
    written: Safe,
}

#[derive(Clone, Default)]
struct Safe {
    member: Option<MemberId>,
    formation: Option<u64>,
    /// What it was before, until the replica has told what it is now: it may not have heard of that yet.
    former: Option<(u64, MemberId)>,
    hard_state: HardState,
    last_index: u64,
    /// The terms of the log's entries: from which index on each.
    terms: BTreeMap<u64, u64>,
    /// How far the log has ever reached in each term: an acknowledgement of an older term may still be on
    /// its way when a later leader's entries have replaced what it speaks of.
    reached: BTreeMap<u64, u64>,
}

impl Safe {
    fn apply(&mut self, write: &Write) {
        if let Some((formation, member)) = &write.membership {
            // What the survivor inherits it has written; others begin with nothing.
            let last_index = formation.inherited.min(self.last_index);
            let mut terms = std::mem::take(&mut self.terms);
            terms.retain(|first, _| *first <= last_index);
            let former = self.formation.zip(self.member);
            let (formation, member) = (Some(formation.id), Some(*member));
            *self = Safe { member, formation, former, last_index, terms, ..Safe::default() };
        }
        if let Some(hard_state) = &write.hard_state {
            self.hard_state = hard_state.clone();
        }
        for entry in &write.entries {
            self.terms.split_off(&entry.index);
            if self.term_of(entry.index) != entry.term {
                self.terms.insert(entry.index, entry.term);
            }
            self.last_index = entry.index;
        }
        let reached = self.reached.entry(self.hard_state.term).or_default();
        *reached = self.last_index.max(*reached);
    }

    /// The term of the entry at `index`, which is not behind the last; 0 where that is not known.
    fn term_of(&self, index: u64) -> u64 {
        self.terms.range(..=index).next_back().map_or(0, |(_, &term)| term)
    }

    fn last_term(&self) -> u64 {
        self.term_of(self.last_index)
    }
}

/// What a new life finds.
pub struct Opened {
    /// The member that it continues.
    pub recovered: Option<Recovered>,
    /// Reads entries that left memory.
    pub older: Box<dyn OlderEntries>,
}

impl Disk {
    /// Opens the log, as a starting process does, and checks that nothing acknowledged is missing. `tail_bytes`: how much
    /// of its end a life is given in memory.
    pub fn open(&mut self, process: u16, tail_bytes: impl FnOnce(&mut Random) -> u64, random: &mut Random) -> Result<Opened, Violation> {
        let options = DiskOptions {
            segment_bytes: random.scale(8 << 10, 256 << 10),
            durability: if self.os { Durability::Os } else { Durability::Fsync },
            prepare: Prepare::OnDemand,
            memory_tail_bytes: tail_bytes(random),
            shard_fingerprint: FINGERPRINT,
            addressed_fingerprint: FINGERPRINT,
            moved_from: None,
            process: ProcessId(process),
            group: GroupId(0),
            partitions: vec![PartitionId(0)],
        };
        let opened = DiskLog::open(Path::new(DIRECTORY), options, Arc::new(self.files.clone()));
        let (recovered, log) = match opened {
            Ok(opened) => opened,
            Err(error) => return Violation::new("a log survives its crashes", format!("p{process}: {error}")),
        };
        self.check_survivors(process, recovered.as_ref())?;
        let older = log.reader();
        self.log = Some(log);
        Ok(Opened { recovered, older })
    }

    fn check_survivors(&mut self, process: u16, found: Option<&Recovered>) -> Checked {
        let member = found.map(|found| found.member);
        let (term, last) = found.map_or((0, 0), |found| (found.hard_state.term, found.last_index));
        let safe = &self.safe;
        let same_term = term == safe.hard_state.term;
        let vote = found.map_or(0, |found| found.hard_state.vote);
        let forgot_vote = same_term && safe.hard_state.vote != 0 && vote != safe.hard_state.vote;
        // A later membership may be there too: a write that failed can have reached the disk.
        let is_known = member == safe.member || member == self.written.member;
        if (safe.member.is_some() && !is_known) || term < safe.hard_state.term || forgot_vote {
            let text = format!("p{process}: {member:?} term {term} vote {vote}, not {:?} {:?}", safe.member, safe.hard_state);
            return Violation::new("what was synced survives a crash", text);
        }
        // A later write may have cut the log's end off, and is then itself there with a later term.
        if last < safe.last_index && same_term {
            let text = format!("p{process}: entries through {last} of {}", safe.last_index);
            return Violation::new("what was synced survives a crash", text);
        }
        let hard_state = found.map(|f| f.hard_state.clone()).unwrap_or_default();
        let formation = found.map(|found| found.formation.id);
        let last_term = found.and_then(|found| found.tail.last()).map_or(0, |entry| entry.term);
        let reached = BTreeMap::from([(hard_state.term, last)]);
        let mut terms = std::mem::take(&mut self.written.terms);
        terms.split_off(&(last + 1));
        if terms.values().next_back() != Some(&last_term) {
            // Something in between what was synced and what was written last: of its beginning nothing is known.
            terms = BTreeMap::from([(last, last_term)]);
        }
        self.safe = Safe { member, formation, former: None, reached, hard_state, last_index: last, terms };
        self.written = self.safe.clone();
        Ok(())
    }

    /// Takes a write; it is not on disk before [`Disk::append`].
    pub fn write(&mut self, write: Write) {
        self.pending.push(write);
    }

    /// True when nothing waits to be written.
    pub fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// The log writer appends everything through this write. An error is the disk's.
    pub fn append(&mut self, through: u64, fails: bool, random: &mut Random) -> Result<(), String> {
        let count = self.pending.partition_point(|write| write.id <= through);
        let batch: Vec<Write> = self.pending.drain(..count).collect();
        self.armed |= fails;
        // Without a sync there is none that fails.
        if fails && random.chance(500) && !self.os {
            self.files.fail_sync(1);
        } else if fails {
            self.files.fail_write(1);
        }
        let log = self.log.as_mut().expect("a running process has its log open");
        batch.iter().for_each(|write| self.written.apply(write));
        log.append(&batch).map_err(|error| error.to_string())?;
        if self.os || batch.iter().any(|write| write.must_sync) {
            self.safe = self.written.clone();
        }
        Ok(())
    }

    /// True when the log through `index` survives a crash; in an older term, when it once did.
    pub fn has_synced(&self, term: u64, index: u64) -> bool {
        let safe = &self.safe;
        let replaced = term < safe.hard_state.term && safe.reached.get(&term).is_some_and(|&reached| index <= reached);
        index <= safe.last_index || replaced
    }

    /// The last index that survives a crash.
    pub fn synced_last(&self) -> u64 {
        self.safe.last_index
    }

    /// True when a life that starts now knows of `term`.
    pub fn remembers_term(&self, term: u64) -> bool {
        self.safe.hard_state.term >= term
    }

    /// True when a vote for `candidate` in `term`, or something newer, survives a crash.
    pub fn remembers_vote(&self, term: u64, candidate: u64) -> bool {
        let hard_state = &self.safe.hard_state;
        hard_state.term > term || (hard_state.term == term && hard_state.vote == candidate)
    }

    /// The replica tells that it is this member of this formation. True when a new life would be that, or would have been before
    /// what is on disk now, of which nothing was told yet.
    pub fn tells(&mut self, formation: u64, member: MemberId) -> bool {
        let (told, now) = (Some((formation, member)), self.safe.formation.zip(self.safe.member));
        if told == now {
            (self.safe.former, self.written.former) = (None, None);
        }
        told == now || told == self.safe.former
    }

    /// The member that a new life would continue.
    pub fn member(&self) -> Option<MemberId> {
        self.safe.member
    }

    /// The formation that a new life would continue.
    pub fn formation(&self) -> Option<u64> {
        self.safe.formation
    }

    /// Whether the last entry that `other` has written is on this disk, and so are all before it.
    pub fn has_all_of(&self, other: &Disk) -> bool {
        let (mine, theirs) = (&self.safe, &other.written);
        let reaches = mine.formation == theirs.formation && mine.last_index >= theirs.last_index;
        reaches && mine.term_of(theirs.last_index) == theirs.last_term()
    }

    /// The term that a process with this disk is in, when its last entry is of that term.
    pub fn settled_term(&self) -> Option<u64> {
        let written = &self.written;
        (written.hard_state.term == written.last_term()).then_some(written.hard_state.term)
    }

    /// The process stops, or without `os` the whole machine does. It may be in the middle of a write.
    pub fn crash(&mut self, random: &mut Random) {
        // A failure that did not strike is forgotten by the next boot only.
        let mut power_fails = std::mem::take(&mut self.armed) || random.chance(700);
        if let Some(log) = self.log.as_mut().filter(|_| !self.pending.is_empty() && random.chance(500)) {
            power_fails = true;
            self.files.stop_at(random.within(1, 4));
            self.pending.iter().for_each(|write| self.written.apply(write));
            // How far it came is for the crash to say.
            let _ = log.append(&self.pending);
        }
        self.log = None;
        self.pending.clear();
        if power_fails && !self.os {
            self.files.crash(random.next());
        } else {
            self.files.kill_process();
        }
    }

    /// The power of the machine fails while the process doesn't run. With `os` that may take all that it had written.
    pub fn cut_power(&mut self, random: &mut Random) {
        self.files.crash(random.next());
        if self.os {
            self.safe = Safe::default();
        }
    }

    /// The process ends in good order.
    pub fn close(&mut self) {
        if let Some(log) = self.log.take() {
            // Without the mark of an orderly end the next start only looks closer.
            let _ = log.close();
        }
        self.pending.clear();
        self.files.kill_process();
    }

    /// A bit of the log's beginning goes bad; the process finds that when it reads there.
    pub fn damage(&mut self) {
        self.files.flip_bit(&Path::new(DIRECTORY).join("segment-0000000001.log"), 8 * DAMAGED_BYTE);
    }

    /// Everything is gone.
    pub fn wipe(&mut self) {
        *self = Self { saved: self.saved.take(), os: self.os, ..Self::default() };
    }

    /// Somebody copies the data directory, whatever the process is doing.
    pub fn save(&mut self) {
        self.saved = Some(SavedCopy { files: self.files.copy(), safe: self.safe.clone(), written: self.written.clone() });
    }

    /// True when there is a copy; if not `of_anybody`, of a time when the process was the member that it is now.
    pub fn has_copy(&self, of_anybody: bool) -> bool {
        let is_mine = |copy: &SavedCopy| copy.safe.member.is_some() && copy.safe.member == self.safe.member;
        self.saved.as_ref().is_some_and(|copy| of_anybody || is_mine(copy))
    }

    /// The copy takes the place of the data directory. What was written since then survives no more.
    pub fn put_back(&mut self) -> Result<(), String> {
        let SavedCopy { files, safe, written } = self.saved.clone().ok_or("the disk was not saved")?;
        *self = Self { files: files.copy(), safe, written, saved: self.saved.take(), os: self.os, ..Self::default() };
        Ok(())
    }
}
