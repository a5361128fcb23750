//! The partition streams inside one Raft log: slots, and long logs joined from their fragments.
//!
//! A pure function of the committed log: every replica that applies the same entries gives the same
//! slots to the same bytes.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::ids::{LogIndex, PartitionId, Slot, Term, Time};

use super::output::{Delivery, DeliveryBody};
use super::payload::{Fragment, Origin, Payload};
use super::planted::{self, Bug};

/// What a delivery costs in memory beside its payload, about.
const DELIVERY_OVERHEAD_BYTES: usize = 160;
/// A lane whose callback has not returned for so long stands still.
const STILL_MS: u64 = 100;

/// A long log whose last fragment has not been applied yet.
#[derive(Debug)]
struct OpenLog {
    origin: Origin,
    total: u64,
    length: u64,
    fragments: Vec<Bytes>,
}

#[derive(Debug, Default)]
struct Stream {
    last_slot: Slot,
    delivered: Slot,
    open: Option<OpenLog>,
    /// What the lane holds.
    held: VecDeque<Held>,
    held_bytes: usize,
    /// What was delivered when this was last looked at, and since when it is that.
    seen: Option<(Slot, Time)>,
    stands_still: bool,
}

/// A delivery that has not returned from its callbacks.
#[derive(Debug)]
struct Held {
    /// The entry that gave it.
    index: LogIndex,
    last_slot: Slot,
    bytes: usize,
    /// The log in memory has the same bytes.
    shared: bool,
}

/// All streams of a group.
#[derive(Debug)]
pub struct Streams {
    streams: BTreeMap<PartitionId, Stream>,
    last_term: Term,
    applied: LogIndex,
    held_bytes: usize,
    unshared_bytes: usize,
}

/// Why a committed entry can't be applied: a bug, or bytes of another version. The replica must stop.
pub type ApplyError = String;

impl Streams {
    /// Streams before the first entry.
    pub fn new(partitions: &[PartitionId]) -> Self {
        Self {
            streams: partitions.iter().map(|&p| (p, Stream::default())).collect(),
            last_term: Term(0),
            applied: LogIndex(0),
            held_bytes: 0,
            unshared_bytes: 0,
        }
    }

    /// Every committed entry passes here, in order, whatever it is. The first entry of a higher term
    /// discards every incomplete log, on every replica alike (contract section 5): its remaining
    /// fragments can't come any more.
    pub fn begin_entry(&mut self, index: LogIndex, term: Term) {
        assert!(index > self.applied, "entry {index} applied after {}", self.applied);
        assert!(term >= self.last_term, "term {term} applied after {}", self.last_term);
        self.applied = index;
        if term > self.last_term {
            self.last_term = term;
            self.streams.values_mut().for_each(|s| s.open = None);
            if planted::has(Bug::SkipSlotAtNewTerm) && term > Term(1) {
                self.streams.values_mut().for_each(|s| s.last_slot.0 += 1);
            }
        }
    }

    /// Applies the entry that `begin_entry` announced. `here` is this process's run; `shared`: the log in memory holds the
    /// entry too.
    pub fn apply(&mut self, payload: Payload, here: Origin, shared: bool) -> Result<Option<Delivery>, ApplyError> {
        let (origin, partition, body) = match payload {
            Payload::Logs { origin, partition, logs } => {
                (origin, partition, Some(DeliveryBody::Logs(logs)))
            }
            Payload::Fragment { origin, partition, fragment } => {
                (origin, partition, self.join(origin, partition, fragment)?)
            }
            Payload::Control(_) => return Ok(None),
        };
        let Some(body) = body else { return Ok(None) };
        let (index, bytes) = (self.applied, body.byte_len() + DELIVERY_OVERHEAD_BYTES);
        let stream = self.stream(partition)?;
        let first_slot = Slot(stream.last_slot.0 + 1);
        stream.last_slot = Slot(stream.last_slot.0 + u64::from(body.logs()));
        let last_slot = stream.last_slot;
        stream.held.push_back(Held { index, last_slot, bytes, shared });
        stream.held_bytes += bytes;
        self.held_bytes += bytes;
        self.unshared_bytes += if shared { 0 } else { bytes };
        Ok(Some(Delivery { partition, first_slot, executed_here: origin == here, body }))
    }

