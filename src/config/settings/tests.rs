//! The `raft` section, its variables and its options.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::{markdown_table, Durability, ElectionCodes, Grouping, PreferredLeader, RestoreOrder, Settings, KEYS};
use crate::config::tests::{Files, SHARD};
use crate::ids::{ProcessId, SiteId};

/// [`SHARD`] with a `raft` section that begins on line 7; its first key is on line 8.
fn with(raft: &str) -> Files {
    Files::with(&format!("{SHARD}raft:\n{raft}"))
}

fn read(raft: &str) -> Settings {
    with(raft).load(&[]).unwrap_or_else(|message| panic!("{raft}: {message}")).settings
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let expected = Settings {
        tick_ms: 10,
        heartbeat_ms: 50,
        election_ms: 300,
        form_wait_ms: 5_000,
        absent_ms: 30_000,
        drain_ms: 5_000,
        submit_wait_ms: 30_000,
        busy_poll_us: 60,
        preferred_leader: PreferredLeader::Designated,
        grouping: Grouping::Shard,
        election_codes: ElectionCodes { first: Some(1), gained: Some(1), lost: Some(0) },
        queue_bytes: 64 * 1024 * 1024,
        log_memory_bytes: 1024 * 1024 * 1024,
        max_log_bytes: 1024 * 1024 * 1024,
        fragment_bytes: 512 * 1024,
        data_dir: None,
        durability: Durability::Fsync,
        control_port: None,
        restore: None,
        moved_from: None,
    };
    assert_eq!(Settings::default(), expected);
    assert_eq!(read(""), expected);
}

#[test]
fn every_key_of_the_table_can_be_given_in_the_file() {
    let text = "  tick_ms: 5\n  heartbeat_ms: 25\n  election_ms: 150\n  form_wait_ms: 0\n  absent_ms: 10000\n  \
                drain_ms: 1\n  submit_wait_ms: 2\n  busy_poll_us: 0\n  preferred_leader: s202\n  grouping: partition\n  \
                election_codes: {first: null, gained: 0, lost: ~}\n  queue_bytes: 1MiB\n  log_memory_bytes: 2 GiB\n  \
                max_log_bytes: 4096\n  fragment_bytes: \"64 KiB\"\n  data_dir: /var/lib/a shard\n  durability: os\n  \
                control_port: 9100\n  restore: p1:00abcdef01234567, 0000000000000001\n  \
                moved_from: 0000000000000123\n";
    for key in KEYS {
        assert!(text.contains(&format!("  {}: ", key.name)), "{} is in the text", key.name);
    }
    let expected = Settings {
        tick_ms: 5,
        heartbeat_ms: 25,
        election_ms: 150,
        form_wait_ms: 0,
        absent_ms: 10_000,
        drain_ms: 1,
        submit_wait_ms: 2,
        busy_poll_us: 0,
        preferred_leader: PreferredLeader::Site(SiteId(4)),
        grouping: Grouping::Partition,
        election_codes: ElectionCodes { first: None, gained: Some(0), lost: None },
        queue_bytes: 1 << 20,
        log_memory_bytes: 2 << 30,
        max_log_bytes: 4_096,
        fragment_bytes: 64 << 10,
        data_dir: Some(PathBuf::from("/var/lib/a shard")),
        durability: Durability::Os,
        control_port: Some(9_100),
        restore: Some(RestoreOrder { survivor: ProcessId(1), formations: vec![0x00ab_cdef_0123_4567, 1] }),
        moved_from: Some(0x123),
    };
    assert_eq!(read(text), expected);
}

