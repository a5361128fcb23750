//! Who started the log: a formation and its members.

use crate::ids::{MemberId, ProcessId, RunId};

/// A shard's beginning, decided once among the runs of the voter sites (DESIGN "Forming").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formation {
    /// 1 for the first; an operator's act lets a survivor begin generation + 1.
    pub generation: u32,
    /// Random.
    pub id: u64,
    /// The formation that this one continues; 0 for none.
    pub parent: u64,
    /// Log entries through this index were inherited from the parent: they are history, and membership
    /// changes among them are not applied. 0 unless `parent` is set.
    pub inherited: u64,
    /// The members that the log starts with.
    pub members: Vec<Member>,
}

impl Formation {
    /// The Raft id that `run` of `process` has in this formation from its start.
    pub fn member_of(&self, process: ProcessId, run: RunId) -> Option<MemberId> {
        self.members.iter().find(|m| m.process == process && m.run == run).map(|m| m.id)
    }
}

/// A process bound to a run and a Raft id. A Raft id is never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The process.
    pub process: ProcessId,
    /// The start of it that was admitted.
    pub run: RunId,
    /// Its Raft id.
    pub id: MemberId,
}
