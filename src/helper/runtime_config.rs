//! From Mako's configuration to what the runtime needs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::settings::{Durability, PreferredLeader, Settings};
use crate::config::topology::GroupLayout;
use crate::config::{Configuration, Topology};
use crate::ids::{ProcessId, RunId};
use crate::replica::{self, Limits, Timing};
use crate::runtime::{ElectionCodes, GroupConfig, RuntimeConfig};
use crate::storage::disk;
use crate::transport::PeerAddress;

use super::run_id;

/// Of one of many groups: enough to have the next on the way while one is acknowledged.
const IN_FLIGHT_MESSAGES_MIN: usize = 4;

/// What `setup` learned, for a new run. `setup2` decides about campaigning.
pub(super) fn runtime_config(configuration: &Configuration, run: RunId) -> RuntimeConfig {
    let Configuration { topology, settings, arguments, .. } = configuration;
    let me = topology.process(topology.me);
    let groups: Vec<GroupConfig> = topology
        .groups(settings.grouping)
        .into_iter()
        .filter(|group| group.voters.contains(&me.id) || group.learners.contains(&me.id))
        .map(|group| group_config(topology, settings, group))
        .collect();
    // `-r` wins over the file and its variable.
    let data_dir = arguments.data_dir.as_ref().or(settings.data_dir.as_ref());
    let codes = settings.election_codes;
    RuntimeConfig {
        me: me.id,
        run,
        seed: run_id::random(),
        fingerprint: topology.fingerprint,
        listen: (me.host.clone(), me.listen_port),
        peers: peers(topology),
        limits: limits(settings, groups.len()),
        groups,
        campaign_at_start: true,
        timing: timing(settings),
        queue_bytes: size(settings.queue_bytes),
        submit_wait: Duration::from_millis(settings.submit_wait_ms),
        drain_wait: Duration::from_millis(settings.drain_ms),
        max_log_bytes: size(settings.max_log_bytes),
        fragment_bytes: size(settings.fragment_bytes),
        disk: data_dir.map(|directory| (absolute(directory), durability(settings.durability))),
        restore: settings.restore.as_ref().map(|order| replica::RestoreOrder {
            survivor: order.survivor,
            formations: order.formations.clone(),
        }),
        busy_poll: Duration::from_micros(settings.busy_poll_us),
        election_codes: ElectionCodes { first: codes.first, gained: codes.gained, lost: codes.lost },
    }
}

fn group_config(topology: &Topology, settings: &Settings, group: GroupLayout) -> GroupConfig {
    let preferred = match settings.preferred_leader {
        PreferredLeader::Designated => group.designated,
        PreferredLeader::Nobody => None,
        PreferredLeader::Site(site) => {
            topology.process_of_site(site).filter(|process: &ProcessId| group.voters.contains(process))
        }
    };
    GroupConfig {
        id: group.id,
        partitions: group.partitions,
        voters: group.voters,
        learners: group.learners,
        designated: group.designated,
        preferred,
    }
}

fn peers(topology: &Topology) -> Vec<PeerAddress> {
    let others = topology.processes.iter().filter(|process| process.id != topology.me);
    others
        .map(|process| PeerAddress {
            id: process.id,
            host: process.host.clone(),
            port: process.listen_port,
            name: process.name.clone(),
        })
        .collect()
}

fn timing(settings: &Settings) -> Timing {
    Timing {
        tick_ms: settings.tick_ms,
        heartbeat_ms: settings.heartbeat_ms,
        election_ms: settings.election_ms,
        form_wait_ms: settings.form_wait_ms,
        absent_ms: settings.absent_ms,
        ..Timing::default()
    }
}

/// `log_memory_bytes` is per process, and what is on the way to a follower per connection: the groups share both.
fn limits(settings: &Settings, groups: usize) -> Limits {
    let (groups, all) = (groups.max(1), Limits::default());
    Limits {
        log_memory_bytes: size(settings.log_memory_bytes) / groups,
        in_flight_messages: (all.in_flight_messages / groups).max(IN_FLIGHT_MESSAGES_MIN),
        ..all
    }
}

/// The host may change its working directory later, and the log goes on creating files by their paths.
fn absolute(directory: &Path) -> PathBuf {
    // Without a working directory it can't be found; opening it says so.
    std::path::absolute(directory).unwrap_or_else(|_| directory.to_path_buf())
}

fn durability(durability: Durability) -> disk::Durability {
    match durability {
        Durability::Fsync => disk::Durability::Fsync,
        Durability::Os => disk::Durability::Os,
    }
}

/// A configured size on this machine; `usize` is 64 bits wherever this library is used.
fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_data_directory_stays_where_it_was_at_setup() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(absolute(Path::new("data/p1")), here.join("data/p1"));
        assert_eq!(absolute(Path::new("/data/p1")), Path::new("/data/p1"));
    }
}
