//! Which fault comes next, whom it hits, and when it ends.

use mako_raft::ids::ProcessId;
use mako_raft::replica::RestoreOrder;

use super::life::{Ask, Pulse};
use super::network::Line;
use super::plan::{Fault, Profile};
use super::random::Random;
use super::schedule::{Event, LifeId};
use super::world::{Forgets, World};

/// A process that is to forget something waits at most so long for a moment when the shard can do without it.
const FORGET_US_MAX: u64 = 6_000_000;

/// How a fault ends.
#[derive(Clone, Debug)]
enum Cure {
    Unblock(Vec<(u16, u16)>),
    Flap { pair: (u16, u16), blocked: bool, left: u32 },
    Line(u16, Line),
    Lane(LifeId, usize),
    Disk(u16),
    TwinEnds(LifeId),
}

/// Faults under way.
pub struct Faults {
    /// New ones come.
    pub on: bool,
    cures: Vec<Option<Cure>>,
    random: Random,
    /// How many of each kind came, in the order of [`super::plan::FAULTS`].
    pub counts: [u64; 32],
}

impl Faults {
    /// None yet.
    pub fn new(random: Random) -> Self {
        Self { on: true, cures: Vec::new(), random, counts: [0; 32] }
    }
}

impl Faults {
    /// Draws of the faults.
    pub(super) fn random(&mut self) -> &mut Random {
        &mut self.random
    }
}

impl World {
    /// The next fault, and the moment of the one after it.
    pub(super) fn fault(&mut self) {
        if !self.faults.on {
            return;
        }
        let gap = self.faults.random.within(10, self.plan.fault_gap_ms);
        self.schedule.after(gap * 1_000, Event::Fault);
        if self.rescue.is_some() || self.figure8.is_some() {
            return;
        }
        let kinds: Vec<Fault> = super::plan::FAULTS
            .iter()
            .map(|&(fault, _)| fault)
            .filter(|&fault| self.plan.faults.has(fault))
            .filter(|fault| !fault.is_a_condition())
            .collect();
        if !kinds.is_empty() {
            // What a rescue leads to has more time to show, and shows more clearly, in a log without a history of its own.
            let is_first = self.plan.request.profile == Profile::Rescue && self.rescues == 0;
            let begins = is_first && kinds.contains(&Fault::Restore) && self.faults.random.chance(150);
            let forgets = self.plan.request.profile == Profile::OldCopy && self.faults.random.chance(300);
            let kind = match (begins, forgets) {
                (true, _) => Fault::Restore,
                (_, true) => self.choose_how_to_forget(&kinds),
                _ => self.faults.random.pick(&kinds),
            };
            if self.strike(kind) {
                self.faults.counts[kind as usize] += 1;
            }
        }
    }

    fn choose_how_to_forget(&mut self, kinds: &[Fault]) -> Fault {
        let ways: Vec<Fault> = kinds.iter().copied().filter(|kind| matches!(kind, Fault::OldCopy | Fault::PowerCut)).collect();
        self.faults.random.pick(if ways.is_empty() { kinds } else { &ways })
    }

    fn strike(&mut self, kind: Fault) -> bool {
        let Some(target) = self.choose_target() else { return false };
        let process = self.lives[target].process;
        match kind {
            Fault::Crash => self.crash(target),
            Fault::DiskLoss => self.lose_disk(target),
            Fault::OneWay => self.one_way(process),
            Fault::Split => self.split(),
            Fault::Flap => self.flap(process),
            Fault::Reset => self.reset(target),
            Fault::SlowPeer => self.slow_line(process),
            Fault::Pause => {
                let length = self.faults.random.scale(5_000, 3_000_000);
                self.pause(target, length);
                true
            }
            Fault::Skew => self.skew(target),
            Fault::Block => self.block_lane(target),
            Fault::SlowDisk => self.slow_disk(process),
            Fault::DiskError => self.fail_disk(target),
            Fault::Prefer => self.prefer(target),
            Fault::Seek => {
                self.ask(target, Ask::Seek);
                self.sought = true;
                true
            }
            Fault::Goodbye => self.goodbye(target),
            Fault::Twin => self.twin(target),
            Fault::Companion => self.draw_leadership(target),
            Fault::Restore if self.plan.within_tolerance() => {
                let survivor = self.choose_survivor(target);
                self.begin_rescue(survivor)
            }
            Fault::Restore => self.restore_rashly(target),
            Fault::Figure8 => self.begin_figure8(),
            Fault::OldCopy => self.copy_or_put_back(target),
            Fault::PowerCut => self.crash_forgetting(target, Forgets::ByPowerCut),
            Fault::Datagram
            | Fault::LateStart
            | Fault::SmallLog
            | Fault::Lag
            | Fault::StandBack
            | Fault::SmallMessages => false,
        }
    }

