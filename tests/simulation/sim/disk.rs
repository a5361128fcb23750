//! A process's data directory: the real durable log on simulated files.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use mako_raft::ids::{GroupId, MemberId, ProcessId};
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

/// A process's disk, and the log on it while the process runs.
#[derive(Default)]
pub struct Disk {
    files: SimulatedFiles,
    log: Option<DiskLog>,
    /// Asked for, and not handed to the log yet.
    pending: Vec<Write>,
    /// A failure was asked for and may not have struck yet.
    pub armed: bool,
    /// What must survive: what was written before a sync that succeeded.
    safe: Safe,
    /// As `safe`, with what was written since, and what was tried.
    written: Safe,
    /// A copy of the data directory as it was once.
    saved: Option<SimulatedFiles>,
}

#[derive(Clone, Default)]
struct Safe {
    member: Option<MemberId>,
    formation: Option<u64>,
    hard_state: HardState,
    last_index: u64,
    /// How far the log has ever reached in each term: an acknowledgement of an older term may still be on
    /// its way when a later leader's entries have replaced what it speaks of.
    reached: BTreeMap<u64, u64>,
}

impl Safe {
    fn apply(&mut self, write: &Write) {
        if let Some((formation, member)) = &write.membership {
            // What the survivor inherits it has written; others begin with nothing.
            let last_index = formation.inherited.min(self.last_index);
            *self = Safe { member: Some(*member), formation: Some(formation.id), last_index, ..Safe::default() };
        }
        if let Some(hard_state) = &write.hard_state {
            self.hard_state = hard_state.clone();
        }
        if let Some(entry) = write.entries.last() {
            self.last_index = entry.index;
        }
        let reached = self.reached.entry(self.hard_state.term).or_default();
        *reached = self.last_index.max(*reached);
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
            durability: Durability::Fsync,
            prepare: Prepare::OnDemand,
            memory_tail_bytes: tail_bytes(random),
            shard_fingerprint: FINGERPRINT,
            process: ProcessId(process),
            group: GroupId(0),
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
        self.safe = Safe { member, formation, reached: BTreeMap::from([(hard_state.term, last)]), hard_state, last_index: last };
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
        if fails && random.chance(500) {
            self.files.fail_sync(1);
        } else if fails {
            self.files.fail_write(1);
        }
        let log = self.log.as_mut().expect("a running process has its log open");
        batch.iter().for_each(|write| self.written.apply(write));
        log.append(&batch).map_err(|error| error.to_string())?;
        if batch.iter().any(|write| write.must_sync) {
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

    /// The member that a new life would continue.
    pub fn member(&self) -> Option<MemberId> {
        self.safe.member
    }

    /// The formation that a new life would continue.
    pub fn formation(&self) -> Option<u64> {
        self.safe.formation
    }

    /// The process stops, or the whole machine does. It may be in the middle of a write.
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
        if power_fails {
            self.files.crash(random.next());
        } else {
            self.files.kill_process();
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

    /// Everything is gone.
    pub fn wipe(&mut self) {
        *self = Self { saved: self.saved.take(), ..Self::default() };
    }

    /// Somebody copies the data directory, whatever the process is doing.
    pub fn save(&mut self) {
        self.saved = Some(self.files.copy());
    }

    /// The copy takes the place of the data directory. What was written since then survives no more.
    pub fn put_back(&mut self) -> Result<(), String> {
        let saved = self.saved.take().ok_or("the disk was not saved")?;
        *self = Self { files: saved.copy(), saved: Some(saved), ..Self::default() };
        Ok(())
    }
}
