//! The one list of the `raft` section's keys. Parsing, the environment variables, the suggestions for a
//! mistyped key, the defaults and the README's table all come from it.

use super::Settings;

/// One key of the `raft` section.
pub struct Key {
    /// Its name in the section.
    pub name: &'static str,
    /// Its default, written as in a file; empty where there is none.
    pub default: &'static str,
    /// What it is for, in one or two sentences of Markdown.
    pub about: &'static str,
    pub(super) kind: Kind,
}

/// What a key's value may be, and where it goes.
pub(super) enum Kind {
    /// Milliseconds.
    Time { min: u64, max: u64, field: fn(&mut Settings) -> &mut u64 },
    /// Microseconds.
    ShortTime { min: u64, max: u64, field: fn(&mut Settings) -> &mut u64 },
    /// Bytes, with KiB, MiB or GiB allowed.
    Size { min: u64, max: u64, field: fn(&mut Settings) -> &mut u64 },
    PreferredLeader,
    Grouping,
    ElectionCodes,
    DataDir,
    Durability,
    ControlPort,
    Restore,
    MovedFrom,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;

/// Every key, in the order of the README's table.
pub const KEYS: &[Key] = &[
    Key {
        name: "tick_ms",
        default: "10",
        about: "How often a replica's clock ticks; up to `heartbeat_ms` apart while nothing happens. The other times of \
                elections are rounded to it.",
        kind: Kind::Time { min: 1, max: 1_000, field: |settings| &mut settings.tick_ms },
    },
    Key {
        name: "heartbeat_ms",
        default: "50",
        about: "How often a leader says that it is alive. At least `tick_ms`.",
        kind: Kind::Time { min: 1, max: MINUTE_MS, field: |settings| &mut settings.heartbeat_ms },
    },
    Key {
        name: "election_ms",
        default: "300",
        about: "How long a replica hears no leader before it campaigns; randomised up to twice that. At least \
                `heartbeat_ms` and two ticks; three heartbeats or more, or one lost heartbeat ends a leadership.",
        kind: Kind::Time { min: 3, max: 10 * MINUTE_MS, field: |settings| &mut settings.election_ms },
    },
    Key {
        name: "form_wait_ms",
        default: "5000",
        about: "How long after their start the other processes leave the designated one the first move.",
        kind: Kind::Time { min: 0, max: HOUR_MS, field: |settings| &mut settings.form_wait_ms },
    },
    Key {
        name: "absent_ms",
        default: "30000",
        about: "A member that was not heard for so long no longer keeps the log in memory from being cut. At least \
                twice `election_ms`.",
        kind: Kind::Time { min: 6, max: 24 * HOUR_MS, field: |settings| &mut settings.absent_ms },
    },
    Key {
        name: "drain_ms",
        default: "5000",
        about: "How long `pre_shutdown_step` waits for accepted logs before it reports the rest as lost.",
        kind: Kind::Time { min: 0, max: HOUR_MS, field: |settings| &mut settings.drain_ms },
    },
    Key {
        name: "submit_wait_ms",
        default: "30000",
        about: "How long a submission waits at a full queue before its log is refused.",
        kind: Kind::Time { min: 0, max: HOUR_MS, field: |settings| &mut settings.submit_wait_ms },
    },
    Key {
        name: "busy_poll_us",
        default: "60",
        about: "How long the replica's event loop looks for work before it sleeps, while the waits of a busy shard are no \
                longer than this. Other threads may run meanwhile. 0: it always sleeps at once.",
        kind: Kind::ShortTime { min: 0, max: 10_000, field: |settings| &mut settings.busy_poll_us },
    },
    Key {
        name: "preferred_leader",
        default: "designated",
        about: "Who should lead: the process that Mako submits on (`designated`), nobody in particular (`none`), or \
                the process that runs the named site.",
        kind: Kind::PreferredLeader,
    },
    Key {
        name: "grouping",
        default: "shard",
        about: "Which partitions share a Raft group: all with the same replica processes (`shard`), or each alone \
                (`partition`). The same in all processes, and for as long as a data directory is used. `--raft-groups` wins \
                over it.",
        kind: Kind::Grouping,
    },
    Key {
        name: "election_codes",
        default: "{first: 1, gained: 1, lost: 0}",
        about: "What the election callback is called with at the first leadership of a fresh shard, at any later \
                one, and when leadership is lost; `null` silences one. 2, 3 and 4 start fail-over actions in Mako \
                and are refused.",
        kind: Kind::ElectionCodes,
    },
    Key {
        name: "queue_bytes",
        default: "64 MiB",
        about: "Accepted and not yet committed, for each partition. A full queue makes submitters wait.",
        kind: Kind::Size { min: 64 * KIB, max: TIB, field: |settings| &mut settings.queue_bytes },
    },
    Key {
        name: "log_memory_bytes",
        default: "1 GiB",
        about: "The Raft log in memory. While it suffices, a replica that lost its memory is rebuilt from it.",
        kind: Kind::Size { min: MIB, max: TIB, field: |settings| &mut settings.log_memory_bytes },
    },
    Key {
        name: "max_log_bytes",
        default: "1 GiB",
        about: "The longest log that is accepted.",
        kind: Kind::Size { min: KIB, max: GIB, field: |settings| &mut settings.max_log_bytes },
    },
    Key {
        name: "fragment_bytes",
        default: "512 KiB",
        about: "A longer log travels in pieces of this size, between which logs of other partitions find room. At \
                most `log_memory_bytes`.",
        kind: Kind::Size { min: 4 * KIB, max: 4 * MIB, field: |settings| &mut settings.fragment_bytes },
    },
    Key {
        name: "data_dir",
        default: "",
        about: "The directory for durable logs; without it the log lives in memory only. `-r` wins over it.",
        kind: Kind::DataDir,
    },
    Key {
        name: "durability",
        default: "fsync",
        about: "What a durable log waits for before it is acknowledged: the disk (`fsync`, survives a power cut), \
                or the operating system (`os`, survives the death of the process only).",
        kind: Kind::Durability,
    },
    Key {
        name: "control_port",
        default: "",
        about: "The status endpoint's port; without it, and with `-b`, the process's port + 10000.",
        kind: Kind::ControlPort,
    },
    Key {
        name: "restore",
        default: "",
        about: "The operator's act after more replicas were lost than the shard tolerates: given to a process that is started \
                again, it lets the named survivor begin the next generation from its log, alone. The survivor's own line \
                says the value; it is good for once, since the next generation is another formation.",
        kind: Kind::Restore,
    },
    Key {
        name: "moved_from",
        default: "",
        about: "The operator's order after the shard's hosts or ports have changed: a data directory that bears this fingerprint \
                of the former ones is taken, and bears the present one from then on. The line that refuses it says the value; \
                a directory with the present one needs no order.",
        kind: Kind::MovedFrom,
    },
];

impl Key {
    /// Its environment variable, which wins over the files: `MAKO_RAFT_TICK_MS`.
    pub fn variable(&self) -> String {
        format!("MAKO_RAFT_{}", self.name.to_ascii_uppercase())
    }

