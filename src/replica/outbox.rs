//! What this run accepted and the log has not decided yet: queued, then proposed, then committed or lost.
//!
//! Nothing is ever proposed twice, so nothing can be delivered twice: a chunk moves from its queue to
//! `in_flight` when raft-rs took it, and leaves when its position in the log is decided. The one
//! exception is a long log of which only some fragments were proposed when the term changed: nobody
//! can complete it any more (`streams.rs` discards it), so it is proposed anew from its first fragment.

use std::collections::{BTreeMap, VecDeque};

use crate::ids::{LogIndex, PartitionId, Term};

use super::payload::{Chunk, ChunkPart};
use super::planted::{self, Bug};

/// How something accepted ended, in order per partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Its partition.
    pub partition: PartitionId,
    /// How many logs ended.
    pub logs: u32,
    /// What leaves the queue bound.
    pub bytes: usize,
    /// Committed, or never to be.
    pub committed: bool,
}

#[derive(Debug, Default)]
struct Queue {
    chunks: VecDeque<Chunk>,
    bytes: usize,
    /// Fragments of one log proposed in `begun_in`, its last one still queued.
    begun: Vec<Chunk>,
    begun_in: Term,
}

#[derive(Debug)]
struct Proposed {
    index: LogIndex,
    term: Term,
    partition: PartitionId,
    logs: u32,
    /// What the submitter's bound counted.
    bytes: usize,
    /// What the proposal window counts.
    encoded_bytes: usize,
    /// Of the entry's payload, where it is known.
    checksum: Option<u64>,
}

#[derive(Debug)]
enum InFlight {
    Proposed(Proposed),
    /// Logs that were never proposed and are lost; told after everything proposed before them is decided.
    Lost { partition: PartitionId, logs: u32 },
}

/// Queues and proposals of one group.
#[derive(Debug)]
pub struct Outbox {
    queues: BTreeMap<PartitionId, Queue>,
    in_flight: VecDeque<InFlight>,
    in_flight_bytes: usize,
    queued_logs: u64,
    in_flight_logs: u64,
    /// The partition that is asked first next time, so that none waits behind the others.
    next: PartitionId,
    /// Only for [`Bug::ProposeAgainInNewTerm`].
    again: Option<(Chunk, Term)>,
}

impl Outbox {
    /// Empty queues.
    pub fn new(partitions: &[PartitionId]) -> Self {
        Self {
            queues: partitions.iter().map(|&p| (p, Queue::default())).collect(),
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            queued_logs: 0,
            in_flight_logs: 0,
            next: PartitionId(0),
            again: None,
        }
    }

    /// Queues an accepted chunk.
    ///
    /// # Panics
    /// When the partition is not of this group: the runtime routes by group.
    pub fn push(&mut self, chunk: Chunk) {
        let queue = self.queues.get_mut(&chunk.partition).expect("a partition of this group");
        queue.bytes += chunk.bytes.len();
        self.queued_logs += u64::from(chunk.logs);
        queue.chunks.push_back(chunk);
    }

    /// Bytes queued for `partition`.
    pub fn queued_bytes(&self, partition: PartitionId) -> usize {
        self.queues.get(&partition).map_or(0, |q| q.bytes)
    }

    /// Bytes proposed and not decided.
    pub fn in_flight_bytes(&self) -> usize {
        self.in_flight_bytes
    }

    /// XXH3 of the payload of the entry with this index and term, when it is one of those proposed and not
    /// decided here, and somebody computed it.
    pub fn checksum_of(&self, index: LogIndex, term: Term) -> Option<u64> {
        let before = |proposal: &InFlight| match proposal {
            InFlight::Proposed(p) => p.index < index,
            InFlight::Lost { .. } => false,
        };
        // What a former leadership left may be out of order here: then nothing is found, never another entry.
        match self.in_flight.get(self.in_flight.partition_point(before))? {
            InFlight::Proposed(p) if (p.index, p.term) == (index, term) => p.checksum,
            _ => None,
        }
    }

    /// Logs queued or proposed.
    pub fn undecided_logs(&self) -> u64 {
        self.queued_logs + self.in_flight_logs
    }

    /// Nothing waits to be proposed.
    pub fn is_queue_empty(&self) -> bool {
        self.queues.values().all(|q| q.chunks.is_empty())
    }

