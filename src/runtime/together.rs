//! One leader for all groups of a shard (`raft.grouping: partition`): where the leadership of each is to go. Pure: the loop,
//! which alone sees all groups, says how they stand, and tells the replicas what comes of it.
//!
//! Who does not lead every group accepts logs for none, so two leaders are an outage. The rule:
//!
//! - The others follow the first group's leader, at once, wherever they can be given to it.
//! - The first group goes to the preferred process only when that could be given *every* group: it has nearly everything, and its
//!   run has lost nothing. Until then it stays.
//! - Where another process has led one of the others for [`FOLLOW_MS`], or in vain this one seeks who does, it can't be given to
//!   the first group's leader. Then the first group moves: to that process, if it could be given all that is led here, else to
//!   the next process that could.
//! - Whose run lost logs is given nothing: it moves the first group on, or takes the others where nobody can be hoped for, after
//!   [`LOST_MS`] already, unless it did so before.
//! - Where nobody could be given it, or who could did not come to lead all, and the first group's leader is given nothing since its
//!   run lost logs, it takes the others all the same: better than no leader. Where that does not help either, there is an election.
//! - A leader that leads all goes to the preferred process as a whole: each group is drained first, and then all are given.
//!
//! So there is one direction at a time: the first group's leader waits, the others come; it goes only after they did not. If any
//! process can be given every group, the first group comes to it, since it passes over nobody, and the others follow. A preferred
//! process that had the first group and did not get the rest gives it back, and is tried again ever more rarely.

use std::collections::BTreeMap;

use crate::ids::{ProcessId, Time};
use crate::repeats::Repeats;
use crate::replica::output::Wish;

/// The others have so long to follow the first group. A hand-over may drain for 2 s and is tried again after half a second.
const FOLLOW_MS: u64 = 5_000;
/// Whose run lost logs is given nothing, so it need not wait for the others: only until the elections are over, and for so long
/// without anybody in reach who may have lost nothing.
const LOST_MS: u64 = 500;
/// A group that moves and moves, with nobody who leads all, waits twice as long each time, so often at most.
const DOUBLINGS_MAX: u32 = 4;
/// Who gave the first group back is not preferred for so long, and twice as long each time.
const TRIED_MS: u64 = 30_000;
const TRIED_MS_MAX: u64 = 960_000;

/// How one group stands, as this process knows it.
#[derive(Debug, Clone, Default)]
pub(super) struct Stand {
    pub(super) leader: Option<ProcessId>,
    /// This process can't lead it before it is restarted.
    pub(super) is_out: bool,
    /// It is without a leader, for all that this process knows; it may have one that this process does not reach.
    pub(super) lacks_leader: bool,
    /// Where this process leads it: who could be given leadership now.
    pub(super) ready: Vec<ProcessId>,
    /// Where this process leads it: somebody in reach may have lost nothing, and could be given leadership in time.
    pub(super) has_hope: bool,
}

/// All that a decision goes by.
pub(super) struct Look<'a> {
    pub(super) me: ProcessId,
    /// Whom the first group's log prefers.
    pub(super) wish: Wish,
    /// The first group is being handed over.
    pub(super) hands_over: bool,
    /// The host was told that this process leads all.
    pub(super) is_announced: bool,
    /// This run lost logs that it had accepted.
    pub(super) has_lost: bool,
    pub(super) first: &'a Stand,
    /// The other groups that this process votes in.
    pub(super) others: &'a [Stand],
}

/// What becomes of the first group's leadership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    /// It goes where the log prefers.
    Wish,
    /// It stays here, whomever the log prefers.
    Stay,
    /// It goes to this process, since the others do not come.
    Give(ProcessId),
    /// It stays, and the others come although this run lost logs.
    TakeAll,
    /// Nobody can be given it: an election may bring it to another.
    Elect,
}

impl Aim {
    /// What the first group's replica is told: whom to give leadership, whatever the log prefers.
    pub(super) fn companion(self, me: ProcessId) -> Option<ProcessId> {
        match self {
            Aim::Wish => None,
            Aim::Stay | Aim::TakeAll | Aim::Elect => Some(me),
            Aim::Give(to) => Some(to),
        }
    }
}

