//! One replica process: all its threads, from start to shutdown.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ffi::signals::HostMask;
use crate::ids::{GroupId, PartitionId, ProcessId, RunId, Time};
use crate::replica::output::Status;
use crate::replica::payload::Origin;
use crate::replica::{Limits, NeverLeads, NotResumed, Recovered, Replica, ReplicaConfig, RestoreOrder, Timing};
use crate::storage::disk::{self, DiskError, DiskLog, DiskOptions, Durability, FileSystem, Prepare, RealFiles};
use crate::storage::OlderEntries;
use crate::transport::{PeerAddress, Transport, TransportConfig, TransportCounters, TransportError, TransportLimits};

use super::buffers::Buffers;
use super::callbacks::{ElectionSlot, OutcomeSlot, PartitionCallbacks};
use super::election::{Election, ElectionCodes};
use super::event_loop::{Clock, EventLoop, FIRST_TRANSPORT_TOKEN, WAKE_TOKEN};
use super::failure::Failure;
use super::group_run::{GroupRun, NotAlone};
use super::intake::{Intake, IntakeLimits};
use super::lane::{Lane, LaneThread};
use super::ledger::Ledger;
use super::log_writer::LogWriter;
use super::roster::{Lingering, Roster};
use super::shared::{is_loop_thread, Command, GroupView, Port, Question, Shared};
use super::wakeup::Wakeup;

/// How long shutdown waits for callbacks that are running (contract section 3.8).
pub const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(10);
/// Threads that have nothing to wait for end within milliseconds.
const QUICK_END: Duration = Duration::from_secs(1);
/// The first turn opens the gates. It does no waiting of its own: beyond this the machine is in trouble.
const FIRST_TURN_PATIENCE: Duration = Duration::from_secs(10);
/// A loop that does not answer a question for so long is held up: a turn takes milliseconds at most.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// Between the loop's pass over what was abandoned and its lanes' reports, which take no time of their own. Of `drain_ms` at
/// most a fourth.
const ABANDON_PATIENCE: Duration = Duration::from_millis(500);
/// For an election callback that began before the drain. Of `drain_ms`, which may be an hour, and of the ten seconds after which a
/// shutdown says what still runs.
const QUIET_PATIENCE: Duration = Duration::from_secs(5);
/// Length of a segment of the durable log: long enough that starting one is rare, short enough to prepare ahead.
const SEGMENT_BYTES: u64 = 64 << 20;

/// One group of this process.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// Its number; the same in every process.
    pub id: GroupId,
    /// Its partitions.
    pub partitions: Vec<PartitionId>,
    /// Processes that may vote, in locale order.
    pub voters: Vec<ProcessId>,
    /// Processes that only receive.
    pub learners: Vec<ProcessId>,
    /// The process that the host submits on.
    pub designated: Option<ProcessId>,
    /// The preferred leader at start.
    pub preferred: Option<ProcessId>,
}

/// What a replica process is started with.
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// This process.
    pub me: ProcessId,
    /// This start of it.
    pub run: RunId,
    /// Seeds every random choice.
    pub seed: u64,
    /// Of the topology and its groups: only processes with the same one talk to each other.
    pub fingerprint: u64,
    /// Of the topology without hosts and ports: a data directory says for which one it was written, and names its groups
    /// besides.
    pub shard_fingerprint: u64,
    /// Of the topology with them, which tells shards with the same names apart there.
    pub addressed_fingerprint: u64,
    /// The operator's order: what `addressed_fingerprint` was when the data directory was used last.
    pub moved_from: Option<u64>,
    /// Host and port to listen on.
    pub listen: (String, u16),
    /// All other processes.
    pub peers: Vec<PeerAddress>,
    /// The groups that this process has a part in.
    pub groups: Vec<GroupConfig>,
    /// False: leave forming and the first campaign to others.
    pub campaign_at_start: bool,
    /// See [`crate::replica::RestoreOrder`].
    pub restore: Option<RestoreOrder>,
    /// Ticks and timeouts.
    pub timing: Timing,
    /// Bounds of each replica.
    pub limits: Limits,
    /// Accepted and not committed, per partition, in bytes.
    pub queue_bytes: usize,
    /// How long a submission waits at a full queue.
    pub submit_wait: Duration,
    /// How long a drain takes at most.
    pub drain_wait: Duration,
    /// The longest log that is accepted, in bytes.
    pub max_log_bytes: usize,
    /// Longer logs travel in pieces of this size, in bytes.
    pub fragment_bytes: usize,
    /// Where durable logs live, and what they survive; `None` for memory only.
    pub disk: Option<(PathBuf, Durability)>,
    /// The longest that the event loop looks for work before it sleeps; zero: it sleeps at once.
    pub busy_poll: Duration,
    /// What the election callback is called with.
    pub election_codes: ElectionCodes,
}