    /// Nothing proposed waits for its decision.
    pub fn is_settled(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Takes chunks to propose in `term`, one partition after the other, until about `bytes` are taken; at least one.
    pub fn take(&mut self, term: Term, bytes: usize) -> Vec<Chunk> {
        self.restart_broken_logs(term);
        let mut taken = Vec::new();
        let mut left = bytes.max(1);
        let order: Vec<PartitionId> = self
            .queues
            .range(self.next..)
            .chain(self.queues.range(..self.next))
            .filter(|(_, q)| !q.chunks.is_empty())
            .map(|(&p, _)| p)
            .collect();
        let mut progress = true;
        while left > 0 && progress {
            progress = false;
            for &partition in &order {
                let queue = self.queues.get_mut(&partition).expect("from the same map");
                let Some(chunk) = queue.chunks.pop_front() else { continue };
                queue.bytes -= chunk.bytes.len();
                left = left.saturating_sub(chunk.bytes.len());
                taken.push(chunk);
                progress = true;
                if left == 0 {
                    self.next = PartitionId(partition.0 + 1);
                    break;
                }
            }
        }
        self.queued_logs -= taken.iter().map(|c| u64::from(c.logs)).sum::<u64>();
        taken
    }

    /// Puts back, in order, what raft-rs did not take.
    pub fn put_back(&mut self, chunks: Vec<Chunk>) {
        for chunk in chunks.into_iter().rev() {
            let queue = self.queues.get_mut(&chunk.partition).expect("taken from here");
            queue.bytes += chunk.bytes.len();
            self.queued_logs += u64::from(chunk.logs);
            queue.chunks.push_front(chunk);
        }
    }

    /// What was proposed last in an older term is proposed again, as a client that never got its answer would.
    fn plant_again(&mut self, term: Term) {
        let Some((chunk, proposed_in)) = self.again.take().filter(|_| planted::has(Bug::ProposeAgainInNewTerm)) else {
            return;
        };
        if proposed_in == term {
            self.again = Some((chunk, proposed_in));
        } else {
            self.push(chunk);
        }
    }

    /// raft-rs gave `chunk` this place.
    pub fn proposed(&mut self, chunk: Chunk, index: LogIndex, term: Term) {
        if planted::has(Bug::ProposeAgainInNewTerm) && chunk.part == ChunkPart::Whole {
            self.again = Some((chunk.clone(), term));
        }
        self.in_flight_bytes += chunk.bytes.len();
        self.in_flight_logs += u64::from(chunk.logs);
        self.in_flight.push_back(InFlight::Proposed(Proposed {
            index,
            term,
            partition: chunk.partition,
            logs: chunk.logs,
            bytes: chunk.queued_bytes,
            encoded_bytes: chunk.bytes.len(),
            checksum: chunk.checksum,
        }));
        let ChunkPart::Fragment { last, .. } = chunk.part else { return };
        let queue = self.queues.get_mut(&chunk.partition).expect("taken from here");
        if last {
            queue.begun.clear();
        } else {
            // Its bytes leave the bound with the first proposal; a second one must not release them again.
            let again = if planted::has(Bug::ReleaseTwice) { chunk.queued_bytes } else { 0 };
            queue.begun.push(Chunk { queued_bytes: again, ..chunk });
            queue.begun_in = term;
        }
    }

    fn restart_broken_logs(&mut self, term: Term) {
        if planted::has(Bug::ContinueBrokenLog) {
            return;
        }
        self.plant_again(term);
        for queue in self.queues.values_mut().filter(|q| !q.begun.is_empty() && q.begun_in != term) {
            for chunk in std::mem::take(&mut queue.begun).into_iter().rev() {
                queue.bytes += chunk.bytes.len();
                queue.chunks.push_front(chunk);
            }
        }
    }

    /// The entry at `index` is committed with `term`. Decides every proposal whose place that settles: an
    /// entry of a later term at or before a proposal's index means that the proposal can never commit.
    pub fn decide(&mut self, index: LogIndex, term: Term, decided: &mut Vec<Decided>) {
        while let Some(InFlight::Proposed(front)) = self.in_flight.front() {
            let committed = front.index == index && front.term == term;
            if !committed && front.term >= term {
                break;
            }
            decided.push(self.settle_front(committed));
        }
        self.tell_lost(decided);
    }

    fn settle_front(&mut self, committed: bool) -> Decided {
        let Some(InFlight::Proposed(front)) = self.in_flight.pop_front() else {
            unreachable!("the caller looked at it")
        };
        self.in_flight_bytes -= front.encoded_bytes;
        self.in_flight_logs -= u64::from(front.logs);
        Decided { partition: front.partition, logs: front.logs, bytes: front.bytes, committed }
    }

    fn tell_lost(&mut self, decided: &mut Vec<Decided>) {
        while let Some(&InFlight::Lost { partition, logs }) = self.in_flight.front() {
            self.in_flight.pop_front();
            self.in_flight_logs -= u64::from(logs);
            decided.push(Decided { partition, logs, bytes: 0, committed: false });
        }
    }

    /// Everything not proposed yet is lost. Its bytes are released at once; the loss is told in its place.
    pub fn lose_queued(&mut self, decided: &mut Vec<Decided>) {
        for (&partition, queue) in &mut self.queues {
            queue.begun.clear();
            queue.bytes = 0;
            let chunks = std::mem::take(&mut queue.chunks);
            let bytes: usize = chunks.iter().map(|c| c.queued_bytes).sum();
            let logs: u32 = chunks.iter().map(|c| c.logs).sum();
            if bytes > 0 {
                decided.push(Decided { partition, logs: 0, bytes, committed: false });
            }
            if logs > 0 {
                self.queued_logs -= u64::from(logs);
                self.in_flight_logs += u64::from(logs);
                self.in_flight.push_back(InFlight::Lost { partition, logs });
            }
        }
        self.tell_lost(decided);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ProcessId, RunId};
    use crate::replica::payload::{fragments, ChunkWriter, Origin};

    const P: PartitionId = PartitionId(0);
    const Q: PartitionId = PartitionId(1);
    const HERE: Origin = Origin { process: ProcessId(0), run: RunId(1) };

    fn log(partition: PartitionId, bytes: &[u8]) -> Chunk {
        let mut writer = ChunkWriter::new(HERE, partition, 16);
        writer.push(bytes);
        writer.seal()
    }

    fn propose_all(outbox: &mut Outbox, first_index: u64, term: u64) -> u64 {
        let taken = outbox.take(Term(term), usize::MAX);
        let count = taken.len() as u64;
        for (i, chunk) in taken.into_iter().enumerate() {
            outbox.proposed(chunk, LogIndex(first_index + i as u64), Term(term));
        }
        count
    }

    fn decide(outbox: &mut Outbox, index: u64, term: u64) -> Vec<(u32, bool)> {
        let mut decided = Vec::new();
        outbox.decide(LogIndex(index), Term(term), &mut decided);
        decided.into_iter().map(|d| (d.logs, d.committed)).collect()
    }

    #[test]
    fn partitions_take_turns() {
        let mut outbox = Outbox::new(&[P, Q]);
        for _ in 0..3 {
            outbox.push(log(P, &[1; 100]));
        }
        outbox.push(log(Q, &[2; 100]));
        let order: Vec<u32> = outbox.take(Term(1), 300).iter().map(|c| c.partition.0).collect();
        assert_eq!(order, [0, 1, 0]);
    }

    #[test]
    fn a_proposal_is_lost_when_its_place_or_an_earlier_one_goes_to_a_later_term() {
        let mut outbox = Outbox::new(&[P]);
        (0..3).for_each(|_| outbox.push(log(P, b"x")));
        propose_all(&mut outbox, 5, 1);
        assert_eq!(decide(&mut outbox, 5, 1), [(1, true)]);
        assert_eq!(decide(&mut outbox, 6, 2), [(1, false), (1, false)]);
        assert!(outbox.is_settled());
        assert_eq!((outbox.undecided_logs(), outbox.in_flight_bytes()), (0, 0));
    }

    #[test]
    fn the_loss_of_queued_logs_is_told_after_earlier_proposals_are_decided() {
        let mut outbox = Outbox::new(&[P]);
        outbox.push(log(P, b"proposed"));
        propose_all(&mut outbox, 1, 1);
        outbox.push(log(P, b"queued"));
        let mut decided = Vec::new();
        outbox.lose_queued(&mut decided);
        assert_eq!(decided.len(), 1, "only the release of its bytes");
        assert_eq!((decided[0].logs, decided[0].bytes > 0), (0, true));
        assert_eq!(decide(&mut outbox, 1, 1), [(1, true), (1, false)]);
    }

    #[test]
    fn a_log_begun_in_an_older_term_is_proposed_anew_from_its_start() {
        let mut outbox = Outbox::new(&[P]);
        fragments(HERE, P, &[7; 10], 4).for_each(|c| outbox.push(c));
        let first = outbox.take(Term(1), 1);
        assert_eq!(first.len(), 1);
        first.into_iter().for_each(|c| outbox.proposed(c, LogIndex(1), Term(1)));
        let again = outbox.take(Term(2), usize::MAX);
        assert_eq!(again.len(), 3, "all fragments, not only the rest");
        let released: usize = again.iter().map(|c| c.queued_bytes).sum();
        assert!(released < 4 + 4 + 2 + 5, "the first fragment's bytes are not released twice");
    }

    #[test]
    fn what_was_put_back_comes_out_in_the_same_order() {
        let mut outbox = Outbox::new(&[P]);
        (0..3u8).for_each(|i| outbox.push(log(P, &[i])));
        let taken = outbox.take(Term(1), usize::MAX);
        let bytes: Vec<_> = taken.iter().map(|c| c.bytes.clone()).collect();
        outbox.put_back(taken);
        let again: Vec<_> = outbox.take(Term(1), usize::MAX).into_iter().map(|c| c.bytes).collect();
        assert_eq!(bytes, again);
    }
}
