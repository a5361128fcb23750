//! What the host is told about leadership, and whether submissions are accepted (contract sections 4 and 6).
//!
//! *Leading* means announced: raft-rs says leader, and every log of earlier leaders has been delivered
//! here. *Suspended* is a leader that raft-rs demoted without another run's leadership being known.

use crate::ids::{LogIndex, ProcessId, Term, Time};

use super::output::{Event, Gate, Leadership as Announcement};
use super::planted::{self, Bug};

/// The designated process keeps early submissions until another leader has been known for so long.
const EARLY_QUEUE_MS: u64 = 10_000;
/// After `upgrade_p1_to_leader`, submissions are kept for so long at most.
const SEEK_QUEUE_MS: u64 = 5_000;

/// Why this process does not lead, whoever asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeverLeads {
    /// It has no vote.
    Learner,
    /// It has said goodbye.
    Leaving,
    /// It was cut off, or a later generation goes on without it.
    Out,
}

/// What raft-rs says now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RaftView {
    /// This member leads; its term began at this index.
    Leading {
        /// Index of the term's first entry.
        since: LogIndex,
    },
    /// Another member leads.
    Following {
        /// Its process, where the members' table knows it.
        leader: Option<ProcessId>,
    },
    /// No leader is known.
    Leaderless,
}

/// Where submissions before the first leadership stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Early {
    /// The designated process that has not led yet.
    Kept,
    /// Not designated, led already, or another leader was known for too long.
    Over,
}

/// The announced side of leadership.
#[derive(Debug)]
pub struct Leadership {
    announced: bool,
    early: Early,
    other_since: Option<Time>,
    seek_until: Option<Time>,
    gate: Option<Gate>,
    view: RaftView,
    told_leader: Option<(Term, Option<ProcessId>)>,
    lost_to: bool,
    /// Where a term of this member began: everything before it is delivered here.
    delivered_before: Option<LogIndex>,
    /// This group is one of several that have to be led by one process.
    several: Option<Several>,
}

/// One leadership of several groups. What is true of this group alone is not announced.
#[derive(Debug, Default, Clone, Copy)]
struct Several {
    /// Each of the groups could be announced now, and whether that is the first leadership of them all.
    may_announce: Option<bool>,
    /// Another process leads them all.
    led_elsewhere: bool,
}

impl Leadership {
    /// Nothing announced. `designated`: this process keeps early submissions.
    pub fn new(designated: bool) -> Self {
        Self {
            announced: false,
            early: if designated { Early::Kept } else { Early::Over },
            other_since: None,
            seek_until: None,
            gate: None,
            view: RaftView::Leaderless,
            told_leader: None,
            lost_to: false,
            delivered_before: None,
            several: None,
        }
    }

    /// This group is one of several that have to be led by one process.
    pub fn be_one_of_several(&mut self) {
        self.several = Some(Several::default());
    }

    /// This group stands for itself: its process has said goodbye, and comes to lead nothing more.
    pub fn stand_alone(&mut self) {
        self.several = None;
    }

    /// One of several: each of them could be announced, and the next update announces it. `first`: nobody has led them all
    /// before.
    pub fn let_announce(&mut self, first: bool) {
        self.several.iter_mut().for_each(|several| several.may_announce = Some(first));
    }

    /// One of several: whether another process leads them all.
    pub fn set_led_elsewhere(&mut self, led_elsewhere: bool) {
        self.several.iter_mut().for_each(|several| several.led_elsewhere = led_elsewhere);
    }

    /// This process leads, and everything before its term is delivered here; or it was announced.
    pub fn could_announce(&self) -> bool {
        let has_delivered = |since| self.delivered_before == Some(since);
        self.announced || matches!(self.view, RaftView::Leading { since } if has_delivered(since))
    }

    /// What is queued here is for a leadership of several groups that this process does not have.
    pub fn holds_back(&self) -> bool {
        self.several.is_some() && !self.announced
    }

    /// This process leads, and the host was told.
    pub fn is_announced(&self) -> bool {
        self.announced
    }

