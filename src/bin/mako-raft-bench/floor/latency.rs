//! The latency floor: what a quorum round trip costs when nothing is done with the bytes.

use crate::clock;
use crate::histogram::Histogram;

use super::wire::Sender;
use super::Floor;

/// Before it is measured: connections and caches get warm.
const WARMUP_NS: u64 = 200_000_000;

pub fn measure(bytes: usize, rate: Option<f64>, seconds: f64) -> Result<Floor, String> {
    let mut sender = Sender::new(bytes, bytes, None)?;
    let histogram = Histogram::default();
    let begin = clock::now_ns() + WARMUP_NS;
    let end = begin + (seconds * 1e9) as u64;
    let first = clock::now_ns();
    for sent in 1usize.. {
        let start = match rate {
            // From the due time, as of a log in an open loop.
            Some(rate) => first + (sent as f64 * 1e9 / rate) as u64,
            None => clock::now_ns(),
        };
        if start >= end {
            break;
        }
        clock::sleep_until(start);
        sender.queue();
        sender.move_bytes()?;
        // The sender counts as one of three: the first answer makes a majority. The slower one may be a
        // message behind.
        while !sender.peers.iter().any(|peer| peer.acknowledged() >= sent)
            || sender.peers.iter().any(|peer| peer.acknowledged() + 1 < sent)
        {
            sender.wait()?;
            sender.move_bytes()?;
        }
        if start >= begin {
            histogram.record(clock::now_ns() - start);
        }
    }
    let latency = histogram.summary();
    Ok(Floor { latency, mb_per_s: (latency.count as f64 * bytes as f64) / seconds / 1e6 })
}
