//! The end of a run: when faults stop, the shard must heal within a bound, deliver the same streams
//! everywhere, and take new logs.

use mako_raft::replica::output::{Gate, WaitsFor};

use super::checks::{Checked, Violation};
use super::life::{Ask, Life, Pulse};
use super::plan::Fault;
use super::schedule::LifeId;
use super::world::World;

/// Ticks (of 10 ms) from the last fault to one leader, all seats filled, and nothing undecided.
pub const SETTLE_TICKS_MAX: u64 = 3_000;
/// So many times as long where a message carries one entry: who lost its memory late catches up by no more than the shard
/// is behind what its lines take.
const ONE_BY_ONE: u64 = 4;
/// Ticks from a submission to a healthy shard to its delivery everywhere.
pub const PROBE_TICKS_MAX: u64 = 500;
/// Ticks from a goodbye to the end of its drain.
pub const DRAIN_TICKS_MAX: u64 = 500;

const TICK_US: u64 = 10_000;

impl World {
    /// The whole run: faults, healing, and perhaps an orderly end.
    pub fn run(&mut self) -> Checked {
        for (process, delay) in self.plan.start_ms.clone().into_iter().enumerate() {
            self.schedule.after(delay * 1_000, super::schedule::Event::Start(process as u16));
        }
        self.schedule.after(self.plan.fault_gap_ms * 1_000, super::schedule::Event::Fault);
        self.run_until(self.plan.faults_ms * 1_000)?;
        self.finish_rescues()?;
        self.stop_faults();
        if !self.plan.within_tolerance() {
            return self.run_until(self.now() + 5_000_000);
        }
        let patience = if self.plan.faults.has(Fault::SmallMessages) { ONE_BY_ONE } else { 1 };
        self.wait_for("the shard heals when faults stop", patience * SETTLE_TICKS_MAX, World::is_healthy)?;
        self.load_on = false;
        self.wait_for("streams are equal when submissions stop", SETTLE_TICKS_MAX, World::is_equal)?;
        self.probe()?;
        self.leave()
    }

    /// Runs until `done` says `Ok`, for at most so many ticks; its last objection is the violation's text.
    fn wait_for(&mut self, check: &'static str, ticks: u64, done: fn(&World) -> Result<(), String>) -> Checked {
        let mut objection = String::new();
        for _ in 0..ticks / 5 {
            self.run_until(self.now() + 5 * TICK_US)?;
            match done(self) {
                Ok(()) => return Ok(()),
                Err(text) => objection = text,
            }
        }
        Violation::new(check, format!("after {ticks} ticks {objection}"))
    }

    /// Lives that a healthy shard needs: all but those that can't be rebuilt and said so.
    fn wanted_lives(&self) -> Vec<LifeId> {
        let is_out = |life: &&Life| life.replica.status().waits_for == WaitsFor::Restart;
        self.current_lives().filter(|life| !is_out(life)).map(|life| life.id).collect()
    }

    fn is_healthy(&self) -> Result<(), String> {
        if let Some(process) = self.processes.iter().position(|process| process.current.is_none()) {
            return Err(format!("p{process} is not started"));
        }
        if let Some(process) = self.processes.iter().position(|process| process.twin.is_some()) {
            return Err(format!("p{process} runs twice"));
        }
        if let Some(life) = self.lives.iter().find(|life| life.leaving && life.pulse != Pulse::Ended) {
            return Err(format!("p{} is still leaving", life.process));
        }
        if let Some(life) = self.current_lives().find(|life| life.replica.status().role == "superseded") {
            return Err(format!("p{} gave way to a later generation and was not started again", life.process));
        }
        let wanted = self.wanted_lives();
        let leaders: Vec<LifeId> =
            wanted.iter().copied().filter(|&life| self.status(life).role == "leader").collect();
        let &[leader] = &leaders[..] else { return Err(format!("{} lives lead", leaders.len())) };
        if !self.lives[leader].account.announced {
            return Err("leadership is not announced".into());
        }
        if self.lives[leader].gate != Gate::Open {
            return Err(format!("the leader's gate is {:?}", self.lives[leader].gate));
        }
        let status = self.status(leader);
        for &id in &wanted {
            let process = self.lives[id].process;
            let view = self.status(id);
            if view.formation != status.formation {
                return Err(format!("p{process} is in formation {:x?}", view.formation));
            }
            if view.leader != status.leader {
                return Err(format!("p{process} takes {:?} for the leader", view.leader));
            }
            if !self.has_seat(id) {
                return Err(format!("p{process} has no seat: {:?} vote, {:?} learn", view.voters, view.learners));
            }
        }
        self.preferred_leads(leader)
    }

