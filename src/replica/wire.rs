//! [`PeerMessage`] to bytes and back.
//!
//! Fixed little-endian layouts written by hand: protobuf spends most of its time copying payloads. A
//! frame is a group number, a kind, and the kind's fields. Entry payloads below [`SHARE_BYTES`] are
//! copied into the frame; larger ones are shared, so that one payload travels to all followers from
//! one buffer.

use bytes::{BufMut, Bytes, BytesMut};
use raft::eraftpb::{Entry, EntryType, Message, MessageType};

use crate::ids::{GroupId, LogIndex, MemberId, ProcessId, RunId, Term};

use super::control::Preference;
use super::formation::{Formation, Member, ANCESTORS_MAX};
use super::message::{Ballot, PeerMessage, Report, Standing};

/// Payloads up to this size are copied out of their message: a log of little ones would keep the heads of all messages in
/// memory, which nothing counts.
const OWN_BYTES: usize = 512;

/// Payloads from here on are shared instead of copied (PERFORMANCE, "What others found").
pub const SHARE_BYTES: usize = 2048;
/// Small fields are cut from allocations of this size, and a new one is asked for when less than a quarter is left: nearly every
/// message finds room then.
const TAIL_BYTES: usize = 16 << 10;
/// No formation has more members; a decoder must not believe a larger number.
const MEMBERS_MAX: usize = 1024;
/// Bytes of an entry beside its payload: type, term, index, two lengths.
const ENTRY_HEADER_BYTES: usize = 1 + 8 + 8 + 4 + 4;

const STANDING: u8 = 1;
const PREPARE: u8 = 2;
const PROMISE: u8 = 3;
const ACCEPT: u8 = 4;
const ACCEPTED: u8 = 5;
const REFUSED: u8 = 6;
const WELCOME: u8 = 7;
const CUT_OFF: u8 = 8;
const RAFT: u8 = 9;
const REPORT: u8 = 10;
const PREFER: u8 = 11;
const RESTORE: u8 = 12;

const UNFORMED: u8 = 0;
const MEMBER: u8 = 1;
const BLANK_MEMBER: u8 = 2;

/// A message's bytes, ready for one gathering write. Large payloads are shared, not copied.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    /// In order.
    pub parts: Vec<Part>,
    /// Their total length.
    pub len: usize,
    /// Goes ahead of payload frames that are still queued.
    pub urgent: bool,
}

impl Frame {
    /// All parts, one behind the other.
    pub fn joined(&self) -> Vec<u8> {
        self.parts.iter().flat_map(|part| part.bytes.iter().copied()).collect()
    }
}

/// Consecutive bytes of a frame.
#[derive(Debug, Clone)]
pub struct Part {
    /// The bytes.
    pub bytes: Bytes,
    /// Their XXH3, where it is known.
    pub checksum: Option<u64>,
}

impl From<Bytes> for Part {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, checksum: None }
    }
}

/// Bytes that are not a message. Names the first thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireError(pub &'static str);

impl std::fmt::Display for WireError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "peer message: {}", self.0)
    }
}

impl std::error::Error for WireError {}

/// Turns messages into frames, one after the other, in memory that it uses again.
#[derive(Default)]
pub struct Encoder {
    frame: Frame,
    /// Small fields gather here, until a shared payload or the end.
    tail: BytesMut,
}

/// One message on its way into a frame.
struct Writer<'a> {
    frame: &'a mut Frame,
    tail: &'a mut BytesMut,
    checksum_of: &'a dyn Fn(&Entry) -> Option<u64>,
}

