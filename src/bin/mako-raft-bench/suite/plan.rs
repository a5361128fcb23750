//! Which figures the standard set takes.

use std::path::{Path, PathBuf};

use crate::cell::{Cell, Pace, Trouble};
use crate::floor;
use crate::payload::Sizes;

/// The sizes of PERFORMANCE's axis, in bytes.
pub const SIZES: [usize; 7] = [100, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 286_208, 1 << 20];
/// Logs outstanding per partition.
pub const OUTSTANDING: [u64; 4] = [1, 64, 256, 1024];
/// Streams.
pub const PARTITIONS: [u32; 4] = [1, 6, 24, 64];
/// Outstanding in all partitions together, when their number is what differs,
pub const OUTSTANDING_IN_ALL: u64 = 1024;
/// where 1024 leave each of 64 submitters 16: the same with 256 for each,
const MANY_IN_ALL: u64 = 16_384;
/// and with 1024 for each, as the axis has it.
const MOST_IN_ALL: u64 = 65_536;
/// Mako's TPC-C log, and the rate that the newest Raft of Mako's own reached with it.
const TPCC: (usize, f64) = (286_208, 191.0);
/// `raft.log_memory_bytes` of the set: so little that the log is full, and its memory used again, before a
/// figure is taken. That is the steady state; what it costs to get there are cells of their own.
const LOG_MEMORY_BYTES: u64 = floor::KEPT_BYTES as u64;
/// The same for the TPC-C log, of which 55 MB come in a second.
const TPCC_LOG_MEMORY_BYTES: u64 = 32 << 20;
/// A log that must not stand in front of small ones.
const BIG_BYTES: usize = 50_000_000;

/// Logs of 1 KiB per second beside a stopped follower: 41 MB in the 2 s of a cell, of the 256 MiB that the log takes.
const STOPPED_RATE: f64 = 20_000.0;

/// What is measured: a cell, or a floor beside it.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// Ours, called from Rust.
    Cell(Cell),
    /// Ours, called as Mako does.
    CxxCell(Cell),
    /// A quorum round trip of so many bytes without Raft.
    LatencyFloor(usize),
    /// The same at a rate.
    PacedFloor(usize, f64),
    /// 1 MiB blocks to two receivers; out of and into so many bytes in turn.
    BandwidthFloor(Option<usize>),
    /// pwrite and fdatasync of so many bytes, by so many writers at once.
    DurableFloor(usize, usize),
    /// The threads of so many partitions, waking each other.
    ThreadsFloor(u32),
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

/// Of a cell that is taken a second time, with the host's allocator, the name begins with this.
pub const PRELOADED: &str = "preloaded ";

/// Of a cell that is taken a second time, called as Mako does, the name begins with this.
pub const CXX: &str = "c++ ";

/// The set, each floor next to what it is compared with. Logs that last lie in `data`; `preload` is the host's
/// allocator.
pub fn items(durations: Durations, data: &Path, preload: Option<&Path>) -> Vec<Item> {
    let Durations { seconds, warmup } = durations;
    let base = Cell { seconds, warmup, log_memory_bytes: Some(LOG_MEMORY_BYTES), ..Cell::default() };
    let mut plan = Plan { items: Vec::new(), base, preload: preload.map(Path::to_path_buf) };
    plan.latency();
    plan.tpcc();
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
    preload: Option<PathBuf>,
}

impl Plan {
    fn cell(&mut self, name: String, change: impl FnOnce(&mut Cell)) -> Cell {
        let mut cell = self.base.clone();
        change(&mut cell);
        self.items.push(Item { name, subject: Subject::Cell(cell.clone()) });
        cell
    }

    fn floor(&mut self, name: &str, subject: Subject) {
        self.items.push(Item { name: name.to_owned(), subject });
    }

    /// The last cell once more, called as Mako does.
    fn and_from_cxx(&mut self, cell: Cell) {
        let name = self.items.last().map(|item| format!("{CXX}{}", item.name));
        self.items.push(Item { name: name.unwrap_or_default(), subject: Subject::CxxCell(cell) });
    }

    /// `cell`, which is called `name`, once more with the host's allocator.
    fn and_preloaded(&mut self, name: &str, cell: Cell) {
        if let Some(library) = &self.preload {
            let cell = Cell { preload: Some(library.clone()), ..cell };
            self.items.push(Item { name: format!("{PRELOADED}{name}"), subject: Subject::Cell(cell) });
        }
    }

