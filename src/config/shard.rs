//! From the sections to a checked [`Topology`]: every mistake in `site`, `process` and `host` is found here.

use std::collections::HashMap;

use super::error::quoted;
use super::fingerprint::{fingerprint, fingerprint_of_names};
use super::nearest::nearest;
use super::sections::{name, Row, Sections};
use super::settings::Grouping;
use super::topology::{Partition, Process, Role, Site, Topology};
use super::yaml::{Node, Value};
use super::{ConfigError, Place};
use crate::ids::{PartitionId, ProcessId, SiteId};

/// A thread each; Mako's largest shards have some tens.
const PARTITIONS_MAX: usize = 4_096;
/// Site ids travel as 16 bits in Mako's interface, where 65535 means "unknown".
const SITES_MAX: usize = 65_535;

/// The shard that the sections describe, as `me` sees it.
pub(super) fn topology(sections: &Sections, me: &str) -> Result<Topology, ConfigError> {
    let mut shard = Shard::new(sections);
    if sections.rows.is_empty() {
        return Err(ConfigError::new(
            Place::CommandLine,
            "-f",
            format!("no partition in the site.server of {}", sections.files.join(", ")),
            "one more file, with a list of partitions there, each a list of NAME:PORT",
        ));
    }
    for row in &sections.rows {
        shard.add_row(row)?;
    }
    let me = shard.me(me)?;
    let Shard { processes, sites, partitions, .. } = shard;
    let fingerprint = fingerprint(&processes, &sites, &partitions);
    let names_fingerprint = fingerprint_of_names(&processes, &sites, &partitions);
    Ok(Topology { processes, sites, partitions, me, fingerprint, names_fingerprint })
}

/// One line for each set of replica processes with an even number of voters.
pub(super) fn warnings(topology: &Topology) -> Vec<String> {
    let mut warnings = Vec::new();
    for group in topology.groups(Grouping::Shard) {
        let partitions = match group.partitions.as_slice() {
            [only] => format!("partition {only}"),
            [first, .., last] => format!("{} partitions from {first} to {last}", group.partitions.len()),
            [] => continue,
        };
        let voters = group.voters.len();
        if voters % 2 == 0 {
            warnings.push(format!(
                "site.server: {partitions}: {voters} voters, an even number, tolerate {} failed, no more than {} would",
                voters / 2 - 1,
                voters - 1
            ));
        }
    }
    warnings
}

/// The topology while it grows.
struct Shard<'a> {
    sections: &'a Sections,
    processes: Vec<Process>,
    sites: Vec<Site>,
    partitions: Vec<Partition>,
    /// Where each site is written, by its id.
    places: Vec<Place>,
    /// Where each partition's row is written, by its id.
    rows: Vec<Place>,
    /// The first partition that each process votes in.
    votes_first_in: HashMap<ProcessId, PartitionId>,
    process_ids: HashMap<String, ProcessId>,
    site_ids: HashMap<String, SiteId>,
    addresses: HashMap<(String, u16), SiteId>,
}

/// One entry of a row while it is checked.
struct Entry<'a> {
    key: String,
    place: Place,
    name: &'a str,
    port: u16,
}

impl Entry<'_> {
    fn refused(&self, found: impl Into<String>, expected: impl Into<String>) -> ConfigError {
        ConfigError::new(self.place.clone(), self.key.clone(), found, expected)
    }
}

impl<'a> Shard<'a> {
    fn new(sections: &'a Sections) -> Self {
        Self {
            sections,
            processes: Vec::new(),
            sites: Vec::new(),
            partitions: Vec::new(),
            places: Vec::new(),
            rows: Vec::new(),
            votes_first_in: HashMap::new(),
            process_ids: HashMap::new(),
            site_ids: HashMap::new(),
            addresses: HashMap::new(),
        }
    }

