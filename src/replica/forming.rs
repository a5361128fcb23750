//! How a shard forms: single-decree Paxos, in memory, among the runs of the voter processes.
//!
//! What is decided is a [`Formation`]: who the members are and under which Raft ids. Paxos makes two
//! proposers, or one that crashes in between, end in one formation (DESIGN "Forming"). A run that
//! restarts is a new acceptor with no memory: losing memory is a failure, and one lost minority is
//! tolerated; see [`Forming::choose`] for the one case in which an old value is given up.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{MemberId, ProcessId, RunId};

use super::formation::{Formation, Member};
use super::message::{Ballot, PeerMessage};
use super::planted::{self, Bug};

/// The connected, unformed runs of voter processes, this one included.
pub type Unformed = BTreeMap<ProcessId, RunId>;

type Accepted = Option<(Ballot, Formation)>;

/// So many of the voter processes agree on a formation, and so many are its members before its first election.
pub(super) fn majority_of(voters: usize) -> usize {
    let majority = voters / 2 + 1;
    if planted::has(Bug::FormByMinority) {
        return majority - 1;
    }
    majority
}

#[derive(Debug)]
enum Step {
    Preparing { promises: BTreeMap<ProcessId, Accepted>, fresh: u64 },
    Accepting { formation: Formation, accepted: BTreeSet<ProcessId> },
}

/// Acceptor and proposer of one unformed run.
#[derive(Debug)]
pub struct Forming {
    me: ProcessId,
    voters: Vec<ProcessId>,
    promised: Ballot,
    accepted: Accepted,
    highest_round: u64,
    proposal: Option<(Ballot, Step)>,
}

/// What a proposer's step asks for.
#[derive(Debug, Default)]
pub struct Progress {
    /// To be sent.
    pub messages: Vec<(ProcessId, PeerMessage)>,
    /// The decided formation.
    pub decided: Option<Formation>,
    /// The value that would have to be carried forward can't work yet: wait for all voters.
    pub waits_for_all: bool,
}

impl Forming {
    /// A run that has promised nothing.
    pub fn new(me: ProcessId, voters: Vec<ProcessId>) -> Self {
        Self {
            me,
            voters,
            promised: Ballot::default(),
            accepted: None,
            highest_round: 0,
            proposal: None,
        }
    }

    /// The highest round that this run has seen.
    pub fn highest_round(&self) -> u64 {
        self.highest_round
    }

    fn majority(&self) -> usize {
        majority_of(self.voters.len())
    }

    /// A majority of the voter processes is connected and unformed.
    pub fn has_majority(&self, unformed: &Unformed) -> bool {
        unformed.len() >= self.majority()
    }

    /// Every voter process is connected and unformed, so no formation is left in anyone's memory.
    pub fn all_unformed(&self, unformed: &Unformed) -> bool {
        unformed.len() == self.voters.len()
    }

    /// The connection to `peer` changed: what its former run promised or accepted does not count.
    pub fn forget(&mut self, peer: ProcessId) {
        match &mut self.proposal {
            Some((_, Step::Preparing { promises, .. })) => {
                promises.remove(&peer);
            }
            Some((_, Step::Accepting { accepted, .. })) => {
                accepted.remove(&peer);
            }
            None => {}
        }
    }

    /// Starts a round above every ballot seen. `fresh` is the formation id to use if none is carried forward.
    pub fn propose(&mut self, unformed: &Unformed, fresh: u64) -> Progress {
        self.highest_round += 1;
        let ballot = Ballot { round: self.highest_round, process: self.me.0 };
        self.promised = ballot;
        let promises = BTreeMap::from([(self.me, self.accepted.clone())]);
        self.proposal = Some((ballot, Step::Preparing { promises, fresh }));
        let mut progress = Progress::default();
        for &peer in unformed.keys().filter(|&&p| p != self.me) {
            progress.messages.push((peer, PeerMessage::Prepare(ballot)));
        }
        self.try_accept(unformed, &mut progress);
        progress
    }

    /// Acceptor, phase 1.
    pub fn on_prepare(&mut self, ballot: Ballot) -> PeerMessage {
        self.highest_round = self.highest_round.max(ballot.round);
        if ballot <= self.promised {
            return PeerMessage::Refused(self.promised);
        }
        self.promised = ballot;
        self.proposal = None;
        PeerMessage::Promise(ballot, self.accepted.clone())
    }

