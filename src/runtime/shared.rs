//! What the threads of one replica process share.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{mpsc, Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::ids::{GroupId, PartitionId, ProcessId, Slot};
use crate::replica::output::Status;
use crate::replica::NeverLeads;
use crate::transport::TransportCounters;

use super::buffers::Buffers;
use super::callbacks::locked;
use super::election::Election;
use super::failure::Failure;
use super::intake::{Intake, Refusal};
use super::lane::Lane;
use super::wake_chain::WakeChain;
use super::ledger::{Ledger, PartitionCounters, Waited};
use super::replica_process::{NoAnswer, NotRestored};
use super::wakeup::Wakeup;

/// One partition of this process: where its logs enter, where they leave, and what became of them.
pub struct Port {
    pub(super) partition: PartitionId,
    pub(super) intake: Intake,
    pub(super) ledger: Arc<Ledger>,
    pub(super) lane: Arc<Lane>,
    pub(super) view: Arc<GroupView>,
    pub(super) failure: Arc<Failure>,
}

impl Port {
    /// Which partition.
    pub fn partition(&self) -> PartitionId {
        self.partition
    }

    /// Copies and queues a log; its ticket: 1, 2, 3, ... in the order of acceptance. Waits at a full queue
    /// for `submit_wait_ms` at most, and never inside a callback. Any thread, also while it exits.
    ///
    /// # Errors
    /// Why the log was not accepted; it is counted as refused.
    pub fn submit(&self, log: &[u8]) -> Result<u64, Refusal> {
        self.intake.submit(log)
    }

    /// Counts logs that were refused before they came here.
    pub fn count_refused(&self, logs: u64) {
        self.ledger.refuse(logs);
    }

    /// Why a log would be refused now, whatever its length and the room for it.
    pub fn refusal(&self) -> Option<Refusal> {
        self.intake.refusal()
    }

    /// Accepted here and neither delivered here nor lost.
    pub fn outstanding(&self) -> u64 {
        self.ledger.outstanding()
    }

    /// Waits until nothing is outstanding. Not for callbacks: they would wait for themselves.
    pub fn wait_idle(&self) -> Waited {
        self.ledger.wait(|ledger| ledger.outstanding() == 0, None)
    }

    /// Waits until the fate of the log with this ticket, and of all before it, is known.
    pub fn wait_settled(&self, ticket: u64, deadline: Instant) -> Waited {
        self.ledger.wait(|ledger| ledger.settled() >= ticket, Some(deadline))
    }

    /// Tickets up to this one are delivered or lost.
    pub fn settled(&self) -> u64 {
        self.ledger.settled()
    }

    /// The counters now.
    pub fn counters(&self) -> PartitionCounters {
        self.ledger.counters(self.intake.queued_bytes() as u64)
    }

    /// The C++ part's un-replayed queue of this partition now holds so many logs.
    pub fn set_unreplayed(&self, logs: u64) {
        self.ledger.set_unreplayed(logs);
    }

    /// Every log through this slot is committed and was handed over for delivery here.
    pub fn committed(&self) -> Slot {
        self.lane.committed()
    }

    /// The callbacks have returned for all slots through this one.
    pub fn delivered(&self) -> Slot {
        self.lane.delivered()
    }

    /// This process leads the partition, and that was announced.
    pub fn is_leading(&self) -> bool {
        self.view.is_shard_led() && self.intake.is_open()
    }

    /// The process that leads the partition, where that is known.
    pub fn leader(&self) -> Option<ProcessId> {
        self.view.leader()
    }

    /// Why the replica stopped itself, if it did.
    pub fn failure(&self) -> Option<String> {
        self.failure.reason()
    }

    /// The slot whose callback is running now.
    pub fn calling(&self) -> Option<Slot> {
        self.lane.calling()
    }

    /// Delivery waits for a callback to be registered.
    pub fn lacks_callback(&self) -> bool {
        self.lane.lacks_callback()
    }

    /// Threads that wait in [`Port::submit`].
    pub fn waiting_submitters(&self) -> usize {
        self.intake.waiting().0
    }

    /// The group that the partition's logs travel in.
    pub fn group(&self) -> GroupId {
        self.view.group
    }
}