    /// This very run votes, or learns where its process does no more than that.
    pub fn has_seat(&self, id: LifeId) -> bool {
        let view = self.status(id);
        let votes = view.member.is_some_and(|member| view.voter_members.contains(&member));
        votes == (self.lives[id].process < self.plan.voters) && view.member.is_some()
    }

    /// The preferred process leads, where nobody changed the preference and its run lost nothing.
    fn preferred_leads(&self, leader: LifeId) -> Result<(), String> {
        let Some(preferred) = self.plan.preferred.filter(|_| !self.preference_changed) else { return Ok(()) };
        let Some(life) = self.processes[preferred.0 as usize].current else { return Ok(()) };
        let excused = !self.wanted_lives().contains(&life) || self.status(life).lost_accepted;
        if self.lives[leader].process != preferred.0 && !excused && !self.sought {
            return Err(format!("p{} leads and not p{}", self.lives[leader].process, preferred.0));
        }
        Ok(())
    }

    fn is_equal(&self) -> Result<(), String> {
        self.is_healthy()?;
        for id in self.wanted_lives() {
            let life = &self.lives[id];
            if life.account.undecided_in_all() > 0 || life.account.queued_in_all() > 0 {
                let (logs, bytes) = (life.account.undecided_in_all(), life.account.queued_in_all());
                return Err(format!("p{}: {logs} logs, {bytes} queued bytes undecided", life.process));
            }
            let formation = life.formation.ok_or("a healthy life has a formation")?;
            for partition in 0..life.lanes.len() {
                let (here, all) = (life.account.slots(partition), self.checks.stream_len(formation, partition));
                if here != all || life.lanes[partition].told.0 != all {
                    let told = life.lanes[partition].told;
                    return Err(format!("p{}: partition {partition}: {here} ({told}) of {all} slots", life.process));
                }
            }
        }
        Ok(())
    }

    /// New logs are committed and delivered everywhere.
    fn probe(&mut self) -> Checked {
        let Some(leader) = self.leader() else {
            return Violation::new("a healthy shard has a leader", "nobody leads".into());
        };
        let before = self.checks.delivered();
        let partitions = self.plan.partitions as usize;
        for partition in 0..partitions {
            let lengths = [40, self.plan.load.fragment_bytes * 3, 0];
            let accepted = self.lives[leader].accept_lengths(partition, self.plan.load.fragment_bytes, &lengths);
            if accepted != 3 {
                return Violation::new("a healthy shard accepts logs", format!("{:?}", self.lives[leader].gate));
            }
        }
        self.plan_turn(leader);
        self.wait_for("a healthy shard commits new logs", PROBE_TICKS_MAX, World::is_equal)?;
        let delivered = self.checks.delivered() - before;
        if delivered != 3 * partitions as u64 {
            return Violation::new("a healthy shard loses nothing", format!("{delivered} of {} logs", 3 * partitions));
        }
        Ok(())
    }

    /// Everybody says goodbye, one after the other, with submissions going on; each drain ends.
    fn leave(&mut self) -> Checked {
        self.load_on = true;
        self.run_until(self.now() + 200_000)?;
        let mut lives: Vec<LifeId> = self.current_lives().map(|life| life.id).collect();
        while !lives.is_empty() {
            let next = self.random.below(lives.len());
            let life = lives.swap_remove(next);
            self.ask(life, Ask::Goodbye);
            let pause = self.random.scale(100, 300_000);
            self.run_until(self.now() + pause)?;
        }
        self.wait_for("drains end", DRAIN_TICKS_MAX, World::drains_are_over)?;
        for life in self.current_lives().map(|life| life.id).collect::<Vec<_>>() {
            self.ask(life, Ask::Abandon);
        }
        self.run_until(self.now() + 100_000)?;
        for life in self.current_lives() {
            if life.intake_logs() > 0 {
                let text = format!("p{}: {} logs in its intakes", life.process, life.intake_logs());
                return Violation::new("after the drain nothing waits to be proposed", text);
            }
        }
        Ok(())
    }

    fn drains_are_over(&self) -> Result<(), String> {
        for life in self.current_lives() {
            let undecided = life.account.undecided_in_all();
            if undecided > 0 && !life.replica.drain_is_hopeless() {
                return Err(format!("p{}: {undecided} logs are undecided and there is hope", life.process));
            }
        }
        Ok(())
    }
}
