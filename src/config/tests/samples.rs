//! The sample files: each loads for every process in it, given as Mako gives it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::config::settings::Grouping;
use crate::config::topology::Role;
use crate::config::{hosts, load, Configuration};

/// Files with a mode and no sites, each with a file of sites that its comment names.
const MODES: [(&str, &str); 3] = [
    ("none_raft.yml", "1c1s3r1p_cluster.yml"),
    ("occ_raft.yml", "raft6_shardidx0.yml"),
    ("mako_micro.yml", "1c1s3r3p_cluster.yml"),
];

/// Files of sites: partitions, voters, learners.
const SHARDS: [(&str, usize, usize, usize); 7] = [
    ("raft1_shardidx0.yml", 1, 3, 0),
    ("raft6_shardidx0.yml", 6, 3, 0),
    ("raft6_shardidx1.yml", 6, 3, 0),
    ("1c1s3r1p_cluster.yml", 1, 3, 0),
    ("1c1s3r3p_cluster.yml", 3, 3, 0),
    ("1c1s5r1p_cluster.yml", 1, 5, 0),
    ("1c1s4r1p_learner.yml", 1, 3, 1),
];

fn path(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs").join(name);
    path.to_str().expect("the repository's path is UTF-8").to_owned()
}

/// Loads the files with the rest of Mako's command line.
fn loaded(files: [&str; 2], process: &str) -> Configuration {
    let [mode, sites] = files.map(path);
    let argv = [
        "", "-b", "-d", "60", "-f", &mode, "-f", &sites, "-t", "30", "-T", "100000", "-n", "32", "-P", process, "-A",
        "50000",
    ];
    let configuration = load(&argv.map(str::to_owned), &|_| None).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(configuration.warnings, Vec::<String>::new(), "{files:?} as {process}");
    configuration
}

#[test]
fn every_file_loads_for_every_process_in_it_and_all_agree() {
    for (sites, partitions, voters, learners) in SHARDS {
        let processes: Vec<String> = hosts(&path(sites)).unwrap().into_keys().collect();
        assert_eq!(processes.len(), voters + learners, "{sites}");
        for (mode, _) in MODES {
            let first = loaded([mode, sites], "localhost").topology;
            assert_eq!(first.partitions.len(), partitions, "{sites}");
            for process in &processes {
                let topology = loaded([mode, sites], process).topology;
                assert_eq!(&topology.process(topology.me).name, process);
                assert_eq!(topology.my_site_names().len(), partitions, "{sites} as {process}");
                assert_eq!(topology.fingerprint, first.fingerprint, "{sites} as {process}");
            }
        }
    }
}

#[test]
fn every_shard_is_one_group_led_by_localhost_on_the_loopback() {
    for (sites, partitions, voters, learners) in SHARDS {
        let topology = loaded(["none_raft.yml", sites], "localhost").topology;
        let groups = topology.groups(Grouping::Shard);
        let [group] = groups.as_slice() else { panic!("{sites} has {} groups", groups.len()) };
        assert_eq!((group.partitions.len(), group.voters.len()), (partitions, voters), "{sites}");
        assert_eq!((group.learners.len(), group.designated), (learners, Some(topology.me)), "{sites}");
        assert!(topology.processes.iter().all(|process| process.host == "127.0.0.1"), "{sites}");
        let learner = topology.processes.iter().filter(|process| process.role == Role::Learner);
        assert_eq!(learner.map(|process| process.name.as_str()).collect::<Vec<_>>(), &["learner"][..learners]);
    }
}

#[test]
fn every_mode_file_loads_with_the_sites_that_its_comment_names() {
    for (mode, sites) in MODES {
        loaded([mode, sites], "localhost");
        let text = std::fs::read_to_string(path(mode)).unwrap();
        assert!(text.contains(&format!("-f {mode} -f {sites}")), "{mode}");
    }
}

#[test]
fn no_two_shards_share_a_port_or_a_status_port_and_none_lies_where_the_system_takes_its_own() {
    /// Where Linux begins to give out ports by default.
    const EPHEMERAL_PORTS_FROM: u16 = 32_768;
    let mut taken: BTreeMap<u16, &str> = BTreeMap::new();
    for (sites, ..) in SHARDS {
        let topology = loaded(["none_raft.yml", sites], "localhost").topology;
        let listening = topology.sites.iter().map(|site| site.port);
        let status = topology.processes.iter().map(|process| process.listen_port + 10_000);
        for port in listening.chain(status) {
            assert!(port < EPHEMERAL_PORTS_FROM, "{sites}: {port}");
            assert_eq!(taken.insert(port, sites), None, "{sites}: {port}");
        }
    }
}

#[test]
fn every_file_in_the_folder_is_tested_here_and_says_what_it_is_for() {
    let folder = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("configs")).unwrap();
    let found: BTreeSet<String> =
        folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).filter(|name| name != ".gitkeep").collect();
    let tested = MODES.iter().map(|(name, _)| name).chain(SHARDS.iter().map(|(name, ..)| name));
    assert_eq!(found, tested.map(|name| name.to_string()).collect());
    for name in found {
        assert!(std::fs::read_to_string(path(&name)).unwrap().starts_with("# "), "{name}");
    }
}
