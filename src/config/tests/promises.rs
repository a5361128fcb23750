//! What a right configuration becomes.

use super::{Files, SHARD};
use crate::config::hosts;
use crate::config::settings::Grouping;
use crate::config::topology::{GroupLayout, Role};
use crate::ids::{GroupId, PartitionId, ProcessId, SiteId};

/// Partitions 0 to 2 in two sets of processes, one with a learner; the second's site of locale 0 differs.
const TWO_SETS: &str = "\
site:
  server:
    - [a0:1, b0:2, c0:3]
    - [b1:12, a1:11, c1:13]
    - [b2:22, a2:21, c2:23, d2:24]
process: {a0: localhost-a, a1: localhost-a, a2: localhost-a, b0: b, b1: b, b2: b, c0: c, c1: c, c2: c, d2: learner-d}
";

fn ids(numbers: &[u16]) -> Vec<ProcessId> {
    numbers.iter().copied().map(ProcessId).collect()
}

#[test]
fn rows_are_partitions_columns_are_locales_and_sites_count_in_reading_order() {
    let topology = Files::with(SHARD).load(&[]).unwrap().topology;
    let sites: Vec<_> = topology
        .sites
        .iter()
        .map(|site| (site.id.0, site.name.as_str(), site.partition.0, site.locale, site.process.0, site.port))
        .collect();
    assert_eq!(
        sites,
        [
            (0, "s101", 0, 0, 0, 7001),
            (1, "s201", 0, 1, 1, 7101),
            (2, "s301", 0, 2, 2, 7201),
            (3, "s102", 1, 0, 0, 7002),
            (4, "s202", 1, 1, 1, 7102),
            (5, "s302", 1, 2, 2, 7202),
        ]
    );
    assert_eq!(topology.partitions[1].sites, [SiteId(3), SiteId(4), SiteId(5)]);
}

#[test]
fn a_process_runs_every_site_mapped_to_it_and_listens_on_the_port_of_its_first() {
    let topology = Files::with(SHARD).load(&["-P", "p1"]).unwrap().topology;
    let me = topology.process(topology.me);
    assert_eq!((me.name.as_str(), me.host.as_str(), me.listen_port), ("p1", "10.0.0.1", 7101));
    assert_eq!((me.id, me.role, me.sites.as_slice()), (ProcessId(1), Role::Voter, &[SiteId(1), SiteId(4)][..]));
    assert_eq!(topology.site(SiteId(4)).host, "10.0.0.1");
}

#[test]
fn the_names_of_my_sites_come_with_the_last_of_the_file_first() {
    let topology = Files::with(SHARD).load(&[]).unwrap().topology;
    assert_eq!(topology.my_site_names(), ["s102", "s101"]);
}

#[test]
fn sites_processes_and_partitions_find_each_other() {
    let topology = Files::with(SHARD).load(&[]).unwrap().topology;
    assert_eq!(topology.process_of_site(SiteId(4)), Some(ProcessId(1)));
    assert_eq!(topology.process_of_site(SiteId(6)), None);
    assert_eq!(topology.site_of(PartitionId(1), ProcessId(2)), Some(SiteId(5)));
    assert_eq!(topology.site_of(PartitionId(1), ProcessId(3)), None);
    assert_eq!(topology.site_of(PartitionId(2), ProcessId(0)), None);
    assert_eq!(topology.site_named("s302").map(|site| site.id), Some(SiteId(5)));
    assert_eq!(topology.site_named("s303"), None);
}

#[test]
fn partitions_with_the_same_processes_form_one_group_in_whatever_order_they_name_them() {
    let topology = Files::with(TWO_SETS).load(&["-P", "b"]).unwrap().topology;
    assert_eq!(
        topology.groups(Grouping::Shard),
        [
            GroupLayout {
                id: GroupId(0),
                partitions: vec![PartitionId(0), PartitionId(1)],
                voters: ids(&[0, 1, 2]),
                learners: vec![],
                designated: Some(ProcessId(0)),
            },
            GroupLayout {
                id: GroupId(1),
                partitions: vec![PartitionId(2)],
                voters: ids(&[1, 0, 2]),
                learners: ids(&[3]),
                designated: Some(ProcessId(1)),
            },
        ]
    );
}

#[test]
fn grouped_by_partition_each_partition_has_its_own_group_voters_and_designated_process() {
    let topology = Files::with(TWO_SETS).load(&["-P", "b"]).unwrap().topology;
    let groups = topology.groups(Grouping::Partition);
    assert_eq!(groups.len(), 3);
    assert_eq!((&groups[1].voters, groups[1].designated), (&ids(&[1, 0, 2]), Some(ProcessId(1))));
    assert_eq!(groups[1].partitions, [PartitionId(1)]);
}

