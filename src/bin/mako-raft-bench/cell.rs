//! One cell of the measurement: a load on a cluster, and what is special about either.

use std::path::PathBuf;

use crate::payload::Sizes;

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
    /// One follower's callback of partition 0 takes 1 ms.
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
    /// `raft.log_memory_bytes`; `None` for the default, 1 GiB.
    pub log_memory_bytes: Option<u64>,
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
            log_memory_bytes: None,
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
        let big = self.big_bytes.map_or(String::new(), |bytes| format!(" big={bytes}"));
        format!("size={} {pace}{big}", self.sizes)
    }

    /// One line for people.
    pub fn describe(&self) -> String {
        let plural = |n: u32| if n == 1 { "" } else { "s" };
        let mut text = match self.pace {
            Pace::Closed { outstanding } => format!("{} B, {outstanding} outstanding", self.sizes),
            Pace::Open { rate } => format!("{} B, {rate}/s due", self.sizes),
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
        if let Some(bytes) = self.log_memory_bytes {
            text += &format!(", {} MiB of log", bytes >> 20);
        }
        match self.trouble {
            Trouble::None => {}
            Trouble::StoppedFollower => text += ", one follower stopped",
            Trouble::SlowCallback => text += ", one follower's callback takes 1 ms",
        }
        text
    }
}
