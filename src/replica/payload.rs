//! What the bytes of a Raft entry mean.
//!
//! An entry of ours starts with a tag, so an empty entry, which Raft itself appends at the start of
//! a term, can never be taken for a log of length 0, which is a real log (contract section 4).
//!
//! ```text
//! kind u8 | part u8 | origin u16 | partition u32 | run u64 | count u32      the header, 20 bytes
//! kind LOGS:      count x ( length u32 | bytes | NUL )
//! kind FRAGMENT:  total u64 | offset u64 | bytes                            count is 0
//! kind CONTROL:   a `Control`, see `control.rs`                             partition, count are 0
//! ```
//!
//! Numbers are little-endian. The NUL behind each log is there so that delivery can hand out the
//! bytes in place: a callback's buffer is NUL-terminated one byte past its length (section 5).
//! The submitting thread writes this layout itself ([`ChunkWriter`]); nobody copies the bytes
//! again until a fragmented log is joined.

use bytes::{BufMut, Bytes, BytesMut};

use crate::checksum::xxh3;
use crate::ids::{PartitionId, ProcessId, RunId};

/// Bytes before the first log of an entry.
pub const HEADER_BYTES: usize = 20;
/// What a log costs beside its own bytes: the length before and the NUL behind it.
pub const PER_LOG_BYTES: usize = 5;
/// What a fragment's header has beyond [`HEADER_BYTES`].
const FRAGMENT_HEADER_BYTES: usize = 16;
/// What a chunk of one log or fragment has beside its bytes, at most.
pub const CHUNK_HEAD_BYTES_MAX: usize = HEADER_BYTES + FRAGMENT_HEADER_BYTES;

const KIND_LOGS: u8 = 1;
const KIND_FRAGMENT: u8 = 2;
const KIND_CONTROL: u8 = 3;

const PART_FIRST: u8 = 1;
const PART_LAST: u8 = 2;

/// Which piece of a log a chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkPart {
    /// Whole logs.
    Whole,
    /// One fragment of one log; it is the log's first, its last, or between them.
    Fragment {
        /// The fragment starts the log.
        first: bool,
        /// The fragment ends the log, which gets its slot here.
        last: bool,
    },
}

/// Encoded logs of one partition, ready to become one Raft entry.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The partition that the logs belong to.
    pub partition: PartitionId,
    /// The entry's bytes, header included. Shared by reference from here on.
    pub bytes: Bytes,
    /// How many logs end in this chunk: 0 for a fragment that is not the last.
    pub logs: u32,
    /// Bytes of the submitter's logs in this chunk, as the queue bound counts them.
    pub queued_bytes: usize,
    /// Whole logs, or which fragment.
    pub part: ChunkPart,
    /// XXH3 of `bytes`, where somebody has computed it: the transport need not then, for each peer.
    pub checksum: Option<u64>,
}

impl Chunk {
    /// The same, with its checksum.
    pub fn with_checksum(self) -> Self {
        Self { checksum: Some(xxh3(&self.bytes)), ..self }
    }
}

/// Who submits, written into every entry: a lane tells by it whether this very run executed the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The process that accepted the log.
    pub process: ProcessId,
    /// Its run.
    pub run: RunId,
}

fn write_header(out: &mut BytesMut, kind: u8, part: u8, origin: Origin, partition: PartitionId) {
    out.put_u8(kind);
    out.put_u8(part);
    out.put_u16_le(origin.process.0);
    out.put_u32_le(partition.0);
    out.put_u64_le(origin.run.0);
    out.put_u32_le(0);
}

/// Collects whole logs of one partition into one chunk. One copy per log, made by the submitting thread.
#[derive(Debug)]
pub struct ChunkWriter {
    partition: PartitionId,
    buffer: BytesMut,
    logs: u32,
    queued_bytes: usize,
}

impl ChunkWriter {
    /// An empty chunk that can take about `capacity` bytes before it grows.
    pub fn new(origin: Origin, partition: PartitionId, capacity: usize) -> Self {
        Self::within(origin, partition, BytesMut::with_capacity(HEADER_BYTES + capacity))
    }

    /// An empty chunk at the start of `buffer`, which is empty.
    pub fn within(origin: Origin, partition: PartitionId, mut buffer: BytesMut) -> Self {
        debug_assert!(buffer.is_empty());
        write_header(&mut buffer, KIND_LOGS, 0, origin, partition);
        Self { partition, buffer, logs: 0, queued_bytes: 0 }
    }

