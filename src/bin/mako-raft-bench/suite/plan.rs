//! Which figures the standard set takes.

use std::path::PathBuf;

use crate::cell::{Cell, Pace, Trouble};
use crate::payload::Sizes;

/// The sizes of PERFORMANCE's axis, in bytes.
pub const SIZES: [usize; 7] = [100, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 286_208, 1 << 20];
/// Logs outstanding per partition.
pub const OUTSTANDING: [u64; 4] = [1, 64, 256, 1024];
/// Streams.
pub const PARTITIONS: [u32; 4] = [1, 6, 24, 64];
/// Outstanding in all partitions together, when their number is what differs.
pub const OUTSTANDING_IN_ALL: u64 = 1024;
/// Mako's log and its rate on one machine: 50 logs/s for each of 6 workers would be 300; 191 is what
/// the newest Raft of Mako's own reached.
pub const TPCC: (usize, f64) = (286_208, 191.0);
/// `raft.log_memory_bytes` of the set: so little that the log is full, and its memory used again, before a
/// figure is taken. That is the steady state; what it costs to get there is a cell of its own.
const LOG_MEMORY_BYTES: u64 = 256 << 20;
/// The same for many partitions, where 1024 leave a submitter 16.
pub const MANY_OUTSTANDING_IN_ALL: u64 = 16_384;
/// A log that must not stand in front of small ones.
pub const BIG_BYTES: usize = 50_000_000;

/// What is measured: a cell, or a floor beside it.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// Ours.
    Cell(Cell),
    /// A quorum round trip of so many bytes without Raft.
    LatencyFloor(usize),
    /// 1 MiB blocks to two receivers.
    BandwidthFloor,
    /// pwrite and fdatasync of so many bytes.
    DurableFloor(usize),
}

/// A subject with the name under which the report finds it.
#[derive(Clone, Debug)]
pub struct Item {
    /// For example "latency/1024".
    pub name: String,
    /// What is measured.
    pub subject: Subject,
}

/// How long cells are measured.
#[derive(Clone, Copy, Debug)]
pub struct Durations {
    /// Of a cell.
    pub seconds: f64,
    /// Before it.
    pub warmup: f64,
}

/// The set, each floor next to what it is compared with.
pub fn items(durations: Durations, data: &PathBuf) -> Vec<Item> {
    let Durations { seconds, warmup } = durations;
    let base = Cell { seconds, warmup, log_memory_bytes: Some(LOG_MEMORY_BYTES), ..Cell::default() };
    let mut plan = Plan { items: Vec::new(), base };
    plan.latency();
    plan.rates();
    plan.bandwidth();
    plan.partitions();
    plan.durable(data);
    plan.special();
    plan.items
}

struct Plan {
    items: Vec<Item>,
    base: Cell,
}

impl Plan {
    fn cell(&mut self, name: String, change: impl FnOnce(&mut Cell)) {
        let mut cell = self.base.clone();
        change(&mut cell);
        self.items.push(Item { name, subject: Subject::Cell(cell) });
    }

    fn floor(&mut self, name: String, subject: Subject) {
        self.items.push(Item { name, subject });
    }

    fn latency(&mut self) {
        for bytes in SIZES {
            self.floor(format!("floor latency/{bytes}"), Subject::LatencyFloor(bytes));
            self.cell(format!("latency/{bytes}"), |cell| cell.sizes = Sizes::Fixed(bytes));
        }
        let (bytes, rate) = TPCC;
        self.cell("latency/tpcc".into(), |cell| {
            (cell.sizes, cell.pace) = (Sizes::Fixed(bytes), Pace::Open { rate });
        });
    }

    fn rates(&mut self) {
        for bytes in [100, 1 << 10] {
            for outstanding in &OUTSTANDING[1..] {
                self.cell(format!("rate/{bytes}/{outstanding}"), |cell| {
                    (cell.sizes, cell.pace) = (Sizes::Fixed(bytes), Pace::Closed { outstanding: *outstanding });
                });
            }
        }
    }

    fn bandwidth(&mut self) {
        for bytes in &SIZES[2..] {
            self.floor(format!("floor bandwidth/{bytes}"), Subject::BandwidthFloor);
            // About 16 MiB on their way, a quarter of the default queue.
            let outstanding = ((16 << 20) / *bytes as u64).min(1024);
            self.cell(format!("bandwidth/{bytes}"), |cell| {
                (cell.sizes, cell.pace) = (Sizes::Fixed(*bytes), Pace::Closed { outstanding });
            });
        }
    }

    fn partitions(&mut self) {
        for partitions in [1, 64] {
            self.cell(format!("many partitions/{partitions}"), |cell| {
                cell.partitions = partitions;
                cell.pace = Pace::Closed { outstanding: MANY_OUTSTANDING_IN_ALL / u64::from(partitions) };
            });
        }
        for grouped in [false, true] {
            for partitions in PARTITIONS.into_iter().filter(|&p| !grouped || p == 6 || p == 64) {
                let kind = if grouped { "groups" } else { "partitions" };
                self.cell(format!("{kind}/{partitions}"), |cell| {
                    cell.partitions = partitions;
                    cell.group_per_partition = grouped;
                    cell.pace = Pace::Closed { outstanding: OUTSTANDING_IN_ALL / u64::from(partitions) };
                });
            }
        }
    }

    fn durable(&mut self, data: &PathBuf) {
        self.floor("floor durable/100".into(), Subject::DurableFloor(100));
        self.cell("durable/latency".into(), |cell| cell.durable = Some(data.clone()));
        self.cell("durable/rate".into(), |cell| {
            cell.durable = Some(data.clone());
            (cell.sizes, cell.pace) = (Sizes::Fixed(1 << 10), Pace::Closed { outstanding: 1024 });
        });
    }

    fn special(&mut self) {
        self.cell("mix".into(), |cell| {
            (cell.sizes, cell.pace, cell.partitions) = (Sizes::Mix, Pace::Closed { outstanding: 8 }, 6);
        });
        self.cell("beside".into(), |cell| {
            (cell.partitions, cell.big_bytes, cell.pace) = (2, Some(BIG_BYTES), Pace::Open { rate: 1_000.0 });
        });
        self.cell("idle".into(), |cell| (cell.partitions, cell.pace) = (64, Pace::Idle));
        self.cell("growing".into(), |cell| {
            (cell.sizes, cell.pace) = (Sizes::Fixed(64 << 10), Pace::Closed { outstanding: 256 });
            cell.log_memory_bytes = None;
        });
        for (name, trouble) in [("stopped", Trouble::StoppedFollower), ("slow", Trouble::SlowCallback)] {
            self.cell(name.into(), |cell| {
                (cell.trouble, cell.sizes, cell.partitions) = (trouble, Sizes::Fixed(1 << 10), 2);
                cell.pace = Pace::Closed { outstanding: 64 };
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_bandwidth_has_a_floor_just_before_it() {
        let items = items(Durations { seconds: 1.0, warmup: 0.0 }, &PathBuf::from("d"));
        let mut names: Vec<&str> = items.iter().map(|item| item.name.as_str()).collect();
        for pair in items.windows(2).filter(|pair| pair[1].name.starts_with("bandwidth")) {
            assert_eq!(pair[0].subject, Subject::BandwidthFloor);
        }
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