#[test]
fn an_environment_variable_wins_over_the_file() {
    type Holds = fn(&Settings) -> bool;
    let cases: [(&str, &str, Holds); 8] = [
        ("MAKO_RAFT_TICK_MS", "7", |s| s.tick_ms == 7),
        ("MAKO_RAFT_QUEUE_BYTES", "2 MiB", |s| s.queue_bytes == 2 << 20),
        ("MAKO_RAFT_PREFERRED_LEADER", "s301", |s| s.preferred_leader == PreferredLeader::Site(SiteId(2))),
        ("MAKO_RAFT_GROUPING", "partition", |s| s.grouping == Grouping::Partition),
        ("MAKO_RAFT_ELECTION_CODES", "{first: null, gained: 0}", |s| {
            s.election_codes == ElectionCodes { first: None, gained: Some(0), lost: Some(0) }
        }),
        ("MAKO_RAFT_DATA_DIR", "/b: c", |s| s.data_dir == Some(PathBuf::from("/b: c"))),
        ("MAKO_RAFT_DATA_DIR", "", |s| s.data_dir.is_none()),
        ("MAKO_RAFT_CONTROL_PORT", "9200", |s| s.control_port == Some(9_200)),
    ];
    let raft = "  tick_ms: 20\n  queue_bytes: 1 MiB\n  data_dir: /a\n  control_port: 9100\n  preferred_leader: none\n";
    for (variable, value, holds) in cases {
        assert!(!holds(&read(raft)), "{variable} changes something");
        let settings = with(raft).variable(variable, value).load(&[]).unwrap().settings;
        assert!(holds(&settings), "{variable}={value}");
    }
}

#[test]
fn every_key_has_a_variable() {
    for key in KEYS {
        let message = with("").variable(&key.variable(), "[").load(&[]).err();
        let accepted_as_a_path = key.name == "data_dir";
        assert_eq!(message.is_none(), accepted_as_a_path, "{}: {message:?}", key.name);
    }
}

#[test]
fn the_command_line_wins_over_the_variable() {
    let files = with("  data_dir: /a\n")
        .variable("MAKO_RAFT_DATA_DIR", "/b")
        .variable("MAKO_RAFT_GROUPING", "partition");
    let settings = files.load(&["-r", "/c", "--raft-groups=single"]).unwrap().settings;
    assert_eq!((settings.data_dir, settings.grouping), (Some(PathBuf::from("/c")), Grouping::Shard));
    let settings = with("").load(&["--raft-groups", "Multi"]).unwrap().settings;
    assert_eq!(settings.grouping, Grouping::Partition);
}

#[test]
fn a_later_file_wins_over_an_earlier_one_key_by_key() {
    let files = with("  tick_ms: 20\n  drain_ms: 1\n").and("b.yml", b"raft: {tick_ms: 30}\n");
    let settings = files.load(&[]).unwrap().settings;
    assert_eq!((settings.tick_ms, settings.drain_ms), (30, 1));
}

#[test]
fn the_ends_of_a_range_are_in_it_and_what_is_beyond_is_not() {
    for (good, bad, key) in [
        ("1 KiB", "1023", "max_log_bytes"),
        ("1 GiB", "1073741825", "max_log_bytes"),
        ("4096", "4095", "fragment_bytes"),
        ("4 MiB", "4194305", "fragment_bytes"),
        ("3600000", "3600001", "drain_ms"),
        ("65535", "65536", "control_port"),
        ("1", "0", "control_port"),
    ] {
        read(&format!("  {key}: {good}\n"));
        with(&format!("  {key}: {bad}\n")).load(&[]).expect_err(key);
    }
}

