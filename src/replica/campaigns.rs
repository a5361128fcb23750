//! When to campaign. The preferred process goes first, by waiting less, never by refusing others:
//! raft-rs's own priorities let a silent high-priority voter block every election.
//!
//! Two members may campaign before either has heard of the other. raft-rs then lets both go on from the pre-vote to the
//! vote, where each votes for itself, and with a member dead nobody gets a majority until a timeout later. So of two
//! campaigns that cross the lesser gives way, and who has just heard of one does not begin another. Both for a moment
//! only, and only who campaigns or would: a member that can't win, or is silent, holds nobody up.

use raft::eraftpb::Message;
use raft::StateRole;
use rand::rngs::SmallRng;
use rand::Rng as _;

use crate::ids::{Term, Time};

use super::config::Timing;
use super::node::Node;
use super::planted::{self, Bug};

/// A campaign goes before others for this part of an election timeout: 50 ms by default, so that two cross safely on lines
/// on which a message takes up to 25 ms.
const PRECEDENCE_DIVISOR: usize = 6;
/// Who was granted too few pre-votes asks again after this part of its timeout: to ask disturbs nobody. It is longer than
/// the precedence of what it asked before, so that others have their turn in between.
const AGAIN_DIVISOR: usize = 4;

/// The election timer of one member.
#[derive(Debug)]
pub struct Campaigns {
    tick_ms: u64,
    election_ticks: usize,
    timeout_ticks: usize,
    /// It asked for pre-votes in this term, and heard of no leader since.
    asked_in: Option<Term>,
    /// When another member, which has what this one has, asked for votes.
    another_asked: Option<Time>,
    /// No campaign before this moment while no leader has been heard: others have the first move.
    first_move_after: Time,
    heard_leader: bool,
    made_first_move: bool,
}

impl Campaigns {
    /// A timer that leaves the first move to others until `first_move_after`.
    pub fn new(timing: &Timing, first_move_after: Time) -> Self {
        let tick_ms = timing.tick_ms.max(1);
        let election_ticks = (timing.election_ms / tick_ms).max(1) as usize;
        Self {
            tick_ms,
            election_ticks,
            timeout_ticks: 2 * election_ticks,
            asked_in: None,
            another_asked: None,
            first_move_after,
            heard_leader: false,
            made_first_move: false,
        }
    }

    /// A leader is known: from now on only the election timeout counts.
    pub fn heard_leader(&mut self) {
        self.heard_leader = true;
        self.asked_in = None;
    }

    /// This member campaigns.
    pub fn asked(&mut self, term: Term) {
        self.asked_in = Some(term);
    }

    /// No member that may campaign waits longer without a leader's word.
    pub fn longest_timeout_ticks(&self) -> usize {
        2 * self.election_ticks
    }

    fn precedence_ticks(&self) -> usize {
        (self.election_ticks / PRECEDENCE_DIVISOR).max(1)
    }

    /// Another member asks for pre-votes. False when that crosses this member's own campaign, which goes on: nothing is to
    /// be answered. Where the other one goes on, this member's is over. Both know the same of each other and decide alike.
    pub fn lets_ask(&mut self, node: &mut Node, request: &Message) -> bool {
        let has_just_asked =
            node.role() == StateRole::PreCandidate && node.election_elapsed_ticks() < self.precedence_ticks();
        let is_for_the_same_term = request.term.checked_sub(1) == Some(node.term().0);
        if !has_just_asked || !is_for_the_same_term || planted::has(Bug::LetCampaignsCross) {
            return true;
        }
        let (term, last) = node.log_end();
        if (request.log_term, request.index, request.from) < (term.0, last.0, node.id().get()) {
            return false;
        }
        node.step_down();
        // The other one may have to wait for its disk before it is heard of again: a whole timeout is left to it.
        self.asked_in = None;
        true
    }

    /// Another member asked for votes: the first move is made, and need not succeed. After a restart of all, for one,
    /// whose turn it was may lack what the others have on disk; waiting on for it would only keep the shard without a
    /// leader. Those who were asked were asked at once, so they wait on for as long as their timeouts differ.
    pub fn saw_a_campaign(&mut self, node: &Node, request: &Message, now: Time) {
        let (term, last) = node.log_end();
        if (request.log_term, request.index) >= (term.0, last.0) {
            self.another_asked = Some(now);
        }
        if planted::has(Bug::FirstMoveIsForever) {
            return;
        }
        let spread_ticks = self.timeout_ticks.saturating_sub(self.election_ticks) as u64;
        self.first_move_after = self.first_move_after.min(now.plus_millis(spread_ticks * self.tick_ms));
    }

    /// Picks the next timeout: the preferred process within the first quarter of [T, 2T), others behind it.
    pub fn draw(&mut self, preferred: bool, rng: &mut SmallRng) {
        let t = self.election_ticks;
        let (low, high) = if preferred { (t, t + t / 4) } else { (t + t / 4, 2 * t) };
        self.timeout_ticks = rng.gen_range(low..high.max(low + 1));
    }

    /// Ticks without a leader's word until this member campaigns.
    pub fn ticks_left(&self, node: &Node) -> usize {
        self.timeout_ticks_in(node.term()).saturating_sub(node.election_elapsed_ticks())
    }

    /// A new term since the last campaign means that a candidate, this one or another, is being voted for. That takes as
    /// long as disks take, and to ask again would end it.
    fn timeout_ticks_in(&self, term: Term) -> usize {
        if self.asked_in == Some(term) {
            (self.timeout_ticks / AGAIN_DIVISOR).max(self.precedence_ticks() + 1)
        } else {
            self.timeout_ticks
        }
    }

    fn leaves_the_turn_to_another(&self, now: Time) -> bool {
        let precedence_ms = self.precedence_ticks() as u64 * self.tick_ms;
        let is_recent = self.another_asked.is_some_and(|at| now.millis_since(at) < precedence_ms);
        is_recent && !planted::has(Bug::LetCampaignsCross)
    }

    /// Whether to campaign now. `may_start`: this process has the first move and sees a majority.
    pub fn is_due(&mut self, node: &Node, now: Time, may_start: bool) -> bool {
        if node.is_leader() || !node.is_voter() || !node.knows_the_members() {
            return false;
        }
        if !self.heard_leader {
            if may_start && !self.made_first_move {
                self.made_first_move = true;
                return true;
            }
            if now < self.first_move_after && !self.made_first_move {
                return false;
            }
        }
        self.ticks_left(node) == 0 && !self.leaves_the_turn_to_another(now)
    }
}
