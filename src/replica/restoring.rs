//! The operator's act: after more members were lost than the shard tolerates, a survivor begins the next
//! generation from its log, alone (DESIGN "Too many lost at once").
//!
//! It is asked for through the C ABI in the survivor, or by an order that a process was started with. An order
//! names the survivor and its formation, so what it allows can happen once; and the survivor obeys only while it is
//! stuck, which no shard with a majority in reach is.
//!
//! The later generation wins over those that it continues. A member of one of them that meets it serves no more: two
//! leaders would let two hosts execute. It keeps what it has for the operator, until it is restarted.

use crate::ids::{MemberId, ProcessId};

use super::config::RestoreOrder;
use super::formation::{Formation, Member};
use super::group::{Phase, Replica};
use super::leading::STANDING_MS;
use super::members;
use super::message::PeerMessage;
use super::node::Node;
use super::output::Severity;
use super::peers::Peer;
use super::planted::{self, Bug};

/// A survivor obeys an order once it was stuck for so many election timeouts: an election that is late, or a
/// connection that is being made anew, is no loss of members.
const STUCK_ELECTIONS: u64 = 4;
/// An order is repeated at this interval while it can still be meant.
const REPEAT_MS: u64 = 1_000;
/// Why an order is not obeyed is said at most so often.
const REFUSED_MS: u64 = 10_000;

impl Replica {
    /// Called on each tick while unformed: passes the order that this process was started with on to the
    /// survivor, while that one stands in the formation that the order names.
    pub(super) fn pass_order_on(&mut self) {
        let Some(RestoreOrder { survivor, formations }) = &self.config.restore else { return };
        let survivor = *survivor;
        let standing = self.peers.get(survivor).and_then(|peer| peer.standing.as_ref());
        let theirs = standing.and_then(|standing| standing.member.as_ref()).map(|(formation, _)| formation.id);
        let Some(formation) = theirs.filter(|id| formations.contains(id)) else { return };
        if self.may_repeat(survivor, REPEAT_MS) {
            self.send(survivor, PeerMessage::Restore(formation));
        }
    }

    /// Called on each tick while stuck: a survivor with its log on disk may itself be started with the order.
    pub(super) fn obey_own_order(&mut self) {
        let Some(RestoreOrder { survivor, formations }) = &self.config.restore else { return };
        let ours = self.node().map(|node| node.formation().id);
        if *survivor == self.config.me && ours.is_some_and(|id| formations.contains(&id)) {
            self.obey("its own setting raft.restore");
        }
    }

    /// An operator lets this process go on alone, says a process that was started with the order.
    pub(super) fn on_restore(&mut self, from: ProcessId, formation: u64) {
        if self.node().is_some_and(|node| node.formation().id == formation) {
            self.obey(&format!("the setting raft.restore of {from}"));
        }
    }

    fn obey(&mut self, whose: &str) {
        let done = match self.may_go_on_alone() {
            // A leader may still come, and the order is repeated.
            Ok(()) if self.holds_orders => return,
            Ok(()) if self.stuck_ms() < STUCK_ELECTIONS * self.config.timing.election_ms => return,
            Ok(()) => self.restore_alone(),
            Err(why) => Err(why),
        };
        match done {
            Ok(()) => self.note("order", 0, Severity::Warning, format!("went on alone as {whose} allows")),
            Err(why) => {
                let text = format!("not going on alone, as {whose} allows: {why}");
                self.note("order refused", REFUSED_MS, Severity::Warning, text);
            }
        }
    }

    /// A member of a later generation was met.
    pub(super) fn yield_to_descendant(&mut self) {
        if planted::has(Bug::ParentGoesOn) || std::mem::replace(&mut self.superseded, true) {
            return;
        }
        if let Some(node) = self.node_mut().filter(|node| node.is_leader()) {
            node.step_down();
        }
        self.observe();
    }

    /// The operator's act for a survivor that can't find a majority of its members: begins generation + 1
    /// from its log, alone. Refused with the reason when this replica is not in that state.
    pub fn restore_alone(&mut self) -> Result<(), String> {
        self.could_restore_alone()?;
        let fresh = self.random();
        let Phase::Member(node) = &self.phase else { return Err("this replica is not a member".into()) };
        let old = node.formation();
        let me = Member { process: self.config.me, run: self.config.run, id: node.members().next_id() };
        let formation = old.continued_by(me, fresh, node.last_index());
        self.continue_as(formation, me.id)
    }

    /// Whether [`Replica::restore_alone`] would be obeyed.
    ///
    /// # Errors
    /// Why it would not.
    pub fn could_restore_alone(&self) -> Result<(), String> {
        self.may_go_on_alone()?;
        // What others said of their logs before may be old.
        if self.stuck_ms() < 2 * STANDING_MS && !planted::has(Bug::RestoreAgain) {
            return Err("the members are out of reach for less than a second: ask again".into());
        }
        if let Some(other) = self.node().and_then(|node| self.who_is_silent(node)) {
            return Err(format!("{other}, which is connected, has not said just now what it has: ask again, or end it first"));
        }
        let is_busy = |node: &Node| node.has_ready(self.applying()) || (self.config.durable && !node.is_persisted());
        if self.node().is_some_and(is_busy) {
            return Err("the replica is still busy with its log: ask again".into());
        }
        Ok(())
    }