    /// Bytes that a buffer needs for a chunk of one log.
    pub fn bytes_for(log: &[u8]) -> usize {
        HEADER_BYTES + log.len() + PER_LOG_BYTES
    }

    /// Whether `log` goes in without more memory than the buffer has.
    pub fn has_room_for(&self, log: &[u8]) -> bool {
        self.buffer.capacity() - self.buffer.len() >= log.len() + PER_LOG_BYTES
    }

    /// Appends a copy of `log`, which is at most 4 GiB - 1 long (the contract stops at 1 GiB).
    pub fn push(&mut self, log: &[u8]) {
        let length = u32::try_from(log.len()).expect("a log is at most 1 GiB");
        self.buffer.reserve(log.len() + PER_LOG_BYTES);
        self.buffer.put_u32_le(length);
        self.buffer.put_slice(log);
        self.buffer.put_u8(0);
        self.logs += 1;
        self.queued_bytes += log.len() + PER_LOG_BYTES;
    }

    /// Encoded bytes so far, header included.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Logs so far.
    pub fn logs(&self) -> u32 {
        self.logs
    }

    /// True before the first `push`.
    pub fn is_empty(&self) -> bool {
        self.logs == 0
    }

    /// Ends the chunk.
    pub fn seal(self) -> Chunk {
        self.split().0
    }

    /// Ends the chunk; also what is left of its buffer.
    pub fn split(mut self) -> (Chunk, BytesMut) {
        self.buffer[16..20].copy_from_slice(&self.logs.to_le_bytes());
        let chunk = Chunk {
            partition: self.partition,
            bytes: self.buffer.split().freeze(),
            logs: self.logs,
            queued_bytes: self.queued_bytes,
            part: ChunkPart::Whole,
            checksum: None,
        };
        (chunk, self.buffer)
    }
}

/// Cuts one long log into chunks of at most `fragment_bytes` of its bytes each. At least one chunk.
pub fn fragments(
    origin: Origin,
    partition: PartitionId,
    log: &[u8],
    fragment_bytes: usize,
) -> impl Iterator<Item = Chunk> + '_ {
    fragments_within(origin, partition, log, fragment_bytes, BytesMut::with_capacity)
}

/// [`fragments`], in buffers of exactly the length that `allocate` is asked for.
pub fn fragments_within<'a>(
    origin: Origin,
    partition: PartitionId,
    log: &'a [u8],
    fragment_bytes: usize,
    allocate: impl Fn(usize) -> BytesMut + 'a,
) -> impl Iterator<Item = Chunk> + 'a {
    let fragment_bytes = fragment_bytes.max(1);
    let count = log.len().div_ceil(fragment_bytes).max(1);
    (0..count).map(move |i| {
        let offset = i * fragment_bytes;
        let bytes = &log[offset..log.len().min(offset + fragment_bytes)];
        let (first, last) = (i == 0, i + 1 == count);
        let part = if first { PART_FIRST } else { 0 } | if last { PART_LAST } else { 0 };
        let mut out = allocate(HEADER_BYTES + FRAGMENT_HEADER_BYTES + bytes.len());
        write_header(&mut out, KIND_FRAGMENT, part, origin, partition);
        out.put_u64_le(log.len() as u64);
        out.put_u64_le(offset as u64);
        out.put_slice(bytes);
        Chunk {
            partition,
            bytes: out.freeze(),
            logs: u32::from(last),
            queued_bytes: bytes.len() + if last { PER_LOG_BYTES } else { 0 },
            part: ChunkPart::Fragment { first, last },
            checksum: None,
        }
    })
}

/// An entry's bytes that are not what this version writes. Names the first thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadError(pub &'static str);

impl std::fmt::Display for PayloadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "entry payload: {}", self.0)
    }
}

impl std::error::Error for PayloadError {}

/// A parsed entry. Bodies share the entry's buffer.
#[derive(Debug, Clone)]
pub enum Payload {
    /// Whole logs of one partition.
    Logs {
        /// Who accepted them.
        origin: Origin,
        /// Their partition.
        partition: PartitionId,
        /// The logs.
        logs: LogRun,
    },
    /// One fragment of a long log.
    Fragment {
        /// Who accepted the log.
        origin: Origin,
        /// Its partition.
        partition: PartitionId,
        /// Where the fragment lies, and its bytes.
        fragment: Fragment,
    },
    /// Something that the replica room said to itself; see [`super::control`].
    Control(Bytes),
}

