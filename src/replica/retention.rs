//! How much of the log stays in memory (contract section 8, `log_memory_bytes`).
//!
//! Without memory of its own a replica can only be rebuilt from the log in the others' memory, so that is
//! kept from the beginning. Beyond the bound the part that every live member has delivered goes. A member
//! that holds the leader at its bound for `absent_ms`, silent or slow, no longer counts: the wait of the
//! submitters is bounded, and nobody runs out of memory.

use std::collections::BTreeSet;

use crate::ids::{LogIndex, MemberId, Time};

/// How far one member is, as the leader knows it.
#[derive(Debug, Clone, Copy)]
pub struct Standpoint {
    /// The member.
    pub member: MemberId,
    /// Delivered through here.
    pub delivered: LogIndex,
    /// When it was last heard.
    pub heard: Option<Time>,
}

/// What may be dropped, and who is waited for.
#[derive(Debug, Default)]
pub struct Retention {
    droppable: LogIndex,
    at_bound_since: Option<Time>,
    not_waited_for: BTreeSet<MemberId>,
}

impl Retention {
    /// The log through here may go when memory is short.
    pub fn droppable(&self) -> LogIndex {
        self.droppable
    }

    /// The leader said so.
    pub fn heard_from_leader(&mut self, droppable: LogIndex) {
        self.droppable = self.droppable.max(droppable);
    }

    /// The leader's view. Returns the members that are no longer waited for, from now on.
    pub fn decide(
        &mut self,
        own_delivered: LogIndex,
        others: &[Standpoint],
        at_bound: bool,
        now: Time,
        absent_ms: u64,
    ) -> Vec<MemberId> {
        self.not_waited_for
            .retain(|id| others.iter().any(|s| s.member == *id && s.delivered < self.droppable));
        let given_up = self.give_up(own_delivered, others, at_bound, now, absent_ms);
        self.not_waited_for.extend(&given_up);
        let slowest = self.waited_for(others, now, absent_ms).map(|s| s.delivered).min();
        self.droppable = self.droppable.max(slowest.unwrap_or(own_delivered).min(own_delivered));
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

    fn give_up(
        &mut self,
        own_delivered: LogIndex,
        others: &[Standpoint],
        at_bound: bool,
        now: Time,
        absent_ms: u64,
    ) -> Vec<MemberId> {
        if !at_bound {
            self.at_bound_since = None;
            return Vec::new();
        }
        let since = *self.at_bound_since.get_or_insert(now);
        if now.millis_since(since) < absent_ms {
            return Vec::new();
        }
        self.at_bound_since = None;
        self.waited_for(others, now, absent_ms)
            .filter(|s| s.delivered < own_delivered)
            .map(|s| s.member)
            .collect()
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
        }
    }

    fn ms(ms: u64) -> Time {
        Time(0).plus_millis(ms)
    }

    #[test]
    fn what_every_live_member_has_delivered_may_go() {
        let mut r = Retention::default();
        r.decide(LogIndex(50), &[at(2, 40, 0), at(3, 30, 0)], false, ms(10), 1000);
        assert_eq!(r.droppable(), LogIndex(30));
        r.decide(LogIndex(50), &[at(2, 40, 900), at(3, 30, 0)], false, ms(1000), 1000);
        assert_eq!(r.droppable(), LogIndex(40), "the third has not been heard for absent_ms");
    }

    #[test]
    fn who_holds_the_leader_at_its_bound_for_absent_ms_is_no_longer_waited_for() {
        let mut r = Retention::default();
        let slow = |t| [at(2, 10, t)];
        assert!(r.decide(LogIndex(50), &slow(0), true, ms(0), 1000).is_empty());
        assert_eq!(r.decide(LogIndex(50), &slow(999), true, ms(1000), 1000), [MemberId::new(2).unwrap()]);
        r.decide(LogIndex(50), &slow(1010), true, ms(1010), 1000);
        assert_eq!(r.droppable(), LogIndex(50));
    }
}