/// The host's callbacks. They outlive the replica process and may be registered at any time.
#[derive(Clone, Default)]
pub struct Callbacks {
    /// Per partition; one that is missing gets an empty slot.
    pub partitions: BTreeMap<PartitionId, Arc<PartitionCallbacks>>,
    /// Leadership.
    pub election: Arc<ElectionSlot>,
    /// Fates.
    pub outcome: Arc<OutcomeSlot>,
}

/// Why a replica process could not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The address can't be listened on.
    Transport(TransportError),
    /// The durable log can't be opened.
    Disk(DiskError),
    /// The operating system refused a poll or a thread.
    System(io::Error),
    /// A replica refused its configuration or what was recovered.
    Replica(String),
    /// A replica could not read more of what was recovered.
    Unread(String),
}

impl StartError {
    /// Why the replica of `group` does not go on.
    pub(crate) fn of_replica(group: GroupId, reason: NotResumed) -> Self {
        let text = format!("{group}: {reason}");
        match reason {
            NotResumed::Refused(_) => Self::Replica(text),
            NotResumed::Unread(_) => Self::Unread(text),
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => error.fmt(f),
            Self::Disk(error) => error.fmt(f),
            Self::System(error) => {
                write!(f, "can't start: {error}; look at the limits of this process (ulimit -n, -u and -v)")
            }
            Self::Replica(text) => f.write_str(text),
            Self::Unread(text) => write!(f, "can't start: {text}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Transport(error) => Some(error),
            Self::Disk(error) => Some(error),
            Self::System(error) => Some(error),
            Self::Replica(_) | Self::Unread(_) => None,
        }
    }
}

/// What shutdown left running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// One line per thread: its name, and the partition and slot of the callback it is in, or that the host's
    /// `thread_local` destructors run there.
    pub threads: Vec<String>,
}

/// A running replica process. Several may live in one OS process.
pub struct Runtime {
    shared: Arc<Shared>,
    roster: Roster,
    drain_wait: Duration,
    writers: Vec<Arc<LogWriter>>,
}

/// The durable logs of a process's groups, opened and recovered; empty for memory only.
pub struct Storage {
    /// In the order of the groups.
    logs: Vec<(Option<Recovered>, DiskLog)>,
}

impl Storage {
    /// Opens what `config` asks for.
    ///
    /// # Errors
    /// The first log that can't be opened.
    pub fn open(config: &RuntimeConfig) -> Result<Storage, StartError> {
        Self::open_on(config, SEGMENT_BYTES, &(Arc::new(RealFiles) as Arc<dyn FileSystem>))
    }