#[test]
fn mistakes_in_the_section_are_refused_with_line_key_and_what_would_be_right() {
    let tick = "milliseconds, a whole number from 1 to 1000";
    let poll = "microseconds, a whole number from 0 to 10000";
    let queue = "bytes, a whole number with or without KiB, MiB or GiB, from 64 KiB to 1024 GiB";
    let codes = "a map of first, gained and lost to a number other than 2, 3, 4, or null";
    let cases = [
        ("  tick: 5\n", "a.yml:8: raft.tick: unknown key; expected a key of the raft section; the nearest is tick_ms".into()),
        ("  tick_ms: 0\n", format!("a.yml:8: raft.tick_ms: \"0\"; expected {tick}")),
        ("  tick_ms: 10ms\n", format!("a.yml:8: raft.tick_ms: \"10ms\"; expected {tick}")),
        ("  tick_ms: 1.5\n", format!("a.yml:8: raft.tick_ms: \"1.5\"; expected {tick}")),
        ("  tick_ms: -1\n", format!("a.yml:8: raft.tick_ms: \"-1\"; expected {tick}")),
        ("  tick_ms: +1\n", format!("a.yml:8: raft.tick_ms: \"+1\"; expected {tick}")),
        ("  tick_ms:\n", format!("a.yml:8: raft.tick_ms: nothing; expected {tick}")),
        ("  drain_ms: 1\n  tick_ms: [1]\n", format!("a.yml:9: raft.tick_ms: a list; expected {tick}")),
        ("  busy_poll_us: 10001\n", format!("a.yml:8: raft.busy_poll_us: \"10001\"; expected {poll}")),
        ("  queue_bytes: 64MB\n", format!("a.yml:8: raft.queue_bytes: \"64MB\"; expected {queue}")),
        ("  queue_bytes: 1\n", format!("a.yml:8: raft.queue_bytes: \"1\"; expected {queue}")),
        ("  queue_bytes: MiB\n", format!("a.yml:8: raft.queue_bytes: \"MiB\"; expected {queue}")),
        (
            "  queue_bytes: 99999999999999999 GiB\n",
            format!("a.yml:8: raft.queue_bytes: \"99999999999999999 GiB\"; expected {queue}"),
        ),
        (
            "  preferred_leader: s999\n",
            "a.yml:8: raft.preferred_leader: no site \"s999\"; expected designated, none, or the name of a voting site, \
             such as \"s101\""
                .into(),
        ),
        (
            "  preferred_leader: ~\n",
            "a.yml:8: raft.preferred_leader: nothing; expected designated, none, or the name of a voting site".into(),
        ),
        ("  grouping: both\n", "a.yml:8: raft.grouping: \"both\"; expected shard or partition".into()),
        ("  durability: yes\n", "a.yml:8: raft.durability: \"yes\"; expected fsync or os".into()),
        ("  data_dir: [a]\n", "a.yml:8: raft.data_dir: a list; expected the path of a directory".into()),
        ("  data_dir: \"\"\n", "a.yml:8: raft.data_dir: \"\"; expected the path of a directory".into()),
        ("  control_port: 70000\n", "a.yml:8: raft.control_port: \"70000\"; expected a port from 1 to 65535".into()),
        ("  election_codes: 1\n", format!("a.yml:8: raft.election_codes: \"1\"; expected {codes}")),
        (
            "  election_codes:\n    first: 1\n    gained: 3\n",
            "a.yml:10: raft.election_codes.gained: 3, which starts a fail-over action in Mako; expected a number other \
             than 2, 3 and 4, or null"
                .into(),
        ),
        (
            "  election_codes: {gain: 1}\n",
            "a.yml:8: raft.election_codes.gain: unknown key; expected first, gained or lost; the nearest is gained".into(),
        ),
        (
            "  election_codes: {lost: no}\n",
            "a.yml:8: raft.election_codes.lost: \"no\"; expected a number of 32 bits, or null".into(),
        ),
        (
            "  election_codes: {lost: [0]}\n",
            "a.yml:8: raft.election_codes.lost: a list; expected a number of 32 bits, or null".into(),
        ),
    ];
    for (raft, message) in cases {
        assert_eq!(with(raft).load(&[]).expect_err(raft), message);
    }
}

#[test]
fn election_codes_2_3_and_4_are_refused_and_their_neighbours_are_not() {
    for code in [2, 3, 4] {
        with(&format!("  election_codes: {{lost: {code}}}\n")).load(&[]).expect_err("a fail-over action");
    }
    for code in [-1, 0, 1, 5] {
        assert_eq!(read(&format!("  election_codes: {{lost: {code}}}\n")).election_codes.lost, Some(code));
    }
}

