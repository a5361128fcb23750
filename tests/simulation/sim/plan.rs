//! What a seed stands for: the shape of the cluster, its limits, and which faults it meets.

use mako_raft::ids::ProcessId;
use mako_raft::replica::{Limits, Timing};

use super::random::Random;

/// A kind of fault that a run may meet; each can be switched off by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Fault {
    /// A process stops at any step and is started again later.
    Crash,
    /// A durable process comes back without its disk.
    DiskLoss,
    /// Traffic in one direction between two processes stands still.
    OneWay,
    /// Processes are split into two sides that can't talk.
    Split,
    /// One link goes up and down.
    Flap,
    /// A connection breaks; what was in flight is lost.
    Reset,
    /// One process has a slow line.
    SlowPeer,
    /// A process stands still for a while (SIGSTOP, a clock that jumps).
    Pause,
    /// Clocks run at different rates.
    Skew,
    /// A callback blocks.
    Block,
    /// Callbacks return late.
    Lag,
    /// A write takes long.
    SlowDisk,
    /// A write fails: the process stops.
    DiskError,
    /// Messages inside a connection are lost, doubled and reordered (harsher than TCP).
    Datagram,
    /// Another process is preferred as leader.
    Prefer,
    /// A process asks for leadership.
    Seek,
    /// A process says goodbye, drains, and ends.
    Goodbye,
    /// A process is started a second time while the first, paused, is still there.
    Twin,
    /// Processes start late.
    LateStart,
    /// The log's bound in memory is so small that its beginning is dropped.
    SmallLog,
    /// A process is told to leave forming and the first campaign to others (`setup2(1, ..)`).
    StandBack,
    /// Leadership is drawn to where another group of the process leads.
    Companion,
    /// An operator lets a replica go on alone, at the wrong moment too; in the profile `rescue` only as documented.
    Restore,
    /// An append carries one entry.
    SmallMessages,
    /// The course of figure 8 of the Raft paper is aimed at.
    Figure8,
    /// An older copy of a data directory is put back.
    OldCopy,
    /// The power fails where nothing was synced (`raft.durability: os`).
    PowerCut,
}

/// All faults with the names that the command line knows.
pub const FAULTS: [(Fault, &str); 27] = [
    (Fault::Crash, "crash"),
    (Fault::DiskLoss, "disk-loss"),
    (Fault::OneWay, "one-way"),
    (Fault::Split, "split"),
    (Fault::Flap, "flap"),
    (Fault::Reset, "reset"),
    (Fault::SlowPeer, "slow-peer"),
    (Fault::Pause, "pause"),
    (Fault::Skew, "skew"),
    (Fault::Block, "block"),
    (Fault::Lag, "lag"),
    (Fault::SlowDisk, "slow-disk"),
    (Fault::DiskError, "disk-error"),
    (Fault::Datagram, "datagram"),
    (Fault::Prefer, "prefer"),
    (Fault::Seek, "seek"),
    (Fault::Goodbye, "goodbye"),
    (Fault::Twin, "twin"),
    (Fault::LateStart, "late-start"),
    (Fault::SmallLog, "small-log"),
    (Fault::StandBack, "stand-back"),
    (Fault::Companion, "companion"),
    (Fault::Restore, "restore"),
    (Fault::SmallMessages, "small-messages"),
    (Fault::Figure8, "figure8"),
    (Fault::OldCopy, "old-copy"),
    (Fault::PowerCut, "power-cut"),
];

impl Fault {
    /// It is there from the start, instead of striking now and then.
    pub fn is_a_condition(self) -> bool {
        matches!(
            self,
            Fault::Datagram
                | Fault::LateStart
                | Fault::SmallLog
                | Fault::Lag
                | Fault::StandBack
                | Fault::SmallMessages
        )
    }
}

/// Bytes of an append where the course of figure 8 is aimed at: as many of these are on their way at once that a newcomer
/// keeps up with any load here, and one log can fill one.
pub const FIGURE8_MESSAGE_BYTES: u64 = 16 << 10;

