//! What one life promised its host, and what came of it: each accepted log ends once, in order.

use std::collections::VecDeque;

use mako_raft::replica::output::{Delivery, DeliveryBody, Gate, Leadership};

use super::checks::{Checked, Violation};
use super::load::LogPrint;

/// One life's books.
#[derive(Debug, Default)]
pub struct Account {
    partitions: Vec<Books>,
    /// Gained was announced, and Lost was not since.
    pub announced: bool,
    /// Ever announced.
    pub announcements: u64,
    /// Another leader was known to this life since it was last announced, or ever.
    pub knew_other_leader: bool,
    /// Logs were accepted in the hope to come to lead, which has not happened since.
    pub queued_in_hope: bool,
    /// Highest term, commit index and delivered index seen in its status.
    pub term: u64,
    /// See `term`.
    pub commit: u64,
    /// See `term`.
    pub delivered: u64,
}

#[derive(Debug, Default)]
struct Books {
    undecided: VecDeque<LogPrint>,
    next_slot: u64,
    accepted: u64,
    delivered_own: u64,
    delivered_foreign: u64,
    lost: u64,
    queued_bytes: i64,
}

impl Account {
    /// Empty books for so many partitions.
    pub fn new(partitions: u32) -> Self {
        let books = || Books { next_slot: 1, ..Books::default() };
        Self { partitions: (0..partitions).map(|_| books()).collect(), ..Self::default() }
    }

    /// A log was accepted.
    pub fn accepted(&mut self, partition: usize, log: LogPrint) {
        self.partitions[partition].undecided.push_back(log);
        self.partitions[partition].accepted += 1;
    }

    /// Bytes of accepted logs were queued.
    pub fn queued(&mut self, partition: usize, bytes: usize) {
        self.partitions[partition].queued_bytes += bytes as i64;
    }

    /// Bytes left the queue bound.
    pub fn released(&mut self, partition: usize, bytes: usize) -> Checked {
        let books = &mut self.partitions[partition];
        books.queued_bytes -= bytes as i64;
        if books.queued_bytes < 0 {
            return Violation::new("released bytes were queued", format!("partition {partition}: {books:?}"));
        }
        Ok(())
    }

    /// Logs of a partition that are not decided.
    pub fn undecided(&self, partition: usize) -> u64 {
        self.partitions[partition].undecided.len() as u64
    }

    /// Logs that are not decided.
    pub fn undecided_in_all(&self) -> u64 {
        self.partitions.iter().map(|books| books.undecided.len() as u64).sum()
    }

    /// Bytes that still count against the queue bound.
    pub fn queued_in_all(&self) -> i64 {
        self.partitions.iter().map(|books| books.queued_bytes).sum()
    }

    /// The last slot handed over, 0 for none.
    pub fn slots(&self, partition: usize) -> u64 {
        self.partitions[partition].next_slot - 1
    }

    /// Accepted, delivered to the leader callback, delivered to the follower callback, lost; over all partitions.
    pub fn totals(&self) -> [u64; 4] {
        self.partitions.iter().fold([0; 4], |[a, o, f, l], books| {
            [a + books.accepted, o + books.delivered_own, f + books.delivered_foreign, l + books.lost]
        })
    }

    /// A delivery: its slots follow the last one's, and what this run executed comes in acceptance order.
    /// Returns what was delivered.
    pub fn deliver(&mut self, partition: usize, delivery: &Delivery) -> Result<Vec<LogPrint>, Violation> {
        let logs = prints(&delivery.body)?;
        let books = &mut self.partitions[partition];
        if delivery.first_slot.0 != books.next_slot {
            Violation::new(
                "slots follow one another",
                format!("partition {partition}: slot {} came where {} is next", delivery.first_slot, books.next_slot),
            )?;
        }
        books.next_slot += logs.len() as u64;
        if !delivery.executed_here {
            books.delivered_foreign += logs.len() as u64;
            return Ok(logs);
        }
        for log in &logs {
            let expected = books.undecided.pop_front();
            if expected != Some(*log) {
                let expected = expected.map_or("nothing".into(), |expected| expected.to_string());
                Violation::new(
                    "own logs are delivered in acceptance order",
                    format!("partition {partition}: {log} came where {expected} is next"),
                )?;
            }
        }
        books.delivered_own += logs.len() as u64;
        Ok(logs)
    }

    /// Logs that will never be delivered. Returns them.
    pub fn lose(&mut self, partition: usize, count: u32) -> Result<Vec<LogPrint>, Violation> {
        let books = &mut self.partitions[partition];
        let mut lost = Vec::new();
        for _ in 0..count {
            match books.undecided.pop_front() {
                Some(log) => lost.push(log),
                None => Violation::new(
                    "a log ends once",
                    format!("partition {partition}: {count} logs lost, more than were undecided"),
                )?,
            }
        }
        books.lost += u64::from(count);
        Ok(lost)
    }

    /// An announcement: they alternate, and Gained comes first.
    pub fn announce(&mut self, leadership: Leadership) -> Checked {
        let gained = matches!(leadership, Leadership::Gained { .. });
        if gained == self.announced {
            return Violation::new("announcements alternate", format!("{leadership:?} came twice"));
        }
        if !gained && !self.knew_other_leader {
            return Violation::new("leadership is lost to another run", "Lost, and no other leader is known".into());
        }
        if let Leadership::Gained { first: true } = leadership {
            if self.announcements > 0 {
                return Violation::new("the first leadership comes once", format!("{leadership:?} came again"));
            }
        }
        self.announced = gained;
        if gained {
            self.announcements += 1;
            self.knew_other_leader = false;
            self.queued_in_hope = false;
        }
        Ok(())
    }

    /// After each pass: who was told that it leads is not refused, and nobody else is let in by Open.
    pub fn gate_agrees(&self, gate: Gate) -> Checked {
        match gate {
            Gate::Open | Gate::Hold if !self.announced => {
                Violation::new("gate agrees with announcements", "open, and leadership is not announced".into())
            }
            Gate::Closed { .. } if self.announced => {
                Violation::new("gate agrees with announcements", "closed, and Lost was not announced".into())
            }
            _ => Ok(()),
        }
    }
}

fn prints(body: &DeliveryBody) -> Result<Vec<LogPrint>, Violation> {
    match body {
        DeliveryBody::Logs(run) => {
            let prints = run.iter().map(|log| log.map(|log| LogPrint::of(log.bytes()))).collect::<Result<_, _>>();
            prints.or_else(|error| Violation::new("what is delivered is logs", error.to_string()))
        }
        DeliveryBody::Joined { fragments, length } => {
            let joined = fragments.concat();
            if joined.len() != *length {
                Violation::new("a long log is whole", format!("{} bytes of {length}", joined.len()))?;
            }
            Ok(vec![LogPrint::of(&joined)])
        }
    }
}