    /// What its value may be: type, unit and range, as messages and the README say it.
    pub fn allowed(&self) -> String {
        match self.kind {
            Kind::Time { min, max, .. } => format!("milliseconds, a whole number from {min} to {max}"),
            Kind::ShortTime { min, max, .. } => format!("microseconds, a whole number from {min} to {max}"),
            Kind::Size { min, max, .. } => {
                format!("bytes, a whole number with or without KiB, MiB or GiB, from {} to {}", size(min), size(max))
            }
            Kind::PreferredLeader => "designated, none, or the name of a voting site".to_owned(),
            Kind::Grouping => "shard or partition".to_owned(),
            Kind::ElectionCodes => "a map of first, gained and lost to a number other than 2, 3, 4, or null".to_owned(),
            Kind::DataDir => "the path of a directory".to_owned(),
            Kind::Durability => "fsync or os".to_owned(),
            Kind::ControlPort => "a port from 1 to 65535".to_owned(),
            Kind::Restore => {
                "the name of a voting process, a colon, and the formation's 16 hexadecimal digits (several with commas)".to_owned()
            }
            Kind::MovedFrom => "16 hexadecimal digits".to_owned(),
        }
    }
}

/// A size in its largest whole unit.
fn size(bytes: u64) -> String {
    for (unit, name) in [(GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")] {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            return format!("{} {name}", bytes / unit);
        }
    }
    bytes.to_string()
}

/// The README's table of settings, a row per key, ending in a newline.
pub fn markdown_table() -> String {
    let mut table = String::from("| key | value | default | what it is for |\n|---|---|---|---|\n");
    for key in KEYS {
        let default = if key.default.is_empty() { "none".to_owned() } else { format!("`{}`", key.default) };
        table.push_str(&format!("| `{}` | {} | {default} | {} |\n", key.name, key.allowed(), key.about));
    }
    table
}