    /// Half of the faults hit the leader, where there is one.
    fn choose_target(&mut self) -> Option<LifeId> {
        if self.faults.random.chance(500) {
            if let Some(leader) = self.leader() {
                return Some(leader);
            }
        }
        let lives: Vec<LifeId> = self.current_lives().map(|life| life.id).collect();
        if lives.is_empty() {
            return None;
        }
        Some(self.faults.random.pick(&lives))
    }

    /// Half of the survivors have the first move once they are started again.
    fn choose_survivor(&mut self, target: LifeId) -> LifeId {
        let designated = self.plan.designated.and_then(|process| self.processes[process.0 as usize].current);
        designated.filter(|_| self.faults.random.chance(500)).unwrap_or(target)
    }

    fn other_process(&mut self, process: u16) -> u16 {
        let step = self.faults.random.within(1, u64::from(self.plan.processes()) - 1) as u16;
        (process + step) % self.plan.processes()
    }

    fn cure_later(&mut self, cure: Cure, after_us: u64) {
        let number = self.faults.cures.len();
        self.faults.cures.push(Some(cure));
        self.schedule.after(after_us, Event::Heal(number));
    }

    fn crash(&mut self, target: LifeId) -> bool {
        if !self.may_crash(target) {
            return false;
        }
        let process = self.lives[target].process;
        self.kill(target, "crash");
        let delay = self.faults.random.scale(1_000, 5_000_000);
        self.schedule.after(delay, Event::Start(process));
        true
    }

    /// Somebody makes copies of all data directories, or puts the last one of `target`'s back.
    fn copy_or_put_back(&mut self, target: LifeId) -> bool {
        let of_anybody = !self.plan.within_tolerance();
        let place = &self.processes[self.lives[target].process as usize];
        if !place.disk.has_copy(of_anybody) || self.faults.random.chance(300) {
            self.processes.iter_mut().for_each(|place| place.disk.save());
            return true;
        }
        self.crash_forgetting(target, Forgets::ByCopy)
    }

    /// What is forgotten is so at the next start: by then the others may have all of it.
    fn crash_forgetting(&mut self, target: LifeId, forgets: Forgets) -> bool {
        // One at a time, or those that wait for the shard to do without them are what it lacks.
        let crashes = self.processes.iter().all(|place| place.forgets.is_none()) && self.crash(target);
        if crashes {
            let until_us = self.now() + FORGET_US_MAX;
            self.processes[self.lives[target].process as usize].forgets = Some((forgets, until_us));
        }
        crashes
    }

    /// `process`, which is down, comes back with less than it had, if the shard can do without that.
    pub(super) fn forget(&mut self, process: u16, forgets: Forgets) {
        let of_anybody = !self.plan.within_tolerance();
        let (may_forget, is_kept) = (self.may_forget(process), self.others_have_all_of(process));
        let place = &mut self.processes[process as usize];
        place.forgets = None;
        let is_same_member = place.disk.has_copy(false);
        match forgets {
            Forgets::ByCopy if may_forget && place.disk.has_copy(of_anybody) => place.disk.put_back().expect("there is a copy"),
            Forgets::ByPowerCut if may_forget => place.disk.cut_power(&mut self.faults.random),
            _ => return,
        }
        if !is_kept || (matches!(forgets, Forgets::ByCopy) && !is_same_member) {
            self.checks.let_replicas_differ();
        }
        self.trace.story(self.schedule.now, process, || format!("forgets: {forgets:?}"));
    }