/// One fragment's place and bytes.
#[derive(Debug, Clone)]
pub struct Fragment {
    /// Starts the log.
    pub first: bool,
    /// Ends the log.
    pub last: bool,
    /// Length of the whole log.
    pub total: u64,
    /// Offset of this fragment in it.
    pub offset: u64,
    /// The fragment.
    pub bytes: Bytes,
}

/// Consecutive whole logs in one buffer, as many as the header counts.
///
/// To find them is to look at each length in turn, and each look may wait for memory. The event loop knows all that it needs
/// from the header; the lane, which reads the logs anyway, finds them.
#[derive(Debug, Clone)]
pub struct LogRun {
    region: Bytes,
    count: u32,
}

impl LogRun {
    /// How many logs.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Bytes held, lengths and NULs included.
    pub fn byte_len(&self) -> usize {
        self.region.len()
    }

    /// The logs in order, each checked when its turn comes. Behind an error nothing is a log.
    pub fn iter(&self) -> impl Iterator<Item = Result<LogBytes<'_>, PayloadError>> {
        let mut rest: &[u8] = &self.region;
        (1..=self.count).map(move |number| {
            let log = cut_log(&mut rest)?;
            let is_last = number == self.count;
            if is_last && !rest.is_empty() { Err(PayloadError("bytes behind the last log")) } else { Ok(log) }
        })
    }
}

/// Takes one log off the front of `rest`.
fn cut_log<'a>(rest: &mut &'a [u8]) -> Result<LogBytes<'a>, PayloadError> {
    let (length, tail) = rest.split_first_chunk().ok_or(PayloadError("fewer logs than counted"))?;
    let length = u32::from_le_bytes(*length) as usize;
    match tail.get(length) {
        Some(0) => {
            let (with_nul, tail) = tail.split_at(length + 1);
            *rest = tail;
            Ok(LogBytes { with_nul })
        }
        Some(_) => Err(PayloadError("a log does not end in NUL")),
        None => Err(PayloadError("a log is longer than its entry")),
    }
}

/// One log in place, NUL-terminated one byte past its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogBytes<'a> {
    with_nul: &'a [u8],
}

impl<'a> LogBytes<'a> {
    /// `with_nul` must end in a NUL that is not part of the log.
    pub fn new(with_nul: &'a [u8]) -> Self {
        assert_eq!(with_nul.last(), Some(&0), "a delivered log is NUL-terminated");
        Self { with_nul }
    }

    /// The log itself.
    pub fn bytes(self) -> &'a [u8] {
        &self.with_nul[..self.with_nul.len() - 1]
    }

    /// The log and the NUL behind it.
    pub fn with_nul(self) -> &'a [u8] {
        self.with_nul
    }
}

