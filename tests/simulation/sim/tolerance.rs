//! Whose memory may be lost now without losing more than the shard tolerates.
//!
//! A shard keeps its promises while a majority of its current voters keep their memory. Losses beyond
//! that can lose logs by design (DESIGN "Too many lost at once"), so the fault chooser stays within.

use mako_raft::ids::MemberId;

use super::disk::Disk;
use super::life::{Life, Pulse};
use super::plan::Profile;
use super::schedule::LifeId;
use super::world::{Process, World};

impl World {
    /// Whether the life may crash: its memory is lost, unless its log is on disk.
    pub(super) fn may_crash(&self, life: LifeId) -> bool {
        let disk = &self.processes[self.lives[life].process as usize].disk;
        // Who is no member on its disk is none at all, whatever it agreed to.
        // After a rescue those that run without memory may be many: who could tell them of the shard must not be away.
        let is_seen = self.plan.request.profile != Profile::Rescue || (disk.member().is_some() && self.cannot_form_anew(life));
        (self.plan.durable && is_seen) || self.may_lose(life)
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
        // Who has only just started has not said yet what it found.
        if life.formation.is_none() && self.processes[life.process as usize].disk.member().is_none() {
            // What it promised while the shard formed may be what keeps two formations apart.
            return !life.took_part;
        }
        // The two runs of a process share one line to each other process, and a change from one to the other may need both
        // of them: then nobody else can be missed.
        let runs_twice = |place: &Process| place.twin.is_some() && place.current != Some(id) && place.twin != Some(id);
        if self.processes.iter().any(runs_twice) {
            return false;
        }
        let Some(leader) = self.leader_of_all() else { return false };
        let status = self.status(leader);
        // A leader that was deposed without knowing it tells of members that may be gone.
        let is_latest = self.lives.iter().filter(|other| other.pulse != Pulse::Ended).all(|other| {
            let view = other.replica.status();
            view.term <= status.term && view.commit <= status.commit
        });
        let keeping = self.remembered(id, self.lives[leader].formation);
        // Who lacks what the others may have dropped can't be relied on any more than who is gone.
        let dropped = self.lives.iter().filter(|_| !self.plan.durable).map(|life| life.replica.status().droppable);
        let dropped = dropped.max().unwrap_or_default();
        // A member votes by what it has applied: who has not heard yet that a change is over would still ask
        // for a majority of the old members. So only those count that have.
        let agrees = |voter: &MemberId| {
            keeping.contains(voter)
                && self.lives.iter().filter(|life| life.member == Some(*voter)).all(|life| {
                    let view = life.replica.status();
                    let same = view.voter_members == status.voter_members && !view.changing_members;
                    (same && view.delivered >= dropped) || life.pulse == Pulse::Ended
                })
        };
        let kept = status.voter_members.iter().filter(|&voter| agrees(voter)).count();
        let still_led = kept > status.voter_members.len() / 2;
        is_latest && still_led && !status.changing_members && self.cannot_form_anew(id)
    }

    /// Whether `process`, which is down, may come back as the member that it was without some of what it has acknowledged.
    pub(super) fn may_forget(&self, process: u16) -> bool {
        !self.plan.within_tolerance() || self.others_have_all_of(process)
    }

    /// Whether a majority without `process` has on disk all that it has acknowledged, and nobody will ask again for a vote
    /// that it has given. Then it is no loss when a process that is down forgets.
    pub(super) fn others_have_all_of(&self, process: u16) -> bool {
        if process >= self.plan.voters {
            return true;
        }
        let disk = &self.processes[process as usize].disk;
        let (Some(term), Some(leader)) = (disk.settled_term(), self.leader_of_all()) else { return false };
        let status = self.status(leader);
        let is_latest = self.lives.iter().filter(|life| life.pulse != Pulse::Ended).all(|life| {
            let view = life.replica.status();
            view.term <= status.term && view.commit <= status.commit
        });
        let others = (0..self.plan.voters).filter(|&other| other != process).map(|other| &self.processes[other as usize].disk);
        let is_past = others.clone().all(|other| other.remembers_term(term));
        let is_voter = |other: &Disk| other.member().is_some_and(|member| status.voter_members.contains(&member));
        let keeping = others.filter(|other| is_voter(other) && other.has_all_of(disk)).count();
        let is_kept = keeping > status.voter_members.len() / 2;
        is_latest && is_past && is_kept && !status.changing_members && self.blank_voters() < self.plan.voters as usize / 2
    }

    /// The life that leads in the highest term, twins included.
    fn leader_of_all(&self) -> Option<LifeId> {
        let leads = |life: &&Life| life.pulse != Pulse::Ended && life.replica.status().role == "leader";
        self.lives.iter().filter(leads).max_by_key(|life| life.replica.status().term).map(|life| life.id)
    }

    /// The members of `formation` whose memory is there when that of `lost` is gone.
    fn remembered(&self, lost: LifeId, formation: Option<u64>) -> Vec<MemberId> {
        let is_there = |life: &&Life| life.pulse != Pulse::Ended && life.id != lost && life.formation == formation;
        let alive = self.lives.iter().filter(is_there);
        let in_memory = alive.filter(|life| self.plan.durable || !life.leaves()).filter_map(|life| life.member);
        let down = self.processes.iter().filter(|process| self.plan.durable && process.current.is_none());
        let on_disk = down.filter(|process| process.disk.formation() == formation);
        in_memory.chain(on_disk.filter_map(|process| process.disk.member())).collect()
    }

    /// Whether, without `lost`, the voters that run without memory are too few to form a second shard while
    /// they can't see the first.
    fn cannot_form_anew(&self, lost: LifeId) -> bool {
        self.blank_without(Some(lost)) <= self.plan.voters as usize / 2
    }

    /// Voter processes that have no memory of a formation.
    pub(super) fn blank_voters(&self) -> usize {
        self.blank_without(None)
    }

    fn blank_without(&self, lost: Option<LifeId>) -> usize {
        let is_blank = |voter: u16| {
            let place = &self.processes[voter as usize];
            let lives: Vec<LifeId> = [place.current, place.twin].into_iter().flatten().collect();
            let left: Vec<&LifeId> = lives.iter().filter(|&&life| Some(life) != lost).collect();
            left.iter().any(|&&life| self.lives[life].member.is_none())
                || (left.is_empty() && place.disk.member().is_none())
        };
        (0..self.plan.voters).filter(|&voter| is_blank(voter)).count()
    }
}