/// A set of faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultSet(u32);

impl FaultSet {
    /// Every fault.
    pub fn all() -> Self {
        FAULTS.iter().fold(Self::default(), |set, &(fault, _)| set.with(fault))
    }

    /// With these alone leadership changes by hand-overs, once somebody leads.
    pub fn orderly() -> Self {
        let orderly = [
            Fault::Prefer,
            Fault::Seek,
            Fault::Companion,
            Fault::Block,
            Fault::Lag,
            Fault::LateStart,
            Fault::StandBack,
            Fault::SmallMessages,
        ];
        orderly.into_iter().fold(Self::default(), Self::with)
    }

    /// Whether the run may meet `fault`.
    pub fn has(self, fault: Fault) -> bool {
        self.0 & (1 << fault as u32) != 0
    }

    /// This set and `fault`.
    pub fn with(self, fault: Fault) -> Self {
        Self(self.0 | 1 << fault as u32)
    }

    /// This set without `fault`.
    pub fn without(self, fault: Fault) -> Self {
        Self(self.0 & !(1 << fault as u32))
    }

    /// What either set has.
    pub fn and_also(self, other: FaultSet) -> Self {
        Self(self.0 | other.0)
    }

    /// What both sets have.
    pub fn and(self, other: FaultSet) -> Self {
        Self(self.0 & other.0)
    }

    /// The faults' names.
    pub fn names(self) -> Vec<&'static str> {
        FAULTS.iter().filter(|&&(fault, _)| self.has(fault)).map(|&(_, name)| name).collect()
    }

    /// The fault called `name`.
    pub fn named(name: &str) -> Option<Fault> {
        FAULTS.iter().find(|&&(_, known)| known == name).map(|&(fault, _)| fault)
    }
}

/// A family of runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// The seed chooses everything; losses stay within what the shard tolerates.
    Default,
    /// As default, logs in memory only.
    Memory,
    /// As default, logs on disk.
    Durable,
    /// No faults but slow messages: everything must simply work.
    Calm,
    /// More memories are lost than the shard tolerates: only agreement among formations is checked.
    Reckless,
    /// All but one are lost, and an operator does what docs/operations.md says: the shard must heal.
    Rescue,
    /// As durable, and members come back with less than they had acknowledged, while a majority without them has all of it.
    OldCopy,
}

/// All profiles with the names that the command line knows.
pub const PROFILES: [(Profile, &str); 7] = [
    (Profile::Default, "default"),
    (Profile::Memory, "memory"),
    (Profile::Durable, "durable"),
    (Profile::Calm, "calm"),
    (Profile::Reckless, "reckless"),
    (Profile::Rescue, "rescue"),
    (Profile::OldCopy, "old-copy"),
];

impl Profile {
    /// The profile called `name`.
    pub fn named(name: &str) -> Option<Profile> {
        PROFILES.iter().find(|&&(_, known)| known == name).map(|&(profile, _)| profile)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        PROFILES.iter().find(|&&(profile, _)| profile == self).expect("every profile has a name").1
    }
}

/// What is to be run: a seed, a profile, and faults that were switched off by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Chooses everything.
    pub seed: u64,
    /// Narrows what the seed may choose.
    pub profile: Profile,
    /// What the run may meet at most.
    pub allowed: FaultSet,
}

impl Request {
    /// A run of `profile` with nothing switched off.
    pub fn new(seed: u64, profile: Profile) -> Self {
        Self { seed, profile, allowed: FaultSet::all() }
    }

    /// The one line that repeats this run.
    pub fn command(&self) -> String {
        let mut line = format!("scripts/simulate.sh --seed {}", self.seed);
        if self.profile != Profile::Default {
            line += &format!(" --profile {}", self.profile.name());
        }
        let off: Vec<_> =
            FAULTS.iter().filter(|&&(fault, _)| !self.allowed.has(fault)).map(|&(_, name)| name).collect();
        if !off.is_empty() {
            line += &format!(" --without {}", off.join(","));
        }
        line
    }
}

