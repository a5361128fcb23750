//! An operator who does what docs/operations.md says: all members but one are lost for good, the survivor is let go on
//! alone, and the others are started again with nothing. In the profile `rescue` the shard must then heal.
//!
//! One of the lost ones may come back with what it had: a member of the parent generation, or of one long past when it was away
//! for more than one rescue. It must give way, and the operator starts it again with nothing as well. A survivor with its
//! log on disk may be started again as soon as it has gone on, or when the others are there.

use mako_raft::ids::ProcessId;
use mako_raft::replica::RestoreOrder;

use super::checks::{Checked, Violation};
use super::life::{Ask, Pulse};
use super::plan::{Datagram, Profile};
use super::schedule::{Event, LifeId};
use super::world::{Process, World};

/// Between two looks of the operator.
const LOOK_US: u64 = 500_000;
/// Until then the act must have taken effect: a survivor waits for four election timeouts, a connection is made
/// anew, writes of a slow disk end.
const ACTING_US_MAX: u64 = 60 * LOOK_US;

/// Who is away is so for at most so many rescues.
const RESCUES_IN_A_ROW_MAX: u32 = 4;

/// The others vote by then, or the run ends without the survivor's restart.
const RESTART_US_MAX: u64 = 5_000_000;

/// How the operator says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// `mako_raft_restore_alone` in the survivor.
    Call,
    /// `raft.restore` in those that are started again.
    Order,
    /// `raft.restore` in the survivor, which is started again with its log.
    OwnOrder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Losing,
    Acting { since_us: u64 },
}

/// A rescue under way.
#[derive(Debug)]
pub struct Rescue {
    survivor: u16,
    parent: u64,
    /// Still to be lost, the last one first.
    to_lose: Vec<u16>,
    /// Lost, but not for good.
    comes_back: Option<u16>,
    way: Way,
    stage: Stage,
    /// It is killed once it has begun the next generation, written down or not.
    dies_in_between: bool,
    /// Where the survivor's log ended when this began.
    last: u64,
}

/// A survivor that is started again once the others vote: its log ends with who joined it.
#[derive(Clone, Copy, Debug)]
pub struct Restart {
    survivor: u16,
    /// Where its log ended before its rescue.
    last: u64,
}

impl World {
    /// All but `survivor` will be lost, one after the other. False when the shard is in no state for it.
    pub(super) fn begin_rescue(&mut self, survivor: LifeId) -> bool {
        let Some((generation, parent)) = self.status(survivor).formation else { return false };
        let process = self.lives[survivor].process;
        let is_latest = self.current_lives().all(|life| {
            life.replica.status().formation.is_none_or(|(theirs, id)| theirs < generation || id == parent)
        });
        let nobody_leaves = self.lives.iter().all(|life| !life.leaves() || life.pulse == Pulse::Ended);
        // Another fault may have had it started.
        self.away = self.away.filter(|&away| self.processes[away as usize].current.is_none());
        let runs = |(place, number): (&Process, u16)| place.twin.is_none() && (place.current.is_some() || self.away == Some(number));
        let all_run = self.processes.iter().zip(0..).all(runs);
        let is_voter = process < self.plan.voters && self.has_seat(survivor);
        if self.rescue.is_some() || !is_latest || !nobody_leaves || !all_run || !is_voter {
            return false;
        }
        self.calm_the_network();
        let last = self.status(survivor).last.0;
        let random = self.faults.random();
        let away = self.away;
        let mut to_lose: Vec<u16> =
            (0..self.plan.processes()).filter(|&other| other != process && Some(other) != away).collect();
        for last in (1..to_lose.len()).rev() {
            to_lose.swap(last, random.below(last + 1));
        }
        let comes_back = away.or(random.chance(400).then(|| random.pick(&to_lose)));
        let way = random.pick(if self.plan.durable { &[Way::Call, Way::Order, Way::OwnOrder] } else { &[Way::Call, Way::Order] });
        let dies_in_between = self.plan.durable && random.chance(300);
        let rescue = Rescue { survivor: process, parent, to_lose, comes_back, way, stage: Stage::Losing, dies_in_between, last };
        self.trace.world(self.schedule.now, || format!("all but p{process} will be lost: {rescue:?}"));
        self.rescue = Some(rescue);
        self.rescues += 1;
        self.schedule.after(1_000, Event::Operator);
        true
    }