    /// Leading was announced and raft-rs knows no leader now.
    pub fn is_suspended(&self) -> bool {
        self.announced && self.view == RaftView::Leaderless
    }

    /// The host asked for leadership: keep submissions for a while.
    pub fn seek(&mut self, now: Time) {
        self.seek_until = Some(now.plus_millis(SEEK_QUEUE_MS));
    }

    /// Must be called after every message to raft-rs: a foreign leadership that came and went between two
    /// passes ends ours all the same.
    pub fn observe(&mut self, view: RaftView, now: Time) {
        self.view = view;
        match view {
            RaftView::Following { .. } => {
                self.other_since.get_or_insert(now);
                if self.announced && !self.lost_to {
                    self.lost_to = true;
                    // Asked for while this process led: it keeps nothing past that leadership, or logs of
                    // the former one would be proposed in a later one.
                    self.seek_until = None;
                }
            }
            RaftView::Leading { .. } | RaftView::Leaderless => self.other_since = None,
        }
        if planted::has(Bug::SuspensionIsLoss) && view == RaftView::Leaderless {
            self.lost_to |= self.announced;
        }
    }

    /// Decides what to tell. `delivered`: all lanes here have delivered through it. `handing_over`: the
    /// leader is about to transfer, or has just called another to campaign.
    ///
    /// True: what was accepted before now and is not proposed is lost. It is more than a closed gate, since after a
    /// loss the gate may stand open again, for the logs of another leadership.
    pub fn update(
        &mut self,
        now: Time,
        term: Term,
        me: ProcessId,
        delivered: LogIndex,
        handing_over: bool,
        events: &mut Vec<Event>,
    ) -> bool {
        self.tell_leader(term, me, events);
        let is_lost = std::mem::take(&mut self.lost_to);
        if is_lost {
            self.announced = false;
            events.push(Event::Leadership(Announcement::Lost));
            // Whatever was accepted under that leadership and not proposed ends here, even if this process leads again
            // already, or was asked to: between the two, another run may have been the one to submit.
            self.set_gate(Gate::Closed { leader: self.leader() }, events);
        }
        if let RaftView::Leading { since } = self.view {
            if delivered >= since || planted::has(Bug::AnnounceBeforeDelivered) {
                self.delivered_before = Some(since);
            }
            let first = self.several.map_or(Some(since == LogIndex(1)), |several| several.may_announce);
            if let Some(first) = first.filter(|_| !self.announced && self.could_announce()) {
                self.announced = true;
                self.early = Early::Over;
                self.seek_until = None;
                events.push(Event::Leadership(Announcement::Gained { first }));
            }
        }
        if let Some(several) = &mut self.several {
            several.may_announce = None;
            if !several.led_elsewhere {
                self.other_since = None;
            }
        }
        if self.other_since.is_some_and(|since| now.millis_since(since) >= EARLY_QUEUE_MS) {
            self.early = Early::Over;
        }
        let gate = self.wanted_gate(now, handing_over);
        self.set_gate(gate, events);
        is_lost || self.is_closed()
    }

    fn wanted_gate(&self, now: Time, handing_over: bool) -> Gate {
        let leading = matches!(self.view, RaftView::Leading { .. });
        let keeps = self.early == Early::Kept || self.seek_until.is_some_and(|until| now < until);
        match (self.announced, leading) {
            // Also while nobody leads, when the target has begun its campaign: what is accepted then is lost when it wins.
            (true, _) if handing_over && (leading || !planted::has(Bug::LetInDuringCampaign)) => Gate::Hold,
            (true, true) => Gate::Open,
            // Only a leader that said goodbye hands over before it was told that it leads, or one that leads some groups of
            // several; what that one has queued is for the leadership of all, and waits.
            (false, true) if handing_over && self.several.is_none() => Gate::Hold,
            (true, false) => Gate::Suspended,
            (false, _) if keeps => Gate::Queue,
            (false, _) => Gate::Closed { leader: self.leader() },
        }
    }

