//! What a peer may say. Frames that decode are not yet true: raft-rs panics on a message that no member of ours
//! sends (an append beyond the log, a rejection of an entry that never was), and so would our own arithmetic (a
//! ballot after which there is none). Every message is judged here before anything else sees it.
//!
//! This keeps a replica alive among peers that are broken or strange; it does not make Raft safe against peers that
//! lie with values that could be true (a vote given twice, an acknowledgement of what was not written).

use std::collections::BTreeSet;

use raft::eraftpb::{Message, MessageType};
use raft::{Raft, StateRole};

use crate::ids::{MemberId, ProcessId};
use crate::storage::memory::MemoryLog;

use super::formation::Formation;
use super::group::{Phase, Replica};
use super::members::MEMBER_ID_MAX;
use super::message::{Ballot, PeerMessage};

/// No real term or round is so far ahead; a message that claims it would exhaust them.
const JUMP_MAX: u64 = 1 << 32;
/// Our own reasons have some hundred bytes. They go to the operator's log.
const REASON_BYTES_MAX: usize = 4096;

type Judgement = Result<(), &'static str>;

impl Replica {
    /// Refuses what no peer of ours says. Raft messages are judged in [`raft_message`], by the node's state.
    pub(super) fn judge(&self, from: ProcessId, message: &PeerMessage) -> Judgement {
        match message {
            PeerMessage::Standing(standing) => match &standing.member {
                Some((theirs, id)) => formation(theirs).and_then(|()| holds(theirs, *id, from)),
                None => Ok(()),
            },
            PeerMessage::Welcome(theirs, id) => {
                formation(theirs).and_then(|()| holds(theirs, *id, self.config.me))
            }
            PeerMessage::Prepare(ballot) => self.judge_ballot(*ballot, Some(from)),
            PeerMessage::Accept(ballot, theirs) => {
                self.judge_ballot(*ballot, Some(from)).and_then(|()| formation(theirs))
            }
            PeerMessage::Promise(_, Some((accepted, theirs))) => {
                self.judge_ballot(*accepted, None).and_then(|()| formation(theirs))
            }
            PeerMessage::Refused(promised) => self.judge_ballot(*promised, None),
            PeerMessage::Promise(_, None) | PeerMessage::Accepted(_) | PeerMessage::Raft(..) => Ok(()),
            PeerMessage::CutOff { reason, .. } if reason.len() > REASON_BYTES_MAX => Err("a reason that is too long"),
            PeerMessage::CutOff { .. } | PeerMessage::Restore(_) => Ok(()),
            // A leader has everything that is committed anywhere in its formation.
            PeerMessage::Report(report) => match self.node() {
                Some(node)
                    if node.is_leader()
                        && report.delivered > node.last_index()
                        && self.peers.get(from).is_some_and(|peer| peer.member_in(node.formation().id).is_some()) =>
                {
                    Err("it has delivered what this leader does not have")
                }
                _ => Ok(()),
            },
            // With another run's name a peer could use up the numbers of that run's wishes.
            PeerMessage::Prefer(wish) => {
                let run = self.peers.get(from).and_then(|peer| peer.run);
                let is_its_own = wish.origin.process == from && run == Some(wish.origin.run);
                is_its_own.then_some(()).ok_or("a wish in the name of another run")
            }
        }
    }

    /// `proposer`: whose ballot it must be.
    fn judge_ballot(&self, ballot: Ballot, proposer: Option<ProcessId>) -> Judgement {
        let Phase::Unformed(shaping) = &self.phase else { return Ok(()) };
        if proposer.is_some_and(|process| process.0 != ballot.process) {
            return Err("a ballot of another process");
        }
        if ballot.round > shaping.forming.highest_round().saturating_add(JUMP_MAX) {
            return Err("a ballot that can't be");
        }
        Ok(())
    }
}

/// Refuses a formation that forming can't decide on and an operator's act can't begin.
pub(super) fn formation(formation: &Formation) -> Judgement {
    let members = &formation.members;
    let ids: BTreeSet<MemberId> = members.iter().map(|member| member.id).collect();
    let processes: BTreeSet<ProcessId> = members.iter().map(|member| member.process).collect();
    if members.is_empty() {
        Err("a formation without members")
    } else if ids.len() < members.len() {
        Err("a formation with one member id twice")
    } else if processes.len() < members.len() {
        Err("a formation with one process twice")
    } else if ids.iter().any(|id| id.get() > MEMBER_ID_MAX) {
        Err("a formation with a member id that can't be")
    } else if formation.generation == 0 || formation.generation == u32::MAX {
        Err("a formation of a generation that can't be")
    } else if formation.ancestors.is_empty() && formation.inherited != 0 {
        Err("a formation that inherits from no parent")
    } else if formation.ancestors.len() >= formation.generation as usize {
        Err("a formation with more ancestors than generations before it")
    } else if formation.ancestors.contains(&formation.id) {
        Err("a formation that is its own ancestor")
    } else {
        Ok(())
    }
}

/// Who was admitted later has an id that the formation does not name; a named one belongs to one process.
fn holds(formation: &Formation, id: MemberId, process: ProcessId) -> Judgement {
    let other = formation.members.iter().any(|member| member.id == id && member.process != process);
    if other {
        Err("a member id that belongs to another process")
    } else if id.get() > MEMBER_ID_MAX {
        Err("a member id that can't be")
    } else {
        Ok(())
    }
}