/// What a datagram network does to a message, each in thousandths.
#[derive(Clone, Copy, Debug, Default)]
pub struct Datagram {
    /// Lost.
    pub loss: u64,
    /// Delivered twice.
    pub duplication: u64,
    /// Overtaken by later ones.
    pub reordering: u64,
}

/// How submissions come.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Microseconds between two bursts of one partition, at most.
    pub gap_us: u64,
    /// Logs in a burst, at most.
    pub burst: u64,
    /// Length of an ordinary log, at most.
    pub log_bytes: u64,
    /// Thousandths of the logs that are long and travel in fragments.
    pub long_permille: u64,
    /// Length of a fragment.
    pub fragment_bytes: usize,
    /// Bytes in one partition's intake before the submitter waits.
    pub intake_bytes: usize,
}

/// One run, decided.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What was asked for.
    pub request: Request,
    /// Processes 0..voters may vote.
    pub voters: u16,
    /// Processes voters..voters + learners are learners.
    pub learners: u16,
    /// Partitions.
    pub partitions: u32,
    /// Logs on disk.
    pub durable: bool,
    /// Their durability is `os`: nothing is synced, and a crash is that of a process alone.
    pub os: bool,
    /// Loops sleep through ticks where their replicas allow it: those of odd seeds.
    pub sleeps: bool,
    /// The replicas' timing.
    pub timing: Timing,
    /// The replicas' bounds.
    pub limits: Limits,
    /// Who forms and campaigns first.
    pub designated: Option<ProcessId>,
    /// Who is preferred at start.
    pub preferred: Option<ProcessId>,
    /// The faults that this run meets.
    pub faults: FaultSet,
    /// Nothing takes leadership from a process but the will of the hosts: what it accepted as leader must not be lost.
    pub leaders_change_in_order: bool,
    /// For so long, in milliseconds.
    pub faults_ms: u64,
    /// Between two faults, at most, in milliseconds.
    pub fault_gap_ms: u64,
    /// A message's way: from, to, in microseconds.
    pub latency_us: (u64, u64),
    /// How the network treats messages inside a connection while there are faults.
    pub datagram: Datagram,
    /// How submissions come.
    pub load: Load,
    /// Milliseconds after which each process starts.
    pub start_ms: Vec<u64>,
    /// A callback takes so long at most, in microseconds.
    pub callback_us: u64,
    /// A disk write takes so long at most, in microseconds.
    pub disk_us: u64,
    /// How much of its log's end a life is given in memory; chosen at each start where it is not said.
    pub tail_bytes: Option<u64>,
    /// Thousandths of the turns that take only one input: batches are small then.
    pub single_input_permille: u64,
}