    /// The same on other files than the system's, with segments of another length in bytes.
    ///
    /// # Errors
    /// The first log that can't be opened.
    pub fn open_on(
        config: &RuntimeConfig,
        segment_bytes: u64,
        files: &Arc<dyn FileSystem>,
    ) -> Result<Storage, StartError> {
        let Some((directory, durability)) = &config.disk else { return Ok(Storage { logs: Vec::new() }) };
        let options = |group: &GroupConfig| DiskOptions {
            segment_bytes,
            durability: *durability,
            prepare: Prepare::InBackground,
            memory_tail_bytes: config.limits.log_memory_bytes as u64,
            shard_fingerprint: config.shard_fingerprint,
            addressed_fingerprint: config.addressed_fingerprint,
            moved_from: config.moved_from,
            process: config.me,
            group: group.id,
            partitions: group.partitions.clone(),
        };
        let options: Vec<DiskOptions> = config.groups.iter().map(options).collect();
        disk::check_layout(&**files, directory, &options).map_err(StartError::Disk)?;
        let open = |options: DiskOptions| {
            DiskLog::open(&disk::group_directory(directory, options.group), options, files.clone())
        };
        let logs: Result<Vec<_>, DiskError> = options.into_iter().map(open).collect();
        let logs = logs.map_err(StartError::Disk)?;
        let empty = config.groups.iter().zip(&logs).filter(|(_, (recovered, _))| recovered.is_none());
        let empty: Vec<String> = empty.map(|(group, _)| group.id.to_string()).collect();
        if !empty.is_empty() {
            // The first start of a shard, or a wrong path: only the operator knows.
            log::info!(
                "durable log: an empty log begins in {} for {}; if this process has had logs on disk, stop it: they are not there",
                directory.display(),
                empty.join(", ")
            );
        }
        Ok(Storage { logs })
    }
}

/// Why the event loop said nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// It has not within [`ANSWER_PATIENCE`]. What it was asked is withdrawn: it will not act on it.
    Late,
    /// It has begun with what it was asked, and is not done after as long again.
    TakenUp,
    /// It has ended, or ended meanwhile.
    Ended,
    /// It is the one that asks: a log sink may run on its thread.
    Itself,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Late => "the event loop does not answer: it is held up, by a disk or a machine that is out of memory",
            Self::TakenUp => "the event loop has begun with it and is held up; whether it was done is not known yet",
            Self::Ended => "the event loop has ended",
            Self::Itself => "asked on the event loop's own thread, which would wait for itself; call it from another thread",
        })
    }
}

/// Why leadership was not asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotSought {
    /// It would not come.
    NeverLeads(NeverLeads),
    /// The event loop says nothing.
    NoAnswer(NoAnswer),
}

/// Why the operator's act did not let every group go on alone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotRestored {
    /// Nothing was changed, for this reason.
    Refused(String),
    /// Some groups went on alone, others did not: which and why.
    InPart(String),
    /// The event loop says nothing.
    NoAnswer(NoAnswer),
}

impl NotRestored {
    /// What each group said, as one answer. A group that needs no restoring does not stand in the way of those that went on;
    /// it is a refusal where there is none of them.
    pub(super) fn sum_up(said: impl Iterator<Item = (GroupId, Result<(), NotAlone>)>) -> Result<(), Self> {
        let (mut gone_on, mut refused, mut serving) = (Vec::new(), Vec::new(), Vec::new());
        for (group, result) in said {
            match result {
                Ok(()) => gone_on.push(group.to_string()),
                Err(NotAlone { reason, serves: true }) => serving.push(format!("{group}: {reason}")),
                Err(NotAlone { reason, serves: false }) => refused.push(format!("{group}: {reason}")),
            }
        }
        if gone_on.is_empty() {
            refused.append(&mut serving);
        }
        let (gone_on, refused) = (gone_on.join(", "), refused.join("; "));
        match (gone_on.is_empty(), refused.is_empty()) {
            (_, true) => Ok(()),
            (true, false) => Err(Self::Refused(refused)),
            (false, false) => Err(Self::InPart(format!("{gone_on} went on alone, but not {refused}"))),
        }
    }
}

/// A replica process that listens and has no threads yet. Its ports refuse every log until it is started.
pub struct Bound {
    runtime: Runtime,
    threads: Threads,
}

/// What the threads of a process will own.
pub struct Threads {
    event_loop: EventLoop,
    outcome: Arc<OutcomeSlot>,
}

