//! The world of one run: processes, their lives, the network between them, and the loop over events.

use mako_raft::ids::{GroupId, PartitionId, ProcessId, RunId};
use mako_raft::replica::output::{Gate, Outputs, Status};
use mako_raft::replica::{Replica, ReplicaConfig, RestoreOrder};

use super::account::Account;
use super::checks::{Checked, Checks, Violation};
use super::disk::Disk;
use super::faults::Faults;
use super::figure8::Figure8;
use super::life::{Ask, Clock, Input, Intake, Lane, Life, Pulse};
use super::network::{Line, Network, Notice, Side};
use super::operator::{Rescue, Restart};
use super::plan::{Fault, Plan, Profile};
use super::random::Random;
use super::schedule::{Event, LifeId, Schedule};
use super::trace::{Detail, Trace};

/// A process: its lives come and go, its disk stays.
#[derive(Default)]
pub struct Process {
    /// The life that runs now.
    pub current: Option<LifeId>,
    /// An older life that is still there beside the current one.
    pub twin: Option<LifeId>,
    /// Its data directory.
    pub disk: Disk,
    /// How often it was started.
    pub starts: u32,
    /// How much of its log's end its next life is given in memory, where that is said.
    pub tail_bytes: Option<u64>,
    /// A write takes so much longer, in microseconds.
    pub disk_delay_us: u64,
    /// The next write fails.
    pub disk_fails: bool,
    /// When it starts the next time it has forgotten something, once the shard can do without; after this moment it has not.
    pub forgets: Option<(Forgets, u64)>,
    /// In its configuration: whom it lets go on alone.
    pub restore: Option<RestoreOrder>,
    /// Its host calls `setup2(1, ..)`.
    pub stands_back: bool,
}

/// How a member comes back with less than it had acknowledged.
#[derive(Clone, Copy, Debug)]
pub enum Forgets {
    /// Its data directory is an older copy.
    ByCopy,
    /// The power failed, and nothing was synced.
    ByPowerCut,
}

/// Everything.
pub struct World {
    /// What the seed decided.
    pub plan: Plan,
    /// The clock, and what is to come.
    pub schedule: Schedule,
    /// Voters first, then learners.
    pub processes: Vec<Process>,
    /// Every start of a process so far.
    pub lives: Vec<Life>,
    /// Connections.
    pub network: Network,
    /// Invariants over all replicas.
    pub checks: Checks,
    /// What happened.
    pub trace: Trace,
    /// Faults under way.
    pub faults: Faults,
    /// Too many are lost, and an operator acts.
    pub(super) rescue: Option<Rescue>,
    /// Rescues so far.
    pub(super) rescues: u32,
    /// A survivor that is to be started again.
    pub(super) restart: Option<Restart>,
    /// Lost in a rescue, and comes back after a later one.
    pub(super) away: Option<u16>,
    /// A course of figure 8 under way.
    pub(super) figure8: Option<Figure8>,
    /// Such courses so far.
    pub(super) course_number: u32,
    /// Workers submit.
    pub load_on: bool,
    /// Somebody asked for another preferred leader.
    pub preference_changed: bool,
    /// Somebody asked for leadership.
    pub sought: bool,
    /// Draws of the world itself.
    pub random: Random,
    pub(super) outputs: Outputs,
    /// Turns so far, for the figures.
    pub turns: u64,
    /// Timer ticks so far, for the figures.
    pub ticks: u64,
}

