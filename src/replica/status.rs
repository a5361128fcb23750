//! A moment's view of a replica, for counters, the status line and the simulator.

use crate::ids::{LogIndex, MemberId};

use super::group::{Phase, Replica};
use super::node::Node;
use super::output::Status;

impl Replica {
    /// A moment's view.
    pub fn status(&self) -> Status {
        let mut status = Status {
            role: "stopped",
            delivered: self.streams.delivered_index(),
            lost_accepted: self.lost_accepted,
            waits_for: self.waits_for(),
            turned_away: self.turned_away.len() as u64,
            given_up: self.given_up,
            held_up: self.held_up,
            leaving: self.leaving,
            restored: self.restored,
            absent: self.absent.iter().copied().collect(),
            refused_messages: self.refused_messages,
            connected: self.peers.connected().map(|(process, _)| process).collect(),
            ..Status::default()
        };
        match &self.phase {
            Phase::Stopped => {}
            Phase::Unformed(_) => status.role = "unformed",
            Phase::Member(node) => self.member_status(node, &mut status),
        }
        status
    }

    fn member_status(&self, node: &Node, status: &mut Status) {
        use raft::StateRole::*;
        let conf = node.log().conf_state();
        status.role = match node.role() {
            _ if self.cut_off.is_some() => "cut off",
            _ if self.superseded => "superseded",
            Leader => "leader",
            _ if self.leadership.is_suspended() => "suspended",
            Candidate | PreCandidate => "candidate",
            Follower if node.is_voter() => "follower",
            Follower => "learner",
        };
        status.term = node.term();
        status.leader = if node.is_leader() {
            Some(self.config.me)
        } else {
            self.leader_process()
        };
        status.commit = node.commit_index();
        status.last = node.last_index();
        status.droppable = self.retention.droppable();
        status.first_in_memory = LogIndex(node.log().first_in_memory());
        status.log_bytes = node.log().bytes();
        status.voters = node.members().processes(&conf.voters);
        status.learners = node.members().processes(&conf.learners);
        status.member = Some(node.id());
        status.voter_members = conf.voters.iter().filter_map(|&id| MemberId::new(id)).collect();
        status.changing_members = !conf.voters_outgoing.is_empty()
            || (node.is_leader() && !node.may_change_members());
        status.foreign = self.peers.connected().filter(|(_, peer)| peer.is_foreign_to(node.formation().id)).count();
        status.formation = Some((node.formation().generation, node.formation().id));
    }
}
