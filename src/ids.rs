//! The vocabulary: one type per idea, so that a slot can't be passed for an index.

use std::fmt;
use std::num::NonZeroU64;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty), $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

number!(
    /// A partition: one worker's ordered stream of logs. The row of `site.server`, counted from 0
    /// across all files.
    PartitionId(u32), "");
number!(
    /// A site: one replica of one partition, numbered from 0 in reading order across all files.
    SiteId(u16), "");
number!(
    /// A process of the shard: all the sites mapped to one name. Numbered from 0 in the order in
    /// which the processes first appear among the sites; the same number in every process of the shard.
    ProcessId(u16), "process ");
number!(
    /// A Raft group: partitions with the same replica processes. Numbered from 0 in the order of
    /// their first partition; the same number in every process.
    GroupId(u16), "group ");
number!(
    /// A log's position in its partition's stream: 1, 2, 3, ... without a gap, the same on every replica.
    Slot(u64), "");
number!(
    /// A Raft term.
    Term(u64), "");
number!(
    /// A position in the Raft log.
    LogIndex(u64), "");

/// One start of one process: a random number, never zero, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A member's Raft id. Given by a formation or an admission, and never used twice in a formation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub NonZeroU64);

impl MemberId {
    /// The id as raft-rs wants it.
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// `None` for 0, which raft-rs uses for "nobody".
    pub fn new(raw: u64) -> Option<Self> {
        NonZeroU64::new(raw).map(Self)
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "member {}", self.0)
    }
}

/// A moment on a clock that is handed in: microseconds since an origin that the caller chose.
/// It never goes backwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// Milliseconds from `earlier` to this moment; 0 when `earlier` is later.
    pub fn millis_since(self, earlier: Time) -> u64 {
        self.0.saturating_sub(earlier.0) / 1_000
    }

    /// This moment plus `millis` milliseconds.
    pub fn plus_millis(self, millis: u64) -> Time {
        Time(self.0.saturating_add(millis.saturating_mul(1_000)))
    }
}
