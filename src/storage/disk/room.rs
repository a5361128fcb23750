//! Whether the log's file system is about to be full. The log is never cut, so it will be some day, and at full rate soon: the
//! operator is told while there is time to do something about it.

use std::time::Duration;

/// So long before the end, at the rate since the last segment: enough to make room, or to stop one replica and move its
/// directory.
const WARN_BEFORE: Duration = Duration::from_secs(600);
/// And whatever the rate, when fewer segments than these fit.
const SEGMENTS_FEW: u64 = 5;

/// What is known of it, and was said.
#[derive(Default)]
pub(super) struct Room {
    free_bytes: Option<u64>,
    /// So much was free when it was said last.
    warned_at_bytes: Option<u64>,
}

impl Room {
    /// `free_bytes` are left, `elapsed` after the look before, where there was one. The rate is that of the file system, on which
    /// other groups have their logs too. A line where it is too little: once, and again each time that half of that is gone.
    pub fn look(&mut self, free_bytes: u64, segment_bytes: u64, elapsed: Option<Duration>) -> Option<String> {
        let taken = self.free_bytes.replace(free_bytes).map_or(0, |before| before.saturating_sub(free_bytes));
        let seconds_left = elapsed.filter(|_| taken > 0).map(|elapsed| elapsed.as_secs_f64() * free_bytes as f64 / taken as f64);
        let lasts = seconds_left.is_none_or(|seconds| seconds >= WARN_BEFORE.as_secs_f64());
        if free_bytes / segment_bytes >= SEGMENTS_FEW && lasts {
            // Where the rate goes up and down it is said once, unless much room was made.
            self.warned_at_bytes = self.warned_at_bytes.filter(|&warned| free_bytes <= warned.saturating_mul(2));
            return None;
        }
        // Nothing is half of nothing: at 0 the last word has been said.
        if self.warned_at_bytes.is_some_and(|warned| warned == 0 || free_bytes > warned / 2) {
            return None;
        }
        self.warned_at_bytes = Some(free_bytes);
        let lasts = seconds_left.map_or_else(String::new, |seconds| format!(", for {seconds:.0} s at the present rate"));
        Some(format!(
            "{} MB are left for the log{lasts}; it is never cut, and this replica stops when there are none: give it more room (no \
             file of it may be deleted)",
            free_bytes / 1_000_000
        ))
    }
}

/// What a process may still take of a file system with so many blocks, so many of them free, and so many of those for
/// everybody; `None` where there are none at all, as in one that does not know its size. Root may have what is kept for root.
pub(super) fn free_bytes([blocks, free, for_everybody]: [u64; 3], block_bytes: u64, is_root: bool) -> Option<u64> {
    let left = if is_root { free } else { for_everybody };
    (blocks > 0).then(|| left.saturating_mul(block_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT_BYTES: u64 = 64 << 20;
    const GB: u64 = 1_000_000_000;

    #[test]
    fn too_little_room_is_said_once_and_again_when_half_of_it_is_gone() {
        let mut room = Room::default();
        let mut after = |seconds, free_gb| room.look(free_gb * GB, SEGMENT_BYTES, Some(Duration::from_secs(seconds)));
        assert_eq!(after(0, 62), None, "no rate is known");
        assert_eq!(after(10, 61), None);
        let said = after(10, 59).expect("less than ten minutes");
        assert!(said.starts_with("59000 MB are left for the log, for 295 s at the present rate"), "{said}");
        assert_eq!([after(10, 58), after(1_000, 57), after(10, 30)], [None, None, None]);
        assert!(after(10, 29).is_some());
        assert_eq!(after(10, 100), None, "room was made");
        assert!(after(10, 50).is_some(), "and is gone again");
    }

    #[test]
    fn a_disk_that_comes_to_its_end_is_said_a_few_times_and_at_0_no_more() {
        let mut room = Room::default();
        let halves = std::iter::successors(Some(4 * SEGMENT_BYTES), |free| (*free > 0).then_some(free / 2));
        let said = halves.filter_map(|free| room.look(free, SEGMENT_BYTES, None)).count();
        assert!((10..40).contains(&said), "{said}");
        let seconds = Some(Duration::from_secs(1));
        assert_eq!([0; 3].map(|free| room.look(free, SEGMENT_BYTES, seconds)), [None, None, None]);
        assert_eq!(room.look(100 * GB, SEGMENT_BYTES, seconds), None, "room was made");
        assert!(room.look(0, SEGMENT_BYTES, seconds).is_some(), "and is gone again");
    }

    #[test]
    fn what_is_kept_for_root_counts_for_root_and_without_a_size_nothing_is_known() {
        assert_eq!([false, true].map(|is_root| free_bytes([100, 5, 0], 4096, is_root)), [Some(0), Some(5 * 4096)]);
        assert_eq!(free_bytes([0, 0, 0], 4096, false), None);
    }

    #[test]
    fn a_few_segments_are_too_little_at_any_rate() {
        let mut room = Room::default();
        assert_eq!(room.look(5 * SEGMENT_BYTES, SEGMENT_BYTES, None), None);
        let said = room.look(5 * SEGMENT_BYTES - 1, SEGMENT_BYTES, None).expect("four segments");
        assert!(said.starts_with("335 MB are left for the log; it is never cut"), "{said}");
    }
}