    fn add_row(&mut self, row: &Row) -> Result<(), ConfigError> {
        let place = Place::line(&row.file, row.node.line);
        let refused =
            |found: String, expected: String| ConfigError::new(place.clone(), row.path.clone(), found, expected);
        let entries = match &row.node.value {
            Value::Sequence(entries) if !entries.is_empty() => entries,
            Value::Sequence(_) => {
                return Err(refused("an empty list".to_owned(), "at least one NAME:PORT".to_owned()))
            }
            _ => return Err(refused(row.node.described(), "a list of NAME:PORT, one partition".to_owned())),
        };
        if self.partitions.len() == PARTITIONS_MAX {
            return Err(refused("one more partition".to_owned(), format!("at most {PARTITIONS_MAX} partitions")));
        }
        let id = PartitionId(u32::try_from(self.partitions.len()).expect("bounded by PARTITIONS_MAX"));
        self.partitions.push(Partition { id, sites: Vec::new() });
        self.rows.push(place.clone());
        for (column, node) in entries.iter().enumerate() {
            let key = format!("{}[{column}]", row.path);
            self.add_site(id, column, entry(node, Place::line(&row.file, node.line), key)?)?;
        }
        let voters = self.voters(id);
        if voters.is_empty() {
            return Err(refused(
                "only learners".to_owned(),
                "at least one site in a process whose name doesn't begin with \"learner\"".to_owned(),
            ));
        }
        if let Some(found) = self.voted_elsewhere(&voters) {
            let expected = "the voting processes of that row, all of them or none: one process leads all partitions of a shard";
            return Err(refused(found, expected.to_owned()));
        }
        for process in voters {
            self.votes_first_in.entry(process).or_insert(id);
        }
        Ok(())
    }

    fn voters(&self, partition: PartitionId) -> Vec<ProcessId> {
        let sites = self.partitions[partition.0 as usize].sites.iter();
        let processes = sites.map(|site| self.sites[usize::from(site.0)].process);
        processes.filter(|&process| self.process(process).role == Role::Voter).collect()
    }

    /// Who leads accepts logs where it leads every partition that it votes in. Where the voters of two rows differ and are not
    /// all others, the rows' leaders would each wait for the other's partition. The rows before agree, so one of them is looked at.
    fn voted_elsewhere(&self, voters: &[ProcessId]) -> Option<String> {
        let (shared, first) = voters.iter().find_map(|process| Some((*process, *self.votes_first_in.get(process)?)))?;
        let there = self.voters(first);
        let only_here = voters.iter().find(|process| !there.contains(process)).map(|process| (process, "here only"));
        let only_there = there.iter().find(|process| !voters.contains(process)).map(|process| (process, "there only"));
        let (other, place) = only_here.or(only_there)?;
        Some(format!(
            "process {} votes here and for partition {first} ({}), but process {} {place}",
            quoted(&self.process(shared).name),
            self.rows[first.0 as usize],
            quoted(&self.process(*other).name)
        ))
    }

    fn add_site(&mut self, partition: PartitionId, column: usize, entry: Entry<'_>) -> Result<(), ConfigError> {
        if self.sites.len() == SITES_MAX {
            return Err(entry.refused("one more site", format!("at most {SITES_MAX} sites")));
        }
        let id = SiteId(u16::try_from(self.sites.len()).expect("bounded by SITES_MAX"));
        if let Some(first) = self.site_ids.insert(entry.name.to_owned(), id) {
            return Err(entry.refused(
                format!("site {} has the name of another ({})", quoted(entry.name), self.written(first)),
                "a name of its own for each site",
            ));
        }
        let process = self.process_of(&entry)?;
        let twin = |site: &&SiteId| self.sites[usize::from(site.0)].process == process;
        if let Some(first) = self.partitions[partition.0 as usize].sites.iter().find(twin) {
            return Err(entry.refused(
                format!(
                    "site {} is in process {}, which replicates partition {partition} already ({})",
                    quoted(entry.name),
                    quoted(&self.process(process).name),
                    self.written(*first)
                ),
                "the replicas of a partition in different processes",
            ));
        }
        let host = self.process(process).host.clone();
        if let Some(first) = self.addresses.insert((comparable(&host), entry.port), id) {
            return Err(entry.refused(
                format!("{host}:{} is the address of another site ({})", entry.port, self.written(first)),
                "a host and port of its own for each site",
            ));
        }
        self.partitions[partition.0 as usize].sites.push(id);
        let first = &mut self.processes[usize::from(process.0)];
        if first.sites.is_empty() {
            first.listen_port = entry.port;
        }
        first.sites.push(id);
        let locale = u16::try_from(column).expect("a row has no more columns than there are sites");
        self.sites.push(Site {
            id,
            name: entry.name.to_owned(),
            partition,
            locale,
            process,
            host,
            port: entry.port,
        });
        self.places.push(entry.place);
        Ok(())
    }