impl Plan {
    /// The run that `request` stands for.
    pub fn new(request: Request) -> Self {
        let mut random = Random::new(request.seed);
        let profile = request.profile;
        let durable = match profile {
            Profile::Memory => false,
            Profile::Reckless => choose_reckless_disks(request.seed),
            Profile::Durable | Profile::OldCopy => true,
            Profile::Default | Profile::Calm => random.chance(350),
            // Only with its log on disk can a survivor be started again.
            Profile::Rescue => random.chance(500),
        };
        let os = durable && choose_os(request.seed, profile);
        let faults = choose_faults(&mut random, profile, durable)
            .and_also(choose_faults_apart(request.seed, profile, durable, os))
            .and(request.allowed);
        let voters = random.pick(&[3, 3, 3, 3, 4, 5, 5]);
        let learners = random.pick(&[0, 0, 0, 1, 1, 2]);
        let partitions = random.within(1, 6) as u32;
        let designated = random.chance(800).then(|| ProcessId(random.within(0, u64::from(voters) - 1) as u16));
        let preferred = if random.chance(850) { designated } else { None };
        let start_ms = choose_starts(&mut random, faults, voters + learners);
        let latency_low = random.within(20, 400);
        Self {
            request,
            voters,
            learners,
            partitions,
            durable,
            os,
            sleeps: request.seed % 2 == 1,
            timing: choose_timing(request.seed, &mut random),
            limits: choose_limits(&mut random, faults),
            designated,
            preferred,
            faults,
            leaders_change_in_order: faults.and(FaultSet::orderly()) == faults,
            faults_ms: if profile == Profile::Calm { 3_000 } else { random.within(4_000, 30_000) },
            // Between its faults a shard where members forget has the time to have it all elsewhere.
            fault_gap_ms: random.scale(100, 3_000).max(if profile == Profile::OldCopy { 1_000 } else { 0 }),
            latency_us: (latency_low, latency_low + random.scale(100, 30_000)),
            datagram: choose_datagram(&mut random, faults),
            load: choose_load(&mut random, faults),
            start_ms,
            callback_us: random.scale(10, 20_000),
            disk_us: random.scale(50, 10_000),
            tail_bytes: None,
            single_input_permille: random.pick(&[0, 100, 500, 1_000]),
        }
    }

    /// Voters and learners.
    pub fn processes(&self) -> u16 {
        self.voters + self.learners
    }

    /// Whether losses must stay within what the shard tolerates.
    pub fn within_tolerance(&self) -> bool {
        self.request.profile != Profile::Reckless
    }

    /// The plan in one line.
    pub fn summary(&self) -> String {
        format!(
            "seed {} {}: {} voters, {} learners, {} partitions, {}, faults for {} ms: {}",
            self.request.seed,
            self.request.profile.name(),
            self.voters,
            self.learners,
            self.partitions,
            match (self.durable, self.os) {
                (false, _) => "in memory",
                (true, false) => "durable",
                (true, true) => "durable by the system",
            },
            self.faults_ms,
            self.faults.names().join(" "),
        )
    }
}

fn choose_faults(random: &mut Random, profile: Profile, durable: bool) -> FaultSet {
    let mut set = FaultSet::default();
    if profile == Profile::Calm {
        return set;
    }
    for fault in FAULTS.iter().map(|&(fault, _)| fault).filter(|&fault| !is_drawn_apart(fault)) {
        let permille = match fault {
            Fault::Crash => 700,
            Fault::SmallLog | Fault::Twin | Fault::Datagram => 200,
            Fault::Goodbye | Fault::DiskLoss => 300,
            _ => 450,
        };
        if random.chance(permille) {
            set = set.with(fault);
        }
    }
    if profile == Profile::Reckless {
        set = set.with(Fault::Crash);
    }
    if profile == Profile::Rescue {
        // A log that lost its beginning rebuilds nobody, and two lives of a process are no loss.
        set = set.without(Fault::SmallLog).without(Fault::Twin);
    }
    if !durable {
        for fault in [Fault::DiskLoss, Fault::SlowDisk, Fault::DiskError] {
            set = set.without(fault);
        }
    }
    set
}

/// Faults that came later have draws of their own, so that the seeds known by then stay what they were.
fn is_drawn_apart(fault: Fault) -> bool {
    matches!(fault, Fault::StandBack | Fault::Companion | Fault::Restore | Fault::SmallMessages | Fault::Figure8)
        || matches!(fault, Fault::OldCopy | Fault::PowerCut)
}

/// Came later as well.
fn choose_os(seed: u64, profile: Profile) -> bool {
    Random::new(seed ^ 0x6f_735f_6f73).chance(if profile == Profile::OldCopy { 500 } else { 300 })
}

/// In `reckless` logs on disk came later too.
fn choose_reckless_disks(seed: u64) -> bool {
    Random::new(seed ^ 0x6469_736b_7300).chance(400)
}