    /// Of several groups: no order is obeyed while another one could not go on too. One survivor has to have them all.
    pub fn hold_orders(&mut self, holds: bool) {
        self.holds_orders = holds;
    }

    fn may_go_on_alone(&self) -> Result<(), String> {
        let Phase::Member(node) = &self.phase else {
            return Err("this replica belongs to no formation, so it has no log to continue from".into());
        };
        if !self.may_vote() {
            return Err("this process is a learner, which never leads: let a survivor that votes go on".into());
        }
        if self.leaving {
            return Err("this replica has said goodbye and campaigns no more: restart it, or let another survivor go on".into());
        }
        if self.superseded {
            return Err("another survivor went on alone: that generation wins over this one".into());
        }
        if node.is_leader() || node.leader().is_some() {
            return Err("the shard has a leader: nothing has to be restored".into());
        }
        if self.hears_that_it_is_out() {
            return Err("a leader says that this replica is out: the shard lives, so restart this one".into());
        }
        if !self.can_count_members() {
            return Err("this replica still replays its log, and does not know the members of now: ask again".into());
        }
        // Also who went on alone a moment ago and has not led yet: each further call would begin another generation.
        if self.sees_a_majority() && !planted::has(Bug::RestoreAgain) {
            return Err("a majority of the members is in reach: nothing has to be restored".into());
        }
        if self.may_still_begin(node) {
            return Err("the processes with which this one formed are in reach: the first election is still to come".into());
        }
        if self.sees_a_later_member() {
            return Err("a member is in reach that was admitted after what this one has: let that one go on".into());
        }
        if let Some(other) = self.who_has_more_of_the_log(node) {
            return Err(format!("{other} is in reach and has more of the log: let that one go on, or end it first"));
        }
        Ok(())
    }

    /// Connected, it may have more of the log, and what it said of that is old.
    fn who_is_silent(&self, node: &Node) -> Option<ProcessId> {
        let formation = node.formation().id;
        let is_silent = |peer: &Peer| match &peer.standing {
            None => true,
            Some(_) => peer.member_in(formation).is_some() && self.now.millis_since(peer.standing_heard) > 2 * STANDING_MS,
        };
        self.others_that_could_go_on().find(|(_, peer)| is_silent(peer)).map(|(process, _)| process)
    }

    /// A member in reach whose log would win an election against this one's: what was committed may be in it alone.
    pub(super) fn who_has_more_of_the_log(&self, node: &Node) -> Option<ProcessId> {
        let formation = node.formation().id;
        let others = self.others_that_could_go_on().filter(|(_, peer)| peer.member_in(formation).is_some());
        let log_ends = others.filter_map(|(process, peer)| Some((peer.standing.as_ref()?.log_end, process)));
        log_ends.filter(|&(log_end, _)| log_end > node.log_end()).max().map(|(_, process)| process)
    }

    /// Connected, and could be let go on alone instead of this one.
    fn others_that_could_go_on(&self) -> impl Iterator<Item = (ProcessId, &Peer)> {
        let may_lead = |process: &ProcessId, peer: &Peer| self.config.voters.contains(process) && !peer.is_leaving();
        self.peers.connected().filter(move |(process, peer)| may_lead(process, peer) && !planted::has(Bug::RestoreTheLesser))
    }

    fn continue_as(&mut self, formation: Formation, id: MemberId) -> Result<(), String> {
        let Phase::Member(node) = std::mem::replace(&mut self.phase, Phase::Stopped) else {
            return Err("this replica is not a member".into());
        };
        let (last_write, applied) = (node.last_write(), self.streams.applied().0);
        let mut log = node.into_log();
        let mut hard_state = log.hard_state().clone();
        hard_state.term += 1;
        hard_state.vote = 0;
        hard_state.commit = log.last();
        log.set_hard_state(hard_state.clone());
        log.set_conf_state(members::initial_conf_state(&formation));
        let (timing, limits) = (&self.config.timing, &self.config.limits);
        let made = Node::new(formation, id, log, applied, timing, limits, self.config.durable);
        // The former node is gone: there is nothing to go back to.
        let mut node = made.inspect_err(|reason| self.stop(format!("{}: going on alone: {reason}", self.config.group)))?;
        node.number_writes_after(last_write);
        if let Some(mut write) = node.membership_write() {
            write.hard_state = Some(hard_state);
            self.out.writes.push(write);
        }
        let text = format!(
            "generation {} begins with this process alone, from {} log entries",
            node.formation().generation,
            node.formation().inherited
        );
        self.note("generation", 0, Severity::Warning, text);
        self.formed_the_shard = true;
        self.restored = true;
        self.stuck_since = None;
        self.cut_off = None;
        // The next wait is another one: its line names another formation to go on from.
        self.wait_repeats.clear();
        self.become_member(node);
        Ok(())
    }
}
