//! A simulated disk for one process: what was synced survives, of the rest any prefix may.

use std::sync::{Arc, Mutex};

use mako_raft::ids::MemberId;
use mako_raft::replica::formation::Formation;
use mako_raft::replica::output::Write;
use mako_raft::replica::Recovered;
use mako_raft::storage::OlderEntries;
use raft::eraftpb::{Entry, HardState};

use super::random::Random;

/// A process's data directory.
#[derive(Default)]
pub struct Disk {
    synced: Arc<Mutex<State>>,
    /// Written, not synced yet.
    pending: Vec<Write>,
}

#[derive(Clone, Default)]
struct State {
    membership: Option<(Formation, MemberId)>,
    hard_state: HardState,
    entries: Vec<Entry>,
}

impl State {
    fn apply(&mut self, write: &Write) {
        if let Some(membership) = &write.membership {
            *self = State { membership: Some(membership.clone()), ..State::default() };
        }
        if let Some(hard_state) = &write.hard_state {
            self.hard_state = hard_state.clone();
        }
        self.append(&write.entries);
    }

    fn append(&mut self, entries: &[Entry]) {
        if let Some(first) = entries.first() {
            self.entries.truncate(first.index as usize - 1);
            assert_eq!(self.entries.len() as u64 + 1, first.index, "a write leaves no gap");
            self.entries.extend_from_slice(entries);
        }
    }
}

struct Older(Arc<Mutex<State>>);

impl OlderEntries for Older {
    fn read(&self, low: u64, high: u64, max_bytes: u64) -> std::io::Result<Vec<Entry>> {
        let state = self.0.lock().expect("one thread");
        let mut bytes = 0;
        let mut found = Vec::new();
        for entry in &state.entries[low as usize - 1..high as usize - 1] {
            bytes += entry.data.len() as u64;
            if bytes > max_bytes && !found.is_empty() {
                break;
            }
            found.push(entry.clone());
        }
        Ok(found)
    }

    fn term(&self, index: u64) -> std::io::Result<u64> {
        Ok(self.0.lock().expect("one thread").entries[index as usize - 1].term)
    }
}

impl Disk {
    /// Takes a write; it is not on disk before [`Disk::sync`].
    pub fn write(&mut self, write: Write) {
        self.pending.push(write);
    }

    /// Everything through this write is on disk.
    pub fn sync(&mut self, through: u64) {
        let mut state = self.synced.lock().expect("one thread");
        while self.pending.first().is_some_and(|write| write.id <= through) {
            state.apply(&self.pending.remove(0));
        }
    }

    /// True when nothing waits to be written.
    pub fn is_synced(&self) -> bool {
        self.pending.is_empty()
    }

    /// True when a vote for `candidate` in `term`, or something newer, survives a crash.
    pub fn remembers_vote(&self, term: u64, candidate: u64) -> bool {
        let state = self.synced.lock().expect("one thread");
        state.hard_state.term > term || (state.hard_state.term == term && state.hard_state.vote == candidate)
    }

    /// The last index that survives a crash.
    pub fn synced_last(&self) -> u64 {
        self.synced.lock().expect("one thread").entries.len() as u64
    }

    /// The process or the machine stops: of what was not synced a prefix survives, and the write behind it
    /// may be torn: its first entries are there.
    pub fn crash(&mut self, random: &mut Random) {
        let kept = random.below(self.pending.len() + 1);
        let mut state = self.synced.lock().expect("one thread").clone();
        for write in self.pending.drain(..kept) {
            state.apply(&write);
        }
        if let Some(torn) = self.pending.first().filter(|_| random.chance(500)) {
            if let Some(hard_state) = &torn.hard_state {
                state.hard_state = hard_state.clone();
            }
            if torn.membership.is_none() {
                state.append(&torn.entries[..random.below(torn.entries.len() + 1)]);
            }
        }
        // A commit index beyond what survived would be the caller's bug; the last entries may be missing.
        state.hard_state.commit = state.hard_state.commit.min(state.entries.len() as u64);
        self.pending.clear();
        // The old life's readers keep the old state; it is over.
        self.synced = Arc::new(Mutex::new(state));
    }

    /// Everything is gone.
    pub fn wipe(&mut self) {
        *self = Self::default();
    }

    /// What a new life finds: the tail in memory is as long as the draw says.
    pub fn recover(&self, random: &mut Random) -> Option<Recovered> {
        let state = self.synced.lock().expect("one thread");
        let (formation, member) = state.membership.clone()?;
        let last = state.entries.len();
        let kept = if random.chance(500) { last } else { random.below(last + 1) };
        Some(Recovered {
            formation,
            member,
            hard_state: state.hard_state.clone(),
            last_index: last as u64,
            tail: state.entries[last - kept..].to_vec(),
            older: Some(Box::new(Older(self.synced.clone()))),
        })
    }

    /// The member that a new life would continue.
    pub fn member(&self) -> Option<MemberId> {
        self.synced.lock().expect("one thread").membership.as_ref().map(|&(_, member)| member)
    }

    /// True when nothing survived that a new life could continue.
    pub fn is_blank(&self) -> bool {
        self.synced.lock().expect("one thread").membership.is_none()
    }
}