fn choose_faults_apart(seed: u64, profile: Profile, durable: bool, os: bool) -> FaultSet {
    let mut random = Random::new(seed ^ 0x61_7061_7274);
    let [stand_back, companion, restore, small_messages, figure8] = [(); 5].map(|()| random.chance(300));
    let old_copy = random.chance(700);
    let mut set = FaultSet::default();
    let chosen = [
        (stand_back, Fault::StandBack),
        (companion, Fault::Companion),
        (small_messages, Fault::SmallMessages),
        (figure8, Fault::Figure8),
    ];
    for (_, fault) in chosen.iter().filter(|(chosen, _)| *chosen && profile != Profile::Calm) {
        set = set.with(*fault);
    }
    if profile == Profile::Rescue {
        // A survivor commits as fast as it goes, and one entry a message never catches up with it.
        set = set.without(Fault::SmallMessages);
    }
    if profile == Profile::OldCopy || (profile == Profile::Reckless && durable && old_copy) {
        set = set.with(Fault::OldCopy);
        set = if os { set.with(Fault::PowerCut) } else { set };
    }
    if (restore && profile == Profile::Reckless) || profile == Profile::Rescue {
        set = set.with(Fault::Restore);
    }
    set
}

fn choose_timing(seed: u64, random: &mut Random) -> Timing {
    Timing {
        // Not drawn, so that what a seed drew before this was there stays.
        commit_wait_us: [0, 1_000, 10_000, 50_000][seed as usize / 2 % 4],
        tick_ms: 10,
        heartbeat_ms: random.pick(&[30, 50, 50, 100]),
        election_ms: random.pick(&[200, 300, 300, 500]),
        form_wait_ms: random.pick(&[500, 2_000, 5_000]),
        absent_ms: random.pick(&[1_000, 3_000, 10_000]),
    }
}

fn choose_limits(random: &mut Random, faults: FaultSet) -> Limits {
    Limits {
        log_memory_bytes: if faults.has(Fault::SmallLog) {
            random.scale(16 << 10, 256 << 10) as usize
        } else {
            1 << 30
        },
        in_flight_bytes: random.scale(1 << 10, 256 << 10) as usize,
        outbox_bytes: random.scale(256, 64 << 10) as usize,
        message_bytes: if faults.has(Fault::SmallMessages) {
            1
        } else if faults.has(Fault::Figure8) {
            FIGURE8_MESSAGE_BYTES
        } else {
            Limits::default().message_bytes
        },
        ..Limits::default()
    }
}

fn choose_datagram(random: &mut Random, faults: FaultSet) -> Datagram {
    if !faults.has(Fault::Datagram) {
        return Datagram::default();
    }
    Datagram {
        loss: random.pick(&[0, 10, 50, 150]),
        duplication: random.pick(&[0, 10, 50, 150]),
        reordering: random.pick(&[0, 20, 200]),
    }
}

fn choose_load(random: &mut Random, faults: FaultSet) -> Load {
    let mut load = Load {
        gap_us: random.scale(4_000, 100_000),
        burst: random.scale(1, 16),
        log_bytes: random.scale(40, 800),
        long_permille: random.pick(&[0, 20, 100]),
        fragment_bytes: random.scale(64, 2_000) as usize,
        intake_bytes: random.scale(2_000, 64_000) as usize,
    };
    if faults.has(Fault::SmallMessages) {
        // One entry a message, and so many messages a round trip: a newcomer never catches up with a fast log.
        (load.gap_us, load.burst, load.long_permille) = (load.gap_us.max(50_000), 1, 0);
    }
    load
}

fn choose_starts(random: &mut Random, faults: FaultSet, processes: u16) -> Vec<u64> {
    (0..processes)
        .map(|_| {
            if faults.has(Fault::LateStart) && random.chance(500) {
                random.scale(100, 10_000)
            } else {
                random.within(0, 100)
            }
        })
        .collect()
}