    fn lose_disk(&mut self, target: LifeId) -> bool {
        if !self.may_lose(target) {
            return false;
        }
        let process = self.lives[target].process;
        self.kill(target, "crash, and its disk is lost");
        self.processes[process as usize].disk.wipe();
        let delay = self.faults.random.scale(1_000, 5_000_000);
        self.schedule.after(delay, Event::Start(process));
        true
    }

    fn block_ways(&mut self, ways: Vec<(u16, u16)>, for_us: u64) {
        for &(from, to) in &ways {
            self.network.block(from, to);
        }
        let now = self.schedule.now;
        self.trace.world(now, || {
            let ways: Vec<String> = ways.iter().map(|(from, to)| format!("p{from}->p{to}")).collect();
            format!("blocks {} for {} ms", ways.join(" "), for_us / 1_000)
        });
        // A way that is blocked for long breaks its connections in time, as timeouts do.
        if for_us > 1_000_000 && self.faults.random.chance(700) {
            for conn in self.network.open_conns(|conn| {
                let [a, b] = conn.processes;
                ways.contains(&(a, b)) || ways.contains(&(b, a))
            }) {
                self.network.close(conn, &mut self.schedule);
            }
        }
        self.cure_later(Cure::Unblock(ways), for_us);
    }

    fn one_way(&mut self, process: u16) -> bool {
        let mut ways = Vec::new();
        if self.faults.random.chance(500) {
            ways.push((process, self.other_process(process)));
        } else {
            // Nothing in, or nothing out.
            let inward = self.faults.random.chance(500);
            for other in (0..self.plan.processes()).filter(|&other| other != process) {
                ways.push(if inward { (other, process) } else { (process, other) });
            }
        }
        let length = self.faults.random.scale(10_000, 5_000_000);
        self.block_ways(ways, length);
        true
    }

    fn split(&mut self) -> bool {
        let sides: Vec<bool> = (0..self.plan.processes()).map(|_| self.faults.random.chance(500)).collect();
        let mut ways = Vec::new();
        for (a, side_a) in sides.iter().enumerate() {
            for (b, side_b) in sides.iter().enumerate() {
                if side_a != side_b {
                    ways.push((a as u16, b as u16));
                }
            }
        }
        let length = self.faults.random.scale(50_000, 5_000_000);
        self.block_ways(ways, length);
        true
    }

    fn flap(&mut self, process: u16) -> bool {
        let other = self.other_process(process);
        let left = self.faults.random.within(3, 20) as u32;
        self.cure_later(Cure::Flap { pair: (process, other), blocked: false, left }, 0);
        true
    }

    fn reset(&mut self, target: LifeId) -> bool {
        let all = self.faults.random.chance(300);
        let mut conns = self.network.open_conns(|conn| conn.ends.contains(&target));
        if !all && !conns.is_empty() {
            conns = vec![self.faults.random.pick(&conns)];
        }
        let (now, process) = (self.schedule.now, self.lives[target].process);
        self.trace.story(now, process, || format!("loses {} connections", conns.len()));
        for &conn in &conns {
            self.network.close(conn, &mut self.schedule);
        }
        !conns.is_empty()
    }

    fn slow_line(&mut self, process: u16) -> bool {
        if self.faults.cures.iter().flatten().any(|cure| matches!(cure, Cure::Line(slow, _) if *slow == process)) {
            return false;
        }
        let before = self.network.lines[process as usize];
        let random = &mut self.faults.random;
        let latency_low_us = random.scale(1_000, 100_000);
        let line = Line {
            latency_low_us,
            latency_high_us: latency_low_us + random.scale(1_000, 200_000),
            nanos_per_byte: random.scale(100, 10_000),
        };
        let length = random.scale(100_000, 5_000_000);
        self.network.lines[process as usize] = line;
        self.trace.story(self.schedule.now, process, || format!("has a slow line for {} ms", length / 1_000));
        self.cure_later(Cure::Line(process, before), length);
        true
    }

