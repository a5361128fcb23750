//! Who may connect to whom: the greeting that both sides of a new connection send, and the reasons to
//! refuse one. Pure: bytes and values, no sockets.
//!
//! Of two processes the one with the higher id dials. It sends its greeting first; the other answers with
//! its own, or with a refusal, which is a greeting with a reason in it, so that both sides can
//! tell their operator why, with the values of both.

use crate::checksum::crc32c;
use crate::ids::{ProcessId, RunId};

/// Every greeting has this size, in all versions: the layout never changes, the version counts
/// what follows it.
pub const GREETING_BYTES: usize = 48;

/// Of the frames that follow the greeting.
pub const PROTOCOL_VERSION: u16 = 6;

const MAGIC: [u8; 8] = *b"\x93mkraft\n";

/// Why a connection was refused. The number travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// The bytes are not a greeting.
    NotAGreeting = 1,
    /// A greeting, damaged on the way.
    Damaged = 2,
    /// Another protocol version.
    Version = 3,
    /// Another topology: other configuration files, another grouping, or another shard.
    Fingerprint = 4,
    /// The topology has no such process.
    UnknownProcess = 5,
    /// The sender was looking for another process.
    WrongReceiver = 6,
    /// The lower process dialled.
    WrongDirection = 7,
    /// Another run of the same process is connected and alive.
    Claimed = 8,
}

impl Refusal {
    fn from_number(number: u8) -> Option<Self> {
        use Refusal::*;
        [NotAGreeting, Damaged, Version, Fingerprint, UnknownProcess, WrongReceiver, WrongDirection, Claimed]
            .into_iter()
            .find(|refusal| *refusal as u8 == number)
    }
}

/// Who this process is, in its greetings.
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    /// The process.
    pub me: ProcessId,
    /// Its run.
    pub run: RunId,
    /// Of its topology and groups.
    pub fingerprint: u64,
}

/// What either side says first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greeting {
    /// The sender's protocol version.
    pub version: u16,
    /// `None`: a hello.
    pub refusal: Option<Refusal>,
    /// Who says it.
    pub sender: ProcessId,
    /// To whom. In a refusal of something unreadable: 65535.
    pub receiver: ProcessId,
    /// Of the sender's topology and groups.
    pub fingerprint: u64,
    /// The sender's run.
    pub run: RunId,
    /// With [`Refusal::Claimed`]: the run that holds the place.
    pub holder: u64,
}

impl Greeting {
    /// `identity`'s hello to `receiver`.
    pub fn hello(identity: Identity, receiver: ProcessId) -> Self {
        Self {
            version: PROTOCOL_VERSION,
            refusal: None,
            sender: identity.me,
            receiver,
            fingerprint: identity.fingerprint,
            run: identity.run,
            holder: 0,
        }
    }

    /// `identity`'s refusal of what `receiver` said.
    pub fn refusal(identity: Identity, receiver: ProcessId, refused: Refused) -> Self {
        let holder = refused.holder.map_or(0, |run| run.0);
        Self { refusal: Some(refused.reason), holder, ..Self::hello(identity, receiver) }
    }