    /// A partition that hides the survivor from those that come back with nothing is not what this is about: no design
    /// in memory survives that (docs/operations.md).
    fn calm_the_network(&mut self) {
        self.end_network_faults();
        self.network.datagram = Datagram::default();
        for life in 0..self.lives.len() {
            self.resume(life);
        }
        self.processes.iter_mut().for_each(|place| place.disk_fails = false);
    }

    pub(super) fn operator(&mut self) -> Checked {
        let Some(mut rescue) = self.rescue.take() else { return Ok(()) };
        match rescue.stage {
            Stage::Losing => match rescue.to_lose.pop() {
                Some(process) => {
                    self.lose_process(process, rescue.comes_back == Some(process));
                    let delay = self.faults.random().scale(1_000, 500_000);
                    self.schedule.after(delay, Event::Operator);
                }
                None => {
                    self.let_survivor_go_on(&rescue);
                    rescue.stage = Stage::Acting { since_us: self.now() };
                    self.schedule.after(LOOK_US, Event::Operator);
                }
            },
            Stage::Acting { since_us } if self.now() - since_us > ACTING_US_MAX => {
                let text = format!("p{} does not go on: {rescue:?}", rescue.survivor);
                return Violation::new("the operator's act takes effect", text);
            }
            Stage::Acting { since_us } => {
                if self.has_gone_on(&rescue, since_us) && self.blank_voters() <= self.plan.voters as usize / 2 {
                    self.end_rescue(&rescue);
                    return Ok(());
                }
                if let Some(life) = self.processes[rescue.survivor as usize].current {
                    if rescue.dies_in_between && self.lives[life].formation != Some(rescue.parent) {
                        rescue.dies_in_between = false;
                        self.kill(life, "as soon as it has gone on");
                        self.schedule.after(100_000, Event::Start(rescue.survivor));
                    } else if rescue.way == Way::Call {
                        self.ask(life, Ask::RestoreAlone);
                    }
                }
                // In between is soon after the act.
                let look_us = if rescue.dies_in_between { self.faults.random().scale(1_000, LOOK_US) } else { LOOK_US };
                self.schedule.after(look_us, Event::Operator);
            }
        }
        self.rescue = Some(rescue);
        Ok(())
    }

    fn lose_process(&mut self, process: u16, comes_back: bool) {
        if comes_back && !self.plan.durable {
            self.isolate(process, true);
            // As the transport does with a connection that is silent for long.
            for conn in self.network.open_conns(|conn| conn.processes.contains(&process)) {
                self.network.close(conn, &mut self.schedule);
            }
            return;
        }
        if let Some(life) = self.processes[process as usize].current {
            self.kill(life, if comes_back { "crash" } else { "lost for good" });
        }
        if !comes_back {
            self.processes[process as usize].disk.wipe();
        }
    }

    fn let_survivor_go_on(&mut self, rescue: &Rescue) {
        let order = RestoreOrder { survivor: ProcessId(rescue.survivor), formations: vec![rescue.parent] };
        let survivor = rescue.survivor as usize;
        match rescue.way {
            Way::Call => {}
            Way::Order => self.processes.iter_mut().for_each(|place| place.restore = Some(order.clone())),
            Way::OwnOrder => {
                self.processes[survivor].restore = Some(order);
                if let Some(life) = self.processes[survivor].current {
                    self.kill(life, "to be started with the operator's order");
                }
                self.schedule.after(100_000, Event::Start(rescue.survivor));
            }
        }
        for process in (0..self.plan.processes()).filter(|&process| Some(process) != rescue.comes_back) {
            if rescue.way == Way::Order && process != rescue.survivor {
                self.end_who_started_without_the_order(process);
            }
            let delay = self.faults.random().within(300_000, 2_000_000);
            self.schedule.after(delay, Event::Start(process));
        }
    }

    /// An order is read at a start, and another fault may have started `process` before the order was given.
    fn end_who_started_without_the_order(&mut self, process: u16) {
        let Some(id) = self.processes[process as usize].current else { return };
        let life = &self.lives[id];
        if life.formation.is_none() && !life.took_part {
            self.kill(id, "to be started with the operator's order");
        }
    }

    /// The survivor began the next generation, or needs none: those that were lost had not been a majority.
    fn has_gone_on(&self, rescue: &Rescue, since_us: u64) -> bool {
        let Some(life) = self.processes[rescue.survivor as usize].current else { return false };
        let status = self.status(life);
        let Some(leader) = self.leader().map(|leader| &self.lives[leader]) else { return false };
        // A leader learns within two election timeouts that its majority is gone.
        if status.formation.is_some_and(|(_, id)| id == rescue.parent) && self.now() - since_us < 4 * LOOK_US {
            return false;
        }
        let is_known = status.leader == Some(ProcessId(leader.process)) && Some(leader.process) != rescue.comes_back;
        is_known && leader.replica.status().formation == status.formation
    }