impl World {
    /// The world that `plan` describes, before anybody is started.
    pub fn new(plan: Plan, detail: Detail) -> Self {
        let mut random = Random::new(plan.request.seed ^ 0x77_6f72_6c64);
        let line = Line {
            latency_low_us: plan.latency_us.0,
            latency_high_us: plan.latency_us.1,
            nanos_per_byte: 1,
        };
        let network = Network::new(plan.processes(), line, plan.datagram, random.fork(1));
        let mut world = Self {
            processes: (0..plan.processes()).map(|_| Process::default()).collect(),
            lives: Vec::new(),
            network,
            checks: Checks::new(!plan.within_tolerance()),
            trace: Trace::new(detail),
            faults: Faults::new(random.fork(2)),
            rescue: None,
            rescues: 0,
            restart: None,
            away: None,
            figure8: None,
            course_number: 0,
            load_on: true,
            preference_changed: false,
            sought: false,
            random,
            outputs: Outputs::default(),
            schedule: Schedule::default(),
            turns: 0,
            ticks: 0,
            plan,
        };
        world.processes.iter_mut().for_each(|process| process.disk.os = world.plan.os);
        if world.plan.faults.has(Fault::StandBack) {
            let mut random = Random::new(world.plan.request.seed ^ 0x73_7461_6e64);
            world.processes.iter_mut().for_each(|process| process.stands_back = random.chance(400));
        }
        if world.plan.request.profile == Profile::Rescue {
            world.schedule.after(1_000_000, Event::Tidy);
        }
        let summary = world.plan.summary();
        world.trace.world(0, || summary);
        world
    }

    /// Microseconds since the run began.
    pub fn now(&self) -> u64 {
        self.schedule.now
    }