    /// Little-endian, with a CRC32C of everything before it at the end.
    pub fn encode(&self) -> [u8; GREETING_BYTES] {
        let mut bytes = [0; GREETING_BYTES];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&self.version.to_le_bytes());
        bytes[10] = self.refusal.map_or(0, |refusal| refusal as u8);
        bytes[12..14].copy_from_slice(&self.sender.0.to_le_bytes());
        bytes[14..16].copy_from_slice(&self.receiver.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.fingerprint.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.run.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.holder.to_le_bytes());
        let crc = crc32c(&bytes[..44]);
        bytes[44..48].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The greeting in `bytes`; its version may be another than ours.
    pub fn decode(bytes: &[u8; GREETING_BYTES]) -> Result<Self, Refusal> {
        if bytes[0..8] != MAGIC {
            return Err(Refusal::NotAGreeting);
        }
        if crc32c(&bytes[..44]) != u32::from_le_bytes(field(bytes, 44)) {
            return Err(Refusal::Damaged);
        }
        let refusal = match bytes[10] {
            0 => None,
            // A reason that only a newer version knows: the version is then what separates us.
            number => Some(Refusal::from_number(number).unwrap_or(Refusal::Version)),
        };
        Ok(Self {
            version: u16::from_le_bytes(field(bytes, 8)),
            refusal,
            sender: ProcessId(u16::from_le_bytes(field(bytes, 12))),
            receiver: ProcessId(u16::from_le_bytes(field(bytes, 14))),
            fingerprint: u64::from_le_bytes(field(bytes, 16)),
            run: RunId(u64::from_le_bytes(field(bytes, 24))),
            holder: u64::from_le_bytes(field(bytes, 32)),
        })
    }
}

fn field<const N: usize>(bytes: &[u8; GREETING_BYTES], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("every field lies within the greeting")
}

/// Whether the first `have` bytes can still become a greeting: garbage is refused as soon as it shows.
pub fn may_become_greeting(have: &[u8]) -> bool {
    let seen = have.len().min(MAGIC.len());
    have[..seen] == MAGIC[..seen]
}

/// A refusal with what its text needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub reason: Refusal,
    /// With [`Refusal::Claimed`]: the run that holds the place.
    pub holder: Option<RunId>,
}

impl From<Refusal> for Refused {
    fn from(reason: Refusal) -> Self {
        Self { reason, holder: None }
    }
}

/// Judges a hello. `dialled`: whom we dialled, `None` when they dialled us. `known`: is it in our topology?
/// Another run's claim is judged by the room, which knows the present connections.
pub fn judge(hello: &Greeting, ours: Identity, dialled: Option<ProcessId>, known: bool) -> Result<(), Refused> {
    let reason = if hello.version != PROTOCOL_VERSION {
        Refusal::Version
    } else if hello.fingerprint != ours.fingerprint {
        Refusal::Fingerprint
    } else if !known {
        Refusal::UnknownProcess
    } else if hello.receiver != ours.me || dialled.is_some_and(|process| process != hello.sender) {
        Refusal::WrongReceiver
    } else if dialled.is_none() && hello.sender < ours.me {
        Refusal::WrongDirection
    } else {
        return Ok(());
    };
    Err(reason.into())
}

/// The operator's line where the refusal was decided. `theirs`: what they said, if it was readable.
pub fn explain_refusing(refused: Refused, ours: Identity, theirs: Option<&Greeting>, claim_ms: u64) -> String {
    let Some(theirs) = theirs else {
        return match refused.reason {
            Refusal::Damaged => "its greeting was damaged on the way (checksum)".into(),
            _ => "what it sent is not this protocol".into(),
        };
    };
    match refused.reason {
        Refusal::Version => {
            format!("it speaks protocol version {}, this process version {PROTOCOL_VERSION}", theirs.version)
        }
        Refusal::Fingerprint => fingerprints(ours, theirs),
        Refusal::UnknownProcess => format!("it says it is {}, which this topology does not have", theirs.sender),
        Refusal::WrongReceiver => format!(
            "{} was looking for {} here, but this is {}: two addresses are mixed up",
            theirs.sender, theirs.receiver, ours.me
        ),
        Refusal::WrongDirection => {
            format!("{} dialled, but of two processes the higher one dials", theirs.sender)
        }
        Refusal::Claimed => format!(
            "two processes claim to be {}: run {} was refused, because run {} was heard within the last {claim_ms} ms",
            theirs.sender,
            theirs.run,
            refused.holder.map_or_else(|| "unknown".into(), |run| run.to_string())
        ),
        Refusal::NotAGreeting | Refusal::Damaged => "what it sent is not this protocol".into(),
    }
}