/// What others may know of a group without asking the loop.
pub(super) struct GroupView {
    pub(super) group: GroupId,
    /// Process id + 1; 0 for nobody known.
    leader: AtomicU32,
    /// The host was told that this process leads the shard, of which the group may be a part.
    leads_shard: AtomicBool,
}

impl GroupView {
    pub(super) fn new(group: GroupId) -> Self {
        Self { group, leader: AtomicU32::new(0), leads_shard: AtomicBool::new(false) }
    }

    pub(super) fn set_shard_led(&self, leads: bool) {
        self.leads_shard.store(leads, Ordering::Relaxed);
    }

    fn is_shard_led(&self) -> bool {
        self.leads_shard.load(Ordering::Relaxed)
    }

    pub(super) fn set_leader(&self, leader: Option<ProcessId>) {
        self.leader.store(leader.map_or(0, |process| u32::from(process.0) + 1), Ordering::Relaxed);
    }

    /// The loop has ended: what it knew last is true no more.
    pub(super) fn forget_leader(&self) {
        self.leader.store(0, Ordering::Relaxed);
    }

    pub(super) fn leader(&self) -> Option<ProcessId> {
        let raw = self.leader.load(Ordering::Relaxed).checked_sub(1)?;
        u16::try_from(raw).ok().map(ProcessId)
    }
}

thread_local! {
    /// This thread is an event loop. Without a destructor, as it is read in C++ `thread_local` destructors too.
    static IS_LOOP: Cell<bool> = const { Cell::new(false) };
}

/// Loop: from here on this thread answers, and may not wait for an answer.
pub(super) fn mark_loop_thread() {
    IS_LOOP.set(true);
}

pub(super) fn is_loop_thread() -> bool {
    IS_LOOP.get()
}

/// What is asked of the loop. Either the loop takes it up, and then answers, or the asker withdraws it, and then it is
/// not obeyed: who is told that nothing was done can rely on it.
pub(super) struct Question<T> {
    answer: mpsc::SyncSender<T>,
    /// By whoever came first.
    is_claimed: Arc<AtomicBool>,
}

/// The asker's end of a [`Question`].
pub(super) struct Asked<T> {
    answered: mpsc::Receiver<T>,
    is_claimed: Arc<AtomicBool>,
}

impl<T> Question<T> {
    pub(super) fn new() -> (Self, Asked<T>) {
        let (answer, answered) = mpsc::sync_channel(1);
        let is_claimed = Arc::new(AtomicBool::new(false));
        (Self { answer, is_claimed: is_claimed.clone() }, Asked { answered, is_claimed })
    }

    /// Loop: where the answer goes; `None` for a question that was withdrawn.
    pub(super) fn take(self) -> Option<mpsc::SyncSender<T>> {
        let is_mine = !self.is_claimed.swap(true, Ordering::SeqCst);
        is_mine.then_some(self.answer)
    }
}

impl<T> Asked<T> {
    /// The answer. After `patience` the question is withdrawn; where the loop has just taken it up, it gets as long again.
    pub(super) fn wait(&self, patience: Duration) -> Result<T, NoAnswer> {
        let ended = |_| NoAnswer::Ended;
        match self.answered.recv_timeout(patience) {
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            answered => return answered.map_err(ended),
        }
        if !self.is_claimed.swap(true, Ordering::SeqCst) {
            return Err(NoAnswer::Late);
        }
        match self.answered.recv_timeout(patience) {
            Err(mpsc::RecvTimeoutError::Timeout) => Err(NoAnswer::TakenUp),
            answered => answered.map_err(ended),
        }
    }
}

/// Whether leadership was asked for.
pub(super) type Sought = Result<(), NeverLeads>;

/// What the other threads ask of the event loop.
pub(super) enum Command {
    /// See [`crate::replica::Replica::set_preferred`].
    SetPreferred(Option<ProcessId>),
    /// See [`crate::replica::Replica::seek_leadership`].
    SeekLeadership(Question<Sought>),
    /// See [`crate::replica::Replica::restore_alone`].
    RestoreAlone(Question<Result<(), NotRestored>>),
    /// A status per group.
    Status(Question<Vec<(GroupId, Status)>>),
    /// What the transport has counted.
    Traffic(Question<TransportCounters>),
    /// Say goodbye; report when everything accepted is decided and delivered, or hopeless.
    Drain,
    /// End what is undecided as lost.
    Abandon,
    /// Close the connections and end the loop.
    Stop,
}