impl Writer<'_> {
    fn payload(&mut self, entry: &Entry) {
        let payload = &entry.data;
        if payload.len() < SHARE_BYTES {
            self.tail.put_slice(payload);
            return;
        }
        self.flush();
        self.frame.len += payload.len();
        self.frame.parts.push(Part { bytes: payload.clone(), checksum: (self.checksum_of)(entry) });
    }

    fn flush(&mut self) {
        if !self.tail.is_empty() {
            self.frame.len += self.tail.len();
            self.frame.parts.push(self.tail.split().freeze().into());
        }
    }

    fn ballot(&mut self, ballot: Ballot) {
        self.tail.put_u64_le(ballot.round);
        self.tail.put_u16_le(ballot.process);
    }

    fn formation(&mut self, formation: &Formation) {
        self.tail.put_u32_le(formation.generation);
        self.tail.put_u64_le(formation.id);
        self.tail.put_u64_le(formation.inherited);
        self.tail.put_u32_le(formation.ancestors.len() as u32);
        for &id in &formation.ancestors {
            self.tail.put_u64_le(id);
        }
        self.tail.put_u32_le(formation.members.len() as u32);
        for member in &formation.members {
            self.tail.put_u16_le(member.process.0);
            self.tail.put_u64_le(member.run.0);
            self.tail.put_u64_le(member.id.get());
        }
    }

    fn raft(&mut self, formation: u64, message: &Message) {
        let tail = &mut *self.tail;
        tail.put_u64_le(formation);
        tail.put_u8(message.get_msg_type() as u8);
        tail.put_u8(u8::from(message.reject));
        for field in [
            message.to,
            message.from,
            message.term,
            message.log_term,
            message.index,
            message.commit,
            message.commit_term,
            message.reject_hint,
        ] {
            tail.put_u64_le(field);
        }
        tail.put_u32_le(message.context.len() as u32);
        tail.put_u32_le(message.entries.len() as u32);
        tail.put_slice(&message.context);
        for entry in message.entries.iter() {
            self.entry(entry);
        }
    }

    fn entry(&mut self, entry: &Entry) {
        self.tail.put_u8(entry.get_entry_type() as u8);
        self.tail.put_u64_le(entry.term);
        self.tail.put_u64_le(entry.index);
        self.tail.put_u32_le(entry.context.len() as u32);
        self.tail.put_u32_le(entry.data.len() as u32);
        self.tail.put_slice(&entry.context);
        self.payload(entry);
    }
}

/// Encodes `message` of `group`.
pub fn encode(group: GroupId, message: &PeerMessage) -> Frame {
    let mut encoder = Encoder::default();
    encoder.encode(group, message, &|_| None);
    encoder.frame
}

impl Encoder {
    /// Encodes `message` of `group`, with the checksums of payloads that `checksum_of` knows. The frame is good until the
    /// next call, and holds on to its payloads until then or [`Encoder::clear`].
    pub fn encode(&mut self, group: GroupId, message: &PeerMessage, checksum_of: &dyn Fn(&Entry) -> Option<u64>) -> &Frame {
        self.clear();
        if self.tail.capacity() < TAIL_BYTES / 4 {
            self.tail.reserve(TAIL_BYTES);
        }
        let mut w = Writer { frame: &mut self.frame, tail: &mut self.tail, checksum_of };
        w.tail.put_u16_le(group.0);
        match message {
            PeerMessage::Standing(standing) => {
                w.tail.put_u8(STANDING);
                w.tail.put_u8(u8::from(standing.leaving));
                w.tail.put_u8(match standing.member {
                    None => UNFORMED,
                    Some(_) if standing.blank => BLANK_MEMBER,
                    Some(_) => MEMBER,
                });
                if let Some((formation, id)) = &standing.member {
                    w.tail.put_u64_le(id.get());
                    w.formation(formation);
                    w.tail.put_u64_le(standing.log_end.0 .0);
                    w.tail.put_u64_le(standing.log_end.1 .0);
                }
            }
            PeerMessage::Prepare(ballot) => {
                w.tail.put_u8(PREPARE);
                w.ballot(*ballot);
            }
            PeerMessage::Promise(ballot, accepted) => {
                w.tail.put_u8(PROMISE);
                w.ballot(*ballot);
                w.tail.put_u8(u8::from(accepted.is_some()));
                if let Some((ballot, formation)) = accepted {
                    w.ballot(*ballot);
                    w.formation(formation);
                }
            }
            PeerMessage::Accept(ballot, formation) => {
                w.tail.put_u8(ACCEPT);
                w.ballot(*ballot);
                w.formation(formation);
            }
            PeerMessage::Accepted(ballot) => {
                w.tail.put_u8(ACCEPTED);
                w.ballot(*ballot);
            }
            PeerMessage::Refused(ballot) => {
                w.tail.put_u8(REFUSED);
                w.ballot(*ballot);
            }
            PeerMessage::Welcome(formation, id) => {
                w.tail.put_u8(WELCOME);
                w.tail.put_u64_le(id.get());
                w.formation(formation);
            }
            PeerMessage::CutOff { formation, term, reason } => {
                w.tail.put_u8(CUT_OFF);
                w.tail.put_u64_le(*formation);
                w.tail.put_u64_le(term.0);
                w.tail.put_slice(reason.as_bytes());
            }
            PeerMessage::Raft(formation, message) => {
                w.tail.put_u8(RAFT);
                w.raft(*formation, message);
            }
            PeerMessage::Report(report) => {
                w.tail.put_u8(REPORT);
                w.tail.put_u64_le(report.delivered.0);
                w.tail.put_u64_le(report.droppable.0);
                w.tail.put_u8(u8::from(report.lost_accepted));
            }
            PeerMessage::Prefer(wish) => {
                w.tail.put_u8(PREFER);
                w.tail.put_slice(&wish.encode());
            }
            PeerMessage::Restore(formation) => {
                w.tail.put_u8(RESTORE);
                w.tail.put_u64_le(*formation);
            }
        }
        w.flush();
        self.frame.urgent = message.is_urgent();
        &self.frame
    }

