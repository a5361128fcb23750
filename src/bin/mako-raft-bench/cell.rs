//! One cell of the measurement: a load on a cluster, and what is special about either.

use std::path::{Path, PathBuf};

use crate::payload::Sizes;

/// The defaults of the settings that bound a process's memory (README, "Settings").
const LOG_MEMORY_BYTES: u64 = 1 << 30;
const QUEUE_BYTES: u64 = 64 << 20;
/// What a process may take beyond its log and its queues (PERFORMANCE's goal).
const BESIDE_BYTES: u64 = 64_000_000;

/// How logs are submitted, per partition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// The submitter waits once so many are not done. It is woken when half of them are (with one
    /// outstanding: at once), so that what is measured is the library and not the benchmark's wake-ups.
    Closed {
        /// Per partition.
        outstanding: u64,
    },
    /// A log is due every 1/rate seconds, whatever became of earlier ones; its latency counts from then.
    Open {
        /// Logs per second, all partitions together.
        rate: f64,
    },
    /// None: what does a cluster cost that does nothing?
    Idle,
}

/// Something that is wrong with the cluster while it is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// One follower is stopped (SIGSTOP) while it is measured, and continued behind it.
    StoppedFollower,
    /// One follower's callback of partition 0 takes 1 ms. That partition's logs are not in the figures: they
    /// show what it does to the other ones.
    SlowCallback,
}

/// A cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Bytes of a log.
    pub sizes: Sizes,
    /// Streams, each with a submitting thread.
    pub partitions: u32,
    /// The load.
    pub pace: Pace,
    /// Where durable logs go; `None` for memory only.
    pub durable: Option<PathBuf>,
    /// A group per partition instead of one for all.
    pub group_per_partition: bool,
    /// The last partition carries logs of this size, one at a time, which are not in the figures.
    pub big_bytes: Option<usize>,
    /// The least time between two of them; `None`: one follows the other.
    pub big_every_ms: Option<u64>,
    /// `raft.log_memory_bytes`; `None` for the default, 1 GiB.
    pub log_memory_bytes: Option<u64>,
    /// A library that is loaded before the others in each replica (LD_PRELOAD): the host's allocator.
    pub preload: Option<PathBuf>,
    /// What is wrong.
    pub trouble: Trouble,
    /// How long it is measured.
    pub seconds: f64,
    /// Load before that.
    pub warmup: f64,
}

impl Default for Cell {
    fn default() -> Self {
        Self {
            sizes: Sizes::Fixed(100),
            partitions: 1,
            pace: Pace::Closed { outstanding: 1 },
            durable: None,
            group_per_partition: false,
            big_bytes: None,
            big_every_ms: None,
            log_memory_bytes: None,
            preload: None,
            trouble: Trouble::None,
            seconds: 5.0,
            warmup: 1.0,
        }
    }
}

impl Cell {
    /// The load as the replica processes and their sources in other languages read it.
    pub fn load_words(&self) -> String {
        let pace = match self.pace {
            Pace::Closed { outstanding } => format!("outstanding={outstanding}"),
            Pace::Open { rate } => format!("rate={rate}"),
            Pace::Idle => "outstanding=0".to_owned(),
        };
        let every = self.big_every_ms.map_or(String::new(), |ms| format!(" big_every_ms={ms}"));
        let apart = if self.trouble == Trouble::SlowCallback { " apart=0" } else { "" };
        format!("{} {pace}{every}{apart}", self.size_words())
    }

    /// How long its logs are, in the same way.
    pub fn size_words(&self) -> String {
        let big = self.big_bytes.map_or(String::new(), |bytes| format!(" big={bytes}"));
        format!("size={}{big}", self.sizes)
    }

    /// `raft.log_memory_bytes`.
    pub fn log_memory_bytes(&self) -> u64 {
        self.log_memory_bytes.unwrap_or(LOG_MEMORY_BYTES)
    }

    /// What a process of this cell may take: the log, a full queue for each partition, and 64 MB.
    pub fn memory_bound_bytes(&self) -> u64 {
        self.log_memory_bytes() + u64::from(self.partitions) * QUEUE_BYTES + BESIDE_BYTES
    }

    /// One line for people.
    pub fn describe(&self) -> String {
        let plural = |n: u32| if n == 1 { "" } else { "s" };
        let sizes = match self.sizes {
            Sizes::Fixed(bytes) => format!("{bytes} B"),
            Sizes::Mix => "mixed sizes".into(),
        };
        let mut text = match self.pace {
            Pace::Closed { outstanding } => format!("{sizes}, {outstanding} outstanding"),
            Pace::Open { rate } => format!("{sizes}, {rate}/s due"),
            Pace::Idle => "idle".to_owned(),
        };
        text += &format!(", {} partition{}", self.partitions, plural(self.partitions));
        if self.durable.is_some() {
            text += ", durable";
        }
        if self.group_per_partition {
            text += ", a group each";
        }
        if let Some(bytes) = self.big_bytes {
            text += &format!(", beside logs of {bytes} B");
        }
        if let Some(ms) = self.big_every_ms {
            text += &format!(" every {ms} ms");
        }
        if let Some(bytes) = self.log_memory_bytes {
            text += &format!(", {} MiB of log", bytes >> 20);
        }
        if let Some(library) = self.preload.as_deref().and_then(Path::file_name) {
            text += &format!(", with {}", library.to_string_lossy());
        }
        match self.trouble {
            Trouble::None => {}
            Trouble::StoppedFollower => text += ", one follower stopped",
            Trouble::SlowCallback => text += ", one follower's callback of partition 0 takes 1 ms",
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_by_the_log_a_queue_for_each_partition_and_64_mb() {
        assert_eq!(Cell::default().memory_bound_bytes(), (1 << 30) + (64 << 20) + 64_000_000);
        let many = Cell { partitions: 3, log_memory_bytes: Some(1 << 20), ..Cell::default() };
        assert_eq!(many.memory_bound_bytes(), (1 << 20) + 3 * (64 << 20) + 64_000_000);
    }
}
