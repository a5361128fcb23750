//! The preferred leader: a wish that travels through the log, and the orderly hand-over to it.
//!
//! Hand-over: the leader holds its submitters, lets everything accepted commit, transfers, and resumes
//! when that fails. (raft-rs 0.7 drops proposals while a transfer runs, so nothing may be proposed then.)

use std::collections::BTreeMap;

use crate::ids::{MemberId, ProcessId, Term, Time};

use super::control::Preference;
use super::payload::Origin;

/// A wish is repeated at this interval until it is seen in the log.
const REPEAT_MS: u64 = 100;
/// What was accepted must commit within this time, or the hand-over is given up and submitters go on.
const DRAIN_MS: u64 = 2_000;
/// First wait after a hand-over that failed; doubled each time.
const RETRY_MS: u64 = 500;
const RETRY_MS_MAX: u64 = 30_000;

/// The shard's wish as the log has it, and this process's own wish on its way there.
#[derive(Debug)]
pub struct Wishes {
    preferred: Option<ProcessId>,
    seen: BTreeMap<(ProcessId, u64), u64>,
    mine: Option<Preference>,
    made: u64,
    sent_at: Option<Time>,
    proposed: (Term, BTreeMap<(ProcessId, u64), u64>),
}

impl Wishes {
    /// The preference that the configuration gives.
    pub fn new(preferred: Option<ProcessId>) -> Self {
        Self { preferred, seen: BTreeMap::new(), mine: None, made: 0, sent_at: None, proposed: Default::default() }
    }

    /// Whom the shard prefers.
    pub fn preferred(&self) -> Option<ProcessId> {
        self.preferred
    }

    /// The host asks for another preference.
    pub fn ask(&mut self, origin: Origin, preferred: Option<ProcessId>) {
        self.made += 1;
        self.mine = Some(Preference { origin, number: self.made, preferred });
        self.sent_at = None;
    }

    /// The wish to send to the leader, or to propose, now.
    pub fn due(&mut self, now: Time) -> Option<Preference> {
        let wish = self.mine?;
        if self.sent_at.is_some_and(|at| now.millis_since(at) < REPEAT_MS) {
            return None;
        }
        self.sent_at = Some(now);
        Some(wish)
    }

    /// Whether the leader of `term` has not put this wish into its log yet. A repeated one would add an entry
    /// each time while nothing can be committed.
    pub fn is_new_in(&mut self, term: Term, wish: &Preference) -> bool {
        if self.proposed.0 != term {
            self.proposed = (term, BTreeMap::new());
        }
        let last = self.proposed.1.get(&(wish.origin.process, wish.origin.run.0));
        last.is_none_or(|&last| wish.number > last)
    }

    /// The leader of the term last asked about has put `wish` into its log.
    pub fn was_proposed(&mut self, wish: &Preference) {
        self.proposed.1.insert((wish.origin.process, wish.origin.run.0), wish.number);
    }

    /// A wish was committed. Returns the new preference when it changed.
    pub fn apply(&mut self, wish: Preference) -> Option<Option<ProcessId>> {
        if self.mine == Some(wish) {
            self.mine = None;
        }
        let last = self.seen.entry((wish.origin.process, wish.origin.run.0)).or_insert(0);
        if wish.number <= *last {
            return None;
        }
        *last = wish.number;
        let changed = self.preferred != wish.preferred;
        self.preferred = wish.preferred;
        changed.then_some(wish.preferred)
    }
}

/// Where a hand-over stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Idle,
    /// Submitters are held; what was accepted commits.
    Draining { to: ProcessId, member: MemberId, since: Time, intakes_empty: bool },
    /// raft-rs transfers.
    Transferring { to: ProcessId, since: Time },
}

/// What the leader should do for the hand-over now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Nothing,
    /// Everything is committed: transfer to this member.
    Transfer(MemberId),
    /// It took too long: stop the transfer, submitters go on.
    GiveUp(ProcessId),
}

/// One hand-over at a time.
#[derive(Debug)]
pub struct HandOver {
    stage: Stage,
    not_before: Time,
    retry_ms: u64,
}

impl Default for HandOver {
    fn default() -> Self {
        Self { stage: Stage::Idle, not_before: Time(0), retry_ms: RETRY_MS }
    }
}

impl HandOver {
    /// One is under way: nothing new is taken from submitters.
    pub fn is_active(&self) -> bool {
        self.stage != Stage::Idle
    }

    /// raft-rs transfers: nothing may be proposed.
    pub fn is_transferring(&self) -> bool {
        matches!(self.stage, Stage::Transferring { .. })
    }

    /// Starts, unless one runs or the last one failed a short while ago.
    pub fn start(&mut self, to: ProcessId, member: MemberId, now: Time) -> bool {
        if self.is_active() || now < self.not_before {
            return false;
        }
        self.stage = Stage::Draining { to, member, since: now, intakes_empty: false };
        true
    }

    /// The member that is to lead.
    pub fn target(&self) -> Option<MemberId> {
        match self.stage {
            Stage::Draining { member, .. } => Some(member),
            Stage::Idle | Stage::Transferring { .. } => None,
        }
    }

    /// Everything that submitters had handed over is in the outbox.
    pub fn intakes_drained(&mut self) {
        if let Stage::Draining { intakes_empty, .. } = &mut self.stage {
            *intakes_empty = true;
        }
    }

