//! When to campaign. The preferred process goes first, by waiting less, never by refusing others:
//! raft-rs's own priorities let a silent high-priority voter block every election.

use rand::rngs::SmallRng;
use rand::Rng as _;

use crate::ids::Time;

use super::config::Timing;
use super::node::Node;
use super::planted::{self, Bug};

/// The election timer of one member.
#[derive(Debug)]
pub struct Campaigns {
    tick_ms: u64,
    election_ticks: usize,
    timeout_ticks: usize,
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
            first_move_after,
            heard_leader: false,
            made_first_move: false,
        }
    }

    /// A leader is known: from now on only the election timeout counts.
    pub fn heard_leader(&mut self) {
        self.heard_leader = true;
    }

    /// Another member asked for votes: the first move is made, and need not succeed. After a restart of all, for one,
    /// whose turn it was may lack what the others have on disk; waiting on for it would only keep the shard without a
    /// leader. Those who were asked were asked at once, so they wait on for as long as their timeouts differ.
    pub fn saw_a_campaign(&mut self, now: Time) {
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
        self.timeout_ticks.saturating_sub(node.election_elapsed_ticks())
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
        node.election_elapsed_ticks() >= self.timeout_ticks
    }
}