    /// The process that a site is mapped to, new at its first site.
    fn process_of(&mut self, entry: &Entry<'_>) -> Result<ProcessId, ConfigError> {
        let name = match self.sections.process.get(entry.name) {
            Some(given) => {
                name(&given.node, given.place(), &format!("process.{}", entry.name), "the name of a process")?
            }
            // Mako's oldest files name the host of a site and no process: the site is a process of its own.
            None if self.sections.host.contains_key(entry.name) => entry.name,
            None => {
                return Err(entry.refused(
                    format!("site {} is in no process", quoted(entry.name)),
                    format!("a line \"{}: PROCESS\" in the section process", entry.name),
                ))
            }
        };
        if let Some(id) = self.process_ids.get(name) {
            return Ok(*id);
        }
        let id = ProcessId(u16::try_from(self.processes.len()).expect("no more processes than sites"));
        self.process_ids.insert(name.to_owned(), id);
        let role = if name.starts_with("learner") { Role::Learner } else { Role::Voter };
        let host = self.host_of(name)?;
        self.processes.push(Process { id, name: name.to_owned(), host, listen_port: 0, role, sites: Vec::new() });
        Ok(id)
    }

    fn host_of(&self, process: &str) -> Result<String, ConfigError> {
        match self.sections.host.get(process) {
            Some(given) => {
                let address = name(&given.node, given.place(), &format!("host.{process}"), "an address")?;
                Ok(address.to_owned())
            }
            None => Ok(process.to_owned()),
        }
    }

    fn me(&self, name: &str) -> Result<ProcessId, ConfigError> {
        if let Some(id) = self.process_ids.get(name) {
            return Ok(*id);
        }
        let near = nearest(name, self.processes.iter().map(|process| process.name.as_str()));
        Err(ConfigError::new(
            Place::CommandLine,
            "-P",
            format!("no site is in a process {}", quoted(name)),
            format!("the name of a process, such as {}", quoted(near.unwrap_or_default())),
        ))
    }

    fn process(&self, id: ProcessId) -> &Process {
        &self.processes[usize::from(id.0)]
    }

    /// "s101 at file:line" of a site that was added before.
    fn written(&self, site: SiteId) -> String {
        let index = usize::from(site.0);
        format!("{} at {}", self.sites[index].name, self.places[index])
    }
}

/// `NAME:PORT`.
fn entry<'a>(node: &'a Node, place: Place, key: String) -> Result<Entry<'a>, ConfigError> {
    let refused = |found: String, expected: &str| ConfigError::new(place.clone(), key.clone(), found, expected);
    let Value::Scalar(text) = &node.value else {
        return Err(refused(node.described(), "NAME:PORT"));
    };
    let blank = |c: char| c.is_whitespace() || c.is_control();
    let Some((name, port)) = text.rsplit_once(':') else {
        return Err(refused(format!("no port in {}", quoted(text)), "NAME:PORT"));
    };
    if name.is_empty() || name.len() > 255 || name.contains(blank) {
        return Err(refused(quoted(text), "NAME:PORT, the name of 1 to 255 bytes without blanks"));
    }
    match port.parse::<u16>() {
        // `parse` would take a sign as well.
        Ok(port) if port > 0 && !text.contains(":+") => Ok(Entry { key, place, name, port }),
        _ => Err(refused(format!("port {} in {}", quoted(port), quoted(text)), "a port from 1 to 65535")),
    }
}

/// Hosts that are one machine under two names, where that shows without asking a name server.
fn comparable(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    match host.as_str() {
        "localhost" | "::1" => "127.0.0.1".to_owned(),
        _ => host,
    }
}