    /// Nobody leads: the member that was called to campaign may be about to. Until it has had its time, submitters
    /// stay held.
    pub fn await_target(&mut self, now: Time, election_ms: u64) {
        match self.stage {
            Stage::Transferring { since, .. } if now.millis_since(since) < 2 * election_ms => {}
            _ => self.reset(),
        }
    }

    /// This process does not lead any more, or the wish is gone.
    pub fn reset(&mut self) {
        if self.is_active() {
            *self = Self::default();
        }
    }

    /// `settled`: outbox and proposals are empty and the target matches the whole log.
    pub fn advance(&mut self, now: Time, settled: bool, raft_transfers: bool, election_ms: u64) -> Step {
        match self.stage {
            Stage::Idle => Step::Nothing,
            Stage::Draining { to, member, since, intakes_empty } => {
                if intakes_empty && settled {
                    self.stage = Stage::Transferring { to, since: now };
                    return Step::Transfer(member);
                }
                self.give_up_after(to, since, now, DRAIN_MS)
            }
            Stage::Transferring { to, since } if raft_transfers => {
                self.give_up_after(to, since, now, 2 * election_ms)
            }
            // raft-rs itself gave it up.
            Stage::Transferring { to, .. } => self.give_up_after(to, Time(0), now, 0),
        }
    }

    fn give_up_after(&mut self, to: ProcessId, since: Time, now: Time, limit_ms: u64) -> Step {
        if now.millis_since(since) < limit_ms {
            return Step::Nothing;
        }
        self.stage = Stage::Idle;
        self.not_before = now.plus_millis(self.retry_ms);
        self.retry_ms = (self.retry_ms * 2).min(RETRY_MS_MAX);
        Step::GiveUp(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RunId;

    const A: Origin = Origin { process: ProcessId(0), run: RunId(1) };

    #[test]
    fn a_wish_is_repeated_until_seen_and_takes_effect_once() {
        let mut wishes = Wishes::new(Some(ProcessId(0)));
        wishes.ask(A, Some(ProcessId(2)));
        let wish = wishes.due(Time(0)).unwrap();
        assert!(wishes.due(Time(1)).is_none());
        assert_eq!(wishes.due(Time(0).plus_millis(REPEAT_MS)), Some(wish));
        assert_eq!(wishes.apply(wish), Some(Some(ProcessId(2))));
        let later = Preference { number: 1, origin: Origin { run: RunId(9), ..A }, preferred: None };
        assert_eq!(wishes.apply(later), Some(None));
        assert_eq!(wishes.apply(wish), None, "the repetition changes nothing");
        assert_eq!((wishes.preferred(), wishes.due(Time(u64::MAX))), (None, None));
    }

    #[test]
    fn a_wish_is_put_into_the_log_once_per_leadership() {
        let mut wishes = Wishes::new(None);
        let origin = Origin { process: ProcessId(1), run: RunId(7) };
        let wish = |number| Preference { origin, number, preferred: None };
        assert!(wishes.is_new_in(Term(3), &wish(1)), "nothing was proposed yet");
        assert!(wishes.is_new_in(Term(3), &wish(1)), "raft-rs did not take it");
        wishes.was_proposed(&wish(1));
        assert!(!wishes.is_new_in(Term(3), &wish(1)));
        assert!(wishes.is_new_in(Term(3), &wish(2)));
        assert!(wishes.is_new_in(Term(4), &wish(1)), "the entry of term 3 may have been replaced");
    }

    #[test]
    fn a_hand_over_waits_for_the_intakes_and_for_everything_to_commit() {
        let mut h = HandOver::default();
        let m = MemberId::new(2).unwrap();
        assert!(h.start(ProcessId(1), m, Time(0)));
        assert_eq!(h.advance(Time(1), true, false, 300), Step::Nothing);
        h.intakes_drained();
        assert_eq!(h.advance(Time(2), false, false, 300), Step::Nothing);
        assert_eq!(h.advance(Time(3), true, false, 300), Step::Transfer(m));
        assert!(h.is_transferring());
    }

    #[test]
    fn submitters_stay_held_for_the_targets_campaign_and_no_longer() {
        let m = MemberId::new(2).unwrap();
        let mut draining = HandOver::default();
        draining.start(ProcessId(1), m, Time(0));
        draining.await_target(Time(1), 300);
        assert!(!draining.is_active(), "nobody was called to campaign");
        let mut h = HandOver::default();
        h.start(ProcessId(1), m, Time(0));
        h.intakes_drained();
        h.advance(Time(0), true, false, 300);
        h.await_target(Time(0).plus_millis(599), 300);
        assert!(h.is_active());
        h.await_target(Time(0).plus_millis(600), 300);
        assert!(!h.is_active());
    }

    #[test]
    fn a_hand_over_that_fails_is_given_up_and_tried_later_each_time() {
        let mut h = HandOver::default();
        let m = MemberId::new(2).unwrap();
        h.start(ProcessId(1), m, Time(0));
        let late = Time(0).plus_millis(DRAIN_MS);
        assert_eq!(h.advance(late, false, false, 300), Step::GiveUp(ProcessId(1)));
        assert!(!h.start(ProcessId(1), m, late));
        assert!(h.start(ProcessId(1), m, late.plus_millis(RETRY_MS)));
    }
}
