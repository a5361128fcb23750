//! Who started the log: a formation and its members.

use crate::ids::{LogIndex, MemberId, ProcessId, RunId};

use super::planted::{self, Bug};

/// A shard's beginning, decided once among the runs of the voter sites (DESIGN "Forming").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formation {
    /// 1 for the first; an operator's act lets a survivor begin generation + 1.
    pub generation: u32,
    /// Random.
    pub id: u64,
    /// The formations that this one continues, the latest first: the parent, its parent, and so on. Empty for generation
    /// 1. No more than [`ANCESTORS_MAX`]: so many operator's acts later nothing is left to meet.
    pub ancestors: Vec<u64>,
    /// Log entries through this index were inherited from the parent: they are history, and membership
    /// changes among them are not applied. 0 in generation 1.
    pub inherited: u64,
    /// The members that the log starts with.
    pub members: Vec<Member>,
}

/// A formation names no more formations than this before it.
pub const ANCESTORS_MAX: usize = 256;

/// How another formation stands to ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinship {
    /// It continues ours, at once or through others: it wins (DESIGN "Too many lost at once").
    Descendant,
    /// Ours continues it.
    Ancestor,
    /// Both continue this one: two survivors went on alone.
    Sibling(u64),
    /// None that either of them knows of.
    Unrelated,
}

impl Formation {
    /// The generation that `survivor` begins alone, from a log that ends with `last`.
    pub fn continued_by(&self, survivor: Member, id: u64, last: LogIndex) -> Self {
        let ancestors = std::iter::once(self.id).chain(self.ancestors.iter().copied());
        Self {
            generation: self.generation + 1,
            id,
            ancestors: ancestors.take(ANCESTORS_MAX).collect(),
            inherited: last.0,
            members: vec![survivor],
        }
    }

    /// How `other` stands to this one; the same formation is nobody's kin.
    pub fn kinship_of(&self, other: &Formation) -> Kinship {
        let generations = if planted::has(Bug::KnowOnlyTheParent) { 1 } else { ANCESTORS_MAX };
        let continues = |child: &Formation, id: u64| child.ancestors.iter().take(generations).any(|&known| known == id);
        if continues(other, self.id) {
            Kinship::Descendant
        } else if continues(self, other.id) {
            Kinship::Ancestor
        } else {
            let common = self.ancestors.iter().find(|&&id| continues(other, id));
            common.map_or(Kinship::Unrelated, |id| Kinship::Sibling(*id))
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::judging;

    #[test]
    fn a_formation_forgets_its_oldest_ancestors_and_stays_valid() {
        let survivor = Member { process: ProcessId(0), run: RunId(1), id: MemberId::new(1).unwrap() };
        let mut formations = vec![Formation { generation: 1, id: 1, ancestors: Vec::new(), inherited: 0, members: vec![survivor] }];
        for id in 2..=ANCESTORS_MAX as u64 + 2 {
            formations.push(formations.last().unwrap().continued_by(survivor, id, LogIndex(id)));
        }
        assert!(formations.iter().all(|formation| judging::formation(formation).is_ok()));
        let last = formations.last().unwrap();
        assert_eq!(last.ancestors.len(), ANCESTORS_MAX);
        assert_eq!(formations[0].kinship_of(last), Kinship::Unrelated);
        assert_eq!(formations[1].kinship_of(last), Kinship::Descendant);
        assert_eq!(last.kinship_of(&formations[1]), Kinship::Ancestor);
    }
}