    fn skew(&mut self, target: LifeId) -> bool {
        let pace = self.faults.random.within(850_000, 1_150_000);
        let now = self.schedule.now;
        self.lives[target].clock.set_pace(now, pace);
        true
    }

    fn block_lane(&mut self, target: LifeId) -> bool {
        let partition = self.faults.random.below(self.lives[target].lanes.len());
        if self.lives[target].lanes[partition].blocked {
            return false;
        }
        self.lives[target].lanes[partition].blocked = true;
        let length = self.faults.random.scale(5_000, 8_000_000);
        let process = self.lives[target].process;
        self.trace.story(self.schedule.now, process, || {
            format!("callback of lane {partition} blocks for {} ms", length / 1_000)
        });
        self.cure_later(Cure::Lane(target, partition), length);
        true
    }

    fn slow_disk(&mut self, process: u16) -> bool {
        if self.processes[process as usize].disk_delay_us > 0 {
            return false;
        }
        self.processes[process as usize].disk_delay_us = self.faults.random.scale(1_000, 800_000);
        let length = self.faults.random.scale(10_000, 3_000_000);
        self.cure_later(Cure::Disk(process), length);
        true
    }

    fn fail_disk(&mut self, target: LifeId) -> bool {
        if !self.may_crash(target) {
            return false;
        }
        let process = self.lives[target].process;
        self.processes[process as usize].disk_fails = true;
        true
    }

    fn prefer(&mut self, target: LifeId) -> bool {
        let choice = self.faults.random.chance(900).then(|| {
            self.faults.random.within(0, u64::from(self.plan.voters) - 1) as u16
        });
        self.ask(target, Ask::Prefer(choice));
        self.preference_changed = true;
        true
    }

    /// As when another group of the same processes got another leader.
    fn draw_leadership(&mut self, target: LifeId) -> bool {
        let leader = self.faults.random.within(0, u64::from(self.plan.voters) - 1) as u16;
        self.ask(target, Ask::Companion(Some(leader)));
        true
    }

    /// An operator who acts without looking: whoever it is goes on alone, if that is possible at all, or orders are left
    /// in the files of some processes.
    fn restore_rashly(&mut self, target: LifeId) -> bool {
        if self.faults.random.chance(500) {
            self.ask(target, Ask::RestoreAlone);
            return true;
        }
        let Some(formation) = self.lives[target].formation else { return false };
        let order = RestoreOrder { survivor: ProcessId(self.lives[target].process), formations: vec![formation] };
        for place in &mut self.processes {
            if self.faults.random.chance(500) {
                place.restore = Some(order.clone());
            }
        }
        true
    }

    fn goodbye(&mut self, target: LifeId) -> bool {
        if self.lives.iter().any(|life| life.leaves() && life.pulse != Pulse::Ended) || !self.may_crash(target) {
            return false;
        }
        self.ask(target, Ask::Goodbye);
        let length = self.faults.random.scale(1_000, 3_000_000);
        self.schedule.after(length, Event::End(target));
        true
    }

    /// Somebody starts the process again while the old one stands still and holds its memory.
    fn twin(&mut self, target: LifeId) -> bool {
        let process = self.lives[target].process;
        if self.plan.durable
            || self.lives[target].leaves()
            || self.processes.iter().any(|process| process.twin.is_some())
            || !self.may_lose(target)
        {
            return false;
        }
        let still = self.faults.random.scale(100_000, 2_000_000);
        self.pause(target, still);
        self.processes[process as usize].twin = Some(target);
        self.processes[process as usize].current = None;
        let delay = self.faults.random.within(1_000, 300_000);
        self.schedule.after(delay, Event::Start(process));
        let length = still + self.faults.random.scale(1_000, 2_000_000);
        self.cure_later(Cure::TwinEnds(target), length);
        true
    }

