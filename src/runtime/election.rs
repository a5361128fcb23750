//! Leadership of the shard, and the thread that tells the host of it: in order, outside all locks.
//!
//! Where a process has several groups it leads "the shard" when it leads every group that it votes in,
//! and has lost it with the first of them.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use crate::replica::output::{Gate, Leadership};

use super::callbacks::{locked, ElectionSlot};

/// What the election callback is called with; `None` keeps it silent (contract section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElectionCodes {
    /// First leadership after a fresh formation.
    pub first: Option<i32>,
    /// Any later leadership.
    pub gained: Option<i32>,
    /// Leadership lost to another run.
    pub lost: Option<i32>,
}

/// Announcements that wait while a callback runs. Beyond it a gain and the loss that takes it back are
/// both left out: the host, still busy with the first of them, misses nothing that lasts.
const QUEUE_MAX: usize = 64;

/// Where the groups that this process votes in make one leadership of them. The loop's.
pub(super) struct ShardLeadership {
    /// Per group: whether this process leads it, and for the first time in its formation.
    leads: Vec<Option<bool>>,
    is_announced: bool,
}

impl ShardLeadership {
    /// For a process that votes in `groups` groups.
    pub(super) fn new(groups: usize) -> Self {
        Self { leads: vec![None; groups], is_announced: false }
    }

    /// Leadership of the `group`th of the groups changed: what that is for the shard.
    pub(super) fn apply(&mut self, group: usize, change: Leadership) -> Option<Leadership> {
        self.leads[group] = match change {
            Leadership::Gained { first } => Some(first),
            Leadership::Lost => None,
        };
        let leads_all = self.leads.iter().all(Option::is_some);
        if leads_all == self.is_announced {
            return None;
        }
        self.is_announced = leads_all;
        let first = self.leads.iter().all(|&first| first == Some(true));
        Some(if leads_all { Leadership::Gained { first } } else { Leadership::Lost })
    }

    /// This process votes in several groups.
    pub(super) fn is_of_several(&self) -> bool {
        self.leads.len() > 1
    }

    /// The host was told that this process leads.
    pub(super) fn is_announced(&self) -> bool {
        self.is_announced
    }

    /// What submitters to a group with the gate `own` meet: a process that does not lead the shard, or is not announced yet,
    /// accepts for none of its groups (contract section 4). `queues`: one of the groups keeps logs for a leadership to come.
    /// A group that was announced with the shard before, and may go to another process, keeps none: they would be lost there.
    pub(super) fn gate(&self, own: Gate, queues: bool) -> Gate {
        match own {
            Gate::Hold | Gate::Suspended if !self.is_announced && queues => Gate::Hold,
            Gate::Open if !self.is_announced && queues => Gate::Queue,
            Gate::Open | Gate::Hold | Gate::Suspended if !self.is_announced => Gate::Closed { leader: None },
            own => own,
        }
    }
}

/// Announcements on their way to the host. The loop pushes, the election thread calls.
pub(super) struct Election {
    codes: ElectionCodes,
    slot: Arc<ElectionSlot>,
    state: Mutex<ElectionState>,
    changed: Condvar,
}

struct ElectionState {
    queue: VecDeque<Leadership>,
    /// From `pre_shutdown_step` on nothing is announced.
    muted: bool,
    /// The callback is running, or is the next thing that the thread does.
    calling: bool,
    stopping: bool,
}

/// A call of the host's callback that nothing can stop any more; dropped at its end.
struct Call<'a>(&'a Election);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        locked(&self.0.state).calling = false;
        self.0.changed.notify_all();
    }
}