    /// Acceptor, phase 2.
    pub fn on_accept(&mut self, ballot: Ballot, formation: Formation) -> PeerMessage {
        self.highest_round = self.highest_round.max(ballot.round);
        if ballot < self.promised {
            return PeerMessage::Refused(self.promised);
        }
        self.promised = ballot;
        self.proposal = None;
        self.accepted = Some((ballot, formation));
        PeerMessage::Accepted(ballot)
    }

    /// Proposer: somebody promised a higher ballot.
    pub fn on_refused(&mut self, promised: Ballot) {
        self.highest_round = self.highest_round.max(promised.round);
        if self.proposal.as_ref().is_some_and(|(ballot, _)| *ballot < promised) {
            self.proposal = None;
        }
    }

    /// Proposer: a promise.
    pub fn on_promise(
        &mut self,
        from: ProcessId,
        ballot: Ballot,
        accepted: Accepted,
        unformed: &Unformed,
    ) -> Progress {
        let mut progress = Progress::default();
        if let Some((mine, Step::Preparing { promises, .. })) = &mut self.proposal {
            if *mine == ballot && unformed.contains_key(&from) {
                promises.insert(from, accepted);
                self.try_accept(unformed, &mut progress);
            }
        }
        progress
    }

    /// Proposer: an acceptance.
    pub fn on_accepted(&mut self, from: ProcessId, ballot: Ballot) -> Progress {
        let mut progress = Progress::default();
        if let Some((mine, Step::Accepting { accepted, .. })) = &mut self.proposal {
            if *mine == ballot {
                accepted.insert(from);
                self.try_decide(&mut progress);
            }
        }
        progress
    }

    fn try_accept(&mut self, unformed: &Unformed, progress: &mut Progress) {
        let Some((ballot, Step::Preparing { promises, fresh })) = &self.proposal else { return };
        let (ballot, fresh) = (*ballot, *fresh);
        if promises.len() < self.majority() {
            return;
        }
        let Some(formation) = self.choose(promises, unformed, fresh) else {
            progress.waits_for_all = true;
            return;
        };
        self.accepted = Some((ballot, formation.clone()));
        for &peer in unformed.keys().filter(|&&p| p != self.me) {
            progress.messages.push((peer, PeerMessage::Accept(ballot, formation.clone())));
        }
        let accepted = BTreeSet::from([self.me]);
        self.proposal = Some((ballot, Step::Accepting { formation, accepted }));
        self.try_decide(progress);
    }

    fn try_decide(&mut self, progress: &mut Progress) {
        let Some((_, Step::Accepting { formation, accepted })) = &self.proposal else { return };
        if accepted.len() >= self.majority() {
            progress.decided = Some(formation.clone());
        }
    }

    /// The value of phase 2: the one accepted under the highest ballot, as Paxos demands, or a new one.
    ///
    /// A value of whose members too few are left to begin (`beginning.rs`) would form a shard that never elects a leader. It is
    /// given up where it has not begun for sure: so many of its very runs have promised, which makes them no members yet, that
    /// the rest is too few; or every voter process has. Else `None`: wait for all.
    fn choose(
        &self,
        promises: &BTreeMap<ProcessId, Accepted>,
        unformed: &Unformed,
        fresh: u64,
    ) -> Option<Formation> {
        let carried = promises.values().flatten().max_by_key(|(ballot, _)| *ballot);
        let Some((_, carried)) = carried else { return Some(self.new_formation(unformed, fresh)) };
        let alive = carried.members.iter().filter(|m| unformed.get(&m.process) == Some(&m.run));
        if alive.clone().count() >= self.majority() {
            return Some(carried.clone());
        }
        let others = carried.members.len() - alive.filter(|m| promises.contains_key(&m.process)).count();
        let all_promised = promises.len() == self.voters.len() && self.all_unformed(unformed);
        let can_not_have_begun = others < self.majority() || all_promised;
        can_not_have_begun.then(|| self.new_formation(unformed, fresh))
    }