impl Bound {
    /// Listens. `storage` was opened for the same configuration.
    ///
    /// # Errors
    /// Why it could not; nothing is left open then.
    pub fn new(config: RuntimeConfig, storage: Storage, callbacks: &Callbacks) -> Result<Bound, StartError> {
        let origin = Instant::now();
        let poll = mio::Poll::new().map_err(StartError::System)?;
        let wakeup = Arc::new(Wakeup::new(poll.registry(), WAKE_TOKEN).map_err(StartError::System)?);
        let registry = poll.registry().try_clone().map_err(StartError::System)?;
        let transport = Transport::bind(transport_config(&config), registry, FIRST_TRANSPORT_TOKEN)
            .map_err(StartError::Transport)?;

        let failure = Arc::new(Failure::new(wakeup.clone()));
        let roster = Roster::new(failure.clone());
        let groups = open_groups(&config, storage, callbacks, &wakeup, &failure)?;
        let buffers = groups.iter().map(|group| group.buffers.clone()).collect();
        let election = Election::new(config.election_codes, callbacks.election.clone());
        let mut ports: Vec<Arc<Port>> = groups.iter().flat_map(|group| group.ports.iter().cloned()).collect();
        ports.sort_by_key(|port| port.partition);
        let shared = Arc::new(Shared::new(ports, buffers, wakeup, failure, election));

        let writers: Vec<Arc<LogWriter>> = groups.iter().filter_map(|group| group.writer.clone()).collect();
        let mut voting_indices = 0..;
        let groups = groups.into_iter().map(|group| group.into_run(&mut voting_indices)).collect();
        let tick = Duration::from_millis(config.timing.tick_ms.max(1));
        let clock = Clock { origin, tick, busy_poll: config.busy_poll };
        let event_loop = EventLoop::new(poll, transport, config.me, groups, shared.clone(), clock);
        let runtime = Runtime { shared, roster, drain_wait: config.drain_wait, writers };
        Ok(Bound { runtime, threads: Threads { event_loop, outcome: callbacks.outcome.clone() } })
    }

    /// [`Runtime::start`] at once.
    ///
    /// # Errors
    /// As there.
    pub fn start(self) -> Result<Runtime, StartError> {
        let (runtime, threads) = self.split();
        runtime.start(threads)?;
        Ok(runtime)
    }

    /// The process as others see it, and what [`Runtime::start`] takes: for who has to know the one before the first
    /// callback runs.
    pub fn split(self) -> (Runtime, Threads) {
        (self.runtime, self.threads)
    }
}

impl Runtime {
    /// Starts every thread, and returns without waiting for peers. The gates are what the replicas want
    /// them to be when it returns. What is asked before waits for it.
    ///
    /// # Errors
    /// The operating system refused a thread; those that were started end.
    pub fn start(&self, threads: Threads) -> Result<(), StartError> {
        let Threads { event_loop, outcome } = threads;
        self.start_threads(event_loop, &outcome).map_err(|error| {
            // The next try may want the same directory, and a shutdown says that nothing runs.
            self.roster.join(Instant::now() + QUICK_END);
            StartError::System(error)
        })
    }