#[test]
fn where_first_sites_differ_a_process_named_localhost_is_designated_and_else_the_first() {
    for (first, second, designated) in
        [("x", "localhost", "localhost"), ("localhost1", "localhost2", "localhost1"), ("x", "y", "x")]
    {
        let text = format!(
            "site: {{server: [[a:1, b:2, c:3], [d:4, e:5, f:6]]}}\n\
             process: {{a: {first}, b: {second}, c: z, d: {second}, e: {first}, f: z}}\n"
        );
        let topology = Files::with(&text).load(&["-P", "z"]).unwrap().topology;
        let group = &topology.groups(Grouping::Shard)[0];
        let name = group.designated.map(|process| topology.process(process).name.as_str());
        assert_eq!(name, Some(designated), "{first} and {second}");
    }
}

#[test]
fn a_learner_is_never_designated_nor_a_voter_wherever_its_column_is() {
    let text = "site: {server: [[a:1, b:2, c:3, d:4]]}\nprocess: {a: learner, b: p1, c: p2, d: p3}\n";
    let topology = Files::with(text).load(&["-P", "learner"]).unwrap().topology;
    let group = &topology.groups(Grouping::Shard)[0];
    assert_eq!(group.designated, Some(ProcessId(1)));
    assert_eq!((&group.voters, &group.learners), (&ids(&[1, 2, 3]), &ids(&[0])));
    assert_eq!(topology.process(topology.me).role, Role::Learner);
}

#[test]
fn a_host_is_found_by_process_else_by_site_else_it_is_the_processes_name() {
    let text = "\
site: {server: [[a:1, b:2, c:3]]}
process: {a: p1, c: p3}
host: {p1: 10.0.0.1, b: 10.0.0.2, c: 10.0.0.9}
";
    let topology = Files::with(text).load(&["-P", "b"]).unwrap().topology;
    let hosts: Vec<_> = topology.processes.iter().map(|process| (&process.name[..], &process.host[..])).collect();
    assert_eq!(hosts, [("p1", "10.0.0.1"), ("b", "10.0.0.2"), ("p3", "p3")]);
}

#[test]
fn files_are_merged_in_order_rows_appended_and_later_keys_winning() {
    let files = Files::with(SHARD).and(
        "b.yml",
        b"site: {server: [[t1:1, t2:2, t3:3]]}\nprocess: {t1: p1, t2: localhost, t3: p3, s301: p3, s302: p3}\nhost: {p1: 10.9.9.9}\n",
    );
    let topology = files.load(&[]).unwrap().topology;
    assert_eq!(topology.partitions.len(), 3);
    let t1 = topology.site_named("t1").unwrap();
    assert_eq!((t1.id, t1.partition, t1.locale), (SiteId(6), PartitionId(2), 0));
    assert_eq!(t1.host, "10.9.9.9");
    assert_eq!(topology.process(topology.site_named("s301").unwrap().process).name, "p3");
}

#[test]
fn a_mode_file_and_a_site_file_in_either_order_are_one_configuration() {
    let mode = b"mode: {cc: none, ab: raft, read_only: occ, batch: false, retry: 20, ongoing: 1}\n";
    let after = Files::with(SHARD).and("mode.yml", mode).load(&[]).unwrap();
    let before = Files::with("mode: {ab: raft}").and("shard.yml", SHARD.as_bytes()).load(&[]).unwrap();
    assert_eq!(after.topology, before.topology);
    assert!(after.warnings.is_empty() && before.warnings.is_empty());
}

