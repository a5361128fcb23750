//! The preferred leader: a wish that travels through the log, and the orderly hand-over to it.
//!
//! Hand-over: the leader holds its submitters, lets everything accepted commit, transfers, and resumes
//! when that fails. (raft-rs 0.7 drops proposals while a transfer runs, so nothing may be proposed then.)
//!
//! Who was called to campaign may do so at any time, and deposes the leader of that term by force. So once the call is out a
//! leader lets submitters in again only when it leads in a later term: then a campaign that comes late is void.

use std::collections::BTreeMap;

use crate::ids::{MemberId, ProcessId, Term, Time};

use super::control::Preference;
use super::output::Wish;
use super::payload::Origin;

/// A wish is repeated at this interval until it is seen in the log.
const REPEAT_MS: u64 = 100;
/// What was accepted must commit within this time, or the hand-over is given up and submitters go on.
const DRAIN_MS: u64 = 2_000;
/// First wait after a hand-over that failed; doubled each time.
const RETRY_MS: u64 = 500;
const RETRY_MS_MAX: u64 = 30_000;
/// Who is given leadership and does not lead any more so soon has given it back, or could not hold it. Longer than any wait, or
/// who waited longest would pass for one that kept it.
const KEPT_MS: u64 = 3 * RETRY_MS_MAX;
const _: () = assert!(KEPT_MS > RETRY_MS_MAX);
/// So many election timeouts the target has, from the call on, to come to lead: it writes its vote, and so do the others.
const CALL_TIMEOUTS: u64 = 2;
/// While nobody leads after a call, submitters are held for so many election timeouts from it: the target's campaign and
/// this process's own may both be under way, on disks that take their time. Then no majority is in reach.
const HELD_TIMEOUTS: u64 = 10;

/// The shard's wish as the log has it, and this process's own wish on its way there.
#[derive(Debug)]
pub struct Wishes {
    current: Wish,
    /// Who may lead at all: a wish for any other process changes nothing.
    voters: Vec<ProcessId>,
    seen: BTreeMap<(ProcessId, u64), u64>,
    mine: Option<Preference>,
    made: u64,
    sent_at: Option<Time>,
    proposed: (Term, BTreeMap<(ProcessId, u64), u64>),
}

impl Wishes {
    /// The preference that the configuration gives, and who may vote.
    pub fn new(preferred: Option<ProcessId>, voters: Vec<ProcessId>) -> Self {
        let current = Wish { whom: preferred, asked: 0 };
        Self { current, voters, seen: BTreeMap::new(), mine: None, made: 0, sent_at: None, proposed: Default::default() }
    }

    /// Whom the shard prefers.
    pub fn preferred(&self) -> Option<ProcessId> {
        self.current.whom
    }

    /// The same, told from an earlier wish for the same process.
    pub fn current(&self) -> Wish {
        self.current
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

    /// A wish was committed.
    pub fn apply(&mut self, wish: Preference) -> Applied {
        if self.mine == Some(wish) {
            self.mine = None;
        }
        let last = self.seen.entry((wish.origin.process, wish.origin.run.0)).or_insert(0);
        if wish.number <= *last {
            return Applied::Void;
        }
        *last = wish.number;
        if wish.preferred.is_some_and(|whom| !self.voters.contains(&whom)) {
            return Applied::Void;
        }
        let is_change = self.current.whom != wish.preferred;
        self.current = Wish { whom: wish.preferred, asked: self.current.asked + 1 };
        if is_change { Applied::Changes } else { Applied::Confirms }
    }
}

/// What a committed wish does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It was in the log before, or is for a process that never leads.
    Void,
    /// A host asked for what the shard prefers already.
    Confirms,
    /// From now on the shard prefers another process, or none.
    Changes,
}

/// Where a hand-over stands.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Idle,
    /// Submitters are held; what was accepted commits.
    Draining { to: ProcessId, member: MemberId, since: Time, intakes_empty: bool },
    /// The member was called to campaign, by the leader of this term.
    Called { to: ProcessId, member: MemberId, since: Time, term: Term },
}

/// What the leader should do for the hand-over now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Nothing,
    /// Everything is committed: transfer to this member.
    Transfer(MemberId),
    /// Nobody was called yet, and it took too long: submitters go on.
    GiveUp(ProcessId),
    /// The target may obey at any time, and took too long: only the leader of a later term is safe from it.
    TakeBack(ProcessId),
}

/// A member to which a hand-over failed.
#[derive(Debug, Clone, Copy)]
struct Failed {
    not_before: Time,
    /// The wait after the next failure.
    retry_ms: u64,
}