/// Who has led the first group, and for how long the leaders have been several.
#[derive(Debug)]
pub(super) struct Together {
    aim: Aim,
    /// This process leads the first group and another one of the others.
    split_since: Option<Time>,
    /// It leads the first group, and nobody in reach could be given it, now or later.
    without_hope_since: Option<Time>,
    /// How often the first group was sent on from here since one process led all.
    moves: u32,
    /// One of the others has had no leader that this process knew of, since then.
    lacked_since: Option<Time>,
    /// What is remembered here is of this wish; a host that asks anew is obeyed at once.
    wish: Wish,
    first_leader: Option<ProcessId>,
    /// It got the first group from here, and does not lead the others yet.
    on_trial: Option<ProcessId>,
    tried: BTreeMap<ProcessId, Tried>,
    moves_said: Repeats,
    takes_said: Repeats,
    stays_said: Repeats,
}

#[derive(Debug, Clone, Copy)]
struct Tried {
    not_before: Time,
    /// The next pause.
    pause_ms: u64,
}

impl Together {
    pub(super) fn new() -> Self {
        Self {
            aim: Aim::Wish,
            split_since: None,
            without_hope_since: None,
            moves: 0,
            lacked_since: None,
            wish: Wish::default(),
            first_leader: None,
            on_trial: None,
            tried: BTreeMap::new(),
            moves_said: Repeats::default(),
            takes_said: Repeats::default(),
            stays_said: Repeats::default(),
        }
    }

    /// The connection to `process` is gone: what comes next may be another run.
    pub(super) fn forget(&mut self, process: ProcessId) {
        self.tried.remove(&process);
        self.moves = 0;
        self.on_trial = self.on_trial.filter(|&tried| tried != process);
    }

    /// Where the first group's leadership is to go now.
    pub(super) fn decide(&mut self, now: Time, look: &Look<'_>) -> Aim {
        self.learn(now, look);
        if look.first.leader != Some(look.me) {
            // A call that failed leaves it without a leader for a moment: that is no new beginning.
            let is_gone = look.first.leader.is_some() || self.first_leader != Some(look.me);
            if is_gone {
                (self.split_since, self.aim) = (None, Aim::Wish);
            }
            self.without_hope_since = None;
            return Aim::Wish;
        }
        self.without_hope_since = (!look.first.has_hope).then(|| self.without_hope_since.unwrap_or(now));
        let is_split = look.others.iter().any(|group| look.is_elsewhere(group));
        self.split_since = is_split.then(|| self.split_since.unwrap_or(now));
        // What made it begin may be another now. It ends by itself, soon.
        if look.hands_over {
            return self.aim;
        }
        self.aim = match self.split_since {
            None if self.may_follow_the_wish(now, look) => Aim::Wish,
            Some(since) if now.millis_since(since) >= self.patience_ms(now, look) => self.move_on(now, since, look),
            None | Some(_) => Aim::Stay,
        };
        self.aim
    }

    /// What the operator should know of the last decision, if it is time to say it.
    pub(super) fn news(&mut self, now: Time, look: &Look<'_>) -> Option<(log::Level, String)> {
        match (self.aim, look.wish.whom) {
            (Aim::Give(to), _) => self.moves_said.take_turn(now).then(|| {
                let text = format!(
                    "leadership goes to {to}: other groups are led elsewhere and can't be given to this process, and logs are \
                     accepted by a process that leads them all"
                );
                (log::Level::Warn, text)
            }),
            (Aim::TakeAll, _) => self.takes_said.take_turn(now).then(|| {
                let text = "this process is to lead all groups although its run lost logs that it had accepted: no process that \
                            lost none can be given them; its database may differ from the others'";
                (log::Level::Warn, text.to_owned())
            }),
            (Aim::Stay, Some(to)) if self.split_since.is_none() && look.first.ready.contains(&to) => {
                self.stays_said.take_turn(now).then(|| {
                    let text = format!(
                        "leadership stays here until {to}, the preferred leader, can be given the other groups too: in one of \
                         them it has not caught up, or it did not take them a while ago"
                    );
                    (log::Level::Info, text)
                })
            }
            _ => None,
        }
    }