/// Encodes a control entry.
pub fn encode_control(origin: Origin, body: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(HEADER_BYTES + body.len());
    write_header(&mut out, KIND_CONTROL, 0, origin, PartitionId(0));
    out.put_slice(body);
    out.freeze()
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

impl Payload {
    /// Parses an entry's bytes, which must not be empty (an empty entry is Raft's own), and checks them; of whole logs, only whether
    /// there can be so many ([`LogRun::iter`] checks each).
    pub fn parse(entry: &Bytes) -> Result<Payload, PayloadError> {
        if entry.len() < HEADER_BYTES {
            return Err(PayloadError("shorter than its header"));
        }
        let (kind, part) = (entry[0], entry[1]);
        let origin = Origin { process: ProcessId(u16_at(entry, 2)), run: RunId(u64_at(entry, 8)) };
        let partition = PartitionId(u32_at(entry, 4));
        let count = u32_at(entry, 16);
        let body = entry.slice(HEADER_BYTES..);
        match kind {
            KIND_LOGS if count == 0 => Err(PayloadError("no logs")),
            KIND_LOGS if body.len() / PER_LOG_BYTES < count as usize => Err(PayloadError("fewer logs than counted")),
            KIND_LOGS => Ok(Payload::Logs { origin, partition, logs: LogRun { region: body, count } }),
            KIND_FRAGMENT => {
                if body.len() < FRAGMENT_HEADER_BYTES {
                    return Err(PayloadError("fragment shorter than its header"));
                }
                let fragment = Fragment {
                    first: part & PART_FIRST != 0,
                    last: part & PART_LAST != 0,
                    total: u64_at(&body, 0),
                    offset: u64_at(&body, 8),
                    bytes: body.slice(FRAGMENT_HEADER_BYTES..),
                };
                check_fragment(&fragment)?;
                Ok(Payload::Fragment { origin, partition, fragment })
            }
            KIND_CONTROL => Ok(Payload::Control(body)),
            _ => Err(PayloadError("unknown kind")),
        }
    }
}

fn check_fragment(fragment: &Fragment) -> Result<(), PayloadError> {
    let end = fragment
        .offset
        .checked_add(fragment.bytes.len() as u64)
        .filter(|&end| end <= fragment.total)
        .ok_or(PayloadError("fragment reaches past its log"))?;
    if fragment.first != (fragment.offset == 0) {
        return Err(PayloadError("fragment's first mark disagrees with its offset"));
    }
    if fragment.last != (end == fragment.total) {
        return Err(PayloadError("fragment's last mark disagrees with its end"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Origin = Origin { process: ProcessId(3), run: RunId(0xfeed) };

    #[test]
    fn logs_come_back_in_order_with_a_nul_behind_each_and_empty_ones_are_real() {
        let mut writer = ChunkWriter::new(ORIGIN, PartitionId(7), 64);
        let logs: [&[u8]; 4] = [b"one", b"", b"\0\0", b"four"];
        logs.iter().for_each(|log| writer.push(log));
        let chunk = writer.seal();
        assert_eq!((chunk.logs, chunk.part), (4, ChunkPart::Whole));
        let Payload::Logs { origin, partition, logs: run } = Payload::parse(&chunk.bytes).unwrap() else {
            panic!("whole logs")
        };
        assert_eq!((origin, partition), (ORIGIN, PartitionId(7)));
        let back: Vec<&[u8]> = run.iter().map(|log| log.unwrap().bytes()).collect();
        assert_eq!(back, logs);
        assert!(run.iter().map(Result::unwrap).all(|log| log.with_nul().last() == Some(&0)));
    }

    #[test]
    fn a_long_log_is_cut_and_only_its_last_fragment_ends_it() {
        let log: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let chunks: Vec<Chunk> = fragments(ORIGIN, PartitionId(1), &log, 300).collect();
        assert_eq!(chunks.iter().map(|c| c.logs).collect::<Vec<_>>(), [0, 0, 0, 1]);
        let mut joined = Vec::new();
        for chunk in &chunks {
            let Payload::Fragment { fragment, .. } = Payload::parse(&chunk.bytes).unwrap() else {
                panic!("a fragment")
            };
            assert_eq!(fragment.offset as usize, joined.len());
            joined.extend_from_slice(&fragment.bytes);
        }
        assert_eq!(joined, log);
    }

    #[test]
    fn every_truncation_of_an_entry_is_refused() {
        let mut writer = ChunkWriter::new(ORIGIN, PartitionId(0), 64);
        writer.push(b"hello");
        writer.push(b"");
        let bytes = writer.seal().bytes;
        let checked = |bytes: &Bytes| match Payload::parse(bytes)? {
            Payload::Logs { logs, .. } => logs.iter().try_fold(0, |count, log| log.map(|_| count + 1)),
            other => panic!("{other:?}"),
        };
        for end in 0..bytes.len() {
            assert!(checked(&bytes.slice(..end)).is_err(), "cut at {end}");
        }
        assert_eq!(checked(&bytes), Ok(2));
        let with = |at: usize, byte| {
            let mut bytes = bytes.to_vec();
            bytes[at] = byte;
            checked(&bytes.into()).unwrap_err().0
        };
        let (first, nul) = (HEADER_BYTES, HEADER_BYTES + 4 + 5);
        assert_eq!(with(16, 0), "no logs");
        assert_eq!(with(16, 1), "bytes behind the last log");
        assert_eq!(with(16, 4), "fewer logs than counted");
        assert_eq!(with(nul, 1), "a log does not end in NUL");
        assert_eq!(with(first + 2, 1), "a log is longer than its entry");
    }
}