    /// Lets go of the last frame.
    pub fn clear(&mut self) {
        self.frame.parts.clear();
        self.frame.len = 0;
    }
}

/// Takes fields off the front of a frame; every length is checked against what is there.
struct Reader {
    body: Bytes,
    /// What was taken.
    at: usize,
}

impl Reader {
    fn rest(&self) -> &[u8] {
        &self.body[self.at..]
    }

    /// Shares the body's memory.
    fn bytes(&mut self, count: usize) -> Result<Bytes, WireError> {
        if count > self.rest().len() {
            return Err(WireError("ends too early"));
        }
        let from = self.at;
        self.at += count;
        Ok(self.body.slice(from..self.at))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let field = self.rest().first_chunk().ok_or(WireError("ends too early"))?;
        let field = *field;
        self.at += N;
        Ok(field)
    }

    fn u8(&mut self) -> Result<u8, WireError> {
        Ok(self.array::<1>()?[0])
    }

    fn flag(&mut self) -> Result<bool, WireError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError("a flag that is neither 0 nor 1")),
        }
    }

    fn u16(&mut self) -> Result<u16, WireError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, WireError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, WireError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn member_id(&mut self) -> Result<MemberId, WireError> {
        MemberId::new(self.u64()?).ok_or(WireError("member id 0"))
    }

    fn ballot(&mut self) -> Result<Ballot, WireError> {
        Ok(Ballot { round: self.u64()?, process: self.u16()? })
    }

    fn formation(&mut self) -> Result<Formation, WireError> {
        let (generation, id, inherited) = (self.u32()?, self.u64()?, self.u64()?);
        let count = self.u32()? as usize;
        if count > ANCESTORS_MAX {
            return Err(WireError("a formation with too many ancestors"));
        }
        let mut ancestors = Vec::with_capacity(count);
        for _ in 0..count {
            ancestors.push(self.u64()?);
        }
        let count = self.u32()? as usize;
        if count > MEMBERS_MAX {
            return Err(WireError("a formation with too many members"));
        }
        let mut members = Vec::with_capacity(count);
        for _ in 0..count {
            members.push(Member {
                process: ProcessId(self.u16()?),
                run: RunId(self.u64()?),
                id: self.member_id()?,
            });
        }
        Ok(Formation { generation, id, ancestors, inherited, members })
    }

    fn raft(&mut self) -> Result<PeerMessage, WireError> {
        let formation = self.u64()?;
        let mut message = Message::default();
        message.set_msg_type(message_type(self.u8()?)?);
        message.reject = self.flag()?;
        for field in [
            &mut message.to,
            &mut message.from,
            &mut message.term,
            &mut message.log_term,
            &mut message.index,
            &mut message.commit,
            &mut message.commit_term,
            &mut message.reject_hint,
        ] {
            *field = self.u64()?;
        }
        let context = self.u32()? as usize;
        let count = self.u32()? as usize;
        message.context = self.bytes(context)?;
        if count > self.rest().len() / ENTRY_HEADER_BYTES {
            return Err(WireError("more entries than bytes"));
        }
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            entries.push(self.entry()?);
        }
        message.set_entries(entries.into());
        Ok(PeerMessage::Raft(formation, Box::new(message)))
    }

    fn entry(&mut self) -> Result<Entry, WireError> {
        let mut entry = Entry::default();
        entry.set_entry_type(match self.u8()? {
            0 => EntryType::EntryNormal,
            2 => EntryType::EntryConfChangeV2,
            _ => return Err(WireError("an unknown entry type")),
        });
        entry.term = self.u64()?;
        entry.index = self.u64()?;
        let (context, data) = (self.u32()? as usize, self.u32()? as usize);
        entry.context = self.bytes(context)?;
        entry.data = self.bytes(data)?;
        if entry.data.len() <= OWN_BYTES {
            entry.data = Bytes::copy_from_slice(&entry.data);
        }
        Ok(entry)
    }
}

