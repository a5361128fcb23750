//! The logs that workers submit: each says who submitted it, so that a check can tell them apart.

use bytes::Bytes;
use mako_raft::ids::{PartitionId, RunId};
use mako_raft::replica::payload::{fragments, Chunk, ChunkWriter, Origin};

use super::plan::Load;
use super::random::Random;

/// Ends the part of a log that names it.
const MAGIC: u32 = 0x6d61_6b6f;
/// Run, partition, ticket and magic.
const NAMED_BYTES: usize = 24;

/// A log's name: who accepted it, and its place among that run's logs of the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogName {
    /// The run that accepted it.
    pub run: RunId,
    /// Its partition.
    pub partition: PartitionId,
    /// 1, 2, 3, ... in acceptance order.
    pub ticket: u64,
}

/// What is remembered of a log: enough to tell it from any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPrint {
    /// Its name; short logs have none.
    pub name: Option<LogName>,
    /// Its length.
    pub length: usize,
    /// A digest of its bytes (FNV-1a).
    pub digest: u64,
}

impl LogPrint {
    /// What is remembered of `log`.
    pub fn of(log: &[u8]) -> Self {
        Self { name: name_of(log), length: log.len(), digest: digest(log) }
    }
}

impl std::fmt::Display for LogPrint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name {
            Some(name) => write!(f, "log {} of run {} ({} bytes)", name.ticket, name.run, self.length),
            None => write!(f, "a log of {} bytes without a name", self.length),
        }
    }
}

/// FNV-1a.
pub fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn name_of(log: &[u8]) -> Option<LogName> {
    let head = log.get(..NAMED_BYTES)?;
    let u32_at = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
    let u64_at = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
    if u32_at(20) != MAGIC {
        return None;
    }
    Some(LogName { run: RunId(u64_at(0)), partition: PartitionId(u32_at(8)), ticket: u64_at(12) })
}

/// The bytes of the log called `name`, `length` long; shorter than a name has room for when `length` is.
pub fn compose(name: LogName, length: usize) -> Vec<u8> {
    let mut log = Vec::with_capacity(length.max(NAMED_BYTES));
    if length >= NAMED_BYTES {
        log.extend_from_slice(&name.run.0.to_le_bytes());
        log.extend_from_slice(&name.partition.0.to_le_bytes());
        log.extend_from_slice(&name.ticket.to_le_bytes());
        log.extend_from_slice(&MAGIC.to_le_bytes());
    }
    let filler = (name.ticket as u8).wrapping_mul(31);
    log.resize(length, filler);
    log
}

/// How long the next log is.
pub fn choose_length(load: &Load, random: &mut Random) -> usize {
    if random.chance(load.long_permille) {
        return random.within(load.fragment_bytes as u64, 8 * load.fragment_bytes as u64) as usize;
    }
    match random.below(20) {
        0 => random.pick(&[0, 0, 1, 2, 8, 23]),
        _ => random.within(NAMED_BYTES as u64, load.log_bytes) as usize,
    }
}

/// Turns accepted logs into the chunks that an intake would hold: neighbours share one, long ones are cut.
pub fn pack(origin: Origin, partition: PartitionId, logs: &[Bytes], fragment_bytes: usize) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut open = ChunkWriter::new(origin, partition, fragment_bytes);
    let seal = |open: &mut ChunkWriter| {
        if open.is_empty() {
            return None;
        }
        Some(std::mem::replace(open, ChunkWriter::new(origin, partition, fragment_bytes)).seal())
    };
    for log in logs {
        if log.len() > fragment_bytes {
            chunks.extend(seal(&mut open));
            chunks.extend(fragments(origin, partition, log, fragment_bytes).map(Chunk::with_checksum));
            continue;
        }
        if open.len() + log.len() > 2 * fragment_bytes {
            chunks.extend(seal(&mut open));
        }
        open.push(log);
    }
    chunks.extend(seal(&mut open));
    chunks
}