    fn stream(&mut self, partition: PartitionId) -> Result<&mut Stream, ApplyError> {
        let applied = self.applied;
        self.streams
            .get_mut(&partition)
            .ok_or_else(|| format!("entry {applied} is for partition {partition}, which is not in this group"))
    }

    fn join(
        &mut self,
        origin: Origin,
        partition: PartitionId,
        fragment: Fragment,
    ) -> Result<Option<DeliveryBody>, ApplyError> {
        let applied = self.applied;
        let stream = self.stream(partition)?;
        if fragment.first {
            // A run that lost and regained leadership proposes an unfinished log anew from its start.
            stream.open = Some(OpenLog { origin, total: fragment.total, length: 0, fragments: Vec::new() });
        }
        // Without its beginning a fragment belongs to a log that a term change discarded.
        let Some(open) = stream.open.as_mut() else { return Ok(None) };
        if open.origin != origin || open.total != fragment.total || open.length != fragment.offset {
            return Err(format!(
                "entry {applied}: fragment at {} of {} does not continue the log of partition {partition} at {} of {}",
                fragment.offset, fragment.total, open.length, open.total
            ));
        }
        open.length += fragment.bytes.len() as u64;
        let drops = planted::has(Bug::DropFragment) && !fragment.first && !fragment.last;
        if !drops {
            open.fragments.push(fragment.bytes);
        }
        if !fragment.last {
            return Ok(None);
        }
        let done = stream.open.take().expect("just used");
        Ok(Some(DeliveryBody::Joined { fragments: done.fragments, length: done.length as usize }))
    }

    /// The callbacks of `partition` returned for everything through `slot`.
    pub fn delivered(&mut self, partition: PartitionId, slot: Slot) {
        let Some(stream) = self.streams.get_mut(&partition) else { return };
        debug_assert!(slot <= stream.last_slot, "delivered {slot} of {}", stream.last_slot);
        stream.delivered = stream.delivered.max(slot.min(stream.last_slot));
        while let Some(held) = stream.held.front().filter(|held| held.last_slot <= stream.delivered) {
            stream.held_bytes -= held.bytes;
            self.held_bytes -= held.bytes;
            self.unshared_bytes -= if held.shared { 0 } else { held.bytes };
            stream.held.pop_front();
        }
    }

    /// What all lanes hold.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// What lanes hold beside the log in memory.
    pub fn unshared_bytes(&self) -> usize {
        self.unshared_bytes
    }

    /// What lanes hold whose callbacks return. One that is blocked holds up its own partition only.
    pub fn moving_bytes(&self) -> usize {
        self.streams.values().filter(|stream| !stream.stands_still).map(|stream| stream.held_bytes).sum()
    }

    /// Looks which lanes stand still. Called on each tick while that matters.
    pub fn look(&mut self, now: Time) {
        for stream in self.streams.values_mut() {
            let since = stream.seen.filter(|&(slot, _)| slot == stream.delivered && !stream.held.is_empty()).map_or(now, |(_, at)| at);
            stream.seen = Some((stream.delivered, since));
            stream.stands_still = now.millis_since(since) >= STILL_MS;
        }
    }

    /// Every lane has delivered everything through this index.
    pub fn delivered_index(&self) -> LogIndex {
        if self.held_bytes == 0 {
            return self.applied;
        }
        let first = self.streams.values().filter_map(|stream| stream.held.front()).map(|held| held.index).min();
        first.map_or(self.applied, |first| LogIndex(first.0 - 1))
    }

    /// A log was applied, in any partition.
    pub fn has_slots(&self) -> bool {
        self.streams.values().any(|stream| stream.last_slot > Slot(0))
    }

    /// The last applied index.
    pub fn applied(&self) -> LogIndex {
        self.applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ProcessId, RunId};
    use crate::replica::payload::{fragments, Chunk, ChunkWriter};

    const P: PartitionId = PartitionId(0);
    const HERE: Origin = Origin { process: ProcessId(0), run: RunId(1) };
    const THERE: Origin = Origin { process: ProcessId(1), run: RunId(2) };

    struct Applier {
        streams: Streams,
        index: u64,
    }

    impl Applier {
        fn new() -> Self {
            Self { streams: Streams::new(&[P, PartitionId(1)]), index: 0 }
        }

