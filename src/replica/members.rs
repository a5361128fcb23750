//! Who the members are: what the log says, not what the configuration hopes.

use std::collections::BTreeMap;

use raft::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState};

use crate::ids::{MemberId, ProcessId, RunId};

use super::formation::{Formation, Member};
use super::payload::PayloadError;
use super::planted::{self, Bug};

/// One more admission each millisecond reaches it in fifty days; the next id must still be a number.
pub const MEMBER_ID_MAX: u64 = u32::MAX as u64;

/// Members of the formation, past ones included: a Raft id is never used twice.
#[derive(Debug, Clone)]
pub struct Members {
    known: BTreeMap<MemberId, Member>,
}

impl Members {
    /// The members that the formation starts with.
    pub fn new(formation: &Formation) -> Self {
        Self { known: formation.members.iter().map(|m| (m.id, *m)).collect() }
    }

    /// An admission was applied.
    pub fn admit(&mut self, member: Member) {
        self.known.insert(member.id, member);
    }

    /// The next unused Raft id. Only right when every membership change in the log has been applied, which
    /// raft-rs demands of a leader before it takes another.
    pub fn next_id(&self) -> MemberId {
        let highest = self.known.keys().next_back().map_or(0, |id| id.get());
        MemberId::new(highest + 1).expect("one more than something")
    }

    /// The member with this id.
    pub fn get(&self, id: u64) -> Option<&Member> {
        self.known.get(&MemberId::new(id)?)
    }

    /// The ids under which `run` of `process` was ever admitted.
    pub fn of_run(&self, process: ProcessId, run: RunId) -> impl Iterator<Item = MemberId> + '_ {
        self.known.values().filter(move |m| m.process == process && m.run == run).map(|m| m.id)
    }

    /// Ids among `ids` that belong to `process`, other than `except`.
    pub fn of_process<'a>(
        &'a self,
        ids: &'a [u64],
        process: ProcessId,
        except: Option<MemberId>,
    ) -> impl Iterator<Item = MemberId> + 'a {
        ids.iter()
            .filter_map(|&id| self.get(id))
            .filter(move |m| m.process == process && Some(m.id) != except)
            .map(|m| m.id)
    }

    /// The processes behind `ids`, sorted.
    pub fn processes(&self, ids: &[u64]) -> Vec<ProcessId> {
        let mut out: Vec<ProcessId> =
            ids.iter().filter_map(|&id| self.get(id)).map(|m| m.process).collect();
        out.sort();
        out.dedup();
        out
    }
}

/// The configuration that the formation's log starts with.
pub fn initial_conf_state(formation: &Formation) -> ConfState {
    ConfState { voters: formation.members.iter().map(|m| m.id.get()).collect(), ..ConfState::default() }
}

fn single(change: ConfChangeType, id: MemberId) -> ConfChangeSingle {
    let mut out = ConfChangeSingle { node_id: id.get(), ..ConfChangeSingle::default() };
    out.set_change_type(change);
    out
}

fn change(changes: Vec<ConfChangeSingle>) -> ConfChangeV2 {
    let mut out = ConfChangeV2::default();
    out.set_transition(ConfChangeTransition::Auto);
    out.set_changes(changes.into());
    out
}

/// Admits `member` as a learner and removes learners that its process was before.
pub fn admit_learner(member: MemberId, former_learners: impl Iterator<Item = MemberId>) -> ConfChangeV2 {
    let newcomer =
        if planted::has(Bug::NewcomerVotesAtOnce) { ConfChangeType::AddNode } else { ConfChangeType::AddLearnerNode };
    let mut changes = vec![single(newcomer, member)];
    changes.extend(former_learners.map(|id| single(ConfChangeType::RemoveNode, id)));
    change(changes)
}

/// Makes a learner a voter and removes, in the same joint change, everything that its process was before.
pub fn promote(member: MemberId, former: impl Iterator<Item = MemberId>) -> ConfChangeV2 {
    let mut changes = vec![single(ConfChangeType::AddNode, member)];
    changes.extend(former.map(|id| single(ConfChangeType::RemoveNode, id)));
    change(changes)
}

/// Removes a member that can't follow any more.
pub fn remove(member: MemberId) -> ConfChangeV2 {
    change(vec![single(ConfChangeType::RemoveNode, member)])
}

const MEMBER_BYTES: usize = 18;

/// The context of an admission's log entry: id u64, process u16, run u64.
pub fn encode_member(member: &Member) -> [u8; MEMBER_BYTES] {
    let mut out = [0; MEMBER_BYTES];
    out[..8].copy_from_slice(&member.id.get().to_le_bytes());
    out[8..10].copy_from_slice(&member.process.0.to_le_bytes());
    out[10..].copy_from_slice(&member.run.0.to_le_bytes());
    out
}

/// The reverse of [`encode_member`].
pub fn decode_member(bytes: &[u8]) -> Result<Member, PayloadError> {
    let bytes: &[u8; MEMBER_BYTES] =
        bytes.try_into().map_err(|_| PayloadError("a member record is 18 bytes"))?;
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let id = MemberId::new(u64_at(0)).filter(|id| id.get() <= MEMBER_ID_MAX);
    Ok(Member {
        id: id.ok_or(PayloadError("a member id that can't be"))?,
        process: ProcessId(u16::from_le_bytes([bytes[8], bytes[9]])),
        run: RunId(u64_at(10)),
    })
}