/// One hand-over at a time.
#[derive(Debug, Default)]
pub struct HandOver {
    stage: Stage,
    /// Another member, be it another run of the same process, has not failed.
    failed: BTreeMap<MemberId, Failed>,
    given: Option<Given>,
}

/// Who was given leadership last.
#[derive(Debug)]
struct Given {
    member: MemberId,
    at: Time,
    /// How it had failed before.
    failed: Option<Failed>,
}

impl HandOver {
    /// One is under way: nothing new is taken from submitters.
    pub fn is_active(&self) -> bool {
        self.stage != Stage::Idle
    }

    /// The target was called: nothing may be proposed.
    pub fn has_called(&self) -> bool {
        matches!(self.stage, Stage::Called { .. })
    }

    /// Whether a hand-over to `member` failed a short while ago.
    pub fn must_wait(&self, member: MemberId, now: Time) -> bool {
        self.failed.get(&member).is_some_and(|failed| now < failed.not_before)
    }

    /// Before a start by preference: that this member was given leadership and did not keep it is a failure. Two processes
    /// that were started with different preferences would give it to each other for ever.
    pub fn note_returned(&mut self, member: MemberId, now: Time) {
        let Some(given) = self.given.take_if(|given| given.member == member) else { return };
        if now.millis_since(given.at) < KEPT_MS {
            self.failed.extend(given.failed.map(|failed| (member, failed)));
            self.note_failure(member, now);
        }
    }

    /// Starts, unless one runs or the last one to this member failed a short while ago.
    pub fn start(&mut self, to: ProcessId, member: MemberId, now: Time) -> bool {
        if self.is_active() || self.must_wait(member, now) {
            return false;
        }
        self.stage = Stage::Draining { to, member, since: now, intakes_empty: false };
        true
    }

    /// Who is to lead, and has not been called yet.
    pub fn target(&self) -> Option<(ProcessId, MemberId)> {
        match self.stage {
            Stage::Draining { to, member, .. } => Some((to, member)),
            Stage::Idle | Stage::Called { .. } => None,
        }
    }

    /// Everything that submitters had handed over is in the outbox.
    pub fn intakes_drained(&mut self) {
        if let Stage::Draining { intakes_empty, .. } = &mut self.stage {
            *intakes_empty = true;
        }
    }

    /// One is under way, nobody was called yet, and nothing is left in the intakes.
    pub fn has_drained_intakes(&self) -> bool {
        matches!(self.stage, Stage::Draining { intakes_empty: true, .. })
    }

    /// A host asked for a leader anew: whatever failed before is tried again at once.
    pub fn forgive(&mut self) {
        self.failed.clear();
        self.given = None;
    }

    /// The target is not to lead any more, or not there. Who was called can't be told. A failure like others: one whose
    /// connection comes and goes must not hold submitters up each time.
    pub fn call_off(&mut self, now: Time) {
        if let Some((_, member)) = self.target() {
            self.stage = Stage::Idle;
            self.note_failure(member, now);
        }
    }

    /// Nobody leads: the member that was called to campaign may be about to. Until then submitters stay held, though not
    /// for ever.
    pub fn await_leader(&mut self, now: Time, election_ms: u64) {
        match self.stage {
            Stage::Called { since, .. } if now.millis_since(since) < HELD_TIMEOUTS * election_ms => {}
            _ => self.end(None, now),
        }
    }

    /// This process leads no more, but `leader`, where that is known.
    pub fn end(&mut self, leader: Option<MemberId>, now: Time) {
        if let Stage::Called { member, .. } = self.stage {
            if leader == Some(member) {
                self.given = Some(Given { member, at: now, failed: self.failed.remove(&member) });
            } else {
                self.note_failure(member, now);
            }
        }
        self.stage = Stage::Idle;
    }

    /// `term`: in which this process leads. `settled`: outbox and proposals are empty and the target matches the whole log.
    pub fn advance(&mut self, now: Time, term: Term, settled: bool, election_ms: u64) -> Step {
        match self.stage {
            Stage::Draining { to, member, intakes_empty: true, .. } if settled => {
                self.stage = Stage::Called { to, member, since: now, term };
                Step::Transfer(member)
            }
            Stage::Draining { to, member, since, .. } if now.millis_since(since) >= DRAIN_MS => {
                self.stage = Stage::Idle;
                self.note_failure(member, now);
                Step::GiveUp(to)
            }
            // It was taken back, or the target campaigned in vain.
            Stage::Called { term: called_in, .. } if term > called_in => {
                self.end(None, now);
                Step::Nothing
            }
            Stage::Called { to, since, .. } if now.millis_since(since) >= CALL_TIMEOUTS * election_ms => Step::TakeBack(to),
            Stage::Idle | Stage::Draining { .. } | Stage::Called { .. } => Step::Nothing,
        }
    }