    fn leader(&self) -> Option<ProcessId> {
        match self.view {
            RaftView::Following { leader } => leader,
            RaftView::Leading { .. } | RaftView::Leaderless => None,
        }
    }

    fn set_gate(&mut self, gate: Gate, events: &mut Vec<Event>) {
        if self.gate != Some(gate) {
            self.gate = Some(gate);
            events.push(Event::Gate(gate));
        }
    }

    /// Submissions are refused now.
    pub fn is_closed(&self) -> bool {
        matches!(self.gate, Some(Gate::Closed { .. }) | None)
    }

    fn tell_leader(&mut self, term: Term, me: ProcessId, events: &mut Vec<Event>) {
        let leader = match self.view {
            RaftView::Leading { .. } => Some(me),
            RaftView::Following { leader } => leader,
            RaftView::Leaderless => None,
        };
        let now = (term, leader);
        let changed = self.told_leader.map_or(leader.is_some(), |told| told.1 != leader || (leader.is_some() && told.0 != term));
        if changed {
            self.told_leader = Some(now);
            events.push(Event::Leader { term, leader });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: ProcessId = ProcessId(0);
    const OTHER: RaftView = RaftView::Following { leader: Some(ProcessId(1)) };
    const LEADING: RaftView = RaftView::Leading { since: LogIndex(5) };

    fn step(l: &mut Leadership, ms: u64, view: RaftView, delivered: u64) -> Vec<Event> {
        let now = Time(0).plus_millis(ms);
        l.observe(view, now);
        let mut events = Vec::new();
        l.update(now, Term(1), ME, LogIndex(delivered), false, &mut events);
        events.retain(|e| !matches!(e, Event::Leader { .. }));
        events
    }

    const CLOSED: Event = Event::Gate(Gate::Closed { leader: Some(ProcessId(1)) });
    const OPEN: Event = Event::Gate(Gate::Open);
    const QUEUE: Event = Event::Gate(Gate::Queue);
    const GAINED: Event = Event::Leadership(Announcement::Gained { first: false });
    const LOST: Event = Event::Leadership(Announcement::Lost);

    #[test]
    fn leadership_is_announced_only_when_everything_before_it_was_delivered_here() {
        let mut l = Leadership::new(false);
        assert_eq!(step(&mut l, 0, LEADING, 3), [Event::Gate(Gate::Closed { leader: None })]);
        assert_eq!(step(&mut l, 10, LEADING, 5), [GAINED, OPEN]);
    }

    #[test]
    fn a_suspended_leader_keeps_logs_and_goes_on_without_an_announcement() {
        let mut l = Leadership::new(false);
        step(&mut l, 0, LEADING, 5);
        assert_eq!(step(&mut l, 10, RaftView::Leaderless, 5), [Event::Gate(Gate::Suspended)]);
        assert_eq!(step(&mut l, 20, RaftView::Leading { since: LogIndex(9) }, 5), [OPEN]);
    }

    #[test]
    fn submitters_stay_held_while_the_target_of_a_hand_over_campaigns() {
        let mut l = Leadership::new(false);
        step(&mut l, 0, LEADING, 5);
        let hold = |l: &mut Leadership, ms, view| {
            let mut events = Vec::new();
            l.observe(view, Time(0).plus_millis(ms));
            l.update(Time(0).plus_millis(ms), Term(1), ME, LogIndex(5), true, &mut events);
            events.retain(|e| !matches!(e, Event::Leader { .. }));
            events
        };
        assert_eq!(hold(&mut l, 10, LEADING), [Event::Gate(Gate::Hold)]);
        assert_eq!(hold(&mut l, 20, RaftView::Leaderless), []);
        assert_eq!(hold(&mut l, 30, OTHER), [LOST, CLOSED]);
    }

    #[test]
    fn another_leader_ends_leadership_even_when_it_came_and_went_between_two_updates() {
        let mut l = Leadership::new(false);
        step(&mut l, 0, LEADING, 5);
        l.observe(OTHER, Time(1));
        let events = step(&mut l, 10, RaftView::Leaderless, 5);
        assert_eq!(events[0], LOST);
        assert!(l.is_closed());
    }

    #[test]
    fn the_designated_process_keeps_early_logs_until_another_leader_was_known_for_ten_seconds() {
        let mut l = Leadership::new(true);
        assert_eq!(step(&mut l, 0, RaftView::Leaderless, 0), [QUEUE]);
        assert_eq!(step(&mut l, 1_000, OTHER, 0), []);
        assert_eq!(step(&mut l, 10_999, OTHER, 0), []);
        assert_eq!(step(&mut l, 11_000, OTHER, 0), [CLOSED]);
    }

    #[test]
    fn who_asked_for_leadership_while_leading_keeps_nothing_of_it_once_another_leads() {
        let mut l = Leadership::new(false);
        step(&mut l, 0, LEADING, 5);
        l.seek(Time(0));
        step(&mut l, 100, OTHER, 5);
        assert!(l.is_closed(), "logs of the former leadership would go into the next one");
        l.seek(Time(0).plus_millis(200));
        assert_eq!(step(&mut l, 200, OTHER, 5), [QUEUE]);
    }

    #[test]
    fn a_loss_takes_what_was_accepted_before_it_whatever_gate_comes_next() {
        for next in [OTHER, LEADING] {
            let mut l = Leadership::new(false);
            step(&mut l, 0, LEADING, 5);
            l.observe(OTHER, Time(1));
            l.seek(Time(1));
            l.observe(next, Time(1));
            let mut events = Vec::new();
            assert!(l.update(Time(1), Term(2), ME, LogIndex(5), false, &mut events), "{next:?}");
            let gates: Vec<Event> = events.into_iter().filter(|e| matches!(e, Event::Gate(_))).collect();
            assert!(matches!(gates[..], [Event::Gate(Gate::Closed { .. }), Event::Gate(Gate::Queue | Gate::Open)]), "{gates:?}");
            assert!(!l.update(Time(2), Term(2), ME, LogIndex(5), false, &mut Vec::new()), "what came since is not lost");
        }
    }

    #[test]
    fn one_group_of_several_is_announced_when_all_can_be_and_keeps_early_logs_until_then() {
        let mut l = Leadership::new(true);
        l.be_one_of_several();
        assert_eq!(step(&mut l, 0, LEADING, 5), [QUEUE]);
        assert!(l.could_announce() && l.holds_back());
        assert_eq!(step(&mut l, 10, OTHER, 5), [], "it led this group for a moment");
        assert_eq!(step(&mut l, 20_000, OTHER, 5), [], "and nobody leads them all");
        l.set_led_elsewhere(true);
        assert_eq!(step(&mut l, 20_010, OTHER, 5), []);
        assert_eq!(step(&mut l, 30_009, OTHER, 5), []);
        l.set_led_elsewhere(false);
        assert_eq!(step(&mut l, 30_010, RaftView::Leading { since: LogIndex(9) }, 8), []);
        assert!(!l.could_announce(), "a later term, and not everything before it is delivered");
        l.let_announce(true);
        assert_eq!(step(&mut l, 30_020, RaftView::Leading { since: LogIndex(9) }, 8), []);
        assert_eq!(step(&mut l, 30_030, RaftView::Leading { since: LogIndex(9) }, 9), [], "it was told so before it could");
        l.let_announce(true);
        let gained = Event::Leadership(Announcement::Gained { first: true });
        assert_eq!(step(&mut l, 30_040, RaftView::Leading { since: LogIndex(9) }, 9), [gained, OPEN]);
    }

    #[test]
    fn who_asks_for_leadership_keeps_logs_for_five_seconds() {
        let mut l = Leadership::new(false);
        assert_eq!(step(&mut l, 0, OTHER, 0), [CLOSED]);
        l.seek(Time(0));
        assert_eq!(step(&mut l, 100, OTHER, 0), [QUEUE]);
        assert_eq!(step(&mut l, 5_000, OTHER, 0), [CLOSED]);
    }
}