#[test]
fn values_that_do_not_go_together_are_refused_at_the_one_that_was_given() {
    let cases = [
        (
            "  heartbeat_ms: 5\n",
            "a.yml:8: raft.heartbeat_ms: heartbeat_ms 5 is less than tick_ms 10; expected heartbeat_ms of at least tick_ms",
        ),
        (
            "  tick_ms: 60\n",
            "a.yml:8: raft.tick_ms: heartbeat_ms 50 is less than tick_ms 60; expected heartbeat_ms of at least tick_ms",
        ),
        (
            "  drain_ms: 1\n  heartbeat_ms: 281\n",
            "a.yml:9: raft.heartbeat_ms: election_ms 300 is too short for heartbeat_ms 281 and tick_ms 10; expected \
             election_ms of at least heartbeat_ms + 2 * tick_ms = 301",
        ),
        (
            "  heartbeat_ms: 400\n  election_ms: 350\n",
            "a.yml:9: raft.election_ms: election_ms 350 is too short for heartbeat_ms 400 and tick_ms 10; expected \
             election_ms of at least heartbeat_ms + 2 * tick_ms = 420",
        ),
        (
            "  restore: p1\n",
            "a.yml:8: raft.restore: \"p1\"; expected the name of a voting process, a colon, and the formation's 16 hexadecimal \
             digits (several with commas)",
        ),
        (
            "  restore: p7:0123456789abcdef\n",
            "a.yml:8: raft.restore: no voting process \"p7\"; expected the name of a voting process, such as \"p1\", a colon, and a \
             formation",
        ),
        (
            "  restore: p1:0123456789abcde\n",
            "a.yml:8: raft.restore: \"p1:0123456789abcde\"; expected the name of a voting process, a colon, and the formation's 16 \
             hexadecimal digits (several with commas)",
        ),
        (
            "  moved_from: 123\n",
            "a.yml:8: raft.moved_from: \"123\"; expected 16 hexadecimal digits",
        ),
        (
            "  absent_ms: 599\n",
            "a.yml:8: raft.absent_ms: absent_ms 599 is less than twice election_ms 300; expected absent_ms of at least 600",
        ),
        (
            "  fragment_bytes: 2 MiB\n  log_memory_bytes: 1 MiB\n",
            "a.yml:8: raft.fragment_bytes: fragment_bytes 2097152 is more than log_memory_bytes 1048576; expected \
             fragment_bytes of at most log_memory_bytes",
        ),
    ];
    for (raft, message) in cases {
        assert_eq!(with(raft).load(&[]).expect_err(raft), message);
    }
    assert_eq!(
        with("  tick_ms: 20\n").variable("MAKO_RAFT_HEARTBEAT_MS", "15").load(&[]).unwrap_err(),
        "environment: MAKO_RAFT_HEARTBEAT_MS: heartbeat_ms 15 is less than tick_ms 20; expected heartbeat_ms of at \
         least tick_ms"
    );
}

#[test]
fn an_election_time_under_three_heartbeats_is_a_warning() {
    assert_eq!(with("  heartbeat_ms: 100\n").load(&[]).unwrap().warnings, Vec::<String>::new());
    assert_eq!(
        with("  heartbeat_ms: 101\n").load(&[]).unwrap().warnings,
        ["raft.election_ms: 300 is less than three times heartbeat_ms 101: one late heartbeat can end a leadership"]
    );
}

#[test]
fn a_wrong_variable_is_named_as_such() {
    let message = |variable: &str, value: &str| with("").variable(variable, value).load(&[]).unwrap_err();
    assert_eq!(
        message("MAKO_RAFT_TICK_MS", "soon"),
        "environment: MAKO_RAFT_TICK_MS: \"soon\"; expected milliseconds, a whole number from 1 to 1000"
    );
    assert_eq!(
        message("MAKO_RAFT_ELECTION_CODES", "{first: 4}"),
        "environment: MAKO_RAFT_ELECTION_CODES.first: 4, which starts a fail-over action in Mako; expected a number \
         other than 2, 3 and 4, or null"
    );
}

#[test]
fn a_variable_that_is_not_utf8_is_refused_and_named() {
    let value = OsStr::from_bytes(b"/data/\xff");
    assert_eq!(
        with("").variable("MAKO_RAFT_DATA_DIR", value).load(&[]).unwrap_err(),
        "environment: MAKO_RAFT_DATA_DIR: \"/data/\u{fffd}\", which is not UTF-8; expected the path of a directory"
    );
}

#[test]
fn a_learners_site_can_not_be_preferred() {
    let text = "site: {server: [[a:1, l:2]]}\nprocess: {a: localhost, l: learner}\nraft: {preferred_leader: l}\n";
    assert_eq!(
        Files::with(text).load(&[]).unwrap_err(),
        "a.yml:3: raft.preferred_leader: site \"l\", which is a learner's; expected designated, none, or the name of a \
         voting site"
    );
}

#[test]
fn the_readmes_table_has_a_row_for_every_key_with_its_default() {
    let table = markdown_table();
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 2 + KEYS.len());
    assert_eq!(
        rows[2],
        "| `tick_ms` | milliseconds, a whole number from 1 to 1000 | `10` | How often a replica's clock ticks; up to \
         `heartbeat_ms` apart while nothing happens. The other times of elections are rounded to it. |"
    );
    for (row, key) in rows[2..].iter().zip(KEYS) {
        assert!(row.starts_with(&format!("| `{}` |", key.name)), "{row}");
        assert_eq!(row.matches('|').count(), 5, "no cell holds a bar: {row}");
    }
}