    fn note_failure(&mut self, member: MemberId, now: Time) {
        // One that failed long ago begins anew; members that are gone are not kept.
        self.failed.retain(|_, failed| now.millis_since(failed.not_before) < KEPT_MS);
        let failed = self.failed.entry(member).or_insert(Failed { not_before: now, retry_ms: RETRY_MS });
        failed.not_before = now.plus_millis(failed.retry_ms);
        failed.retry_ms = (failed.retry_ms * 2).min(RETRY_MS_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RunId;

    const A: Origin = Origin { process: ProcessId(0), run: RunId(1) };
    const VOTERS: [ProcessId; 3] = [ProcessId(0), ProcessId(1), ProcessId(2)];

    #[test]
    fn a_wish_is_repeated_until_seen_and_takes_effect_once() {
        let mut wishes = Wishes::new(Some(ProcessId(0)), VOTERS.into());
        wishes.ask(A, Some(ProcessId(2)));
        let wish = wishes.due(Time(0)).unwrap();
        assert!(wishes.due(Time(1)).is_none());
        assert_eq!(wishes.due(Time(0).plus_millis(REPEAT_MS)), Some(wish));
        assert_eq!((wishes.apply(wish), wishes.preferred()), (Applied::Changes, Some(ProcessId(2))));
        let later = Preference { number: 1, origin: Origin { run: RunId(9), ..A }, preferred: None };
        assert_eq!((wishes.apply(later), wishes.preferred()), (Applied::Changes, None));
        assert_eq!(wishes.apply(wish), Applied::Void, "the repetition changes nothing");
        assert_eq!((wishes.preferred(), wishes.due(Time(u64::MAX))), (None, None));
    }

    #[test]
    fn a_wish_for_who_never_leads_is_repeated_no_more_once_seen_and_changes_nothing() {
        let mut wishes = Wishes::new(Some(ProcessId(0)), VOTERS.into());
        wishes.ask(A, Some(ProcessId(3)));
        let wish = wishes.due(Time(0)).unwrap();
        assert_eq!((wishes.apply(wish), wishes.current()), (Applied::Void, Wish { whom: Some(ProcessId(0)), asked: 0 }));
        assert_eq!(wishes.due(Time(u64::MAX)), None);
    }

    #[test]
    fn a_wish_is_put_into_the_log_once_per_leadership() {
        let mut wishes = Wishes::new(None, VOTERS.into());
        let origin = Origin { process: ProcessId(1), run: RunId(7) };
        let wish = |number| Preference { origin, number, preferred: None };
        assert!(wishes.is_new_in(Term(3), &wish(1)), "nothing was proposed yet");
        assert!(wishes.is_new_in(Term(3), &wish(1)), "raft-rs did not take it");
        wishes.was_proposed(&wish(1));
        assert!(!wishes.is_new_in(Term(3), &wish(1)));
        assert!(wishes.is_new_in(Term(3), &wish(2)));
        assert!(wishes.is_new_in(Term(4), &wish(1)), "the entry of term 3 may have been replaced");
    }

    const T_MS: u64 = 300;
    const TERM: Term = Term(3);

    fn ms(ms: u64) -> Time {
        Time(0).plus_millis(ms)
    }

    fn member(id: u64) -> MemberId {
        MemberId::new(id).unwrap()
    }

    /// Member 2, process 1, was called to campaign at the beginning of time.
    fn called() -> HandOver {
        let mut h = HandOver::default();
        assert!(h.start(ProcessId(1), member(2), ms(0)));
        h.intakes_drained();
        assert_eq!(h.advance(ms(0), TERM, true, T_MS), Step::Transfer(member(2)));
        h
    }

    #[test]
    fn a_wish_that_is_what_the_shard_prefers_already_is_one_all_the_same() {
        let mut wishes = Wishes::new(Some(ProcessId(2)), VOTERS.into());
        let wish = Preference { origin: A, number: 1, preferred: Some(ProcessId(2)) };
        assert_eq!((wishes.apply(wish), wishes.current().asked), (Applied::Confirms, 1));
        assert_eq!((wishes.apply(wish), wishes.current().asked), (Applied::Void, 1));
    }

    #[test]
    fn a_hand_over_waits_for_the_intakes_and_for_everything_to_commit() {
        let mut h = HandOver::default();
        assert!(h.start(ProcessId(1), member(2), ms(0)));
        assert_eq!(h.advance(ms(1), TERM, true, T_MS), Step::Nothing);
        h.intakes_drained();
        assert_eq!(h.advance(ms(2), TERM, false, T_MS), Step::Nothing);
        assert_eq!(h.advance(ms(3), TERM, true, T_MS), Step::Transfer(member(2)));
        assert!(h.has_called());
    }

    #[test]
    fn submitters_stay_held_while_nobody_leads_after_a_call_and_not_for_ever() {
        let mut draining = HandOver::default();
        draining.start(ProcessId(1), member(2), ms(0));
        draining.await_leader(ms(1), T_MS);
        assert!(!draining.is_active(), "nobody was called to campaign");
        let mut h = called();
        h.await_leader(ms(2_999), T_MS);
        assert!(h.is_active());
        h.await_leader(ms(3_000), T_MS);
        assert!(!h.is_active());
    }

    #[test]
    fn after_a_call_submitters_go_on_only_in_a_later_term() {
        let mut h = called();
        assert_eq!(h.advance(ms(599), TERM, true, T_MS), Step::Nothing);
        assert_eq!(h.advance(ms(600), TERM, true, T_MS), Step::TakeBack(ProcessId(1)));
        assert!(h.is_active(), "this process leads in the term of the call still");
        assert_eq!(h.advance(ms(700), Term(4), true, T_MS), Step::Nothing);
        assert!(!h.is_active());
        assert!(!h.start(ProcessId(1), member(2), ms(700)), "that hand-over failed");
    }

    #[test]
    fn a_hand_over_that_fails_is_given_up_and_tried_later_each_time() {
        let mut h = HandOver::default();
        let mut now = ms(0);
        for wait_ms in [RETRY_MS, 2 * RETRY_MS, 4 * RETRY_MS] {
            assert!(h.start(ProcessId(1), member(2), now));
            now = now.plus_millis(DRAIN_MS);
            assert_eq!(h.advance(now, TERM, false, T_MS), Step::GiveUp(ProcessId(1)));
            assert!(!h.start(ProcessId(1), member(2), now.plus_millis(wait_ms - 1)));
            now = now.plus_millis(wait_ms);
        }
    }

    #[test]
    fn another_leader_than_the_target_is_a_failure_of_the_target() {
        let mut h = called();
        h.end(Some(member(3)), ms(10));
        assert!(h.must_wait(member(2), ms(10)));
        let mut h = called();
        h.end(Some(member(2)), ms(10));
        assert!(!h.must_wait(member(2), ms(10)));
    }

    #[test]
    fn a_success_ends_the_waits_and_one_that_is_not_kept_goes_on_with_them() {
        let fail_thrice = |h: &mut HandOver| (0..3).for_each(|_| h.note_failure(member(2), ms(0)));
        let mut h = called();
        fail_thrice(&mut h);
        h.end(Some(member(2)), ms(10));
        h.note_failure(member(2), ms(20));
        assert!(!h.must_wait(member(2), ms(20 + RETRY_MS)), "it had led");
        let mut h = called();
        fail_thrice(&mut h);
        h.end(Some(member(2)), ms(10));
        h.note_returned(member(2), ms(KEPT_MS));
        assert!(h.must_wait(member(2), ms(KEPT_MS + 8 * RETRY_MS - 1)));
        let mut h = called();
        h.end(Some(member(2)), ms(10));
        h.note_returned(member(2), ms(10 + KEPT_MS));
        assert!(!h.must_wait(member(2), ms(10 + KEPT_MS)), "it had kept it");
        fail_thrice(&mut h);
        h.note_failure(member(2), ms(3_600_000));
        assert!(!h.must_wait(member(2), ms(3_600_000 + RETRY_MS)), "that was an hour ago");
    }

    #[test]
    fn a_wait_after_a_failure_is_for_that_member_and_ends_with_a_new_wish() {
        let mut h = called();
        h.end(None, ms(0));
        assert!(!h.start(ProcessId(1), member(2), ms(1)));
        assert!(h.start(ProcessId(2), member(3), ms(1)), "another one has not failed");
        h.call_off(ms(1));
        assert!(!h.start(ProcessId(1), member(2), ms(1)));
        h.forgive();
        assert!(h.start(ProcessId(1), member(2), ms(1)));
    }

    #[test]
    fn a_hand_over_is_called_off_until_the_target_was_called() {
        let mut h = HandOver::default();
        h.start(ProcessId(1), member(2), ms(0));
        h.call_off(ms(1));
        assert!(!h.is_active());
        assert!(h.must_wait(member(2), ms(1)) && !h.must_wait(member(2), ms(1 + RETRY_MS)));
        let mut h = called();
        h.call_off(ms(1));
        assert!(h.is_active());
    }
}
