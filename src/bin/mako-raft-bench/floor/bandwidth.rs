//! The bandwidth floor: one thread, two receivers, large blocks.

use crate::clock;

use super::wire::Sender;
use super::Floor;

/// Blocks large enough that system calls don't matter.
const BLOCK_BYTES: usize = 1 << 20;
/// Queued for each receiver, so that neither waits for the other's turn.
const QUEUED_BYTES: usize = 4 << 20;
const WARMUP_NS: u64 = 200_000_000;

pub fn measure(kept: Option<usize>, seconds: f64) -> Result<Floor, String> {
    let mut sender = Sender::new(0, BLOCK_BYTES, kept)?;
    let begin = clock::now_ns() + WARMUP_NS;
    let end = begin + (seconds * 1e9) as u64;
    let (mut queued, mut at_begin) = (0, None);
    loop {
        let now = clock::now_ns();
        // Both get every block: the slower one's count is what a replicated log would have reached.
        let slowest = sender.peers.iter().map(|peer| queued - peer.unsent()).min().unwrap_or(0);
        if now >= begin && at_begin.is_none() {
            at_begin = Some((now, slowest));
        }
        if let Some((start, before)) = at_begin.filter(|_| now >= end) {
            let mb_per_s = (slowest - before) as f64 / (now - start) as f64 * 1e3;
            return Ok(Floor { mb_per_s, ..Floor::default() });
        }
        while sender.peers.iter().all(|peer| peer.unsent() + BLOCK_BYTES <= QUEUED_BYTES) {
            sender.queue();
            queued += BLOCK_BYTES;
        }
        sender.move_bytes()?;
        if sender.peers.iter().all(|peer| peer.unsent() > 0) {
            sender.wait()?;
        }
    }
}
