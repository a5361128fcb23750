//! Every mistake, with the whole message that it gets.

use std::process::Command;

use super::{Files, SHARD};

/// Replaces `from` in [`SHARD`] and gives the message.
fn refused(from: &str, to: &str) -> String {
    let text = SHARD.replace(from, to);
    assert_ne!(text, SHARD, "{from:?} is in the file");
    Files::with(&text).load(&[]).expect_err(to)
}

#[test]
fn mistakes_in_the_sites_are_refused_with_file_line_key_and_what_would_be_right() {
    let cases = [
        ("s201:7101", "s201", "a.yml:3: site.server[0][1]: no port in \"s201\"; expected NAME:PORT"),
        (
            "s202:7102",
            "s202:0",
            "a.yml:4: site.server[1][1]: port \"0\" in \"s202:0\"; expected a port from 1 to 65535",
        ),
        (
            "s202:7102",
            "s202:65536",
            "a.yml:4: site.server[1][1]: port \"65536\" in \"s202:65536\"; expected a port from 1 to 65535",
        ),
        (
            "s202:7102",
            "s202:+7102",
            "a.yml:4: site.server[1][1]: port \"+7102\" in \"s202:+7102\"; expected a port from 1 to 65535",
        ),
        (
            "s202:7102",
            "s202:",
            "a.yml:4: site.server[1][1]: port \"\" in \"s202:\"; expected a port from 1 to 65535",
        ),
        (
            "s202:7102",
            "s202:http",
            "a.yml:4: site.server[1][1]: port \"http\" in \"s202:http\"; expected a port from 1 to 65535",
        ),
        (
            "s202:7102",
            ":7102",
            "a.yml:4: site.server[1][1]: \":7102\"; expected NAME:PORT, the name of 1 to 255 bytes without blanks",
        ),
        (
            "s202:7102",
            "s 202:7102",
            "a.yml:4: site.server[1][1]: \"s 202:7102\"; expected NAME:PORT, the name of 1 to 255 bytes without blanks",
        ),
        ("\"s202:7102\"", "{s202: 7102}", "a.yml:4: site.server[1][1]: a map; expected NAME:PORT"),
        ("\"s202:7102\"", "~", "a.yml:4: site.server[1][1]: nothing; expected NAME:PORT"),
        (
            "s202:7102",
            "s101:7102",
            "a.yml:4: site.server[1][1]: site \"s101\" has the name of another (s101 at a.yml:3); expected a name of \
             its own for each site",
        ),
        (
            "s202:7102",
            "s999:7102",
            "a.yml:4: site.server[1][1]: site \"s999\" is in no process; expected a line \"s999: PROCESS\" in the \
             section process",
        ),
        (
            "s202:7102",
            "s202:7101",
            "a.yml:4: site.server[1][1]: 10.0.0.1:7101 is the address of another site (s201 at a.yml:3); expected a \
             host and port of its own for each site",
        ),
        (
            "s202: p1",
            "s202: localhost",
            "a.yml:4: site.server[1][1]: site \"s202\" is in process \"localhost\", which replicates partition 1 \
             already (s102 at a.yml:4); expected the replicas of a partition in different processes",
        ),
        (
            "    - [\"s102:7002\", \"s202:7102\", \"s302:7202\"]",
            "    - []",
            "a.yml:4: site.server[1]: an empty list; expected at least one NAME:PORT",
        ),
        (
            "    - [\"s102:7002\", \"s202:7102\", \"s302:7202\"]",
            "    - \"s102:7002\"",
            "a.yml:4: site.server[1]: \"s102:7002\"; expected a list of NAME:PORT, one partition",
        ),
        (
            "s202: p1",
            "s202: [p1]",
            "a.yml:5: process.s202: a list; expected the name of a process: 1 to 255 bytes without blanks",
        ),
        (
            "s202: p1",
            "s202: ",
            "a.yml:5: process.s202: nothing; expected the name of a process: 1 to 255 bytes without blanks",
        ),
        (
            "p1: 10.0.0.1",
            "p1: \"\"",
            "a.yml:6: host.p1: \"\"; expected an address: 1 to 255 bytes without blanks",
        ),
    ];
    for (from, to, message) in cases {
        assert_eq!(refused(from, to), message, "{from:?} became {to:?}");
    }
}

#[test]
fn two_names_of_the_loopback_are_one_host() {
    let text = "site: {server: [[a:1, b:1]]}\nprocess: {a: localhost, b: p1}\nhost: {p1: 127.0.0.1}\n";
    assert_eq!(
        Files::with(text).load(&[]).unwrap_err(),
        "a.yml:1: site.server[0][1]: 127.0.0.1:1 is the address of another site (a at a.yml:1); expected a host and \
         port of its own for each site"
    );
}

#[test]
fn a_partition_of_learners_only_is_refused() {
    let text = "site:\n  server:\n    - [a:1, b:2]\nprocess: {a: learner1, b: learner2}\n";
    assert_eq!(
        Files::with(text).load(&["-P", "learner1"]).unwrap_err(),
        "a.yml:3: site.server[0]: only learners; expected at least one site in a process whose name doesn't begin with \
         \"learner\""
    );
}