#[test]
fn anchors_aliases_and_merge_keys_work_as_in_any_yaml() {
    let text = "\
base: &base {s101: localhost, s201: p1, s301: wrong}
more: &more
  s301: p2
row: &row [\"s101:7001\", \"s201:7101\", \"s301:7201\"]
site:
  server:
    - *row
process:
  <<: [*more, *base]
host:
  localhost: 127.0.0.1
";
    let topology = Files::with(text).load(&["-P", "p2"]).unwrap().topology;
    let names: Vec<_> = topology.processes.iter().map(|process| process.name.as_str()).collect();
    assert_eq!(names, ["localhost", "p1", "p2"]);
}

#[test]
fn makos_own_sections_are_accepted_without_a_word_and_clients_are_ignored() {
    let text = format!(
        "{SHARD}mode: {{cc: occ, ab: raft}}\nbench: {{workload: tpcc, scale: 1}}\nschema: [{{name: t, column: []}}]\n\
         sharding: {{t: mod}}\nclient: {{type: open}}\nfailover: {{}}\nn_concurrent: 100\nn_parallel_dispatch: 0\n"
    )
    .replace("  server:", "  client: [[c1]]\n  server:");
    assert_eq!(Files::with(&text).load(&[]).unwrap().warnings, Vec::<String>::new());
}

#[test]
fn what_is_odd_and_ignored_is_a_warning_with_its_place() {
    let text = format!("{SHARD}mode:\n  ab: multi_paxos\n  cd: occ\nhosts: {{}}\n");
    let loaded = Files::with(&text).load(&["--replication=paxos", "--raft-groups=seven"]).unwrap();
    assert_eq!(
        loaded.warnings,
        [
            "a.yml:10: unknown section \"hosts\" is ignored; the nearest known is host",
            "a.yml:8: mode.ab: \"multi_paxos\" is ignored; this library replicates over raft",
            "a.yml:9: unknown key \"cd\" in mode is ignored; the nearest known is cc",
            "command line: --raft-groups: \"seven\" is ignored; known are single or shard, multi or partition",
            "command line: --replication: \"paxos\" is ignored; this library replicates over raft",
        ]
    );
}

#[test]
fn an_even_number_of_voters_is_a_warning() {
    let text = "site: {server: [[a:1, b:2, l:3], [c:4, d:5, m:6]]}\nprocess: {a: localhost, b: p1, l: learner, c: localhost, d: p1, m: learner}\n";
    assert_eq!(
        Files::with(text).load(&[]).unwrap().warnings,
        ["site.server: 2 partitions from 0 to 1: 2 voters, an even number, tolerate 0 failed, no more than 1 would"]
    );
}

#[test]
fn the_fingerprint_is_the_same_in_every_process_and_whatever_the_raft_section_says() {
    let expected = Files::with(SHARD).load(&[]).unwrap().topology.fingerprint;
    for process in ["localhost", "p1", "p2"] {
        let text = format!("{SHARD}raft: {{tick_ms: 20, grouping: partition}}\nmode: {{ab: raft}}\n");
        let other = Files::with(&text).load(&["-P", process]).unwrap().topology;
        assert_eq!(other.fingerprint, expected, "{process}");
    }
    // Peers of different builds compare it, so its definition must not drift. Computed apart from this code, by
    // the definition in `fingerprint.rs`.
    assert_eq!(expected, 7_486_597_658_438_620_667);
}

#[test]
fn the_fingerprint_changes_with_every_name_host_port_and_place() {
    let plain = Files::with(SHARD).load(&["-P", "p1"]).unwrap().topology.fingerprint;
    let changes = [
        ("7201", "7209"),
        ("10.0.0.2", "10.0.0.3"),
        ("s302", "s303"),
        ("p2", "p3"),
        ("p2", "learner"),
        ("\"s101:7001\", \"s201:7101\"", "\"s201:7101\", \"s101:7001\""),
        ("    - [\"s102:7002\", \"s202:7102\", \"s302:7202\"]\n", ""),
    ];
    for (from, to) in changes {
        let text = SHARD.replace(from, to);
        assert_ne!(text, SHARD, "{from} is in the file");
        let changed = Files::with(&text).load(&["-P", "p1"]).unwrap().topology.fingerprint;
        assert_ne!(changed, plain, "{from} to {to}");
    }
}

#[test]
fn the_fingerprint_of_names_changes_with_every_name_and_place_and_with_no_host_or_port() {
    let fingerprint = |text: &str, process: &str| Files::with(text).load(&["-P", process]).unwrap().topology.names_fingerprint;
    let plain = fingerprint(SHARD, "p1");
    for (from, to) in [("7201", "7209"), ("7101", "9101"), ("10.0.0.2", "10.0.0.3"), ("10.0.0.1", "elsewhere")] {
        let text = SHARD.replace(from, to);
        assert_ne!(text, SHARD, "{from} is in the file");
        assert_eq!((fingerprint(&text, "p1"), fingerprint(&text, "p2")), (plain, plain), "{from} to {to}");
    }
    for (from, to) in [
        ("s302", "s303"),
        ("p2", "p3"),
        ("p2", "learner"),
        ("\"s101:7001\", \"s201:7101\"", "\"s201:7101\", \"s101:7001\""),
        ("    - [\"s102:7002\", \"s202:7102\", \"s302:7202\"]\n", ""),
    ] {
        assert_ne!(fingerprint(&SHARD.replace(from, to), "p1"), plain, "{from} to {to}");
    }
}

#[test]
fn peers_greet_with_another_fingerprint_under_another_grouping_unless_it_makes_the_same_groups() {
    let topology = Files::with(SHARD).load(&[]).unwrap().topology;
    let [shard, partition] = [Grouping::Shard, Grouping::Partition].map(|grouping| topology.greeted_fingerprint(grouping));
    assert_eq!(shard, topology.fingerprint, "what versions that did not look at groups greet with");
    assert_ne!(partition, shard);
    let other = Files::with(SHARD).load(&["-P", "p1"]).unwrap().topology;
    assert_eq!(other.greeted_fingerprint(Grouping::Partition), partition);
    let alone = "site: {server: [[a:1, b:2, c:3]]}\nprocess: {a: x, b: y, c: z}\n";
    let alone = Files::with(alone).load(&["-P", "x"]).unwrap().topology;
    assert_eq!(alone.greeted_fingerprint(Grouping::Partition), alone.fingerprint);
}

#[test]
fn the_status_port_is_the_key_or_with_b_the_port_of_mako() {
    let port = |raft: &str, arguments: &[&str]| {
        Files::with(&format!("{SHARD}raft: {{{raft}}}\n")).load(arguments).unwrap().status_port()
    };
    assert_eq!(port("", &[]), None);
    assert_eq!(port("", &["-b"]), Some(17_001));
    assert_eq!(port("control_port: 9100", &["-b"]), Some(9_100));
    assert_eq!(port("control_port: 9100", &[]), Some(9_100));
    let high = SHARD.replace("s101:7001", "s101:60000");
    assert_eq!(Files::with(&high).load(&["-b"]).unwrap().status_port(), None);
}

#[test]
fn a_port_that_leaves_none_for_the_status_endpoint_is_a_warning_where_one_is_asked_for() {
    let warnings = |port: u16, raft: &str, arguments: &[&str]| {
        let text = SHARD.replace("s101:7001", &format!("s101:{port}"));
        Files::with(&format!("{text}raft: {{{raft}}}\n")).load(arguments).unwrap().warnings
    };
    assert_eq!(
        warnings(55_536, "", &["-b"]),
        ["command line: -b: no status endpoint: its port would be 55536 + 10000, which is none; give raft.control_port, or a process \
          port below 55536"]
    );
    let none = Vec::<String>::new();
    assert_eq!(warnings(55_536, "", &[]), none, "nobody asked");
    assert_eq!(warnings(55_536, "control_port: 9100", &["-b"]), none);
    assert_eq!(warnings(55_535, "", &["-b"]), none);
}

#[test]
fn a_status_port_that_a_process_on_the_same_host_listens_on_is_a_warning() {
    let warnings = |port: u16| {
        Files::with(&format!("{SHARD}raft: {{control_port: {port}}}\n")).load(&["-P", "p1"]).unwrap().warnings
    };
    assert_eq!(
        warnings(7101),
        ["raft.control_port: the status endpoint's port 7101 is the one that process \"p1\" listens on"]
    );
    assert_eq!(warnings(7201), Vec::<String>::new(), "another host's");
}

#[test]
fn hosts_gives_the_host_section_and_needs_nothing_else_of_the_file() {
    let files = Files::with("host:\n  localhost: 127.0.0.1\n  p1: 10.0.0.1\nsite: wrong\n");
    let map = hosts(&files.path("a.yml")).unwrap();
    let pairs: Vec<_> = map.iter().map(|(name, address)| (name.as_str(), address.as_str())).collect();
    assert_eq!(pairs, [("localhost", "127.0.0.1"), ("p1", "10.0.0.1")]);
}

#[test]
fn hosts_of_a_missing_file_or_section_is_an_error_that_says_so() {
    let files = Files::with("site: {}\n").and("b.yml", b"host:\n  p1: [1]\n").and("c.yml", b"host: p1\n");
    let message = |name: &str| files.shortened(hosts(&files.path(name)).unwrap_err().to_string());
    assert_eq!(message("a.yml"), "a.yml: host: no such section; expected a map of process name to address");
    assert_eq!(
        message("b.yml"),
        "b.yml:2: host.p1: a list; expected an address: 1 to 255 bytes without blanks"
    );
    assert_eq!(message("c.yml"), "c.yml:1: host: \"p1\"; expected a map of keys to values");
    assert_eq!(message("d.yml"), "d.yml: No such file or directory (os error 2); expected a file that can be read");
}