/// What the threads of one replica process share.
pub(super) struct Shared {
    /// In ascending order of partition.
    pub(super) ports: Vec<Arc<Port>>,
    /// Of each group.
    pub(super) buffers: Vec<Arc<Buffers>>,
    pub(super) wakeup: Arc<Wakeup>,
    pub(super) failure: Arc<Failure>,
    pub(super) chain: Arc<WakeChain>,
    pub(super) election: Election,
    pub(super) drained: Latch,
    /// The loop has made its first turn: the gates are what the replicas want them to be.
    pub(super) turning: Latch,
    /// `None` once the loop has ended: a question then fails at once.
    commands: Mutex<Option<Vec<Command>>>,
    commanded: AtomicBool,
}

impl Shared {
    pub(super) fn new(
        ports: Vec<Arc<Port>>,
        buffers: Vec<Arc<Buffers>>,
        wakeup: Arc<Wakeup>,
        failure: Arc<Failure>,
        election: Election,
    ) -> Self {
        Self {
            ports,
            buffers,
            wakeup,
            failure,
            chain: Arc::default(),
            election,
            drained: Latch::default(),
            turning: Latch::default(),
            commands: Mutex::new(Some(Vec::new())),
            commanded: AtomicBool::new(false),
        }
    }

    /// Queues a command and wakes the loop. False after the loop's end: it is dropped, with its answer's sender.
    pub(super) fn command(&self, command: Command) -> bool {
        let mut commands = locked(&self.commands);
        let Some(queued) = commands.as_mut() else { return false };
        queued.push(command);
        self.commanded.store(true, Ordering::Relaxed);
        drop(commands);
        self.wakeup.notify();
        true
    }

    /// Loop: whether [`Shared::take_commands`] would give something.
    pub(super) fn is_commanded(&self) -> bool {
        self.commanded.load(Ordering::Relaxed)
    }

    /// Loop: what was asked since the last time.
    pub(super) fn take_commands(&self) -> Vec<Command> {
        let mut commands = locked(&self.commands);
        self.commanded.store(false, Ordering::Relaxed);
        commands.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The loop has ended: whoever waits for an answer, now or later, learns that there is none.
    pub(super) fn close_commands(&self) {
        *locked(&self.commands) = None;
    }

    /// Refuses every submission from now on.
    pub(super) fn stop_intakes(&self) {
        self.ports.iter().for_each(|port| port.intake.stop());
    }
}

/// A door that opens once.
#[derive(Default)]
pub(super) struct Latch {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Latch {
    pub(super) fn open(&self) {
        *locked(&self.open) = true;
        self.opened.notify_all();
    }

    pub(super) fn is_open(&self) -> bool {
        *locked(&self.open)
    }

    /// True when it opened before the deadline.
    pub(super) fn wait(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.opened.wait_timeout_while(locked(&self.open), left, |open| !*open);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn a_question_that_was_given_up_is_not_obeyed_and_one_that_is_taken_up_is_answered() {
        let (question, asked) = Question::<u32>::new();
        assert_eq!(asked.wait(Duration::ZERO), Err(NoAnswer::Late));
        assert!(question.take().is_none(), "the asker was told that nothing was done");

        let (question, asked) = Question::new();
        let answer = question.take().expect("nobody has withdrawn it");
        let answering = std::thread::spawn(move || answer.send(7));
        assert_eq!(asked.wait(SOON), Ok(7));
        answering.join().unwrap().expect("the asker waits");

        let (question, asked) = Question::<u32>::new();
        let _answer = question.take();
        assert_eq!(asked.wait(Duration::from_millis(1)), Err(NoAnswer::TakenUp), "no wait is without a bound");
        let (question, asked) = Question::<u32>::new();
        drop(question);
        assert_eq!(asked.wait(SOON), Err(NoAnswer::Ended));
    }
}