#[test]
fn rows_whose_voters_overlap_and_differ_are_refused() {
    let rows = |second: &str| {
        let text = format!(
            "site:\n  server:\n    - [a0:1, b0:2, c0:3]\n    - [{second}]\n\
             process: {{a0: a, b0: b, c0: c, a1: a, b1: b, c1: c, d1: d, e1: e, f1: f, l1: learner}}\n"
        );
        Files::with(&text).load(&["-P", "c"]).map(|_| ())
    };
    let refused = |what: &str| {
        Err(format!(
            "a.yml:4: site.server[1]: process \"b\" votes here and for partition 0 (a.yml:3), but process {what}; expected the \
             voting processes of that row, all of them or none: one process leads all partitions of a shard"
        ))
    };
    assert_eq!(rows("b1:11, c1:12, d1:13"), refused("\"d\" here only"));
    assert_eq!(rows("d1:13, b1:11"), refused("\"d\" here only"));
    assert_eq!(rows("b1:11, c1:12"), refused("\"a\" there only"));
    assert_eq!(rows("b1:11, l1:12"), refused("\"a\" there only"));
    assert_eq!(rows("c1:11, l1:14, a1:12, b1:13"), Ok(()), "learners may differ");
    assert_eq!(rows("d1:11, e1:12, f1:13"), Ok(()), "two shards in one file");
}

#[test]
fn a_process_name_that_no_site_is_mapped_to_is_refused_with_the_nearest() {
    assert_eq!(
        Files::with(SHARD).load(&["-P", "p3"]).unwrap_err(),
        "command line: -P: no site is in a process \"p3\"; expected the name of a process, such as \"p1\""
    );
    let clients_only = SHARD.replace("process: {", "process: {c1: client, ");
    assert_eq!(
        Files::with(&clients_only).load(&["-P", "client"]).unwrap_err(),
        "command line: -P: no site is in a process \"client\"; expected the name of a process, such as \"localhost\""
    );
}

#[test]
fn files_that_are_no_configuration_are_refused() {
    let cases: [(&[u8], &str); 11] = [
        (b"site: [1, 2\n", "NOT YAML"),
        (b"just some words\n", "a.yml:1: \"just some words\"; expected a YAML file of sections such as site, process and host"),
        (b"\n- 1\n- 2\n", "a.yml:2: a list; expected a YAML file of sections such as site, process and host"),
        (b"a: 1\nb: \xff\n", "a.yml:2: not YAML: bytes that are not UTF-8; expected a YAML file"),
        (
            b"",
            "command line: -f: no partition in the site.server of a.yml; expected one more file, with a list of \
             partitions there, each a list of NAME:PORT",
        ),
        (b"site: 1\n", "a.yml:1: site: \"1\"; expected a map of keys to values"),
        (
            b"site:\n  server: {a: 1}\n",
            "a.yml:2: site.server: a map; expected a list of partitions, each a list of NAME:PORT",
        ),
        (
            b"site:\n  server: a:1\n",
            "a.yml:2: site.server: \"a:1\"; expected a list of partitions, each a list of NAME:PORT",
        ),
        (b"process: [a]\n", "a.yml:1: process: a list; expected a map of keys to values"),
        (b"mode: raft\n", "a.yml:1: mode: \"raft\"; expected a map of keys to values"),
        (b"a: 1\n---\nb: 2\n", "a.yml:2: a second YAML document; expected one document per file"),
    ];
    for (content, message) in cases {
        let found = Files::with("").and("a.yml", content).load(&[]).unwrap_err();
        if message == "NOT YAML" {
            // The rest are the parser's own words.
            assert!(found.starts_with("a.yml:2: not YAML: ") && found.ends_with("; expected a YAML file"), "{found}");
        } else {
            assert_eq!(found, message);
        }
    }
}

#[test]
fn a_key_given_twice_in_one_map_is_refused() {
    let text = SHARD.replace("s202: p1", "s101: p1");
    assert_eq!(
        Files::with(&text).load(&[]).unwrap_err(),
        "a.yml:5: s101: given a second time (first on line 5); expected each key once in a map"
    );
}

#[test]
fn odd_keys_and_merges_are_refused() {
    for (text, message) in [
        ("? [a]\n: 1\n", "a.yml:1: a list as a key; expected a name as key"),
        ("a:\n  <<: 1\n", "a.yml:2: <<: \"1\"; expected a map or a list of maps to merge"),
        ("a: &a\n  b: *a\n", "a.yml:2: an alias to a value that it is part of; expected an alias to a complete value"),
    ] {
        assert_eq!(Files::with(text).load(&[]).unwrap_err(), message);
    }
}

#[test]
fn files_that_can_not_be_read_are_refused_without_waiting_for_them() {
    let files = Files::with(SHARD);
    std::fs::create_dir(files.path("folder.yml")).unwrap();
    // Nobody writes to the pipe: opening it would wait for ever.
    let made = Command::new("mkfifo").arg(files.path("pipe.yml")).status().expect("mkfifo runs");
    assert!(made.success());
    for (name, message) in [
        ("missing.yml", "missing.yml: No such file or directory (os error 2); expected a file that can be read"),
        ("pipe.yml", "pipe.yml: not a regular file; expected a file that can be read"),
        ("folder.yml", "folder.yml: not a regular file; expected a file that can be read"),
    ] {
        assert_eq!(files.load(&["-f", &files.path(name)]).unwrap_err(), message);
    }
}
