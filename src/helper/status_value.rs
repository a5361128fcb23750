//! What a log callback's return value means.

/// Statuses run from 0 to this: normal, init, ending, safety fail, replay done, no-ops.
const STATUS_MAX: u32 = 5;
/// A Mako log ends in `[u32 timestamp][u32 milliseconds]`.
const TAIL_BYTES: usize = 8;

/// Decodes a callback's return value into (timestamp, status), contract section 5.
///
/// The value is `timestamp * 10 + status` and may have wrapped around 2^32. Where the log's own tail
/// gives a timestamp that fits the value, that one is exact; else the value is taken as it is.
pub fn decode_value(value: u32, log: &[u8]) -> (u32, u32) {
    if let Some(timestamp) = tail_timestamp(log) {
        let status = value.wrapping_sub(timestamp.wrapping_mul(10));
        if status <= STATUS_MAX {
            return (timestamp, status);
        }
    }
    (value / 10, value % 10)
}

/// The timestamp that Mako wrote at the log's end, in the byte order of the machine, as Mako does.
fn tail_timestamp(log: &[u8]) -> Option<u32> {
    let tail = log.len().checked_sub(TAIL_BYTES)?;
    let bytes = log[tail..tail + 4].try_into().expect("four bytes of a tail of eight");
    Some(u32::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_with(timestamp: u32) -> Vec<u8> {
        let mut log = b"transactions".to_vec();
        log.extend_from_slice(&timestamp.to_ne_bytes());
        log.extend_from_slice(&77u32.to_ne_bytes());
        log
    }

    #[test]
    fn a_value_is_ten_times_the_timestamp_plus_the_status() {
        assert_eq!(decode_value(1234, &log_with(123)), (123, 4));
        assert_eq!(decode_value(1234, b"short"), (123, 4));
    }

    #[test]
    fn a_value_past_int_max_is_unsigned() {
        assert_eq!(decode_value(4_000_000_003, &log_with(400_000_000)), (400_000_000, 3));
        assert_eq!(decode_value(4_000_000_003, b""), (400_000_000, 3));
    }

    #[test]
    fn a_product_that_wrapped_is_put_right_by_the_logs_own_timestamp() {
        for timestamp in [429_496_730, 1_000_000_000, u32::MAX] {
            for status in 0..=STATUS_MAX {
                let value = timestamp.wrapping_mul(10).wrapping_add(status);
                assert_eq!(decode_value(value, &log_with(timestamp)), (timestamp, status));
            }
        }
    }

    #[test]
    fn a_tail_that_does_not_fit_the_value_is_no_timestamp() {
        assert_eq!(decode_value(2, b"no-ops:3"), (0, 2));
        assert_eq!(decode_value(25, &log_with(999)), (2, 5));
    }

    #[test]
    fn the_advancer_marker_returns_a_bare_status() {
        assert_eq!(decode_value(4, b"ab"), (0, 4));
    }
}
