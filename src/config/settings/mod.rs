//! The `raft` section: what its keys mean, and from which place a value is taken. The keys themselves are
//! one table, in `keys.rs`.

mod keys;
#[cfg(test)]
mod tests;
mod values;

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;

pub use keys::{markdown_table, Key, KEYS};

use super::error::quoted;
use super::nearest::nearest;
use super::sections::Table;
use super::topology::Topology;
use super::yaml;
use super::{Arguments, ConfigError, Place};
use crate::ids::{ProcessId, SiteId};
use keys::Kind;

/// Where each key that was given was given last, and its name there.
type Given = HashMap<&'static str, (Place, String)>;

/// The checked settings. Times in milliseconds where nothing else is said, sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How often a replica's clock ticks.
    pub tick_ms: u64,
    /// How often a leader says that it is alive.
    pub heartbeat_ms: u64,
    /// Shortest time without a leader before a replica campaigns; randomised up to twice that.
    pub election_ms: u64,
    /// How long others leave the designated process the first move.
    pub form_wait_ms: u64,
    /// A member not heard for so long doesn't hold back the log's truncation.
    pub absent_ms: u64,
    /// How long `pre_shutdown_step` waits for accepted logs.
    pub drain_ms: u64,
    /// How long a submission waits at a full queue.
    pub submit_wait_ms: u64,
    /// The longest that a replica's event loop looks for work before it sleeps, in microseconds.
    pub busy_poll_us: u64,
    /// Who should lead.
    pub preferred_leader: PreferredLeader,
    /// Which partitions share a Raft group.
    pub grouping: Grouping,
    /// What the election callback is called with.
    pub election_codes: ElectionCodes,
    /// Accepted and not yet committed, per partition.
    pub queue_bytes: u64,
    /// The Raft log in memory, per process.
    pub log_memory_bytes: u64,
    /// The longest log that is accepted.
    pub max_log_bytes: u64,
    /// A longer log travels in pieces of this size.
    pub fragment_bytes: u64,
    /// Where durable logs live; `None` keeps the log in memory only.
    pub data_dir: Option<PathBuf>,
    /// What a durable log waits for before it is acknowledged.
    pub durability: Durability,
    /// The status endpoint's port, where the key is given; see [`super::Configuration::status_port`].
    pub control_port: Option<u16>,
    /// The operator's act: whom this process lets begin the next generation.
    pub restore: Option<RestoreOrder>,
    /// The operator's order: a data directory that bears this fingerprint of hosts and ports is this shard's.
    pub moved_from: Option<u64>,
}

/// `raft.restore`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreOrder {
    /// The process that has the log.
    pub survivor: ProcessId,
    /// The formations (one per group) that it may continue alone.
    pub formations: Vec<u64>,
}

/// `raft.preferred_leader`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreferredLeader {
    /// The group's designated process.
    Designated,
    /// Nobody: whoever leads goes on leading.
    Nobody,
    /// The process that runs this site. It votes in each partition that it holds.
    Site(SiteId),
}

/// `raft.grouping`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// All partitions with the same replica processes share one Raft group.
    Shard,
    /// Each partition is a Raft group of its own.
    Partition,
}

impl Grouping {
    /// As the key has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Shard => "shard",
            Self::Partition => "partition",
        }
    }
}

/// `raft.election_codes`: what the election callback is called with; `None` keeps it silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElectionCodes {
    /// First leadership after a fresh formation.
    pub first: Option<i32>,
    /// Any later leadership.
    pub gained: Option<i32>,
    /// Leadership lost to another run.
    pub lost: Option<i32>,
}

/// `raft.durability`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Acknowledged once it is on disk: survives a power cut.
    Fsync,
    /// Acknowledged once the operating system has it: survives the death of the process only.
    Os,
}

impl Default for Settings {
    fn default() -> Self {
        // Every field is overwritten by its default in `KEYS`.
        let mut settings = Self {
            tick_ms: 0,
            heartbeat_ms: 0,
            election_ms: 0,
            form_wait_ms: 0,
            absent_ms: 0,
            drain_ms: 0,
            submit_wait_ms: 0,
            busy_poll_us: 0,
            preferred_leader: PreferredLeader::Designated,
            grouping: Grouping::Shard,
            election_codes: ElectionCodes { first: None, gained: None, lost: None },
            queue_bytes: 0,
            log_memory_bytes: 0,
            max_log_bytes: 0,
            fragment_bytes: 0,
            data_dir: None,
            durability: Durability::Fsync,
            control_port: None,
            restore: None,
            moved_from: None,
        };
        for key in KEYS {
            let node = yaml::parse(key.default).expect("the table's defaults are YAML");
            values::set(&mut settings, key, &node, None)
                .unwrap_or_else(|_| unreachable!("the table's default of {} is in its range", key.name));
        }
        settings
    }
}

