//! What the replica room says to itself through the log: the preferred leader of the shard, and that somebody led it.

use crate::ids::{ProcessId, RunId};

use super::payload::{Origin, PayloadError};

/// A wish for a preferred leader. Repeated until it is seen in the log, hence numbered: each takes
/// effect once, in the order in which its run made them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preference {
    /// Who asks.
    pub origin: Origin,
    /// 1, 2, 3, ... per run.
    pub number: u64,
    /// The process to prefer; `None` for nobody.
    pub preferred: Option<ProcessId>,
}

const NOBODY: u16 = u16::MAX;

/// A control entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// A wish.
    Prefer(Preference),
    /// This run was told that it leads all groups of the shard, of which there are several. Encoded as a wish with the number
    /// 0, which earlier versions take for one that they have seen.
    Led(Origin),
}

impl Control {
    /// As long as a wish.
    pub fn encode(&self) -> [u8; Preference::BYTES] {
        match self {
            Control::Prefer(wish) => wish.encode(),
            Control::Led(origin) => Preference { origin: *origin, number: 0, preferred: None }.encode(),
        }
    }

    /// The reverse of [`Control::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, PayloadError> {
        let wish = Preference::decode(bytes)?;
        Ok(if wish.number == 0 { Control::Led(wish.origin) } else { Control::Prefer(wish) })
    }
}

impl Preference {
    /// Length of the encoding.
    pub const BYTES: usize = 20;

    /// Fixed layout: process u16, run u64, number u64, preferred u16 (65535 for nobody).
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        out[..2].copy_from_slice(&self.origin.process.0.to_le_bytes());
        out[2..10].copy_from_slice(&self.origin.run.0.to_le_bytes());
        out[10..18].copy_from_slice(&self.number.to_le_bytes());
        out[18..].copy_from_slice(&self.preferred.map_or(NOBODY, |p| p.0).to_le_bytes());
        out
    }

    /// The reverse of [`Preference::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, PayloadError> {
        let bytes: &[u8; Self::BYTES] =
            bytes.try_into().map_err(|_| PayloadError("a preference is 20 bytes"))?;
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let preferred = u16_at(18);
        Ok(Self {
            origin: Origin { process: ProcessId(u16_at(0)), run: RunId(u64_at(2)) },
            number: u64_at(10),
            preferred: (preferred != NOBODY).then_some(ProcessId(preferred)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preference_survives_encoding_and_any_other_length_is_refused() {
        for preferred in [None, Some(ProcessId(3))] {
            let origin = Origin { process: ProcessId(1), run: RunId(u64::MAX) };
            let wish = Preference { origin, number: 9, preferred };
            assert_eq!(Preference::decode(&wish.encode()).unwrap(), wish);
            assert_eq!(Control::decode(&wish.encode()).unwrap(), Control::Prefer(wish));
            assert_eq!(Control::decode(&Control::Led(origin).encode()).unwrap(), Control::Led(origin));
        }
        assert!(Preference::decode(&[0; 19]).is_err());
    }
}
