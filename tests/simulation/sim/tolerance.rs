//! Whose memory may be lost now without losing more than the shard tolerates.
//!
//! A shard keeps its promises while a majority of its current voters keep their memory. Losses beyond
//! that can lose logs by design (DESIGN "Too many lost at once"), so the fault chooser stays within.

use super::life::Pulse;
use super::schedule::LifeId;
use super::world::World;

impl World {
    /// Whether the life may crash: its memory is lost, unless its log is on disk.
    pub(super) fn may_crash(&self, life: LifeId) -> bool {
        let disk = &self.processes[self.lives[life].process as usize].disk;
        let continues = self.plan.durable && !disk.is_blank();
        continues || self.may_lose(life)
    }

    /// Whether everything that the life remembers may be lost.
    pub(super) fn may_lose(&self, id: LifeId) -> bool {
        if !self.plan.within_tolerance() {
            return true;
        }
        let life = &self.lives[id];
        if life.process >= self.plan.voters {
            return true;
        }
        if life.formation.is_none() {
            // What it promised while the shard formed may be what keeps two formations apart.
            return !life.took_part;
        }
        let Some(leader) = self.leader() else { return false };
        let status = self.status(leader);
        // A leader that was deposed without knowing it tells of members that may be gone.
        let is_latest = self.current_lives().all(|other| {
            let view = other.replica.status();
            view.term <= status.term && view.commit <= status.commit
        });
        let mut voters: Vec<u16> = status.voters.iter().map(|process| process.0).collect();
        if !voters.contains(&life.process) {
            voters.push(life.process);
        }
        let keeping = voters.iter().filter(|&&voter| voter != life.process && self.keeps_memory(voter)).count();
        is_latest && keeping > voters.len() / 2 && !status.changing_members && self.cannot_form_anew(life.process)
    }

    /// Whether, `lost` without memory, those that never were members or lost their memory are too few to
    /// form a second shard while they can't see the first.
    fn cannot_form_anew(&self, lost: u16) -> bool {
        let blank = (0..self.plan.voters).filter(|&voter| voter == lost || !self.keeps_memory(voter)).count();
        blank <= self.plan.voters as usize / 2
    }

    /// Whether the process's current run is a voter by its own knowledge, so that its memory counts.
    fn keeps_memory(&self, process: u16) -> bool {
        let Some(id) = self.processes[process as usize].current else {
            return self.plan.durable && !self.processes[process as usize].disk.is_blank();
        };
        let life = &self.lives[id];
        let leaving = life.leaving && !self.plan.durable;
        let votes = !matches!(self.status(id).role, "unformed" | "learner" | "cut off" | "stopped");
        life.pulse != Pulse::Ended && !leaving && votes
    }
}