fn message_type(raw: u8) -> Result<MessageType, WireError> {
    use MessageType::*;
    [
        MsgAppend,
        MsgAppendResponse,
        MsgRequestVote,
        MsgRequestVoteResponse,
        MsgHeartbeat,
        MsgHeartbeatResponse,
        MsgTimeoutNow,
        MsgRequestPreVote,
        MsgRequestPreVoteResponse,
    ]
    .into_iter()
    .find(|t| *t as u8 == raw)
    .ok_or(WireError("a raft message type that members do not send"))
}

/// Decodes one frame's body; entries share its buffer.
pub fn decode(body: Bytes) -> Result<(GroupId, PeerMessage), WireError> {
    let mut r = Reader { body, at: 0 };
    let group = GroupId(r.u16()?);
    let message = match r.u8()? {
        STANDING => {
            let leaving = r.flag()?;
            let kind = r.u8()?;
            let member = match kind {
                UNFORMED => None,
                MEMBER | BLANK_MEMBER => {
                    let id = r.member_id()?;
                    Some((r.formation()?, id))
                }
                _ => return Err(WireError("a standing of no kind")),
            };
            let log_end = if member.is_some() { (Term(r.u64()?), LogIndex(r.u64()?)) } else { Default::default() };
            PeerMessage::Standing(Standing { member, blank: kind == BLANK_MEMBER, leaving, log_end })
        }
        PREPARE => PeerMessage::Prepare(r.ballot()?),
        PROMISE => {
            let ballot = r.ballot()?;
            let accepted = if r.flag()? { Some((r.ballot()?, r.formation()?)) } else { None };
            PeerMessage::Promise(ballot, accepted)
        }
        ACCEPT => PeerMessage::Accept(r.ballot()?, r.formation()?),
        ACCEPTED => PeerMessage::Accepted(r.ballot()?),
        REFUSED => PeerMessage::Refused(r.ballot()?),
        WELCOME => {
            let id = r.member_id()?;
            PeerMessage::Welcome(r.formation()?, id)
        }
        CUT_OFF => {
            let (formation, term) = (r.u64()?, Term(r.u64()?));
            let text = r.bytes(r.rest().len())?;
            PeerMessage::CutOff { formation, term, reason: String::from_utf8_lossy(&text).into_owned() }
        }
        RAFT => r.raft()?,
        REPORT => PeerMessage::Report(Report {
            delivered: LogIndex(r.u64()?),
            droppable: LogIndex(r.u64()?),
            lost_accepted: r.flag()?,
        }),
        RESTORE => PeerMessage::Restore(r.u64()?),
        PREFER => {
            let wish = r.bytes(Preference::BYTES)?;
            PeerMessage::Prefer(Preference::decode(&wish).map_err(|e| WireError(e.0))?)
        }
        _ => return Err(WireError("an unknown kind")),
    };
    if r.rest().is_empty() {
        Ok((group, message))
    } else {
        Err(WireError("bytes behind the end"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::payload::Origin;

    fn joined(frame: &Frame) -> Bytes {
        let bytes: Vec<u8> = frame.joined();
        assert_eq!(bytes.len(), frame.len);
        bytes.into()
    }

    fn formation() -> Formation {
        let member = |p: u16| Member {
            process: ProcessId(p),
            run: RunId(100 + u64::from(p)),
            id: MemberId::new(1 + u64::from(p)).unwrap(),
        };
        Formation { generation: 3, id: 77, ancestors: vec![66, 55], inherited: 5, members: vec![member(0), member(1)] }
    }

    fn append(payload: usize) -> PeerMessage {
        let mut message = Message { to: 1, from: 2, term: 3, index: 9, commit: 8, ..Message::default() };
        message.set_msg_type(MessageType::MsgAppend);
        let entry = |i: u64, n: usize| Entry { index: i, term: 3, data: vec![7; n].into(), ..Entry::default() };
        message.set_entries(vec![entry(10, payload), entry(11, 0), entry(12, 3)].into());
        PeerMessage::Raft(77, Box::new(message))
    }

    fn samples() -> Vec<PeerMessage> {
        let ballot = Ballot { round: 4, process: 1 };
        let origin = Origin { process: ProcessId(1), run: RunId(5) };
        vec![
            PeerMessage::Standing(Standing::default()),
            PeerMessage::Standing(Standing { member: Some((formation(), MemberId::new(9).unwrap())), blank: false, leaving: true, log_end: (Term(3), LogIndex(12)) }),
            PeerMessage::Standing(Standing { member: Some((formation(), MemberId::new(9).unwrap())), blank: true, leaving: false, log_end: Default::default() }),
            PeerMessage::Prepare(ballot),
            PeerMessage::Promise(ballot, None),
            PeerMessage::Promise(ballot, Some((ballot, formation()))),
            PeerMessage::Accept(ballot, formation()),
            PeerMessage::Accepted(ballot),
            PeerMessage::Refused(ballot),
            PeerMessage::Welcome(formation(), MemberId::new(9).unwrap()),
            PeerMessage::CutOff { formation: 77, term: Term(3), reason: "too late".into() },
            PeerMessage::Restore(77),
            PeerMessage::Report(Report { delivered: LogIndex(1), lost_accepted: true, droppable: LogIndex(2) }),
            PeerMessage::Prefer(Preference { origin, number: 1, preferred: None }),
            append(10),
            append(SHARE_BYTES),
        ]
    }

    #[test]
    fn every_message_survives_the_wire() {
        for message in samples() {
            let frame = encode(GroupId(3), &message);
            assert_eq!(decode(joined(&frame)).unwrap(), (GroupId(3), message));
        }
    }

    #[test]
    fn a_large_payload_is_shared_and_a_small_one_copied() {
        assert_eq!(encode(GroupId(0), &append(10)).parts.len(), 1);
        let PeerMessage::Raft(_, message) = append(SHARE_BYTES) else { unreachable!() };
        let payload = message.entries[0].data.clone();
        let frame = encode(GroupId(0), &PeerMessage::Raft(77, message));
        assert!(frame.parts.iter().any(|p| p.bytes.as_ptr() == payload.as_ptr()));
    }

    #[test]
    fn a_small_payload_that_arrived_keeps_nothing_but_itself() {
        let message = joined(&encode(GroupId(0), &append(OWN_BYTES)));
        let Ok((_, PeerMessage::Raft(_, mut arrived))) = decode(message) else { panic!("it is an append") };
        let payload = std::mem::take(&mut arrived.entries[0].data);
        let alone = payload.try_into_mut().expect("nobody else has it");
        assert_eq!((alone.len(), alone.capacity()), (OWN_BYTES, OWN_BYTES));
    }

    #[test]
    fn every_truncation_and_every_extension_is_refused() {
        for message in samples().into_iter().filter(|m| !matches!(m, PeerMessage::CutOff { .. })) {
            let bytes = joined(&encode(GroupId(3), &message));
            for end in 0..bytes.len() {
                assert!(decode(bytes.slice(..end)).is_err(), "{message:?} cut at {end}");
            }
            let longer = [&bytes[..], &[0]].concat();
            assert!(decode(longer.into()).is_err());
        }
    }

    #[test]
    fn heartbeats_are_urgent_and_appends_are_not() {
        let mut heartbeat = Message::default();
        heartbeat.set_msg_type(MessageType::MsgHeartbeat);
        assert!(encode(GroupId(0), &PeerMessage::Raft(1, Box::new(heartbeat))).urgent);
        assert!(!encode(GroupId(0), &append(0)).urgent);
    }
}