/// Refuses a message that raft-rs would panic on, or that its checks take for granted.
pub(super) fn raft_message(raft: &Raft<MemoryLog>, message: &Message) -> Judgement {
    use MessageType::*;
    let last = raft.raft_log.last_index();
    if message.to != raft.id {
        return Err("addressed to another member");
    }
    if message.from == raft.id {
        return Err("in this member's own name");
    }
    if message.term > raft.term.saturating_add(JUMP_MAX) {
        return Err("a term that can't be");
    }
    if message.term == 0 {
        return Err("without a term");
    }
    match message.get_msg_type() {
        MsgAppend => append(raft, message),
        // A leader commits here no more than this member has acknowledged, in this life or an earlier one.
        MsgHeartbeat if message.commit > last => Err(
            "a heartbeat commits entries that this member has acknowledged and does not have: where raft.data_dir is an \
             older copy, move it away and restart, and this replica is rebuilt from the others",
        ),
        MsgAppendResponse | MsgHeartbeatResponse if message.request_snapshot != 0 => Err("asks for a snapshot"),
        MsgAppendResponse | MsgHeartbeatResponse if raft.state == StateRole::Leader && message.term == raft.term => {
            response(last, message)
        }
        // A candidate's log must be on disk. An orderly hand-over waits for that; raft-rs does not look again.
        MsgTimeoutNow if raft.raft_log.persisted != last => {
            Err("asks this member to campaign before what it has is on disk")
        }
        MsgAppendResponse | MsgHeartbeat | MsgHeartbeatResponse | MsgRequestVote | MsgRequestVoteResponse
        | MsgRequestPreVote | MsgRequestPreVoteResponse | MsgTimeoutNow => Ok(()),
        _ => Err("of a type that members do not send"),
    }
}

/// An answer to this leader, in its term.
fn response(last: u64, message: &Message) -> Judgement {
    if message.reject && (message.index > last || message.reject_hint > last) {
        Err("rejects entries that do not exist")
    } else if message.index > last {
        Err("acknowledges entries that do not exist")
    } else {
        Ok(())
    }
}

fn append(raft: &Raft<MemoryLog>, message: &Message) -> Judgement {
    let log = &raft.raft_log;
    if message.term == raft.term && raft.state == StateRole::Leader {
        return Err("an append from a second leader of the same term");
    }
    let entries = &message.entries;
    if message.index.checked_add(entries.len() as u64 + 1).is_none() {
        return Err("an append past the last index that there is");
    }
    // raft-rs says "term 0" of every index outside its log, and would take such an append for one that fits.
    if message.log_term == 0 && message.index != 0 {
        return Err("an append behind an entry without a term");
    }
    let mut term = message.log_term.max(1);
    for (entry, index) in entries.iter().zip(message.index + 1..) {
        if entry.index != index || entry.term < term || entry.term > message.term {
            return Err("an append whose entries are out of order");
        }
        term = entry.term;
    }
    let starts_here = log.match_term(message.index, message.log_term);
    // What left memory can't be compared. raft-rs does not look at it either: it is committed.
    let known = entries.iter().skip_while(|e| e.index < log.first_index());
    let mut committed = known.take_while(|e| e.index <= log.committed);
    if starts_here && committed.any(|e| !log.match_term(e.index, e.term)) {
        return Err("an append that contradicts committed entries");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RunId;
    use crate::replica::config::{Limits, Timing};
    use crate::replica::formation::Member;
    use crate::replica::members::initial_conf_state;
    use crate::replica::node::{Applying, Node};
    use raft::eraftpb::Entry;

    #[test]
    fn an_append_that_begins_before_what_is_left_in_memory_is_answered() {
        let member = |n: u16| Member { process: ProcessId(n), run: RunId(1), id: MemberId::new(1 + u64::from(n)).unwrap() };
        let formation = Formation { generation: 1, id: 7, ancestors: Vec::new(), inherited: 0, members: vec![member(0), member(1)] };
        let log = MemoryLog::new(initial_conf_state(&formation), None);
        let mut node = Node::new(formation, member(0).id, log, 0, &Timing::default(), &Limits::default(), false).unwrap();
        let entries: Vec<Entry> = (1..=4).map(|index| Entry { index, term: 1, ..Entry::default() }).collect();
        let mut append = Message { from: 2, to: 1, term: 1, commit: 4, ..Message::default() };
        append.set_msg_type(MessageType::MsgAppend);
        append.set_entries(entries.into());
        node.step(append.clone()).unwrap();
        while node.has_ready(Applying::Goes) {
            let pass = node.pass(Applying::Goes);
            if let Some(last) = pass.committed.last() {
                node.applied(crate::ids::LogIndex(last.index));
            }
        }
        node.drop_through(crate::ids::LogIndex(3));
        // A leader that has heard nothing of this member yet begins at the start.
        assert_eq!(node.step(append), Ok(()));
        assert!(node.pass(Applying::Goes).messages.iter().any(|m| !m.reject && m.index == 4));
    }
}