/// The operator's line where a refusal was received.
pub fn explain_refused(reason: Refusal, ours: Identity, theirs: &Greeting) -> String {
    match reason {
        Refusal::NotAGreeting | Refusal::Damaged => {
            "our greeting did not arrive as it was sent: something on the way changes bytes".into()
        }
        Refusal::Version => {
            format!("it speaks protocol version {}, this process version {PROTOCOL_VERSION}", theirs.version)
        }
        Refusal::Fingerprint => fingerprints(ours, theirs),
        Refusal::UnknownProcess => format!("its topology has no {}", ours.me),
        Refusal::WrongReceiver => format!("that address belongs to {}: two addresses are mixed up", theirs.sender),
        Refusal::WrongDirection => "of two processes the higher one dials".into(),
        Refusal::Claimed => format!(
            "two processes claim to be {}: this is run {}, but run {:016x} is connected there and alive",
            ours.me, ours.run, theirs.holder
        ),
    }
}

fn fingerprints(ours: Identity, theirs: &Greeting) -> String {
    format!(
        "our topology has fingerprint {:016x}, theirs has {:016x}: the two processes were started with different \
         configuration files, or with another raft.grouping (--raft-groups), or belong to different shards",
        ours.fingerprint, theirs.fingerprint
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(me: u16) -> Identity {
        Identity { me: ProcessId(me), run: RunId(0x77), fingerprint: 0xabcd }
    }

    #[test]
    fn a_greeting_survives_its_bytes() {
        let refused = Refused { reason: Refusal::Claimed, holder: Some(RunId(9)) };
        for greeting in
            [Greeting::hello(identity(2), ProcessId(1)), Greeting::refusal(identity(2), ProcessId(1), refused)]
        {
            assert_eq!(Greeting::decode(&greeting.encode()), Ok(greeting));
        }
    }

    #[test]
    fn every_flipped_bit_of_a_greeting_is_noticed() {
        let good = Greeting::hello(identity(2), ProcessId(1)).encode();
        for bit in 0..GREETING_BYTES * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            let expected = if bit < 64 { Refusal::NotAGreeting } else { Refusal::Damaged };
            assert_eq!(Greeting::decode(&bad), Err(expected), "bit {bit}");
        }
    }

    #[test]
    fn each_wrong_hello_is_refused_for_its_own_reason() {
        let hello = Greeting::hello(identity(2), ProcessId(1));
        let ours = identity(1);
        let reason = |hello: Greeting, dialled, known| judge(&hello, ours, dialled, known).err().map(|r| r.reason);
        assert_eq!(reason(hello, None, true), None);
        assert_eq!(reason(hello, None, false), Some(Refusal::UnknownProcess));
        assert_eq!(reason(Greeting { version: PROTOCOL_VERSION + 1, ..hello }, None, true), Some(Refusal::Version));
        assert_eq!(reason(Greeting { fingerprint: 1, ..hello }, None, true), Some(Refusal::Fingerprint));
        assert_eq!(reason(Greeting { receiver: ProcessId(0), ..hello }, None, true), Some(Refusal::WrongReceiver));
        assert_eq!(reason(Greeting { sender: ProcessId(0), ..hello }, None, true), Some(Refusal::WrongDirection));
        assert_eq!(reason(hello, Some(ProcessId(0)), true), Some(Refusal::WrongReceiver));
    }

    #[test]
    fn both_sides_of_a_refused_fingerprint_read_both_values() {
        let (ours, theirs) = (identity(1), Identity { fingerprint: 0xfeed, ..identity(2) });
        let here =
            explain_refusing(Refusal::Fingerprint.into(), ours, Some(&Greeting::hello(theirs, ours.me)), 300);
        let there = explain_refused(Refusal::Fingerprint, theirs, &Greeting::hello(ours, theirs.me));
        for line in [here, there] {
            assert!(line.contains("000000000000abcd") && line.contains("000000000000feed"), "{line}");
        }
    }
}