    fn latency(&mut self) {
        for bytes in SIZES {
            self.floor(&format!("floor latency/{bytes}"), Subject::LatencyFloor(bytes));
            let cell = self.cell(format!("latency/{bytes}"), |cell| cell.sizes = Sizes::Fixed(bytes));
            if bytes == 100 {
                self.and_from_cxx(cell);
            }
        }
    }

    fn tpcc(&mut self) {
        let (bytes, rate) = TPCC;
        self.floor("floor latency/tpcc", Subject::PacedFloor(bytes, rate));
        let full = self.cell("latency/tpcc".into(), |cell| {
            (cell.sizes, cell.pace) = (Sizes::Fixed(bytes), Pace::Open { rate });
            cell.log_memory_bytes = Some(TPCC_LOG_MEMORY_BYTES);
        });
        self.and_from_cxx(full.clone());
        self.and_preloaded("latency/tpcc", full.clone());
        let growing = self.cell("latency/tpcc growing".into(), |cell| *cell = Cell { log_memory_bytes: None, ..full });
        self.and_from_cxx(growing);
    }

    fn rates(&mut self) {
        self.floor("floor rate", Subject::BandwidthFloor(None));
        for bytes in [100, 1 << 10] {
            for outstanding in &OUTSTANDING[1..] {
                let cell = self.cell(format!("rate/{bytes}/{outstanding}"), |cell| {
                    (cell.sizes, cell.pace) = (Sizes::Fixed(bytes), Pace::Closed { outstanding: *outstanding });
                });
                if *outstanding == 1024 {
                    self.and_from_cxx(cell.clone());
                    self.and_preloaded(&format!("rate/{bytes}/1024"), cell);
                }
            }
        }
    }

    fn bandwidth(&mut self) {
        for bytes in SIZES.into_iter().skip(2) {
            if bytes == TPCC.0 {
                self.floor(&format!("floor bandwidth/{bytes} kept"), Subject::BandwidthFloor(Some(floor::KEPT_BYTES)));
            }
            self.floor(&format!("floor bandwidth/{bytes}"), Subject::BandwidthFloor(None));
            // About 16 MiB on their way, a quarter of the default queue.
            let outstanding = ((16 << 20) / bytes as u64).min(1024);
            let cell = self.cell(format!("bandwidth/{bytes}"), |cell| {
                (cell.sizes, cell.pace) = (Sizes::Fixed(bytes), Pace::Closed { outstanding });
            });
            if bytes == TPCC.0 || bytes == 64 << 10 {
                self.and_from_cxx(cell.clone());
                self.and_preloaded(&format!("bandwidth/{bytes}"), cell);
            }
        }
    }

    fn partitions(&mut self) {
        let share = |cell: &mut Cell, partitions: u32, in_all: u64| {
            cell.partitions = partitions;
            cell.pace = Pace::Closed { outstanding: in_all / u64::from(partitions) };
        };
        self.floor("floor partitions/64", Subject::ThreadsFloor(64));
        for (in_all, counts) in [(MANY_IN_ALL, [1, 64].as_slice()), (MOST_IN_ALL, &[1]), (OUTSTANDING_IN_ALL, &PARTITIONS)] {
            for &count in counts {
                let cell = self.cell(format!("partitions/{in_all}/{count}"), |cell| share(cell, count, in_all));
                if count == 1 || count == 64 {
                    self.and_from_cxx(cell);
                }
            }
        }
        for count in &PARTITIONS[1..] {
            let cell = self.cell(format!("each/{count}"), |cell| {
                (cell.partitions, cell.pace) = (*count, Pace::Closed { outstanding: 1024 });
            });
            if *count == 64 {
                self.and_from_cxx(cell);
            }
        }
        for count in [6, 64] {
            self.cell(format!("groups/{count}"), |cell| {
                share(cell, count, OUTSTANDING_IN_ALL);
                cell.group_per_partition = true;
            });
        }
    }

    fn durable(&mut self, data: &Path) {
        self.floor("floor durable/100", Subject::DurableFloor(100, 1));
        self.floor("floor durable/100 by three", Subject::DurableFloor(100, 3));
        let cell = self.cell("durable/latency".into(), |cell| cell.durable = Some(data.to_owned()));
        self.and_from_cxx(cell);
        self.floor("floor durable/1048576 by three", Subject::DurableFloor(1 << 20, 3));
        let cell = self.cell("durable/rate".into(), |cell| {
            cell.durable = Some(data.to_owned());
            (cell.sizes, cell.pace) = (Sizes::Fixed(1 << 10), Pace::Closed { outstanding: 1024 });
        });
        self.and_from_cxx(cell);
    }