    fn end_rescue(&mut self, rescue: &Rescue) {
        self.trace.world(self.schedule.now, || "the rescue is over".into());
        if self.faults.on {
            self.network.datagram = self.plan.datagram;
        }
        if self.faults.random().chance(500) {
            self.processes.iter_mut().for_each(|place| place.restore = None);
        }
        self.away = None;
        if self.plan.durable {
            let restarts = self.faults.random().chance(700);
            self.restart = restarts.then_some(Restart { survivor: rescue.survivor, last: rescue.last });
            let stays_away = rescue.comes_back.is_some() && self.rescues < RESCUES_IN_A_ROW_MAX && self.faults.random().chance(500);
            self.away = rescue.comes_back.filter(|_| stays_away);
        }
        match rescue.comes_back {
            Some(_) if self.away.is_some() => {}
            Some(process) if self.plan.durable => self.schedule.after(1_000, Event::Start(process)),
            Some(process) => self.isolate(process, false),
            None => {}
        }
    }

    /// Starts a survivor again after the others had the time to elect another leader. About all that came since its rescue is
    /// in the part of the log that it is given in memory.
    fn restart_survivor(&mut self) {
        let Some(Restart { survivor, last }) = self.restart else { return };
        let Some(life) = self.processes[survivor as usize].current else { return };
        let status = self.status(life);
        if self.rescue.is_some() || status.voter_members.len() < self.plan.voters as usize || !self.may_crash(life) {
            return;
        }
        self.restart = None;
        self.kill(life, "to be started again after its rescue");
        let since = status.last.0.saturating_sub(last);
        let entry_bytes = status.log_bytes as u64 / (status.last.0 + 1 - status.first_in_memory.0).max(1);
        let election_us = self.plan.timing.election_ms * 1_000;
        let percent = self.faults.random().within(70, 150);
        self.processes[survivor as usize].tail_bytes = Some(since * entry_bytes * percent / 100 + 1);
        let delay = self.faults.random().within(election_us, 6 * election_us);
        self.schedule.after(delay, Event::Start(survivor));
    }

    /// Cuts `process` off from all others, or joins it to them again.
    pub(super) fn isolate(&mut self, process: u16, cut: bool) {
        for other in (0..self.plan.processes()).filter(|&other| other != process) {
            for (from, to) in [(process, other), (other, process)] {
                if cut {
                    self.network.block(from, to);
                } else {
                    self.network.unblock(from, to, &mut self.schedule);
                }
            }
        }
    }

    /// Now and then the operator starts what gave way to a later generation again, with nothing.
    pub(super) fn tidy(&mut self) {
        self.schedule.after(500_000, Event::Tidy);
        self.restart_survivor();
        let gave_way = |life: &&super::life::Life| life.replica.status().role == "superseded" && !life.leaving;
        let Some(life) = self.current_lives().find(gave_way).map(|life| life.id) else { return };
        let process = self.lives[life].process;
        if self.rescue.is_some() || self.blank_voters() >= self.plan.voters as usize / 2 {
            return;
        }
        self.kill(life, "started again with nothing: a later generation won");
        self.processes[process as usize].disk.wipe();
        self.schedule.after(100_000, Event::Start(process));
    }

    /// After the faults: a run of this profile has at least one rescue, and sees each to its end.
    pub(super) fn finish_rescues(&mut self) -> Checked {
        if self.plan.request.profile != Profile::Rescue {
            return Ok(());
        }
        for _ in 0..RESCUES_IN_A_ROW_MAX {
            for _ in 0..100 {
                let wanted = self.rescues == 0 || self.away.is_some();
                let candidates: Vec<LifeId> = self.current_lives().map(|life| life.id).collect();
                let may_begin = wanted && self.plan.faults.has(super::plan::Fault::Restore);
                if !may_begin || candidates.into_iter().any(|life| self.begin_rescue(life)) {
                    break;
                }
                self.run_until(self.now() + 100_000)?;
            }
            while self.rescue.is_some() {
                self.run_until(self.now() + 100_000)?;
            }
        }
        self.away = None;
        let until_us = self.now() + RESTART_US_MAX;
        while self.restart.is_some() && self.now() < until_us {
            self.run_until(self.now() + 100_000)?;
        }
        self.restart = None;
        Ok(())
    }
}
