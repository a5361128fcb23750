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
        let mut voters: Vec<u16> = status.voters.iter().map(|process| process.0).collect();
        if !voters.contains(&life.process) {
            voters.push(life.process);
        }
        let keeping = voters.iter().filter(|&&voter| voter != life.process && self.keeps_memory(voter)).count();
        keeping > voters.len() / 2
    }

    /// Whether the process's current run is a voter by its own knowledge, so that its memory counts.
    fn keeps_memory(&self, process: u16) -> bool {
        let Some(id) = self.processes[process as usize].current else {
            return self.plan.durable && !self.processes[process as usize].disk.is_blank();
        };
        let life = &self.lives[id];
        let leaving = life.leaving && !self.plan.durable;
        life.pulse != Pulse::Ended
            && life.formation.is_some()
            && !leaving
            && self.status(id).voters.iter().any(|voter| voter.0 == process)
    }
}