    /// The operator stops one of the two, once the shard can do without what it remembers.
    fn end_a_twin(&mut self, older: LifeId) {
        let newer = self.processes[self.lives[older].process as usize].current;
        if self.may_lose(older) {
            return self.kill(older, "the older twin is stopped");
        }
        match newer.filter(|&newer| self.may_lose(newer)) {
            Some(newer) => {
                self.kill(newer, "the newer twin is stopped");
                let place = &mut self.processes[self.lives[older].process as usize];
                place.twin = None;
                place.current = Some(older);
            }
            None => self.cure_later(Cure::TwinEnds(older), 200_000),
        }
    }

    pub(super) fn heal(&mut self, number: usize) {
        let Some(cure) = self.faults.cures[number].take() else { return };
        let now = self.schedule.now;
        match cure {
            Cure::Unblock(ways) => {
                for (from, to) in ways {
                    self.network.unblock(from, to, &mut self.schedule);
                }
            }
            Cure::Flap { pair, blocked, left } => self.flap_on(pair, blocked, left),
            Cure::Line(process, line) => {
                self.network.lines[process as usize] = line;
                self.network.hasten(process, &mut self.schedule);
            }
            Cure::Lane(life, partition) => {
                self.lives[life].lanes[partition].blocked = false;
                self.schedule.after(0, Event::Lane(life, partition));
            }
            Cure::Disk(process) => self.processes[process as usize].disk_delay_us = 0,
            Cure::TwinEnds(life) => {
                if self.is_alive(life) {
                    self.end_a_twin(life);
                }
            }
        }
        self.trace.world(now, || format!("fault {number} is over"));
    }

    fn flap_on(&mut self, pair: (u16, u16), blocked: bool, left: u32) {
        let (a, b) = pair;
        if blocked {
            self.network.unblock(a, b, &mut self.schedule);
            self.network.unblock(b, a, &mut self.schedule);
        }
        if left == 0 || !self.faults.on {
            return;
        }
        if !blocked {
            self.network.block(a, b);
            self.network.block(b, a);
            if self.faults.random.chance(300) {
                let conns = self.network.open_conns(|conn| conn.processes == [a, b] || conn.processes == [b, a]);
                for conn in conns {
                    self.network.close(conn, &mut self.schedule);
                }
            }
        }
        let length = self.faults.random.scale(2_000, 300_000);
        self.cure_later(Cure::Flap { pair, blocked: !blocked, left: left - 1 }, length);
    }

    /// The network works again.
    pub(super) fn end_network_faults(&mut self) {
        self.end_figure8();
        let on = std::mem::replace(&mut self.faults.on, false);
        for number in 0..self.faults.cures.len() {
            if let Some(Cure::Unblock(_) | Cure::Flap { .. } | Cure::Line(..)) = self.faults.cures[number] {
                self.heal(number);
            }
        }
        self.faults.on = on;
    }

    /// No new faults; everything that can be made whole is.
    pub fn stop_faults(&mut self) {
        self.faults.on = false;
        let now = self.schedule.now;
        self.trace.world(now, || "faults stop".into());
        self.end_figure8();
        for number in 0..self.faults.cures.len() {
            if !matches!(self.faults.cures[number], Some(Cure::TwinEnds(_))) {
                self.heal(number);
            }
        }
        for life in 0..self.lives.len() {
            self.resume(life);
        }
        if self.plan.faults.has(Fault::Companion) {
            for life in self.current_lives().map(|life| life.id).collect::<Vec<_>>() {
                self.ask(life, Ask::Companion(None));
            }
        }
        let quiet = super::plan::Datagram::default();
        let lossy = std::mem::replace(&mut self.network.datagram, quiet).loss > 0;
        for process in 0..self.plan.processes() {
            self.processes[process as usize].disk_fails = false;
            self.schedule.after(1_000, Event::Start(process));
        }
        if lossy {
            // What a lossy connection swallowed TCP would have delivered: begin with whole connections.
            for conn in self.network.open_conns(|_| true) {
                self.network.close(conn, &mut self.schedule);
            }
        }
    }
}
