//! How much of the log stays in memory (contract section 8, `log_memory_bytes`).
//!
//! Without memory of its own a replica can only be rebuilt from the log in the others' memory, so that is
//! kept from the beginning. Beyond the bound the part that every live member has delivered goes. A member
//! that holds the leader at its bound for `absent_ms`, silent or slow, no longer counts: the wait of the
//! submitters is bounded, and nobody runs out of memory. One limit stands above that: what a majority of the
//! voters, all here and now, does not have is kept. Without it a member could be cut off that the others need
//! to commit anything, its own removal included, and the shard would be lost with nobody dead but a minority.

use std::collections::BTreeSet;

use crate::ids::{LogIndex, MemberId, Time};

use super::planted::{self, Bug};

/// How far one member is, as the leader knows it.
#[derive(Debug, Clone, Copy)]
pub struct Standpoint {
    /// The member.
    pub member: MemberId,
    /// Delivered through here.
    pub delivered: LogIndex,
    /// When it was last heard.
    pub heard: Option<Time>,
    /// Connected as this very member, and heard within an election timeout.
    pub present: bool,
}

/// Whose majorities decide: the voters, and while a membership change runs the former ones as well.
#[derive(Debug, Clone, Copy)]
pub struct Electorate<'a> {
    /// The deciding member.
    pub me: MemberId,
    /// Raft ids of the voters.
    pub voters: &'a [u64],
    /// Raft ids of the voters that a joint configuration leaves; else empty.
    pub outgoing: &'a [u64],
}

impl Electorate<'_> {
    /// What a majority of present members has delivered.
    fn delivered_by_majority(&self, own_delivered: LogIndex, others: &[Standpoint]) -> LogIndex {
        let delivered = |&id: &u64| match others.iter().find(|s| s.member.get() == id) {
            _ if id == self.me.get() => own_delivered,
            Some(s) if s.present => s.delivered,
            _ => LogIndex(0),
        };
        [self.voters, self.outgoing]
            .iter()
            .filter(|voters| !voters.is_empty())
            .map(|voters| {
                let mut of_each: Vec<LogIndex> = voters.iter().map(delivered).collect();
                of_each.sort_unstable_by(|a, b| b.cmp(a));
                of_each[voters.len() / 2]
            })
            .min()
            .unwrap_or(LogIndex(0))
    }
}

/// What may be dropped, and who is waited for.
#[derive(Debug, Default)]
pub struct Retention {
    droppable: LogIndex,
    at_bound_since: Option<Time>,
    not_waited_for: BTreeSet<MemberId>,
    slowest: Option<MemberId>,
    a_majority_lacks: bool,
}

impl Retention {
    /// The log through here may go when memory is short.
    pub fn droppable(&self) -> LogIndex {
        self.droppable
    }

    /// Of those that are waited for, who has delivered least and less than the leader.
    pub fn slowest(&self) -> Option<MemberId> {
        self.slowest
    }

    /// What keeps the log from going is that a majority of present members has not delivered it: [`Self::slowest`], if
    /// there is one, is not given up.
    pub fn a_majority_lacks(&self) -> bool {
        self.a_majority_lacks
    }

    /// The leader said so.
    pub fn heard_from_leader(&mut self, droppable: LogIndex) {
        self.droppable = self.droppable.max(droppable);
    }

    /// Nobody has held this leader at its bound yet.
    pub fn begin_leadership(&mut self) {
        self.at_bound_since = None;
    }

    /// The leader's view. Says who is no longer waited for, from now on.
    pub fn decide(
        &mut self,
        electorate: Electorate,
        own_delivered: LogIndex,
        others: &[Standpoint],
        at_bound: bool,
        now: Time,
        absent_ms: u64,
    ) -> Vec<MemberId> {
        self.not_waited_for
            .retain(|id| others.iter().any(|s| s.member == *id && s.delivered < self.droppable));
        let mut safe = electorate.delivered_by_majority(own_delivered, others);
        if planted::has(Bug::DropWhatAMajorityLacks) {
            safe = own_delivered;
        }
        let mut given_up = Vec::new();
        if self.is_overdue(at_bound, now, absent_ms) {
            let slow = self.waited_for(others, now, absent_ms).filter(|s| s.delivered < own_delivered.min(safe));
            given_up = slow.map(|s| s.member).collect();
        }
        self.not_waited_for.extend(&given_up);
        let slowest = self.waited_for(others, now, absent_ms).min_by_key(|s| s.delivered).copied();
        self.slowest = slowest.filter(|s| s.delivered < own_delivered).map(|s| s.member);
        self.a_majority_lacks = safe < own_delivered && slowest.is_none_or(|s| s.delivered >= safe);
        self.droppable = self.droppable.max(slowest.map_or(own_delivered, |s| s.delivered).min(safe));
        given_up
    }

