//! What the machine gives without Raft: three processes, epoll, no library of ours. A figure means
//! something beside its floor from the same minute only.

mod bandwidth;
mod fsync;
mod latency;
mod receiver;
mod threads;
mod wire;

use std::path::Path;

use crate::histogram::Summary;

pub use receiver::run as run_receiver;

/// Sent and kept in turn by a floor of bandwidth: what the log of the standard set keeps.
pub const KEPT_BYTES: usize = 256 << 20;

/// A floor's figures.
#[derive(Clone, Copy, Debug, Default)]
pub struct Floor {
    /// Nanoseconds per round trip, write or round of wake-ups; zeros for bandwidth.
    pub latency: Summary,
    /// 10^6 bytes of payload per second: to one receiver, while another gets the same.
    pub mb_per_s: f64,
}

/// A message of `bytes` to two receivers and the first acknowledgement, one at a time: each at once, or
/// `rate` of them in a second.
///
/// # Errors
/// The system refuses sockets or processes, or a receiver ends.
pub fn latency(bytes: usize, rate: Option<f64>, seconds: f64) -> Result<Floor, String> {
    latency::measure(bytes, rate, seconds)
}

/// Blocks of 1 MiB to two receivers, as fast as they take them: the same again and again, which stays in the processor's caches,
/// or `kept` bytes in turn, as a log takes and keeps what it is sent.
///
/// # Errors
/// As of [`latency`].
pub fn bandwidth(kept: Option<usize>, seconds: f64) -> Result<Floor, String> {
    bandwidth::measure(kept, seconds)
}

/// Writes of `bytes` into a file that was written before, each followed by fdatasync, by each of `writers` at once.
///
/// # Errors
/// The file can't be written.
pub fn fsync(directory: &Path, bytes: usize, writers: usize, seconds: f64) -> Result<Floor, String> {
    fsync::measure(directory, bytes, writers, seconds)
}

/// For each of `partitions` four threads that wake each other in a ring; a figure is a round of one of them.
///
/// # Errors
/// The system refuses threads.
pub fn threads(partitions: usize, seconds: f64) -> Result<Floor, String> {
    threads::measure(partitions, seconds)
}
