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
/// As much of the log as one of many groups that replays it hands out at a time.
const COMMITTED_BYTES_MIN: u64 = 64 << 10;

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
        fingerprint: topology.greeted_fingerprint(settings.grouping),
        shard_fingerprint: topology.names_fingerprint,
        addressed_fingerprint: topology.fingerprint,
        moved_from: settings.moved_from,
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

/// `log_memory_bytes` is per process, what is on the way to a follower per connection, and what is read from disk per turn of
/// the loop that they have in common: the groups share all three.
fn limits(settings: &Settings, groups: usize) -> Limits {
    let (groups, all) = (groups.max(1), Limits::default());
    let in_flight_messages = (all.in_flight_messages / groups).max(IN_FLIGHT_MESSAGES_MIN);
    let window = all.in_flight_messages as u64 * all.message_bytes;
    Limits {
        log_memory_bytes: size(settings.log_memory_bytes) / groups,
        in_flight_messages,
        message_bytes: all.message_bytes.min(window / (groups * in_flight_messages) as u64),
        reads_per_turn: (all.reads_per_turn / groups as u32).max(1),
        committed_bytes: (all.committed_bytes / groups as u64).max(COMMITTED_BYTES_MIN),
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
    use std::ffi::OsString;
    use std::sync::Arc;

    use super::*;
    use crate::config;
    use crate::runtime::Storage;
    use crate::storage::disk::simulated::SimulatedFiles;
    use crate::storage::disk::FileSystem;
    use crate::transport::handshake::{explain_refused, explain_refusing, judge, Greeting, Identity};

    #[test]
    fn processes_of_one_shard_with_other_groupings_refuse_each_other_and_both_say_what_may_be_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("shard.yml");
        let text = "site: {server: [[a1:1, b1:2], [a2:3, b2:4]]}\nprocess: {a1: a, a2: a, b1: b, b2: b}\n";
        std::fs::write(&file, text).unwrap();
        let configured = |process: &str, groups: &str| {
            let arguments = ["", "-f", file.to_str().unwrap(), "-P", process, groups].map(String::from);
            runtime_config(&config::load(&arguments, &|_| None).unwrap(), RunId(1))
        };
        let identity = |config: &RuntimeConfig| Identity { me: config.me, run: config.run, fingerprint: config.fingerprint };
        let (a, b) = (configured("a", "--raft-groups=single"), configured("b", "--raft-groups=multi"));
        assert_eq!(a.shard_fingerprint, b.shard_fingerprint);
        let hello = Greeting::hello(identity(&b), a.me);
        let refused = judge(&hello, identity(&a), None, true).unwrap_err();
        let lines = [
            explain_refusing(refused, identity(&a), Some(&hello), 300),
            explain_refused(refused.reason, identity(&b), &Greeting::refusal(identity(&a), b.me, refused)),
        ];
        assert!(lines.iter().all(|line| line.contains("another raft.grouping (--raft-groups)")), "{lines:?}");
        let alike = configured("b", "--raft-groups=single");
        assert_eq!(judge(&Greeting::hello(identity(&alike), a.me), identity(&a), None, true), Ok(()));
    }

    /// Mako's shards have the same names: only ports tell these two apart.
    #[test]
    fn the_data_directory_of_one_sample_shard_is_refused_by_the_other_until_the_operator_says_that_it_moved() {
        let files: Arc<dyn FileSystem> = Arc::new(SimulatedFiles::new());
        let configured = |shard: &str, order: Option<u64>| {
            let path = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("configs").join(name).display().to_string();
            let (mode, sites) = (path("none_raft.yml"), path(shard));
            let arguments = ["", "-f", &mode, "-f", &sites, "-P", "p1", "-r", "/data"].map(String::from);
            let order = order.map(|order| format!("{order:016x}"));
            let environment = |name: &str| order.clone().filter(|_| name == "MAKO_RAFT_MOVED_FROM").map(OsString::from);
            runtime_config(&config::load(&arguments, &environment).unwrap(), RunId(1))
        };
        let open = |config: &RuntimeConfig| Storage::open_on(config, 8 << 10, &files).map(drop).map_err(|why| why.to_string());
        let (zero, one) = ("raft6_shardidx0.yml", "raft6_shardidx1.yml");
        let former = configured(zero, None).addressed_fingerprint;
        assert_eq!(configured(zero, None).shard_fingerprint, configured(one, None).shard_fingerprint);
        assert_eq!(open(&configured(zero, None)), Ok(()));
        let said = open(&configured(one, None)).unwrap_err();
        assert!(said.contains(&format!("say so with raft.moved_from: {former:016x}")), "{said}");
        assert_eq!(open(&configured(zero, None)), Ok(()), "nothing was changed");
        assert_eq!(open(&configured(one, Some(former))), Ok(()));
        assert_eq!(open(&configured(one, Some(former))), Ok(()), "an order that was carried out is no error");
        assert!(open(&configured(zero, None)).is_err());
    }

    /// A message that the transport drops for lack of room costs its group a second or more.
    #[test]
    fn what_all_groups_have_on_the_way_to_a_follower_fits_its_queue_and_a_turn_reads_little_for_them() {
        for fragment_bytes in [4 << 10, 512 << 10, 4 << 20] {
            let settings = Settings { fragment_bytes, ..Settings::default() };
            for groups in [1, 2, 3, 12, 13, 24, 64, 200] {
                let limits = limits(&settings, groups);
                // An entry is at most a fragment with its head, and a message has at least one.
                let message = size(limits.message_bytes.max(fragment_bytes + 1_000));
                let window = groups * limits.in_flight_messages * message;
                let room = crate::runtime::bulk_queue_bytes(&limits, groups, size(fragment_bytes));
                assert!(window <= room, "{groups} groups: {window} of {room}");
                let read = groups as u64 * u64::from(limits.reads_per_turn) * limits.message_bytes;
                let replayed = groups as u64 * limits.committed_bytes;
                assert!(read <= 12 << 20 && replayed <= 13 << 20, "{groups} groups: {read} and {replayed}");
            }
        }
    }

    #[test]
    fn a_relative_data_directory_stays_where_it_was_at_setup() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(absolute(Path::new("data/p1")), here.join("data/p1"));
        assert_eq!(absolute(Path::new("/data/p1")), Path::new("/data/p1"));
    }
}