        fn apply(&mut self, term: u64, chunk: &Chunk) -> Option<Delivery> {
            self.index += 1;
            self.streams.begin_entry(LogIndex(self.index), Term(term));
            self.streams.apply(Payload::parse(&chunk.bytes).unwrap(), HERE, true).unwrap()
        }
    }

    fn logs(origin: Origin, partition: PartitionId, logs: &[&[u8]]) -> Chunk {
        let mut writer = ChunkWriter::new(origin, partition, 64);
        logs.iter().for_each(|log| writer.push(log));
        writer.seal()
    }

    #[test]
    fn slots_count_per_partition_and_the_origin_decides_the_role() {
        let mut a = Applier::new();
        let one = a.apply(1, &logs(HERE, P, &[b"a", b"b"])).unwrap();
        let other = a.apply(1, &logs(HERE, PartitionId(1), &[b"x"])).unwrap();
        let two = a.apply(1, &logs(THERE, P, &[b"c"])).unwrap();
        assert_eq!((one.first_slot, other.first_slot, two.first_slot), (Slot(1), Slot(1), Slot(3)));
        assert!(one.executed_here && !two.executed_here);
    }

    #[test]
    fn a_fragmented_log_has_the_slot_of_its_last_fragment() {
        let mut a = Applier::new();
        let cut: Vec<Chunk> = fragments(HERE, P, &[5; 10], 4).collect();
        assert!(a.apply(1, &cut[0]).is_none());
        let other = a.apply(1, &logs(HERE, PartitionId(1), &[b"between"])).unwrap();
        assert_eq!(other.first_slot, Slot(1));
        assert!(a.apply(1, &cut[1]).is_none());
        let joined = a.apply(1, &cut[2]).unwrap();
        assert_eq!(joined.first_slot, Slot(1));
        assert!(matches!(joined.body, DeliveryBody::Joined { length: 10, .. }));
    }

    #[test]
    fn a_higher_term_discards_an_incomplete_log_which_may_then_start_anew() {
        let mut a = Applier::new();
        let cut: Vec<Chunk> = fragments(HERE, P, &[5; 10], 4).collect();
        assert!(a.apply(1, &cut[0]).is_none());
        assert!(a.apply(2, &cut[1]).is_none(), "its beginning was discarded");
        assert!(a.apply(2, &cut[2]).is_none());
        assert!(cut.iter().filter_map(|c| a.apply(2, c)).count() == 1);
    }

    #[test]
    fn the_delivered_index_waits_for_the_slowest_lane() {
        let mut a = Applier::new();
        a.apply(1, &logs(HERE, P, &[b"a"]));
        a.apply(1, &logs(HERE, PartitionId(1), &[b"x"]));
        assert_eq!(a.streams.delivered_index(), LogIndex(0));
        a.streams.delivered(PartitionId(1), Slot(1));
        assert_eq!(a.streams.delivered_index(), LogIndex(0));
        a.streams.delivered(P, Slot(1));
        assert_eq!(a.streams.delivered_index(), LogIndex(2));
    }

    /// As a replay beside a blocked callback has it, for as long as the log is.
    #[test]
    fn nothing_is_kept_of_what_other_lanes_delivered_behind_a_blocked_one() {
        let mut a = Applier::new();
        a.apply(1, &logs(HERE, P, &[b"a"]));
        for slot in 1..=1000 {
            a.apply(1, &logs(HERE, PartitionId(1), &[b"x"]));
            a.streams.delivered(PartitionId(1), Slot(slot));
        }
        assert_eq!(a.streams.streams.values().map(|stream| stream.held.len()).sum::<usize>(), 1);
        assert_eq!(a.streams.delivered_index(), LogIndex(0));
        a.apply(1, &logs(HERE, PartitionId(1), &[b"y"]));
        a.streams.delivered(P, Slot(1));
        assert_eq!(a.streams.delivered_index(), LogIndex(1001));
        a.streams.delivered(PartitionId(1), Slot(1001));
        assert_eq!((a.streams.delivered_index(), a.streams.held_bytes()), (LogIndex(1002), 0));
    }

    #[test]
    fn an_entry_of_a_foreign_partition_is_an_error() {
        let mut streams = Streams::new(&[P]);
        streams.begin_entry(LogIndex(1), Term(1));
        let payload = Payload::parse(&logs(HERE, PartitionId(9), &[b"a"]).bytes).unwrap();
        assert!(streams.apply(payload, HERE, true).unwrap_err().contains("partition 9"));
    }
}