impl Settings {
    /// From the files' `raft` section, then the environment, then the command line; the later wins. Also
    /// what is odd and allowed.
    ///
    /// # Errors
    /// The first value that is refused, or the first two that don't go together, with the place and key.
    pub(super) fn read(
        section: &Table,
        environment: &dyn Fn(&str) -> Option<OsString>,
        arguments: &Arguments,
        topology: &Topology,
    ) -> Result<(Self, Vec<String>), ConfigError> {
        let mut settings = Self::default();
        let mut given = Given::default();
        settings.read_section(section, topology, &mut given)?;
        settings.read_environment(environment, topology, &mut given)?;
        let mut warnings = Vec::new();
        if let Some(directory) = &arguments.data_dir {
            settings.data_dir = Some(directory.clone());
        }
        if let Some(groups) = &arguments.raft_groups {
            match groups.to_ascii_lowercase().as_str() {
                "single" | "shard" => settings.grouping = Grouping::Shard,
                "multi" | "partition" => settings.grouping = Grouping::Partition,
                _ => warnings.push(format!(
                    "command line: --raft-groups: {} is ignored; known are single or shard, multi or partition",
                    quoted(groups)
                )),
            }
        }
        settings.check_together(&given)?;
        if settings.election_ms < 3 * settings.heartbeat_ms {
            warnings.push(format!(
                "raft.election_ms: {} is less than three times heartbeat_ms {}: one late heartbeat can end a leadership",
                settings.election_ms, settings.heartbeat_ms
            ));
        }
        Ok((settings, warnings))
    }

    fn read_section(&mut self, section: &Table, topology: &Topology, given: &mut Given) -> Result<(), ConfigError> {
        for (name, value) in section {
            let path = format!("raft.{name}");
            let Some(key) = KEYS.iter().find(|key| key.name == name) else {
                let near = nearest(name, KEYS.iter().map(|key| key.name)).unwrap_or_default();
                let expected = format!("a key of the raft section; the nearest is {near}");
                return Err(ConfigError::new(value.place(), path, "unknown key", expected));
            };
            values::set(self, key, &value.node, Some(topology)).map_err(|refusal| {
                let (path, line) = match refusal.within {
                    Some((within, line)) => (format!("{path}.{within}"), line),
                    None => (path.clone(), value.line),
                };
                ConfigError::new(Place::line(&value.file, line), path, refusal.found, refusal.expected)
            })?;
            given.insert(key.name, (value.place(), path));
        }
        Ok(())
    }

    fn read_environment(
        &mut self,
        environment: &dyn Fn(&str) -> Option<OsString>,
        topology: &Topology,
        given: &mut Given,
    ) -> Result<(), ConfigError> {
        for key in KEYS {
            let variable = key.variable();
            let Some(value) = environment(&variable) else { continue };
            let refused = |within: Option<(String, usize)>, found: String, expected: String| {
                let path = match within {
                    Some((within, _)) => format!("{variable}.{within}"),
                    None => variable.clone(),
                };
                ConfigError::new(Place::Environment, path, found, expected)
            };
            let text = value.into_string().map_err(|odd| {
                refused(None, format!("{}, which is not UTF-8", quoted(&odd.to_string_lossy())), key.allowed())
            })?;
            // The one key with a structure; the others take their text as it is, so that a path needs no quotes.
            let node = match key.kind {
                Kind::ElectionCodes => {
                    yaml::parse(&text).map_err(|fault| refused(None, fault.found, key.allowed()))?
                }
                _ => yaml::text(&text),
            };
            values::set(self, key, &node, Some(topology))
                .map_err(|refusal| refused(refusal.within, refusal.found, refusal.expected))?;
            given.insert(key.name, (Place::Environment, variable));
        }
        Ok(())
    }

    /// The rules between keys. An error is placed at the first of the rule's keys that was given.
    fn check_together(&self, given: &Given) -> Result<(), ConfigError> {
        let Self { tick_ms, heartbeat_ms, election_ms, absent_ms, fragment_bytes, log_memory_bytes, .. } = self;
        // Two ticks, since each of the two times may be rounded by one.
        let election_min_ms = heartbeat_ms + 2 * tick_ms;
        let rules: [(&[&str], bool, String, String); 4] = [
            (
                &["heartbeat_ms", "tick_ms"],
                heartbeat_ms >= tick_ms,
                format!("heartbeat_ms {heartbeat_ms} is less than tick_ms {tick_ms}"),
                "heartbeat_ms of at least tick_ms".to_owned(),
            ),
            (
                &["election_ms", "heartbeat_ms", "tick_ms"],
                *election_ms >= election_min_ms,
                format!("election_ms {election_ms} is too short for heartbeat_ms {heartbeat_ms} and tick_ms {tick_ms}"),
                format!("election_ms of at least heartbeat_ms + 2 * tick_ms = {election_min_ms}"),
            ),
            (
                &["absent_ms", "election_ms"],
                *absent_ms >= 2 * election_ms,
                format!("absent_ms {absent_ms} is less than twice election_ms {election_ms}"),
                format!("absent_ms of at least {}", 2 * election_ms),
            ),
            (
                &["fragment_bytes", "log_memory_bytes"],
                fragment_bytes <= log_memory_bytes,
                format!("fragment_bytes {fragment_bytes} is more than log_memory_bytes {log_memory_bytes}"),
                "fragment_bytes of at most log_memory_bytes".to_owned(),
            ),
        ];
        for (keys, holds, found, expected) in rules {
            if !holds {
                let (place, path) = keys
                    .iter()
                    .find_map(|key| given.get(key))
                    .expect("the defaults keep every rule, so one of its keys was given");
                return Err(ConfigError::new(place.clone(), path.clone(), found, expected));
            }
        }
        Ok(())
    }
}