    /// To whom all groups go, which this process leads: to the preferred one.
    pub(super) fn gives_all_to(&self, look: &Look<'_>) -> Option<ProcessId> {
        let is_led_here = look.is_announced && look.first.leader == Some(look.me);
        look.wish.whom.filter(|&to| to != look.me && is_led_here && self.aim == Aim::Wish)
    }

    fn patience_ms(&self, now: Time, look: &Look<'_>) -> u64 {
        let is_without_hope = self.without_hope_since.is_some_and(|since| now.millis_since(since) >= LOST_MS);
        // Who comes into reach meanwhile does not call off what the others have begun to give.
        let goes_on = is_without_hope || self.aim == Aim::TakeAll || !self.candidates(look).is_empty();
        if look.has_lost && self.moves == 0 && goes_on { LOST_MS } else { self.follow_ms() }
    }

    fn follow_ms(&self) -> u64 {
        FOLLOW_MS << self.moves.min(DOUBLINGS_MAX)
    }

    fn candidates(&self, look: &Look<'_>) -> Vec<ProcessId> {
        look.first.ready.iter().copied().filter(|&process| look.could_be_given_all(process)).collect()
    }

    fn may_follow_the_wish(&self, now: Time, look: &Look<'_>) -> bool {
        let Some(to) = look.wish.whom.filter(|&to| to != look.me) else { return true };
        let waits = self.tried.get(&to).is_some_and(|tried| now < tried.not_before);
        let first_is_ready = look.first.ready.contains(&to);
        !waits && first_is_ready && look.others.iter().all(|group| group.leader == Some(look.me) && group.ready.contains(&to))
    }

    fn move_on(&mut self, now: Time, since: Time, look: &Look<'_>) -> Aim {
        let candidates = self.candidates(look);
        let only_other = look.only_other_leader().filter(|leader| candidates.contains(leader));
        let next = only_other.or_else(|| next_after(look.me, &candidates));
        // Who could be given it may reach no other leader, and then it comes back.
        let is_in_vain = next.is_none() || self.moves > 0;
        match next {
            _ if look.has_lost && is_in_vain && now.millis_since(since) < 2 * self.follow_ms() => Aim::TakeAll,
            Some(to) => Aim::Give(to),
            None => {
                self.split_since = Some(now);
                self.moves += 1;
                Aim::Elect
            }
        }
    }

    fn learn(&mut self, now: Time, look: &Look<'_>) {
        if self.wish != look.wish {
            self.wish = look.wish;
            self.tried.clear();
            self.moves = 0;
        }
        // Where a group had no leader anywhere, and no majority, the first one has moved to and fro in vain. Now it need not.
        // (For a moment each hand-over leaves its group without a leader.)
        let lacks_leader = look.others.iter().any(|group| group.lacks_leader);
        let lacked_since = self.lacked_since;
        self.lacked_since = lacks_leader.then(|| lacked_since.unwrap_or(now));
        let has_lasted = lacked_since.is_some_and(|since| now.millis_since(since) >= FOLLOW_MS);
        if has_lasted && !lacks_leader && self.aim != Aim::TakeAll {
            (self.moves, self.split_since) = (0, None);
        }
        let Some(leader) = look.first.leader else { return };
        let former = self.first_leader.replace(leader);
        if look.others.iter().all(|group| group.leader == Some(leader)) {
            self.moves = 0;
        }
        if former == Some(look.me) && leader != look.me {
            self.on_trial = Some(leader);
            self.moves += u32::from(matches!(self.aim, Aim::Give(_)));
        }
        let Some(tried) = self.on_trial else { return };
        if leader == look.me {
            let last = self.tried.get(&tried).map_or(TRIED_MS, |tried| tried.pause_ms);
            let next = Tried { not_before: now.plus_millis(last), pause_ms: (2 * last).min(TRIED_MS_MAX) };
            self.tried.insert(tried, next);
        } else if leader == tried && look.others.iter().all(|group| group.leader == Some(leader)) {
            self.tried.remove(&tried);
        } else if leader == tried {
            return;
        }
        self.on_trial = None;
    }
}