    fn new_formation(&self, unformed: &Unformed, id: u64) -> Formation {
        let members = unformed.iter().zip(1..).map(|((&process, &run), raw)| Member {
            process,
            run,
            id: MemberId::new(raw).expect("counted from 1"),
        });
        Formation { generation: 1, id, ancestors: Vec::new(), inherited: 0, members: members.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voters(n: u16) -> Vec<ProcessId> {
        (0..n).map(ProcessId).collect()
    }

    fn runs(pairs: &[(u16, u64)]) -> Unformed {
        pairs.iter().map(|&(p, r)| (ProcessId(p), RunId(r))).collect()
    }

    /// Passes messages until nothing moves; returns what was decided.
    fn pump(nodes: &mut [Forming], unformed: &Unformed, first: Progress, from: u16) -> Vec<Formation> {
        let mut decided: Vec<Formation> = first.decided.into_iter().collect();
        let mut queue: Vec<(u16, ProcessId, PeerMessage)> =
            first.messages.into_iter().map(|(to, m)| (from, to, m)).collect();
        while let Some((from, to, message)) = (!queue.is_empty()).then(|| queue.remove(0)) {
            let node = &mut nodes[to.0 as usize];
            let (reply, progress) = match message {
                PeerMessage::Prepare(b) => (Some(node.on_prepare(b)), Progress::default()),
                PeerMessage::Accept(b, f) => (Some(node.on_accept(b, f)), Progress::default()),
                PeerMessage::Promise(b, a) => {
                    (None, node.on_promise(ProcessId(from), b, a, unformed))
                }
                PeerMessage::Accepted(b) => (None, node.on_accepted(ProcessId(from), b)),
                PeerMessage::Refused(b) => {
                    node.on_refused(b);
                    (None, Progress::default())
                }
                other => panic!("{other:?}"),
            };
            queue.extend(reply.map(|m| (to.0, ProcessId(from), m)));
            queue.extend(progress.messages.into_iter().map(|(peer, m)| (to.0, peer, m)));
            decided.extend(progress.decided);
        }
        decided
    }

    fn nodes(n: u16) -> Vec<Forming> {
        (0..n).map(|p| Forming::new(ProcessId(p), voters(n))).collect()
    }

    #[test]
    fn two_of_three_form_with_two_members() {
        let mut nodes = nodes(3);
        let unformed = runs(&[(0, 10), (1, 11)]);
        let first = nodes[0].propose(&unformed, 7);
        let decided = pump(&mut nodes, &unformed, first, 0);
        assert_eq!(decided[0].id, 7);
        assert_eq!(decided[0].members.len(), 2);
    }

    #[test]
    fn a_second_proposer_carries_the_accepted_formation_forward() {
        let mut nodes = nodes(3);
        let unformed = runs(&[(0, 10), (1, 11), (2, 12)]);
        let first = nodes[0].propose(&unformed, 7);
        pump(&mut nodes, &unformed, first, 0);
        let second = nodes[1].propose(&unformed, 8);
        let decided = pump(&mut nodes, &unformed, second, 1);
        assert_eq!(decided[0].id, 7);
    }

    #[test]
    fn a_formation_of_dead_runs_is_given_up_only_when_all_voters_are_unformed() {
        let mut nodes = nodes(3);
        let first = runs(&[(0, 10), (1, 11), (2, 12)]);
        let ballot = Ballot { round: 1, process: 0 };
        let old = nodes[0].new_formation(&first, 7);
        nodes[2].on_accept(ballot, old);
        // Processes 0 and 1 restart; two of three can't tell whether the old formation holds logs.
        nodes[0] = Forming::new(ProcessId(0), voters(3));
        nodes[1] = Forming::new(ProcessId(1), voters(3));
        let two = runs(&[(0, 20), (2, 12)]);
        let progress = nodes[2].propose(&two, 8);
        assert!(pump(&mut nodes, &two, progress, 2).is_empty());
        let all = runs(&[(0, 20), (1, 21), (2, 12)]);
        let progress = nodes[2].propose(&all, 9);
        let decided = pump(&mut nodes, &all, progress, 2);
        assert_eq!(decided[0].id, 9);
        assert_eq!(decided[0].members.len(), 3);
    }

    #[test]
    fn a_formation_that_can_not_have_begun_is_given_up_without_who_is_gone() {
        for (voters_in_all, members) in [(3, 2), (5, 3)] {
            let mut nodes = nodes(voters_in_all);
            let first: Vec<(u16, u64)> = (0..members).map(|p| (p, 10)).collect();
            let old = nodes[0].new_formation(&runs(&first), 7);
            for node in &mut nodes[1..usize::from(members)] {
                node.on_accept(Ballot { round: 1, process: 0 }, old.clone());
            }
            // Process 0 is gone, and may have become a member. The others that it named have not.
            let rest: Vec<(u16, u64)> = (1..=members).map(|p| (p, 10)).collect();
            let rest = runs(&rest);
            let progress = nodes[1].propose(&rest, 8);
            let decided = pump(&mut nodes, &rest, progress, 1);
            assert_eq!(decided[0].id, 8, "{voters_in_all} voters");
        }
    }

    #[test]
    fn a_single_voter_forms_alone() {
        let mut nodes = nodes(1);
        let progress = nodes[0].propose(&runs(&[(0, 5)]), 3);
        assert_eq!(progress.decided.unwrap().id, 3);
    }
}