    fn special(&mut self) {
        self.cell("mix".into(), |cell| {
            (cell.sizes, cell.pace, cell.partitions) = (Sizes::Mix, Pace::Closed { outstanding: 8 }, 6);
        });
        let beside = self.cell("beside".into(), |cell| {
            (cell.partitions, cell.big_bytes, cell.pace) = (2, Some(BIG_BYTES), Pace::Open { rate: 1_000.0 });
        });
        self.and_from_cxx(beside);
        let idle = self.cell("idle".into(), |cell| (cell.partitions, cell.pace) = (64, Pace::Idle));
        self.and_from_cxx(idle);
        self.cell("growing".into(), |cell| {
            (cell.sizes, cell.pace) = (Sizes::Fixed(64 << 10), Pace::Closed { outstanding: 256 });
            cell.log_memory_bytes = None;
        });
        // At this pace the log holds what comes while the follower is stopped, and nobody waits for it;
        // in the closed loop it is full after half a second, and the submitters wait.
        let (open, closed) = (Pace::Open { rate: STOPPED_RATE }, Pace::Closed { outstanding: 64 });
        for (name, trouble, pace) in [
            ("stopped", Trouble::StoppedFollower, open),
            ("stopped, log full", Trouble::StoppedFollower, closed),
            ("slow", Trouble::SlowCallback, closed),
        ] {
            self.cell(name.into(), |cell| {
                (cell.trouble, cell.sizes, cell.partitions) = (trouble, Sizes::Fixed(1 << 10), 2);
                cell.pace = pace;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> Vec<Item> {
        items(Durations { seconds: 1.0, warmup: 0.0 }, Path::new("d"), Some(Path::new("malloc.so")))
    }

    #[test]
    fn names_are_unique_and_every_bandwidth_has_a_floor_just_before_it() {
        let items = set();
        for pair in items.windows(2).filter(|pair| pair[1].name.starts_with("bandwidth")) {
            assert_eq!(pair[0].subject, Subject::BandwidthFloor(None));
        }
        let mut names: Vec<&str> = items.iter().map(|item| item.name.as_str()).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn every_c_plus_plus_cell_stands_behind_the_same_one_from_rust() {
        let items = set();
        let pairs: Vec<_> = items.windows(2).filter(|pair| matches!(pair[1].subject, Subject::CxxCell(_))).collect();
        assert_eq!(pairs.len(), 17);
        for pair in pairs {
            let (Subject::Cell(rust), Subject::CxxCell(cxx)) = (&pair[0].subject, &pair[1].subject) else {
                panic!("{} stands behind {}", pair[1].name, pair[0].name);
            };
            assert_eq!((rust, format!("{CXX}{}", pair[0].name)), (cxx, pair[1].name.clone()));
        }
    }

    #[test]
    fn every_preloaded_cell_is_another_one_with_the_library() {
        let items = set();
        let find = |name: &str| items.iter().find(|item| item.name == name).map(|item| item.subject.clone());
        let preloaded: Vec<&Item> = items.iter().filter(|item| item.name.starts_with(PRELOADED)).collect();
        assert_eq!(preloaded.len(), 5);
        for item in preloaded {
            let Some(Subject::Cell(plain)) = find(&item.name[PRELOADED.len()..]) else { panic!("{}", item.name) };
            assert_eq!(item.subject, Subject::Cell(Cell { preload: Some("malloc.so".into()), ..plain }));
        }
        let without = super::items(Durations { seconds: 1.0, warmup: 0.0 }, Path::new("d"), None);
        assert_eq!(without.len() + 5, items.len());
    }

    #[test]
    fn what_is_compared_has_as_many_outstanding_in_all() {
        let in_all = |name: &str| {
            let item = set().into_iter().find(|item| item.name == name).unwrap();
            match item.subject {
                Subject::Cell(Cell { partitions, pace: Pace::Closed { outstanding }, .. }) => {
                    u64::from(partitions) * outstanding
                }
                other => panic!("{name}: {other:?}"),
            }
        };
        for (one, many) in [("1024/1", "1024/64"), ("16384/1", "16384/64")] {
            assert_eq!(in_all(&format!("partitions/{one}")), in_all(&format!("partitions/{many}")));
        }
        assert_eq!(in_all("partitions/65536/1"), in_all("each/64"));
    }
}