impl Look<'_> {
    /// Not led here, and not about to be. Where the host was told that this process leads all, a group without a leader is
    /// suspended; else it may have one whom this process does not reach, and then nobody here would get it.
    fn is_elsewhere(&self, group: &Stand) -> bool {
        let is_out_of_reach = group.lacks_leader && !self.is_announced;
        group.is_out || is_out_of_reach || group.leader.is_some_and(|leader| leader != self.me)
    }

    /// Another process leads all groups.
    pub(super) fn is_led_elsewhere(&self) -> bool {
        let leader = self.first.leader.filter(|&leader| leader != self.me);
        leader.is_some() && self.others.iter().all(|group| group.leader == leader)
    }

    fn could_be_given_all(&self, process: ProcessId) -> bool {
        let mut led_here = self.others.iter().filter(|group| group.leader == Some(self.me));
        led_here.all(|group| group.ready.contains(&process))
    }

    /// Who leads all the groups that are not led here.
    fn only_other_leader(&self) -> Option<ProcessId> {
        let mut elsewhere = self.others.iter().filter(|group| self.is_elsewhere(group)).map(|group| group.leader);
        let leader = elsewhere.next()??;
        elsewhere.all(|other| other == Some(leader)).then_some(leader)
    }
}

/// The next of `processes` behind `me`, in a circle: whoever gives to the next passes over nobody.
pub(super) fn next_after(me: ProcessId, processes: &[ProcessId]) -> Option<ProcessId> {
    let behind = processes.iter().filter(|&&process| process > me).min();
    behind.or_else(|| processes.iter().filter(|&&process| process != me).min()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: ProcessId = ProcessId(0);
    const Y: ProcessId = ProcessId(1);
    const Z: ProcessId = ProcessId(2);
    const PREFERS_X: Wish = Wish { whom: Some(X), asked: 0 };

    fn ms(ms: u64) -> Time {
        Time(0).plus_millis(ms)
    }

    fn led_by(leader: ProcessId) -> Stand {
        Stand { leader: Some(leader), ..Stand::default() }
    }

    /// Led by the process that looks.
    fn ours(me: ProcessId, ready: &[ProcessId]) -> Stand {
        Stand { leader: Some(me), ready: ready.to_vec(), ..Stand::default() }
    }

    fn decide(together: &mut Together, at: Time, me: ProcessId, groups: &[Stand]) -> Aim {
        let (first, others) = groups.split_first().expect("a group");
        together.decide(at, &look(me, first, others))
    }

    fn look<'a>(me: ProcessId, first: &'a Stand, others: &'a [Stand]) -> Look<'a> {
        let is_announced = others.iter().chain([first]).all(|group| group.leader == Some(me));
        Look { me, wish: PREFERS_X, hands_over: false, is_announced, has_lost: false, first, others }
    }

    #[test]
    fn the_first_group_waits_until_the_preferred_process_could_be_given_every_group() {
        let mut y = Together::new();
        assert_eq!(decide(&mut y, ms(0), Y, &[ours(Y, &[X]), ours(Y, &[Z])]), Aim::Stay, "it replays the second still");
        assert_eq!(decide(&mut y, ms(60_000), Y, &[ours(Y, &[X]), ours(Y, &[])]), Aim::Stay, "for as long as it takes");
        assert_eq!(decide(&mut y, ms(60_010), Y, &[ours(Y, &[X]), Stand::default()]), Aim::Stay, "nobody leads it");
        assert_eq!(decide(&mut y, ms(60_020), Y, &[ours(Y, &[X]), ours(Y, &[X, Z])]), Aim::Wish);
        assert_eq!(decide(&mut y, ms(60_030), Y, &[led_by(X), ours(Y, &[X])]), Aim::Wish, "not ours to decide now");
    }

    #[test]
    fn a_hand_over_that_runs_is_not_called_off_by_a_moment_in_which_the_other_is_behind() {
        let mut y = Together::new();
        assert_eq!(decide(&mut y, ms(0), Y, &[ours(Y, &[X]), ours(Y, &[X])]), Aim::Wish);
        let (first, others) = (ours(Y, &[X]), [ours(Y, &[])]);
        let mut look = Look { hands_over: true, ..look(Y, &first, &others) };
        assert_eq!(y.decide(ms(10), &look), Aim::Wish);
        look.hands_over = false;
        assert_eq!(y.decide(ms(20), &look), Aim::Stay);
    }

    #[test]
    fn where_the_others_do_not_come_the_first_group_follows_their_leader_and_stays_there() {
        let (mut x, mut y) = (Together::new(), Together::new());
        // The run of X lost logs in the second group: nobody gives it that.
        let of_x = [ours(X, &[Y, Z]), led_by(Y)];
        assert_eq!(decide(&mut x, ms(0), X, &of_x), Aim::Stay, "the others may come");
        assert_eq!(decide(&mut x, ms(FOLLOW_MS - 1), X, &of_x), Aim::Stay);
        assert_eq!(decide(&mut x, ms(FOLLOW_MS), X, &of_x), Aim::Give(Y));
        assert_eq!(decide(&mut x, ms(6_000), X, &[led_by(Y), led_by(Y)]), Aim::Wish);
        assert_eq!(decide(&mut y, ms(6_000), Y, &[ours(Y, &[Z]), ours(Y, &[Z])]), Aim::Stay);
    }

    #[test]
    fn a_split_that_ends_and_comes_again_has_its_whole_time() {
        let mut x = Together::new();
        assert_eq!(decide(&mut x, ms(0), X, &[ours(X, &[Y]), led_by(Y)]), Aim::Stay);
        assert_eq!(decide(&mut x, ms(FOLLOW_MS), X, &[ours(X, &[Y]), ours(X, &[Y])]), Aim::Wish);
        assert_eq!(decide(&mut x, ms(FOLLOW_MS + 10), X, &[ours(X, &[Y]), led_by(Y)]), Aim::Stay);
    }

    #[test]
    fn whoever_can_lead_every_group_comes_to_it_whatever_the_others_lack() {
        // X can't lead the second group, Y not the third, and each leads what the other can't. Z can lead all.
        let mut x = Together::new();
        let of_x = [ours(X, &[Y, Z]), led_by(Y), ours(X, &[Z])];
        decide(&mut x, ms(0), X, &of_x);
        assert_eq!(decide(&mut x, ms(FOLLOW_MS), X, &of_x), Aim::Give(Z), "Y would not be given the third");
        let mut y = Together::new();
        let out = Stand { is_out: true, ..Stand::default() };
        let of_y = [ours(Y, &[X, Z]), out, ours(Y, &[X, Z])];
        decide(&mut y, ms(0), Y, &of_y);
        assert_eq!(decide(&mut y, ms(FOLLOW_MS), Y, &of_y), Aim::Give(Z), "who leads the second is not known");
        assert_eq!((next_after(Z, &[X, Y]), next_after(X, &[X]), next_after(Y, &[X, Z])), (Some(X), None, Some(Z)));
    }

    #[test]
    fn where_nobody_can_be_given_the_first_group_an_election_is_due_now_and_then() {
        let mut x = Together::new();
        let split = [ours(X, &[]), led_by(Y)];
        let asked: Vec<u64> =
            (0..=8 * FOLLOW_MS).step_by(10).filter(|&at| decide(&mut x, ms(at), X, &split) == Aim::Elect).collect();
        assert_eq!(asked, [FOLLOW_MS, 3 * FOLLOW_MS, 7 * FOLLOW_MS], "ever more rarely, while nothing comes of it");
    }

    #[test]
    fn a_preferred_process_that_gives_the_first_group_back_is_tried_again_ever_more_rarely() {
        let mut y = Together::new();
        let (all_ready, taken) = ([ours(Y, &[X]), ours(Y, &[X])], [led_by(X), ours(Y, &[X])]);
        let mut at = 0;
        for pause_ms in [TRIED_MS, 2 * TRIED_MS, 4 * TRIED_MS] {
            assert_eq!(decide(&mut y, ms(at), Y, &all_ready), Aim::Wish);
            decide(&mut y, ms(at), Y, &taken);
            assert_eq!(decide(&mut y, ms(at), Y, &all_ready), Aim::Stay);
            assert_eq!(decide(&mut y, ms(at + pause_ms - 1), Y, &all_ready), Aim::Stay);
            at += pause_ms;
        }
        assert_eq!(decide(&mut y, ms(at), Y, &all_ready), Aim::Wish);
        decide(&mut y, ms(at), Y, &taken);
        decide(&mut y, ms(at), Y, &[led_by(X), led_by(X)]);
        assert_eq!(decide(&mut y, ms(at), Y, &all_ready), Aim::Wish, "it led them all");
    }

    #[test]
    fn another_run_of_who_gave_it_back_and_a_host_that_asks_anew_need_not_wait() {
        let mut y = Together::new();
        let (all_ready, taken) = ([ours(Y, &[X]), ours(Y, &[X])], [led_by(X), ours(Y, &[X])]);
        let gives_back = |y: &mut Together| {
            [&all_ready, &taken, &all_ready].map(|groups| decide(y, ms(0), Y, groups))[2]
        };
        assert_eq!(gives_back(&mut y), Aim::Stay);
        y.forget(X);
        assert_eq!(decide(&mut y, ms(0), Y, &all_ready), Aim::Wish);
        assert_eq!(gives_back(&mut y), Aim::Stay);
        let (first, others) = all_ready.split_first().unwrap();
        let wish = Wish { asked: 1, ..PREFERS_X };
        assert_eq!(y.decide(ms(0), &Look { wish, ..look(Y, first, others) }), Aim::Wish);
    }

    #[test]
    fn a_group_without_a_leader_is_elsewhere_only_where_it_may_have_one_out_of_reach_and_nobody_leads_all() {
        let lacking = Stand { lacks_leader: true, ..Stand::default() };
        let cases = [(&lacking, false, Aim::Give(Z)), (&Stand::default(), false, Aim::Wish), (&lacking, true, Aim::Wish)];
        for (second, is_announced, aim) in cases {
            let (mut x, first, others) = (Together::new(), ours(X, &[Z]), [second.clone()]);
            let look = Look { is_announced, ..look(X, &first, &others) };
            x.decide(ms(0), &look);
            assert_eq!(x.decide(ms(FOLLOW_MS), &look), aim, "{second:?}, announced: {is_announced}");
        }
    }

    #[test]
    fn a_group_without_a_leader_for_a_moment_calls_off_nothing() {
        let lacking = Stand { lacks_leader: true, ..Stand::default() };
        let (mut x, first) = (Together::new(), Stand { has_hope: false, ..ours(X, &[]) });
        let mut decide = |at, others: [Stand; 2]| {
            let look = Look { has_lost: true, ..look(X, &first, &others) };
            x.decide(ms(at), &look)
        };
        decide(0, [led_by(Z), led_by(Z)]);
        assert_eq!(decide(LOST_MS, [led_by(Z), led_by(Z)]), Aim::TakeAll);
        assert_eq!(decide(LOST_MS + 10, [lacking, led_by(Z)]), Aim::TakeAll);
        assert_eq!(decide(LOST_MS + 20, [ours(X, &[]), led_by(Z)]), Aim::TakeAll);
    }

    /// However long the first one was passed on and on meanwhile.
    #[test]
    fn a_group_that_gets_a_leader_again_is_waited_for_no_longer_than_at_first() {
        let lacking = Stand { lacks_leader: true, ..Stand::default() };
        let (mut x, first) = (Together::new(), ours(X, &[]));
        let elections = (0..300).filter(|s| decide(&mut x, ms(1_000 * s), X, &[first.clone(), lacking.clone()]) == Aim::Elect).count();
        assert!((3..8).contains(&elections), "{elections} in five minutes: each wait is twice the one before");
        let (first, second) = (ours(X, &[Z]), led_by(Z));
        let returned = 300_000;
        assert_eq!(decide(&mut x, ms(returned), X, &[first.clone(), second.clone()]), Aim::Stay);
        assert_eq!(decide(&mut x, ms(returned + FOLLOW_MS), X, &[first, second]), Aim::Give(Z));
    }

    #[test]
    fn no_group_is_held_for_a_preferred_process_that_is_behind_in_the_first_one() {
        let mut y = Together::new();
        let (first, others) = (ours(Y, &[Z]), [ours(Y, &[X, Z])]);
        let look = look(Y, &first, &others);
        assert_eq!((y.decide(ms(0), &look), y.gives_all_to(&look)), (Aim::Stay, None));
    }

    #[test]
    fn a_call_that_fails_and_leaves_the_first_group_without_a_leader_for_a_moment_is_no_new_beginning() {
        let mut x = Together::new();
        decide(&mut x, ms(0), X, &[ours(X, &[Z]), led_by(Y)]);
        decide(&mut x, ms(FOLLOW_MS - 10), X, &[Stand::default(), led_by(Y)]);
        assert_eq!(decide(&mut x, ms(FOLLOW_MS), X, &[ours(X, &[Z]), led_by(Y)]), Aim::Give(Z));
    }

    /// Three processes, as their loops and replicas act on what is decided, without what takes time in it.
    struct Shard {
        /// Per group.
        leaders: Vec<ProcessId>,
        together: [Together; 3],
        lost: [bool; 3],
        cut: Option<(ProcessId, ProcessId)>,
        /// It is behind in the groups, for ever.
        behind: Option<ProcessId>,
        takes_all: [bool; 3],
        now_ms: u64,
    }

    impl Shard {
        fn new(leaders: &[ProcessId], lost: &[ProcessId], cut: Option<(ProcessId, ProcessId)>) -> Self {
            Self {
                leaders: leaders.to_vec(),
                together: [(); 3].map(|()| Together::new()),
                lost: [X, Y, Z].map(|process| lost.contains(&process)),
                cut,
                behind: None,
                takes_all: [false; 3],
                now_ms: 0,
            }
        }

        fn is_linked(&self, a: ProcessId, b: ProcessId) -> bool {
            a == b || ![Some((a, b)), Some((b, a))].contains(&self.cut)
        }

        fn linked(&self, me: ProcessId) -> Vec<ProcessId> {
            [X, Y, Z].into_iter().filter(|&other| other != me && self.is_linked(me, other)).collect()
        }

        fn stand(&self, me: ProcessId, group: usize) -> Stand {
            let leader = Some(self.leaders[group]).filter(|&leader| self.is_linked(me, leader));
            let index = |process: ProcessId| usize::from(process.0);
            let is_ready = |process: ProcessId| {
                let declines = self.lost[index(process)] && !(group > 0 && self.takes_all[index(process)]);
                !declines && self.behind != Some(process)
            };
            let ready = self.linked(me).into_iter().filter(|&other| leader == Some(me) && is_ready(other)).collect();
            let has_hope = leader == Some(me) && self.linked(me).into_iter().any(|other| !self.lost[index(other)]);
            Stand { leader, lacks_leader: leader.is_none(), is_out: false, ready, has_hope }
        }

        fn turn(&mut self, me: ProcessId) {
            let mut stands: Vec<Stand> = (0..self.leaders.len()).map(|group| self.stand(me, group)).collect();
            let others = stands.split_off(1);
            let (first, index) = (stands.remove(0), usize::from(me.0));
            let is_announced = self.leaders.iter().all(|&leader| leader == me);
            let (wish, has_lost) = (Wish::default(), self.lost[index]);
            let look = Look { me, wish, hands_over: false, is_announced, has_lost, first: &first, others: &others };
            let aim = self.together[index].decide(ms(self.now_ms), &look);
            self.takes_all[index] = aim == Aim::TakeAll;
            let nobody_obeys = self.linked(me).iter().all(|other| self.lost[usize::from(other.0)]);
            match aim {
                Aim::Give(to) => self.leaders[0] = to,
                Aim::Elect if nobody_obeys => self.leaders[0] = next_after(me, &self.linked(me)).expect("one"),
                _ => {}
            }
            for (group, stand) in (1..).zip(&others) {
                if let Some(to) = first.leader.filter(|to| stand.ready.contains(to)) {
                    self.leaders[group] = to;
                }
            }
        }

        /// Who leads all in the end.
        fn leader_after(&mut self, ms: u64) -> Option<ProcessId> {
            let end = self.now_ms + ms;
            while self.leaders.iter().any(|&leader| leader != self.leaders[0]) {
                if self.now_ms >= end {
                    return None;
                }
                self.now_ms += 10;
                [X, Y, Z].into_iter().for_each(|process| self.turn(process));
            }
            Some(self.leaders[0])
        }
    }

    #[test]
    fn a_process_that_reaches_all_leads_where_two_leaders_do_not_reach_each_other() {
        let mut shard = Shard::new(&[X, Y], &[], Some((X, Y)));
        assert_eq!(shard.leader_after(FOLLOW_MS + 100), Some(Z));
    }

    #[test]
    fn a_process_that_lost_nothing_leads_if_one_can_and_else_one_that_did() {
        let mut shard = Shard::new(&[X, Y], &[X, Y], None);
        assert_eq!(shard.leader_after(FOLLOW_MS + 100), Some(Z));
        shard = Shard::new(&[X, Y], &[X, Y], None);
        shard.behind = Some(Z);
        assert_eq!(shard.leader_after(FOLLOW_MS - 100), None, "it may come");
        assert_eq!(shard.leader_after(200), Some(X));
        shard = Shard::new(&[Z, Y, X], &[X, Y, Z], None);
        assert_eq!(shard.leader_after(FOLLOW_MS + 100), Some(Z));
    }

    /// A third of the fail-overs of a campaign took 5.4 s: who had the first group waited for what nobody would give it.
    #[test]
    fn whose_run_lost_logs_does_not_wait_for_what_nobody_gives_it() {
        let soon = LOST_MS + 100;
        assert_eq!(Shard::new(&[X, Y], &[X], None).leader_after(soon), Some(Y));
        assert_eq!(Shard::new(&[X, Y], &[X, Y, Z], None).leader_after(soon), Some(X), "nobody else can be hoped for");
        assert_eq!(Shard::new(&[X, Y], &[X, Y], Some((X, Z))).leader_after(soon), Some(X), "nobody who could be given it");
        let mut shard = Shard::new(&[X, Y], &[X, Y], None);
        assert_eq!(shard.leader_after(soon), Some(Z));
    }

    #[test]
    fn who_may_have_lost_nothing_is_waited_for_and_does_not_call_off_what_has_begun() {
        let others = [led_by(Z)];
        let decide = |x: &mut Together, at: u64, has_hope: bool, ready: &[ProcessId]| {
            let first = Stand { has_hope, ..ours(X, ready) };
            x.decide(ms(at), &Look { has_lost: true, ..look(X, &first, &others) })
        };
        let mut x = Together::new();
        for at in (0..FOLLOW_MS).step_by(10) {
            // Out of reach for a moment, again and again, and without a report behind each change of leader.
            let has_hope = at % 1_000 >= 400;
            assert_eq!(decide(&mut x, at, has_hope, &[]), Aim::Stay, "{at} ms");
        }
        let mut x = Together::new();
        for at in (0..=LOST_MS).step_by(10) {
            let aim = if at < LOST_MS { Aim::Stay } else { Aim::TakeAll };
            assert_eq!(decide(&mut x, at, false, &[]), aim, "{at} ms");
        }
        assert_eq!(decide(&mut x, LOST_MS + 10, true, &[]), Aim::TakeAll, "the others may be giving theirs");
        assert_eq!(decide(&mut x, LOST_MS + 20, true, &[Y]), Aim::Give(Y), "it can lead all");
    }

    #[test]
    fn whatever_was_lost_and_whichever_link_is_cut_one_process_comes_to_lead_all() {
        let all = [X, Y, Z];
        let cuts = [None, Some((X, Y)), Some((X, Z)), Some((Y, Z))];
        for (number, cut) in (0..27 * 8).flat_map(|number| cuts.map(|cut| (number, cut))) {
            let leaders = [number % 3, number / 3 % 3, number / 9 % 3].map(|index| all[index]);
            let lost: Vec<ProcessId> = (0..3).filter(|bit| (number / 27) >> bit & 1 == 1).map(|bit| all[bit]).collect();
            let leader = Shard::new(&leaders, &lost, cut).leader_after(60_000);
            assert!(leader.is_some(), "{leaders:?}, {lost:?} have lost logs, {cut:?} is cut");
        }
    }
}