    fn waited_for<'a>(
        &'a self,
        others: &'a [Standpoint],
        now: Time,
        absent_ms: u64,
    ) -> impl Iterator<Item = &'a Standpoint> {
        others
            .iter()
            .filter(move |s| s.heard.is_some_and(|at| now.millis_since(at) < absent_ms))
            .filter(|s| !self.not_waited_for.contains(&s.member))
    }

    fn is_overdue(&mut self, at_bound: bool, now: Time, absent_ms: u64) -> bool {
        if !at_bound {
            self.at_bound_since = None;
            return false;
        }
        let since = *self.at_bound_since.get_or_insert(now);
        let overdue = now.millis_since(since) >= absent_ms;
        if overdue {
            self.at_bound_since = None;
        }
        overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(member: u64, delivered: u64, heard_ms: u64) -> Standpoint {
        Standpoint {
            member: MemberId::new(member).unwrap(),
            delivered: LogIndex(delivered),
            heard: Some(Time(0).plus_millis(heard_ms)),
            present: true,
        }
    }

    fn ms(ms: u64) -> Time {
        Time(0).plus_millis(ms)
    }

    fn id(member: u64) -> MemberId {
        MemberId::new(member).unwrap()
    }

    fn of_three() -> Electorate<'static> {
        Electorate { me: id(1), voters: &[1, 2, 3], outgoing: &[] }
    }

    #[test]
    fn what_every_live_member_has_delivered_may_go() {
        let mut r = Retention::default();
        r.decide(of_three(), LogIndex(50), &[at(2, 40, 0), at(3, 30, 0)], false, ms(10), 1000);
        assert_eq!((r.droppable(), r.slowest()), (LogIndex(30), Some(id(3))));
        r.decide(of_three(), LogIndex(50), &[at(2, 40, 900), at(3, 30, 0)], false, ms(1000), 1000);
        assert_eq!(r.droppable(), LogIndex(40), "the third has not been heard for absent_ms");
    }

    #[test]
    fn who_holds_the_leader_at_its_bound_for_absent_ms_is_no_longer_waited_for() {
        let mut r = Retention::default();
        let slow = |t| [at(2, 10, t), at(3, 50, t)];
        assert_eq!(r.decide(of_three(), LogIndex(50), &slow(0), true, ms(0), 1000), []);
        assert!(!r.a_majority_lacks());
        assert_eq!(r.decide(of_three(), LogIndex(50), &slow(999), true, ms(1000), 1000), [id(2)]);
        r.decide(of_three(), LogIndex(50), &slow(1010), true, ms(1010), 1000);
        assert_eq!(r.droppable(), LogIndex(50));
    }

    #[test]
    fn how_long_a_former_leadership_was_held_at_the_bound_does_not_count() {
        let mut r = Retention::default();
        let slow = |t| [at(2, 10, t), at(3, 50, t)];
        assert_eq!(r.decide(of_three(), LogIndex(50), &slow(0), true, ms(0), 1000), []);
        r.begin_leadership();
        assert_eq!(r.decide(of_three(), LogIndex(50), &slow(60_000), true, ms(60_000), 1000), []);
        assert_eq!(r.decide(of_three(), LogIndex(50), &slow(60_999), true, ms(60_999), 1000), []);
        assert_eq!(r.decide(of_three(), LogIndex(50), &slow(61_000), true, ms(61_000), 1000), [id(2)]);
    }

    #[test]
    fn who_is_needed_for_a_majority_is_waited_for_as_long_as_it_takes() {
        let mut r = Retention::default();
        let gone = Standpoint { present: false, ..at(3, 50, 0) };
        for t in [0, 1000, 2000, 90_000] {
            assert_eq!(r.decide(of_three(), LogIndex(50), &[at(2, 10, t), gone], true, ms(t), 1000), [], "at {t} ms");
            assert!(r.a_majority_lacks(), "at {t} ms");
            assert_eq!((r.droppable(), r.slowest()), (LogIndex(10), Some(id(2))));
        }
        // The other one is back, and has what is needed: now this one is as slow as any.
        r.decide(of_three(), LogIndex(50), &[at(2, 10, 90_010), at(3, 50, 90_010)], true, ms(90_010), 1000);
        assert!(!r.a_majority_lacks());
    }

    #[test]
    fn while_the_configuration_is_joint_both_majorities_are_kept() {
        let mut r = Retention::default();
        let joint = Electorate { me: id(1), voters: &[1, 2, 3], outgoing: &[1, 4, 5] };
        let absent = |member| Standpoint { heard: None, ..at(member, 0, 0) };
        r.decide(joint, LogIndex(50), &[at(2, 50, 0), at(3, 50, 0), absent(4), absent(5)], false, ms(1), 1000);
        assert_eq!(r.droppable(), LogIndex(0));
        r.decide(joint, LogIndex(50), &[at(2, 50, 0), at(3, 50, 0), at(4, 20, 0), absent(5)], false, ms(1), 1000);
        assert_eq!(r.droppable(), LogIndex(20));
    }
}