impl Election {
    /// Nothing to announce.
    pub(super) fn new(codes: ElectionCodes, slot: Arc<ElectionSlot>) -> Self {
        let state = ElectionState {
            queue: VecDeque::new(),
            muted: false,
            calling: false,
            stopping: false,
        };
        Self { codes, slot, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Loop: leadership of the shard changed.
    pub(super) fn push(&self, change: Leadership) {
        locked(&self.state).announce(change);
        self.changed.notify_all();
    }

    /// Announces nothing from now on. A call that is running, or about to, ends undisturbed: see [`Election::wait_quiet`].
    pub(super) fn mute(&self) {
        let mut state = locked(&self.state);
        state.muted = true;
        state.queue.clear();
    }

    /// Muted: waits until no call is running. False where one still runs at the deadline.
    pub(super) fn wait_quiet(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.changed.wait_timeout_while(locked(&self.state), left, |state| state.calling);
        !waited.unwrap_or_else(PoisonError::into_inner).0.calling
    }

    /// Ends the thread, after the call that is running.
    pub(super) fn stop(&self) {
        locked(&self.state).stopping = true;
        self.changed.notify_all();
    }

    /// The thread's body. `before_gained` runs before each announced gain.
    pub(super) fn run(&self, before_gained: impl Fn()) {
        while let Some(change) = self.wait_change() {
            let code = match change {
                Leadership::Gained { first: true } => self.codes.first,
                Leadership::Gained { first: false } => self.codes.gained,
                Leadership::Lost => self.codes.lost,
            };
            if matches!(change, Leadership::Gained { .. }) {
                before_gained();
            }
            let said = code.map_or("silent".to_string(), |code| format!("code {code}"));
            log::info!("leadership: {change:?}, election callback: {said}");
            if let Some(code) = code {
                // It may have been muted while this thread wrote to the log.
                let Some(_call) = self.begin_call() else { continue };
                self.slot.call(code);
            }
        }
    }

    /// `None` once muted. In one look: who mutes knows of the call, or there is none.
    fn begin_call(&self) -> Option<Call<'_>> {
        let mut state = locked(&self.state);
        state.calling = !state.muted;
        state.calling.then(|| Call(self))
    }

    fn wait_change(&self) -> Option<Leadership> {
        let mut state = locked(&self.state);
        loop {
            if state.stopping {
                return None;
            }
            if let Some(change) = state.queue.pop_front() {
                return Some(change);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl ElectionState {
    fn announce(&mut self, change: Leadership) {
        if self.muted {
            return;
        }
        if self.queue.len() < QUEUE_MAX {
            self.queue.push_back(change);
        } else {
            // Gains and losses alternate, so the last one in the queue is the opposite of this one.
            self.queue.pop_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const CODES: ElectionCodes = ElectionCodes { first: Some(1), gained: Some(1), lost: Some(0) };

    fn election(codes: ElectionCodes) -> (Arc<Election>, mpsc::Receiver<i32>) {
        let slot = Arc::new(ElectionSlot::default());
        let (sender, codes_seen) = mpsc::channel();
        slot.register(Some(Box::new(move |code| sender.send(code).expect("the test listens"))));
        (Arc::new(Election::new(codes, slot)), codes_seen)
    }

    /// Runs the thread until it has announced everything that was pushed.
    fn announced(election: &Arc<Election>, codes: &mpsc::Receiver<i32>, count: usize) -> Vec<i32> {
        let thread = std::thread::spawn({
            let election = election.clone();
            move || election.run(|| ())
        });
        let wait = std::time::Duration::from_secs(10);
        let seen: Vec<i32> = (0..count).map(|_| codes.recv_timeout(wait).expect("an announcement")).collect();
        election.stop();
        thread.join().unwrap();
        assert!(codes.try_recv().is_err(), "more than expected after {seen:?}");
        seen
    }

    #[test]
    fn a_process_leads_when_it_leads_all_groups_and_lost_with_the_first_of_them() {
        let gained = |first| Leadership::Gained { first };
        let mut shard = ShardLeadership::new(2);
        assert_eq!(shard.apply(0, gained(true)), None);
        assert_eq!(shard.gate(Gate::Open, false), Gate::Closed { leader: None }, "not announced yet");
        assert_eq!(shard.gate(Gate::Open, true), Gate::Queue, "a leadership to come is waited for");
        assert_eq!(shard.apply(1, gained(true)), Some(gained(true)));
        assert_eq!(shard.gate(Gate::Open, false), Gate::Open);
        assert_eq!(shard.apply(1, Leadership::Lost), Some(Leadership::Lost));
        assert_eq!(shard.gate(Gate::Hold, false), Gate::Closed { leader: None });
        assert_eq!(shard.apply(0, Leadership::Lost), None);
        assert_eq!(shard.apply(1, gained(false)), None);
        assert_eq!(shard.apply(0, gained(true)), Some(gained(false)));
    }

    #[test]
    fn a_group_that_is_suspended_after_the_shard_was_lost_accepts_nothing() {
        let gained = Leadership::Gained { first: false };
        let mut shard = ShardLeadership::new(2);
        assert_eq!(shard.apply(0, gained).or(shard.apply(1, gained)), Some(gained));
        assert_eq!(shard.gate(Gate::Suspended, false), Gate::Suspended, "it may go on as the leader of the shard");
        assert_eq!(shard.apply(0, Leadership::Lost), Some(Leadership::Lost));
        assert_eq!(shard.gate(Gate::Suspended, false), Gate::Closed { leader: None });
        assert_eq!(shard.gate(Gate::Queue, true), Gate::Queue, "the host asked for leadership");
        assert_eq!(shard.gate(Gate::Open, true), Gate::Queue, "and this group may be part of it");
        assert_eq!(shard.gate(Gate::Suspended, true), Gate::Hold, "or go to another process");
        assert_eq!(shard.gate(Gate::Hold, true), Gate::Hold, "it is on its way to one");
    }

    #[test]
    fn a_null_code_is_silent_and_the_first_leadership_has_its_own() {
        let (election, codes) = election(ElectionCodes { first: None, gained: Some(7), lost: None });
        election.push(Leadership::Gained { first: true });
        election.push(Leadership::Lost);
        election.push(Leadership::Gained { first: false });
        assert_eq!(announced(&election, &codes, 1), [7]);
    }

    #[test]
    fn after_muting_nothing_is_announced() {
        let (election, codes) = election(CODES);
        election.push(Leadership::Gained { first: true });
        election.mute();
        election.push(Leadership::Lost);
        assert_eq!(announced(&election, &codes, 0), Vec::<i32>::new());
    }

    #[test]
    fn muting_also_silences_what_was_taken_from_the_queue_and_is_not_said_yet() {
        let (election, codes) = election(CODES);
        election.push(Leadership::Gained { first: true });
        let (muting, stopping) = (election.clone(), election.clone());
        // `before_gained` runs between the queue and the callback.
        election.run(|| {
            muting.mute();
            stopping.stop();
        });
        assert!(codes.try_recv().is_err(), "the callback was called after mute() had returned");
    }

    #[test]
    fn whoever_muted_can_wait_for_the_end_of_the_call_that_was_begun() {
        let slot = Arc::new(ElectionSlot::default());
        let (begin, begun) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        slot.register(Some(Box::new(move |code| {
            begin.send(code).expect("the test listens");
            // The test lets go of it.
            let _ = released.recv();
        })));
        let election = Arc::new(Election::new(CODES, slot));
        election.push(Leadership::Gained { first: true });
        let thread = std::thread::spawn({
            let election = election.clone();
            move || election.run(|| ())
        });
        let wait = std::time::Duration::from_secs(10);
        assert_eq!(begun.recv_timeout(wait), Ok(1));
        election.mute();
        assert!(!election.wait_quiet(Instant::now()), "it is running");
        drop(release);
        assert!(election.wait_quiet(Instant::now() + wait), "it has ended");
        election.stop();
        thread.join().unwrap();
    }

    #[test]
    fn a_full_queue_drops_pairs_and_keeps_the_last_state() {
        let (election, codes) = election(CODES);
        for _ in 0..QUEUE_MAX {
            election.push(Leadership::Gained { first: false });
            election.push(Leadership::Lost);
        }
        assert_eq!(announced(&election, &codes, QUEUE_MAX), [1, 0].repeat(QUEUE_MAX / 2));
    }
}