    /// Runs all events up to the moment `until_us`, or to the first that `stop` asks for.
    pub fn run_until(&mut self, until_us: u64) -> Checked {
        while let Some(event) = self.schedule.next(until_us) {
            self.happen(event)?;
        }
        self.schedule.now = self.schedule.now.max(until_us);
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Checked {
        match event {
            Event::Start(process) => self.start(process),
            Event::Tick(life) => self.tick(life),
            Event::Turn(life) => self.turn(life),
            Event::CommitDue(life) => {
                self.lives[life].commit_due_planned = false;
                self.plan_turn(life);
                Ok(())
            }
            Event::Resume(life) => {
                self.resume(life);
                Ok(())
            }
            Event::End(life) => {
                self.end_of_leaving(life);
                Ok(())
            }
            Event::Arrive(conn, side) => {
                self.arrive(conn, side);
                Ok(())
            }
            Event::Up(conn, side) => {
                if self.is_alive(self.network.end(conn, side).0) {
                    let notice = self.network.on_up(conn, side, &mut self.schedule);
                    self.notice(conn, side, notice);
                }
                Ok(())
            }
            Event::Down(conn, side) => {
                let notice = self.network.on_down(conn, side);
                self.notice(conn, side, notice);
                Ok(())
            }
            Event::Dial(a, b) => {
                self.dial(a, b);
                Ok(())
            }
            Event::Disk(life) => self.disk_done(life),
            Event::Lane(life, partition) => {
                self.lane(life, partition);
                Ok(())
            }
            Event::Submit(life, partition) => {
                self.submit(life, partition);
                Ok(())
            }
            Event::Fault => {
                self.fault();
                Ok(())
            }
            Event::Heal(number) => {
                self.heal(number);
                Ok(())
            }
            Event::Operator => self.operator(),
            Event::Tidy => {
                self.tidy();
                Ok(())
            }
            Event::Figure8(number, step) => {
                self.figure8_is_late(number, step);
                Ok(())
            }
            Event::Look => Ok(()),
        }
    }

    /// True until the life has ended.
    pub fn is_alive(&self, life: LifeId) -> bool {
        self.lives[life].pulse != Pulse::Ended
    }

    /// Lives that run or are paused, and are their process's current one.
    pub fn current_lives(&self) -> impl Iterator<Item = &Life> {
        self.processes.iter().filter_map(|process| process.current).map(|id| &self.lives[id])
    }

    /// A moment's view of a life's replica.
    pub fn status(&self, life: LifeId) -> Status {
        self.lives[life].replica.status()
    }

    /// One life.
    pub fn lives_mut(&mut self, life: LifeId) -> &mut Life {
        &mut self.lives[life]
    }

    /// The current life that leads in the highest term.
    pub fn leader(&self) -> Option<LifeId> {
        self.current_lives()
            .filter(|life| life.replica.status().role == "leader")
            .max_by_key(|life| life.replica.status().term)
            .map(|life| life.id)
    }

    /// Starts `process`; nothing when it runs.
    pub fn start(&mut self, process: u16) -> Checked {
        if self.processes[process as usize].current.is_some() {
            return Ok(());
        }
        if let Some((forgets, until_us)) = self.processes[process as usize].forgets {
            if self.faults.on && !self.may_forget(process) && self.now() < until_us {
                self.schedule.after(RECONSIDER_US, Event::Start(process));
                return Ok(());
            }
            self.forget(process, forgets);
        }
        let id = self.lives.len();
        let now = self.now();
        let run = RunId(self.random.next() | 1);
        let clock = Clock {
            origin_us: self.random.within(0, 1_000_000_000),
            base_us: now,
            pace_ppm: if self.plan.faults.has(Fault::Skew) { self.random.within(900_000, 1_100_000) } else { 1_000_000 },
        };
        let mut config = self.replica_config(process, run, &clock);
        let place = &mut self.processes[process as usize];
        place.current = Some(id);
        place.starts += 1;
        let mut recovered = None;
        if self.plan.durable {
            let at_most = self.plan.limits.log_memory_bytes.min(1 << 20) as u64;
            let chosen = place.tail_bytes.take().or(self.plan.tail_bytes);
            let tail_bytes = |random: &mut Random| chosen.unwrap_or_else(|| random.scale(1, at_most));
            let opened = place.disk.open(process, tail_bytes, &mut self.random)?;
            recovered = opened.recovered;
            config.older = Some(opened.older);
        }
        let found = recovered.as_ref().map_or("nothing".into(), |found| {
            format!("{} with a log through {}", found.member, found.last_index)
        });
        self.trace.story(now, process, || format!("starts as run {run}, finds {found}"));
        let replica = match Replica::new(config, recovered) {
            Ok(replica) => replica,
            Err(error) => return Violation::new("a replica starts", format!("p{process}: {error}")),
        };
        self.add_life(id, process, run, clock, replica);
        Ok(())
    }

    fn replica_config(&mut self, process: u16, run: RunId, clock: &Clock) -> ReplicaConfig {
        let plan = &self.plan;
        ReplicaConfig {
            group: GroupId(0),
            me: ProcessId(process),
            run,
            voters: (0..plan.voters).map(ProcessId).collect(),
            learners: (plan.voters..plan.processes()).map(ProcessId).collect(),
            partitions: (0..plan.partitions).map(|index| PartitionId(FIRST_PARTITION + index)).collect(),
            designated: plan.designated,
            preferred: plan.preferred,
            campaign_at_start: !self.processes[process as usize].stands_back,
            restore: self.processes[process as usize].restore.clone(),
            durable: plan.durable,
            older: None,
            timing: plan.timing.clone(),
            limits: plan.limits.clone(),
            seed: self.random.next(),
            now: clock.read(self.schedule.now),
        }
    }

    fn add_life(&mut self, id: LifeId, process: u16, run: RunId, clock: Clock, replica: Replica) {
        let partitions = self.plan.partitions;
        self.lives.push(Life {
            id,
            process,
            run,
            pulse: Pulse::Running,
            replica,
            clock,
            inbox: Default::default(),
            turn_planned: false,
            commit_due_planned: false,
            slept: 0,
            gate: Gate::Closed { leader: None },
            intakes: (0..partitions).map(|_| Intake::default()).collect(),
            lanes: (0..partitions).map(|_| Lane::default()).collect(),
            account: Account::new(partitions),
            leaving: false,
            writing: None,
            last_write: 0,
            first_partition: FIRST_PARTITION,
            took_part: false,
            accepted_a_formation: false,
            formation: None,
            met_descendant: false,
            member: None,
            random: self.random.fork(id as u64),
        });
        self.network.add_life(id);
        let others: Vec<LifeId> = (0..id)
            .filter(|&other| self.is_alive(other) && self.lives[other].process != process)
            .collect();
        for other in others {
            let delay = self.random.within(100, 60_000);
            self.network.dial_later(other, id, delay, &mut self.schedule);
        }
        self.plan_turn(id);
        self.schedule.after(0, Event::Tick(id));
        for partition in 0..partitions as usize {
            let delay = self.random.within(1_000, 300_000);
            self.schedule.after(delay, Event::Submit(id, partition));
        }
    }

    /// Ends a life at once, as a crash does: what it had in memory is gone.
    pub fn kill(&mut self, life: LifeId, why: &str) {
        let process = self.lives[life].process;
        self.trace.story(self.schedule.now, process, || format!("ends: {why}"));
        self.lives[life].pulse = Pulse::Ended;
        self.lives[life].inbox.clear();
        for conn in self.network.open_conns(|conn| conn.ends.contains(&life)) {
            self.network.close(conn, &mut self.schedule);
        }
        let place = &mut self.processes[process as usize];
        if place.twin == Some(life) {
            place.twin = None;
            return;
        }
        place.current = None;
        place.disk.crash(&mut self.random);
        place.disk_fails = false;
    }

    /// Puts an input into a life's inbox; it will be looked at in the next turn.
    pub fn give(&mut self, life: LifeId, input: Input) {
        if self.is_alive(life) {
            self.lives[life].inbox.push_back(input);
            self.plan_turn(life);
        }
    }

    /// A host asks its replica for something.
    pub fn ask(&mut self, life: LifeId, ask: Ask) {
        let process = self.lives[life].process;
        self.trace.story(self.schedule.now, process, || format!("is asked: {ask:?}"));
        self.give(life, Input::Ask(ask));
    }

    pub(super) fn plan_turn(&mut self, life: LifeId) {
        if !self.lives[life].turn_planned && self.lives[life].pulse == Pulse::Running {
            self.lives[life].turn_planned = true;
            let delay = self.random.within(0, 60);
            self.schedule.after(delay, Event::Turn(life));
        }
    }

    fn tick(&mut self, life: LifeId) -> Checked {
        if !self.is_alive(life) {
            return Ok(());
        }
        let tick_us = self.plan.timing.tick_ms * 1_000 * 1_000_000 / self.lives[life].clock.pace_ppm;
        self.schedule.after(tick_us, Event::Tick(life));
        if self.lives[life].pulse == Pulse::Running {
            self.ticks += 1;
            // A timer that fires is seen before or after the sockets of that turn.
            let is_seen_first = self.random.chance(500);
            if self.plan.sleeps && self.lives[life].sleeps_through_tick() {
                return Ok(());
            }
            if is_seen_first {
                self.lives[life].inbox.push_front(Input::Tick);
                self.plan_turn(life);
            } else {
                self.give(life, Input::Tick);
            }
        }
        Ok(())
    }

    /// Stops a life for so long.
    pub fn pause(&mut self, life: LifeId, for_us: u64) {
        if self.lives[life].pulse == Pulse::Running {
            self.lives[life].pulse = Pulse::Paused;
            let process = self.lives[life].process;
            self.trace.story(self.schedule.now, process, || match for_us {
                FOREVER_US.. => "stands still".into(),
                _ => format!("stands still for {} ms", for_us / 1_000),
            });
            self.schedule.after(for_us, Event::Resume(life));
        }
    }

    /// A paused life goes on.
    pub fn resume(&mut self, life: LifeId) {
        if self.lives[life].pulse != Pulse::Paused {
            return;
        }
        self.lives[life].pulse = Pulse::Running;
        let process = self.lives[life].process;
        self.trace.story(self.schedule.now, process, || "goes on".into());
        // The event loop looks at the clock first, and then at what came meanwhile.
        self.lives[life].inbox.push_front(Input::Tick);
        self.plan_turn(life);
        self.network.wake(process, &mut self.schedule);
        for partition in 0..self.lives[life].lanes.len() {
            self.schedule.after(0, Event::Lane(life, partition));
        }
    }

    fn dial(&mut self, a: LifeId, b: LifeId) {
        let alive = self.is_alive(a) && self.is_alive(b);
        let running = [a, b].iter().all(|&life| self.lives[life].pulse == Pulse::Running);
        if alive {
            let processes = [self.lives[a].process, self.lives[b].process];
            self.network.dial([a, b], processes, running, &mut self.schedule);
        }
    }

    fn notice(&mut self, conn: usize, side: Side, notice: Option<Notice>) {
        let (life, _) = self.network.end(conn, side);
        let (_, peer) = self.network.end(conn, 1 - side);
        match notice {
            Some(Notice::Up(other)) => self.give(life, Input::Up(peer, self.lives[other].run)),
            Some(Notice::Down) => self.give(life, Input::Down(peer)),
            None => {}
        }
    }

    fn arrive(&mut self, conn: usize, side: Side) {
        let (life, _) = self.network.end(conn, side);
        if self.lives[life].pulse != Pulse::Running {
            return;
        }
        let (_, peer) = self.network.end(conn, 1 - side);
        for frame in self.network.arrivals(conn, side, self.schedule.now) {
            self.give(life, Input::Frame(peer, frame));
        }
    }

    fn disk_done(&mut self, life: LifeId) -> Checked {
        if !self.is_alive(life) {
            return Ok(());
        }
        let process = self.lives[life].process as usize;
        let through = self.lives[life].writing.take().expect("a write is under way");
        let fails = std::mem::take(&mut self.processes[process].disk_fails) && self.may_crash(life);
        if let Err(error) = self.processes[process].disk.append(through, fails, &mut self.random) {
            if !self.processes[process].disk.armed {
                let text = format!("p{process}: write {through}: {error}");
                return Violation::new("the disk takes what it is given", text);
            }
            // The log writer stops the replica; it must not acknowledge anything afterwards.
            self.kill(life, "a write to its log failed");
            let delay = self.random.within(10_000, 2_000_000);
            self.schedule.after(delay, Event::Start(process as u16));
            return Ok(());
        }
        self.give(life, Input::Persisted(through));
        self.write_on(life);
        Ok(())
    }

    /// The log writer takes all that came meanwhile, as one write.
    pub(super) fn write_on(&mut self, life: LifeId) {
        let process = &self.processes[self.lives[life].process as usize];
        if self.lives[life].writing.is_some() || process.disk.is_idle() {
            return;
        }
        let delay = self.random.within(20, self.plan.disk_us) + process.disk_delay_us;
        self.lives[life].writing = Some(self.lives[life].last_write);
        self.schedule.after(delay, Event::Disk(life));
    }

    fn lane(&mut self, life: LifeId, partition: usize) {
        if self.lives[life].pulse != Pulse::Running || self.lives[life].lanes[partition].blocked {
            return;
        }
        let lane = &mut self.lives[life].lanes[partition];
        if lane.busy {
            // The callback that was running returns now.
            lane.busy = false;
            if let Some((slot, _)) = lane.waiting.pop_front() {
                self.give(life, Input::Delivered(partition, slot));
            }
        }
        self.lane_on(life, partition);
    }

    /// The lane calls the next callback, if there is one to call.
    pub(super) fn lane_on(&mut self, life: LifeId, partition: usize) {
        let most = if self.faults.on && self.plan.faults.has(Fault::Lag) { self.plan.callback_us } else { 100 };
        let lane = &mut self.lives[life].lanes[partition];
        if !lane.busy && !lane.waiting.is_empty() && !lane.blocked {
            lane.busy = true;
            let delay = self.random.within(1, most);
            self.schedule.after(delay, Event::Lane(life, partition));
        }
    }

    fn submit(&mut self, life: LifeId, partition: usize) {
        if !self.is_alive(life) {
            return;
        }
        let load = self.plan.load;
        let gap = self.random.within(load.gap_us / 8, load.gap_us);
        self.schedule.after(gap, Event::Submit(life, partition));
        if self.lives[life].pulse == Pulse::Running && self.load_on {
            let count = self.random.within(1, load.burst);
            if self.lives[life].accept(partition, &load, count) > 0 {
                self.plan_turn(life);
            }
        }
    }
}

/// The number of a run's first partition: not 0, so that an index can't be taken for a partition.
pub const FIRST_PARTITION: u32 = 3;

/// A process that may not forget anything yet is started so much later.
const RECONSIDER_US: u64 = 100_000;

/// So long that no run waits for its end.
pub const FOREVER_US: u64 = 1 << 40;
