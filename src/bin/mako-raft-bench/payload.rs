//! What the benchmark's logs hold, and how a replica checks what it is given.
//!
//! ```text
//! sequence u64 | stamp u64 | filling ... | sequence u64      little-endian; the last word from 24 bytes on
//! ```
//!
//! In the filling, sequence ^ offset stands at each multiple of 4 KiB: a piece of another log, or of another place in
//! this one, is noticed too. The length is what belongs to the sequence.
//!
//! The sequence counts 1, 2, 3, ... in each partition. A new leader goes on behind what was delivered to
//! it, so even across a fail-over a gap, a repeat or a swap can't go unseen. The stamp is the time of
//! submission (open loop: the due time), or 0 where the log is not timed.

use std::fmt;
use std::str::FromStr;

/// Sequence and stamp have to fit.
pub const BYTES_MIN: usize = 16;
/// From here on the sequence stands at the end too, so a log that was joined wrongly is noticed.
const BYTES_WITH_TAIL: usize = 24;
/// So far apart are the words in the filling.
const WORD_EVERY_BYTES: usize = 4 << 10;
/// The mix: Mako's TPC-C log, and the long tail.
const TPCC_BYTES: usize = 286_208;
const TAIL_BYTES: usize = 25_000_000;
const TAIL_EVERY: u64 = 4_000;

/// How long logs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// All of this many bytes.
    Fixed(usize),
    /// 70 % 1 KiB, 20 % 16 KiB, 10 % 286,208 B, and every 4,000th has 25 MB.
    Mix,
}

impl Sizes {
    /// The length of the log with this sequence number.
    pub fn of(self, sequence: u64) -> usize {
        match self {
            Sizes::Fixed(bytes) => bytes,
            Sizes::Mix if sequence % TAIL_EVERY == TAIL_EVERY / 2 => TAIL_BYTES,
            Sizes::Mix => match sequence % 10 {
                9 => TPCC_BYTES,
                3 | 6 => 16 << 10,
                _ => 1 << 10,
            },
        }
    }

    /// The longest.
    pub fn max(self) -> usize {
        match self {
            Sizes::Fixed(bytes) => bytes,
            Sizes::Mix => TAIL_BYTES,
        }
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sizes::Fixed(bytes) => write!(f, "{bytes}"),
            Sizes::Mix => f.write_str("mix"),
        }
    }
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "mix" {
            return Ok(Sizes::Mix);
        }
        match text.parse() {
            Ok(bytes) if bytes >= BYTES_MIN => Ok(Sizes::Fixed(bytes)),
            _ => Err(format!("a log size is \"mix\" or a number of bytes from {BYTES_MIN} on, not \"{text}\"")),
        }
    }
}

fn word(log: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(log[at..at + 8].try_into().expect("eight bytes"))
}

/// The offsets of the words in the filling of a log of `length`.
fn inner(length: usize) -> impl Iterator<Item = usize> {
    // The tail word keeps its place to itself.
    (WORD_EVERY_BYTES..length.saturating_sub(15)).step_by(WORD_EVERY_BYTES)
}

/// Writes sequence and stamp into `log`.
pub fn mark(log: &mut [u8], sequence: u64, stamp: u64) {
    log[..8].copy_from_slice(&sequence.to_le_bytes());
    log[8..16].copy_from_slice(&stamp.to_le_bytes());
    if log.len() >= BYTES_WITH_TAIL {
        let tail = log.len() - 8;
        log[tail..].copy_from_slice(&sequence.to_le_bytes());
    }
    for at in inner(log.len()) {
        log[at..at + 8].copy_from_slice(&(sequence ^ at as u64).to_le_bytes());
    }
}

/// Checks a delivered log against what has to come next; its stamp. `sizes`, where it is known here, says how long it is.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check(log: &[u8], expected: u64, slot: u64, sizes: Option<Sizes>) -> Result<u64, String> {
    if log.len() < BYTES_MIN {
        return Err(format!("slot {slot} holds {} bytes, too few for any of ours", log.len()));
    }
    let sequence = word(log, 0);
    if sequence != expected || slot != expected {
        return Err(format!("expected log {expected} in slot {expected}, got log {sequence} in slot {slot}"));
    }
    if let Some(right) = sizes.map(|sizes| sizes.of(sequence)).filter(|right| *right != log.len()) {
        return Err(format!("log {sequence} has {} bytes, not {right}", log.len()));
    }
    if log.len() >= BYTES_WITH_TAIL && word(log, log.len() - 8) != sequence {
        return Err(format!("the end of log {sequence} is not its own"));
    }
    if let Some(at) = inner(log.len()).find(|&at| word(log, at) != sequence ^ at as u64) {
        return Err(format!("log {sequence} holds at byte {at} what is not its own"));
    }
    Ok(word(log, 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_a_repeat_a_wrong_slot_and_a_wrong_end_are_noticed() {
        let mut log = vec![0; 100];
        mark(&mut log, 7, 99);
        assert_eq!(check(&log, 7, 7, None), Ok(99));
        assert!(check(&log, 6, 6, None).is_err(), "a gap");
        assert!(check(&log, 8, 8, None).is_err(), "a repeat");
        assert!(check(&log, 7, 8, None).is_err(), "another slot");
        assert!(check(&log[..99], 7, 7, None).is_err(), "cut off");
        log[99] ^= 1;
        assert!(check(&log, 7, 7, None).is_err(), "another end");
        assert!(check(&log[..15], 7, 7, None).is_err(), "too short");
    }

    #[test]
    fn a_length_that_is_not_the_sequence_s_and_exchanged_pieces_are_noticed() {
        let sizes = Sizes::Fixed(20_000);
        let mut log = vec![0x5a; 20_000];
        mark(&mut log, 7, 99);
        assert_eq!(check(&log, 7, 7, Some(sizes)), Ok(99));
        assert!(check(&log, 7, 7, Some(Sizes::Fixed(20_001))).unwrap_err().contains("20000 bytes, not 20001"));
        let (front, back) = log.split_at_mut(8192);
        front[4096..].swap_with_slice(&mut back[..4096]);
        assert!(check(&log, 7, 7, Some(sizes)).unwrap_err().contains("at byte 4096"));
    }

    #[test]
    fn every_length_has_room_for_its_words() {
        for length in (16..64).chain(4_080..4_130).chain(8_180..8_220) {
            let mut log = vec![0; length];
            mark(&mut log, u64::MAX - 5, 3);
            assert_eq!(check(&log, u64::MAX - 5, u64::MAX - 5, Some(Sizes::Fixed(length))), Ok(3), "{length}");
        }
    }

    #[test]
    fn sizes_are_read_as_they_are_written() {
        for sizes in [Sizes::Fixed(16), Sizes::Fixed(286_208), Sizes::Mix] {
            assert_eq!(sizes.to_string().parse(), Ok(sizes));
        }
        assert!("15".parse::<Sizes>().is_err() && "100KB".parse::<Sizes>().is_err());
    }
}
