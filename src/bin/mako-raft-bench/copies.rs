//! Copies of payload bytes in user space, counted by reading the code, not by measuring.
//!
//! | where | copies | condition |
//! |---|---|---|
//! | leader: submission into the entry | 1 | always |
//! | leader: entry into the frame, for two followers | 2 | entries below `wire::SHARE_BYTES` |
//! | leader: frame into the send queue, for two followers | 2 | the same: shorter parts are joined |
//! | follower: receive buffer into the frame's body | 1 | bodies up to 8 KiB (`transport/frame.rs`) |
//! | every replica: joining fragments | 1 | logs above `raft.fragment_bytes` |
//!
//! An entry holds all the logs that had gathered, at most 64 KiB of them: with many outstanding the small
//! logs travel in shared entries as well. The kernel's copies come on top, the same for every program.

use mako_raft::replica::wire::SHARE_BYTES;

use crate::cell::{Cell, Pace};
use crate::payload::Sizes;

/// Chunks of short logs are closed at this length (`runtime/intake.rs`).
const CHUNK_BYTES: usize = 64 << 10;
/// Longer logs do not share an entry.
const OWN_CHUNK_BYTES: usize = 16 << 10;
/// Longer bodies are received into buffers of their own (`transport/frame.rs`).
const SMALL_BODY_BYTES: usize = 8 << 10;
/// The default of `raft.fragment_bytes`.
const FRAGMENT_BYTES: usize = 512 << 10;
/// The mix is dominated, in bytes, by logs of this length.
const MIX_BYTES: usize = 286_208;

/// Copies per payload byte on the leader and on each follower.
pub fn per_byte(cell: &Cell) -> (f64, f64) {
    let log = match cell.sizes {
        Sizes::Fixed(bytes) => bytes,
        Sizes::Mix => MIX_BYTES,
    };
    // The submitter adds half of what is outstanding at a time: that much gathers.
    let gathered = match cell.pace {
        Pace::Closed { outstanding } => (outstanding as usize / 2).max(1),
        Pace::Open { .. } | Pace::Idle => 1,
    };
    let entry = if log <= OWN_CHUNK_BYTES { (gathered * log).min(CHUNK_BYTES).max(log) } else { log };
    let (mut leader, mut follower) = (1.0, 0.0);
    if entry < SHARE_BYTES {
        leader += 4.0;
    }
    if entry <= SMALL_BODY_BYTES {
        follower += 1.0;
    }
    if log > FRAGMENT_BYTES {
        leader += 1.0;
        follower += 1.0;
    }
    (leader, follower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_is_copied_once_and_a_fragmented_one_once_more() {
        let cell = |bytes| Cell { sizes: Sizes::Fixed(bytes), ..Cell::default() };
        assert_eq!(per_byte(&cell(286_208)), (1.0, 0.0));
        assert_eq!(per_byte(&cell(50_000_000)), (2.0, 1.0));
        let many = Cell { pace: Pace::Closed { outstanding: 1024 }, ..cell(1024) };
        assert_eq!(per_byte(&many), (1.0, 0.0), "small logs share long entries");
    }
}