    fn start_threads(&self, event_loop: EventLoop, outcome: &Arc<OutcomeSlot>) -> io::Result<()> {
        let shared = &self.shared;
        // Whatever ends the loop, a panic included, ends the others: see its `Drop`.
        let ending = LoopEnd { shared: shared.clone(), writers: self.writers.clone() };
        // Where the host's callbacks run.
        let host = HostMask::of_the_caller();
        for port in &shared.ports {
            let lane = LaneThread {
                lane: port.lane.clone(),
                ledger: port.ledger.clone(),
                outcome: outcome.clone(),
                wakeup: shared.wakeup.clone(),
                failure: shared.failure.clone(),
                chain: shared.chain.clone(),
            };
            let body = move || {
                host.take_on();
                lane.run();
            };
            self.roster.spawn_for_host(lane_name(port.partition), body)?;
        }
        for (index, writer) in self.writers.iter().cloned().enumerate() {
            let (wakeup, failure) = (shared.wakeup.clone(), shared.failure.clone());
            let body = move || writer.run(&wakeup, &failure);
            self.roster.spawn(format!("mako-raft-log{index}"), body)?;
        }
        let electing = shared.clone();
        self.roster.spawn_for_host("mako-raft-elect".into(), move || {
            host.take_on();
            electing.election.run(|| warn_of_unreplayed(&electing));
        })?;
        self.roster.spawn("mako-raft-loop".into(), move || {
            let _ending = ending;
            event_loop.run();
        })?;
        if !shared.turning.wait(Instant::now() + FIRST_TURN_PATIENCE) {
            log::warn!("the event loop has not made its first turn after {FIRST_TURN_PATIENCE:?}");
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn roster_for_tests(&self) -> &Roster {
        &self.roster
    }

    /// In slabs of all groups that were filled, in use or not.
    #[cfg(test)]
    pub(super) fn slab_bytes(&self) -> usize {
        self.shared.buffers.iter().map(|buffers| buffers.retired_bytes()).sum()
    }

    /// The partitions of this process, ascending.
    pub fn ports(&self) -> &[Arc<Port>] {
        &self.shared.ports
    }

    /// A partition of this process.
    pub fn port(&self, partition: PartitionId) -> Option<&Arc<Port>> {
        let index = self.shared.ports.binary_search_by_key(&partition, |port| port.partition).ok()?;
        self.shared.ports.get(index)
    }

    /// Makes `process` the preferred leader of every group, or nobody. Waits for nothing.
    ///
    /// # Errors
    /// The event loop has ended, or is about to since the replica stopped itself.
    pub fn set_preferred(&self, process: Option<ProcessId>) -> Result<(), NoAnswer> {
        if self.shared.failure.is_set() || !self.shared.command(Command::SetPreferred(process)) {
            return Err(NoAnswer::Ended);
        }
        Ok(())
    }

    /// Makes this process the preferred leader and asks for the transfer. When it returns, the gates are
    /// what the replicas want them to be from then on. On the loop's own thread it returns before.
    ///
    /// # Errors
    /// This process never leads, or the event loop does not answer.
    pub fn seek_leadership(&self) -> Result<(), NotSought> {
        if is_loop_thread() {
            self.shared.command(Command::SeekLeadership(Question::new().0));
            return Ok(());
        }
        self.ask(Command::SeekLeadership).map_err(NotSought::NoAnswer)?.map_err(NotSought::NeverLeads)
    }

    /// The operator's act for a survivor (DESIGN "Too many lost at once"). It may be repeated: groups that have gone on
    /// alone are left as they are.
    ///
    /// # Errors
    /// The replicas' reasons, or that the event loop does not answer.
    pub fn restore_alone(&self) -> Result<(), NotRestored> {
        self.ask(Command::RestoreAlone).map_err(NotRestored::NoAnswer)?
    }

    /// Where each group stands.
    ///
    /// # Errors
    /// The event loop does not answer.
    pub fn status(&self) -> Result<Vec<(GroupId, Status)>, NoAnswer> {
        self.ask(Command::Status)
    }

    fn ask<T>(&self, command: impl FnOnce(Question<T>) -> Command) -> Result<T, NoAnswer> {
        if is_loop_thread() {
            return Err(NoAnswer::Itself);
        }
        let (question, asked) = Question::new();
        self.shared.command(command(question));
        asked.wait(ANSWER_PATIENCE)
    }

    /// Writes to a group's durable log that were given and are not on disk; `None` for a log in memory.
    pub fn unwritten(&self, group: GroupId) -> Option<u64> {
        self.writers.iter().find(|writer| writer.group() == group).map(|writer| writer.unwritten())
    }

    /// What this process has sent and received, and with how many system calls.
    ///
    /// # Errors
    /// The event loop does not answer.
    pub fn traffic(&self) -> Result<TransportCounters, NoAnswer> {
        self.ask(Command::Traffic)
    }

    /// Why the replica stopped itself, if it did.
    pub fn failure(&self) -> Option<String> {
        self.shared.failure.reason()
    }

    /// Contract section 3.7: accepts nothing from now on, announces nothing, says goodbye, and waits at
    /// most `drain_ms` (0.5 s where that is less) for what was accepted to be committed and for what is committed to be delivered.
    /// What is undecided then is lost. Deliveries go on. An election callback that was running has ended when it returns, unless
    /// that takes longer. Not for callbacks.
    pub fn drain(&self) {
        self.shared.election.mute();
        self.shared.stop_intakes();
        let began = Instant::now();
        if !self.shared.failure.is_set() {
            self.drain_accepted(began);
        }
        let patience = self.drain_wait.min(QUIET_PATIENCE);
        if !self.shared.election.wait_quiet(began + patience) {
            log::warn!("drain: the election callback is still running after {patience:?}");
        }
    }

    fn drain_accepted(&self, began: Instant) {
        let accepted = self.outstanding();
        if accepted > 0 {
            log::info!("drain: waiting for {accepted} accepted logs, at most {:?} (raft.drain_ms)", self.drain_wait);
        }
        self.shared.command(Command::Drain);
        let patience = self.drain_wait - ABANDON_PATIENCE.min(self.drain_wait / 4);
        if !self.shared.drained.wait(began + patience) {
            let outstanding = self.outstanding();
            log::warn!("drain: {outstanding} accepted logs are not delivered after {patience:?}");
            self.shared.command(Command::Abandon);
            // Lets the lanes that are not blocked report what was abandoned before this returns.
            self.shared.drained.wait(began + self.drain_wait.max(ABANDON_PATIENCE));
        } else if accepted > 0 {
            log::info!("drain: over after {} ms, {} are left", began.elapsed().as_millis(), self.outstanding());
        }
        // What was proposed and is undecided may stay so until shutdown: nobody waits for it.
        self.shared.ports.iter().for_each(|port| port.ledger.set_ended(true));
    }

    fn outstanding(&self) -> u64 {
        self.shared.ports.iter().map(|port| port.outstanding()).sum()
    }

    /// Stops every thread and frees the port: no goodbye, no drain. What is not delivered is lost. Not for
    /// callbacks.
    ///
    /// # Errors
    /// What of the host's was still running after [`SHUTDOWN_PATIENCE`]; those threads are left alone.
    pub fn shutdown(&self) -> Result<(), Unfinished> {
        self.shutdown_within(SHUTDOWN_PATIENCE)
    }

    /// [`Runtime::shutdown`] with another patience.
    ///
    /// # Errors
    /// What of the host's was still running after it.
    pub fn shutdown_within(&self, patience: Duration) -> Result<(), Unfinished> {
        let deadline = Instant::now() + patience;
        self.stop();
        let slow = self.roster.join(deadline.min(Instant::now() + QUICK_END));
        if slow.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = slow.into_iter().map(|thread| self.describe(thread)).collect();
        log::warn!("shutdown: waiting at most {patience:?} for {}", lines.join("; "));
        let running = self.roster.join(deadline);
        if running.is_empty() {
            return Ok(());
        }
        let threads: Vec<String> = running.into_iter().map(|thread| self.describe(thread)).collect();
        for line in &threads {
            log::error!("shutdown: still running after a wait of {patience:?}, and left alone: {line}");
        }
        Err(Unfinished { threads })
    }

    fn stop(&self) {
        self.shared.election.mute();
        self.shared.election.stop();
        self.shared.stop_intakes();
        self.shared.command(Command::Stop);
    }

    fn describe(&self, Lingering { name, is_over }: Lingering) -> String {
        let lane = self.shared.ports.iter().find(|port| lane_name(port.partition) == name);
        if is_over {
            let whose = lane.map_or(String::new(), |port| format!(", which delivered partition {}", port.partition));
            return format!("{name}: destructors of the host's thread_local objects on this thread{whose}");
        }
        match lane.and_then(|port| port.lane.calling().map(|slot| (port.partition, slot))) {
            Some((partition, slot)) => format!("{name}: the callback of partition {partition}, slot {slot}"),
            None => name,
        }
    }
}

impl Drop for Runtime {
    /// Stops the threads without waiting for them; [`Runtime::shutdown`] waits.
    fn drop(&mut self) {
        self.stop();
    }
}

/// At most 15 bytes for partitions below 10,000: the kernel cuts longer names.
fn lane_name(partition: PartitionId) -> String {
    format!("mako-raft-p{partition}")
}

/// In Mako only the follower callback drains the un-replayed queue (contract section 6).
fn warn_of_unreplayed(shared: &Shared) {
    for port in shared.ports.iter().filter(|port| port.ledger.unreplayed() > 0) {
        log::warn!(
            "partition {}: leadership is announced while {} logs are not replayed",
            port.partition,
            port.ledger.unreplayed()
        );
    }
}

/// Ends everything else when the loop ends, also by a panic: its drop runs while unwinding.
struct LoopEnd {
    shared: Arc<Shared>,
    writers: Vec<Arc<LogWriter>>,
}

impl Drop for LoopEnd {
    fn drop(&mut self) {
        // Lanes report as lost whatever is accepted and not delivered: nothing may be accepted after.
        self.shared.stop_intakes();
        for port in &self.shared.ports {
            port.intake.discard();
            port.lane.stop();
            port.ledger.set_ended(true);
            port.view.forget_leader();
        }
        self.shared.buffers.iter().for_each(|buffers| buffers.free());
        self.writers.iter().for_each(|writer| writer.stop());
        self.shared.election.stop();
        self.shared.turning.open();
        self.shared.drained.open();
        // Whoever waits for an answer learns that there is none.
        self.shared.close_commands();
    }
}

/// A group that is ready to run.
struct OpenGroup {
    replica: Replica,
    peers: Vec<ProcessId>,
    ports: Vec<Arc<Port>>,
    view: Arc<GroupView>,
    votes: bool,
    writer: Option<Arc<LogWriter>>,
    buffers: Arc<Buffers>,
}

impl OpenGroup {
    fn into_run(self, voting_indices: &mut impl Iterator<Item = usize>) -> GroupRun {
        let voting_index = if self.votes { voting_indices.next() } else { None };
        GroupRun::new(self.replica, self.peers, self.ports, self.view, voting_index, self.writer)
    }
}

/// Room for what all groups may have on the way to one follower: a message that is dropped for lack of room costs its group
/// a second or more. The messages share the log's bytes, so this is no memory beside it.
pub(crate) fn bulk_queue_bytes(limits: &Limits, groups: usize, fragment_bytes: usize) -> usize {
    /// More than the head of an entry and of a message.
    const HEADS: usize = 4 << 10;
    let message = usize::try_from(limits.message_bytes).unwrap_or(usize::MAX).max(fragment_bytes).saturating_add(HEADS);
    let window = groups.saturating_mul(limits.in_flight_messages).saturating_mul(message);
    window.max(TransportLimits::default().bulk_queue_bytes_max)
}

fn transport_config(config: &RuntimeConfig) -> TransportConfig {
    TransportConfig {
        me: config.me,
        run: config.run,
        fingerprint: config.fingerprint,
        listen: config.listen.clone(),
        peers: config.peers.clone(),
        limits: TransportLimits {
            bulk_queue_bytes_max: bulk_queue_bytes(&config.limits, config.groups.len(), config.fragment_bytes),
            ..TransportLimits::default()
        },
        seed: config.seed,
    }
}

/// The groups, each with its durable log if it has one.
fn open_groups(
    config: &RuntimeConfig,
    storage: Storage,
    callbacks: &Callbacks,
    wakeup: &Arc<Wakeup>,
    failure: &Arc<Failure>,
) -> Result<Vec<OpenGroup>, StartError> {
    let mut groups = Vec::with_capacity(config.groups.len());
    let mut logs = storage.logs.into_iter();
    for layout in &config.groups {
        let (recovered, disk) = logs.next().map_or((None, None), |(recovered, disk)| (recovered, Some(disk)));
        let view = Arc::new(GroupView::new(layout.id));
        let older = disk.as_ref().map(|disk| disk.reader());
        let replica = Replica::new(replica_config(config, layout, older), recovered)
            .map_err(|reason| StartError::of_replica(layout.id, reason))?;
        let buffers = Arc::new(Buffers::new(config.fragment_bytes, config.groups.len()));
        let port = |&partition| {
            let (intake, ledger, lane) = open_port(config, callbacks, &buffers, wakeup, partition);
            Arc::new(Port { partition, intake, ledger, lane, view: view.clone(), failure: failure.clone() })
        };
        groups.push(OpenGroup {
            replica,
            peers: layout.voters.iter().chain(&layout.learners).copied().collect(),
            ports: layout.partitions.iter().map(port).collect(),
            view: view.clone(),
            votes: layout.voters.contains(&config.me),
            writer: disk.map(|disk| Arc::new(LogWriter::new(layout.id, disk))),
            buffers,
        });
    }
    Ok(groups)
}

fn replica_config(
    config: &RuntimeConfig,
    layout: &GroupConfig,
    older: Option<Box<dyn OlderEntries>>,
) -> ReplicaConfig {
    ReplicaConfig {
        group: layout.id,
        me: config.me,
        run: config.run,
        voters: layout.voters.clone(),
        learners: layout.learners.clone(),
        partitions: layout.partitions.clone(),
        designated: layout.designated,
        preferred: layout.preferred,
        campaign_at_start: config.campaign_at_start,
        restore: config.restore.clone(),
        durable: config.disk.is_some(),
        older,
        timing: config.timing.clone(),
        limits: config.limits.clone(),
        // Groups of one process must not choose the same timeouts for ever.
        seed: config.seed ^ (u64::from(layout.id.0) << 48),
        now: Time(0),
    }
}

fn open_port(
    config: &RuntimeConfig,
    callbacks: &Callbacks,
    buffers: &Arc<Buffers>,
    wakeup: &Arc<Wakeup>,
    partition: PartitionId,
) -> (Intake, Arc<Ledger>, Arc<Lane>) {
    let limits = IntakeLimits {
        queue_bytes: config.queue_bytes,
        submit_wait: config.submit_wait,
        max_log_bytes: config.max_log_bytes,
        fragment_bytes: config.fragment_bytes,
    };
    let origin = Origin { process: config.me, run: config.run };
    let ledger = Arc::new(Ledger::default());
    let registered = callbacks.partitions.get(&partition).cloned().unwrap_or_default();
    let intake = Intake::new(partition, origin, limits, buffers.clone(), ledger.clone(), wakeup.clone());
    (intake, ledger, Arc::new(Lane::new(partition, registered)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_act_that_some_groups_refuse_is_no_refusal() {
        let said = |results: [Result<(), (&str, bool)>; 2]| {
            let not_alone = |(reason, serves): (&str, bool)| NotAlone { reason: reason.into(), serves };
            let results = results.map(|result| result.map_err(not_alone));
            NotRestored::sum_up((0..).map(GroupId).zip(results))
        };
        assert_eq!(said([Ok(()), Ok(())]), Ok(()));
        let (refused, in_part) = ("group 0: a; group 1: b", "group 0 went on alone, but not group 1: b");
        assert_eq!(said([Err(("a", false)), Err(("b", false))]), Err(NotRestored::Refused(refused.into())));
        assert_eq!(said([Ok(()), Err(("b", false))]), Err(NotRestored::InPart(in_part.into())));
        assert_eq!(said([Ok(()), Err(("b", true))]), Ok(()), "it never needed that");
        assert_eq!(said([Err(("a", true)), Err(("b", true))]), Err(NotRestored::Refused(refused.into())), "nothing was changed");
    }
}
