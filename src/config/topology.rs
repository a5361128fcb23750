//! Who replicates what: the sites, processes and partitions of a shard, and the groups they form.
//!
//! A value of these types has been checked by [`super::load`]: every id is the index into its list,
//! every partition has a voter, no process holds a partition twice, and the voters of two partitions are the same
//! processes or have none in common.

use std::collections::HashMap;

use super::fingerprint::fingerprint_of_groups;
use super::settings::Grouping;
use crate::ids::{GroupId, PartitionId, ProcessId, SiteId};

/// The shard as one process sees it. Equal in every process that reads the same files, but for `me`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Indexed by [`ProcessId`]: in the order in which they first appear among the sites.
    pub processes: Vec<Process>,
    /// Indexed by [`SiteId`]: in reading order across files.
    pub sites: Vec<Site>,
    /// Indexed by [`PartitionId`]: the rows of `site.server`, in reading order across files.
    pub partitions: Vec<Partition>,
    /// The process named by `-P`.
    pub me: ProcessId,
    /// Equal in processes whose sites, processes, hosts and ports are equal, whatever `me` and the
    /// `raft` section are. What peers compare is made of it, and a data directory bears it: Mako's shards have the same names.
    pub fingerprint: u64,
    /// The same without hosts and ports. A data directory bears it too: with other names it is another shard's, even if that moved.
    pub names_fingerprint: u64,
}

/// Whether a process's replicas count in elections and quorums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// They vote.
    Voter,
    /// They receive everything and count for nothing: the process's name begins with `learner`.
    Learner,
}

/// One process of the shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its place in [`Topology::processes`].
    pub id: ProcessId,
    /// Its name in the files.
    pub name: String,
    /// The address that peers dial: a name or an IP address.
    pub host: String,
    /// The one port that it listens on: that of its first site.
    pub listen_port: u16,
    /// Whether it votes.
    pub role: Role,
    /// Its sites in reading order; never empty.
    pub sites: Vec<SiteId>,
}

/// One replica of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Its place in [`Topology::sites`].
    pub id: SiteId,
    /// Its name in the files.
    pub name: String,
    /// The row that it stands in.
    pub partition: PartitionId,
    /// The column that it stands in, counted from 0.
    pub locale: u16,
    /// The process that runs it.
    pub process: ProcessId,
    /// The address of its process.
    pub host: String,
    /// The port written beside its name. Only the process's first one is listened on.
    pub port: u16,
}

/// One row of `site.server`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its place in [`Topology::partitions`].
    pub id: PartitionId,
    /// Its sites in locale order; never empty.
    pub sites: Vec<SiteId>,
}

/// The members-to-be of one Raft group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupLayout {
    /// Numbered in the order of the groups' first partitions.
    pub id: GroupId,
    /// Its partitions, ascending.
    pub partitions: Vec<PartitionId>,
    /// The processes that may vote, in locale order of its first partition.
    pub voters: Vec<ProcessId>,
    /// The processes that only receive, in the same order.
    pub learners: Vec<ProcessId>,
    /// The process that Mako submits on: it runs the voting site of the lowest locale. Where the
    /// group's partitions differ in that, the one whose name begins with `localhost`, else that of
    /// the first partition.
    pub designated: Option<ProcessId>,
}

impl Topology {
    /// The Raft groups, in the order of their first partitions; the same in every process.
    ///
    /// [`Grouping::Shard`] joins all partitions that are replicated by the same set of processes;
    /// [`Grouping::Partition`] gives each partition a group of its own.
    pub fn groups(&self, grouping: Grouping) -> Vec<GroupLayout> {
        let mut members: Vec<Vec<PartitionId>> = Vec::new();
        let mut group_of: HashMap<Vec<ProcessId>, usize> = HashMap::new();
        for partition in &self.partitions {
            if grouping == Grouping::Partition {
                members.push(vec![partition.id]);
                continue;
            }
            let mut replicas = self.replicas(partition);
            replicas.sort();
            let index = *group_of.entry(replicas).or_insert(members.len());
            if index == members.len() {
                members.push(Vec::new());
            }
            members[index].push(partition.id);
        }
        members.into_iter().enumerate().map(|(id, partitions)| self.group(id, partitions)).collect()
    }

    /// What peers compare when they meet: equal where the fingerprint and all groups are. Of the groups of
    /// [`Grouping::Shard`] it is the fingerprint itself, as versions that did not look at groups say it.
    pub fn greeted_fingerprint(&self, grouping: Grouping) -> u64 {
        let groups = self.groups(grouping);
        if groups == self.groups(Grouping::Shard) {
            return self.fingerprint;
        }
        fingerprint_of_groups(self.fingerprint, &groups)
    }

    fn group(&self, id: usize, partitions: Vec<PartitionId>) -> GroupLayout {
        let (voters, learners) = self
            .replicas(self.partition(partitions[0]))
            .into_iter()
            .partition(|process| self.process(*process).role == Role::Voter);
        GroupLayout {
            id: GroupId(u16::try_from(id).expect("there are no more groups than partitions, which load bounds")),
            voters,
            learners,
            designated: self.designated(&partitions),
            partitions,
        }
    }

    /// The processes of a partition in locale order.
    fn replicas(&self, partition: &Partition) -> Vec<ProcessId> {
        partition.sites.iter().map(|site| self.site(*site).process).collect()
    }

    fn designated(&self, partitions: &[PartitionId]) -> Option<ProcessId> {
        let is_voter = |process: &ProcessId| self.process(*process).role == Role::Voter;
        let candidates: Vec<ProcessId> = partitions
            .iter()
            .filter_map(|partition| self.replicas(self.partition(*partition)).into_iter().find(is_voter))
            .collect();
        candidates
            .iter()
            .copied()
            .find(|process| self.process(*process).name.starts_with("localhost"))
            .or_else(|| candidates.first().copied())
    }

    /// The names of this process's sites, the last site of the file first: what `setup` returns.
    pub fn my_site_names(&self) -> Vec<String> {
        let me = self.process(self.me);
        me.sites.iter().rev().map(|site| self.site(*site).name.clone()).collect()
    }

    /// The process with this id, which must come from this topology.
    pub fn process(&self, id: ProcessId) -> &Process {
        &self.processes[usize::from(id.0)]
    }

    /// The site with this id, which must come from this topology.
    pub fn site(&self, id: SiteId) -> &Site {
        &self.sites[usize::from(id.0)]
    }

    /// The partition with this id, which must come from this topology.
    pub fn partition(&self, id: PartitionId) -> &Partition {
        &self.partitions[id.0 as usize]
    }

    /// The process that runs a site; `None` for an id that names no site.
    pub fn process_of_site(&self, site: SiteId) -> Option<ProcessId> {
        self.sites.get(usize::from(site.0)).map(|site| site.process)
    }

    /// The site that replicates `partition` in `process`; `None` where it holds no replica of it, or
    /// where either id names nothing.
    pub fn site_of(&self, partition: PartitionId, process: ProcessId) -> Option<SiteId> {
        let sites = &self.partitions.get(partition.0 as usize)?.sites;
        sites.iter().copied().find(|site| self.site(*site).process == process)
    }

    /// The site with this name.
    pub fn site_named(&self, name: &str) -> Option<&Site> {
        self.sites.iter().find(|site| site.name == name)
    }
}
