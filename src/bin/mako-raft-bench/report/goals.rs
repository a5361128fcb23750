//! The goals, and how far the figures are from them.
//!
//! The work is defined through the functions that Mako calls, so a goal is judged by the C++ cell wherever the set has
//! one, and the figure from Rust stands beside it.

use crate::figures_text;
use crate::run::Figures;
use crate::suite::plan::CXX;

use super::results::{bandwidth, p50, p99, peak_mib, rate, Results, Spread};

/// One goal.
pub struct Goal {
    /// What is measured.
    pub what: &'static str,
    /// The goal, in words.
    pub goal: &'static str,
    /// The first bar, in words.
    pub bar: &'static str,
    /// What was measured, in words.
    pub measured: String,
    /// Through which functions, and what the others gave.
    pub surface: String,
    /// What the machine gave without Raft in the same run, in words; "-" where there is no such thing.
    pub floor: String,
    /// "goal", "first bar", "missed", or "-" where nothing is judged.
    pub verdict: &'static str,
}

struct Measure {
    what: &'static str,
    taken: Taken,
    unit: &'static str,
    goal: (f64, &'static str),
    bar: (f64, &'static str),
    better: Better,
    floor: Option<String>,
}

#[derive(Clone, Copy)]
enum Better {
    More,
    Less,
    /// Shown without a verdict: what is compared differs in more than what the goal is about.
    Neither,
}

/// A number as the goal is judged by it.
struct Taken {
    spread: Option<Spread>,
    /// The same number from Rust, where it is judged from C++.
    from_rust: Option<Spread>,
    surface: Surface,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Surface {
    Cxx,
    Rust,
}

impl Surface {
    /// Mako's own, where the set has all of `cells` from there. One that is there without a figure counts too: the
    /// row then has none, rather than the other surface's.
    fn of(results: &Results, cells: &[&str]) -> Self {
        match cells.iter().all(|cell| results.find(&Self::Cxx.name(cell)).is_some()) {
            true => Self::Cxx,
            false => Self::Rust,
        }
    }

    /// What the plan calls the cell `name` there.
    fn name(self, name: &str) -> String {
        match self {
            Self::Cxx => format!("{CXX}{name}"),
            Self::Rust => name.to_owned(),
        }
    }
}

impl Taken {
    /// `spread` of a surface's `cells`.
    fn of(results: &Results, cells: &[&str], spread: impl Fn(Surface) -> Option<Spread>) -> Self {
        let surface = Surface::of(results, cells);
        let from_rust = if surface == Surface::Cxx { spread(Surface::Rust) } else { None };
        Self { spread: spread(surface), from_rust, surface }
    }

    /// One number of one cell, in another unit.
    fn number(results: &Results, cell: &str, number: impl Fn(&Figures) -> f64, by: f64) -> Self {
        Self::of(results, &[cell], |surface| scaled(results.spread(&surface.name(cell), &number), by))
    }

    /// One number of one cell as a part of a floor's, in another unit.
    fn ratio(results: &Results, cell: &str, floor: &str, number: fn(&Figures) -> f64, by: f64) -> Self {
        Self::of(results, &[cell], |surface| scaled(results.ratio(&surface.name(cell), floor, number), by))
    }

    /// Of what has no cell from C++.
    fn from_rust_only(spread: Option<Spread>) -> Self {
        Self { spread, from_rust: None, surface: Surface::Rust }
    }
}

impl Measure {
    fn judge(self) -> Option<Goal> {
        let Spread { median, min, max } = self.taken.spread?;
        let reaches = |bar: f64| match self.better {
            Better::More => median >= bar,
            Better::Less => median <= bar,
            Better::Neither => false,
        };
        let verdict = match () {
            () if matches!(self.better, Better::Neither) => "-",
            () if reaches(self.goal.0) => "goal",
            () if reaches(self.bar.0) => "first bar",
            () => "missed",
        };
        let digits = |v: f64| match v.abs() {
            a if a >= 100.0 => format!("{v:.0}"),
            a if a >= 10.0 => format!("{v:.1}"),
            _ => format!("{v:.2}"),
        };
        let surface = match (self.taken.surface, self.taken.from_rust) {
            (Surface::Cxx, Some(rust)) => format!("C++ (Rust: {}{})", digits(rust.median), self.unit),
            (Surface::Cxx, None) => "C++".into(),
            (Surface::Rust, _) => "Rust".into(),
        };
        Some(Goal {
            what: self.what,
            goal: self.goal.1,
            bar: self.bar.1,
            measured: format!("{}{} ({} to {})", digits(median), self.unit, digits(min), digits(max)),
            surface,
            floor: self.floor.unwrap_or_else(|| "-".into()),
            verdict,
        })
    }
}

/// Every goal for which there is a figure.
pub fn judge(results: &Results) -> Vec<Goal> {
    let measures = [latency(results), throughput(results), partitions(results), durable(results), others(results)];
    let judged = measures.into_iter().flatten().filter_map(Measure::judge);
    judged.chain(memory(results)).collect()
}

fn scaled(spread: Option<Spread>, by: f64) -> Option<Spread> {
    spread.map(|spread| spread.scaled(by))
}

/// A floor's number, in words.
fn floor(results: &Results, name: &str, number: fn(&Figures) -> f64, show: impl Fn(f64) -> String) -> Option<String> {
    results.spread(name, number).map(|spread| show(spread.median))
}

fn latency(results: &Results) -> Vec<Measure> {
    let small = "floor latency/100";
    let time = |name: &str, number: fn(&Figures) -> f64| floor(results, name, number, figures_text::time);
    let open = |what, cell: &str, number: fn(&Figures) -> f64, goal, bar| Measure {
        what,
        taken: Taken::number(results, cell, number, 1e-6),
        unit: " ms",
        goal,
        bar,
        better: Better::Less,
        floor: time("floor latency/tpcc", number),
    };
    vec![
        Measure {
            what: "latency, 1 outstanding, 100 B: p50 against the floor's",
            taken: Taken::ratio(results, "latency/100", small, p50, 1.0),
            unit: "x",
            goal: (2.0, "2x"),
            bar: (3.0, "3x"),
            better: Better::Less,
            floor: time(small, p50),
        },
        Measure {
            what: "the same: p99 against the floor's p99",
            taken: Taken::ratio(results, "latency/100", small, p99, 1.0),
            unit: "x",
            goal: (4.0, "4x"),
            bar: (6.0, "6x"),
            better: Better::Less,
            floor: time(small, p99),
        },
        open("286,208 B, 191/s open loop, log full: p50", "latency/tpcc", p50, (0.6, "0.6 ms"), (1.0, "1 ms")),
        open("the same: p99", "latency/tpcc", p99, (1.5, "1.5 ms"), (3.0, "3 ms")),
        open("the same, log still growing: p50", "latency/tpcc growing", p50, (0.6, "0.6 ms"), (1.0, "1 ms")),
        open("the same: p99", "latency/tpcc growing", p99, (1.5, "1.5 ms"), (3.0, "3 ms")),
    ]
}

fn throughput(results: &Results) -> Vec<Measure> {
    // The floor of a rate: the bytes of that many logs, in large blocks.
    let bytes_only = |bytes: f64| floor(results, "floor rate", bandwidth, |mb| figures_text::rate(mb * 1e6 / bytes));
    let share = |what, bytes: usize| {
        let (name, below) = (format!("bandwidth/{bytes}"), format!("floor bandwidth/{bytes}"));
        Measure {
            what,
            taken: Taken::ratio(results, &name, &below, bandwidth, 100.0),
            unit: " %",
            goal: (80.0, "80 %"),
            bar: (55.0, "55 %"),
            better: Better::More,
            floor: floor(results, &below, bandwidth, |mb| format!("{mb:.0} MB/s")),
        }
    };
    // The goal's floor sends one block again and again, out of the caches; a log is kept.
    let against_kept = {
        let below = "floor bandwidth/286208 kept";
        Measure {
            what: "the same, against a floor that sends and keeps 256 MiB in turn, as the log does",
            taken: Taken::ratio(results, "bandwidth/286208", below, bandwidth, 100.0),
            goal: (0.0, "-"),
            bar: (0.0, "-"),
            better: Better::Neither,
            floor: floor(results, below, bandwidth, |mb| format!("{mb:.0} MB/s")),
            ..share("", 286_208)
        }
    };
    vec![
        Measure {
            what: "rate at 100 B, 1 partition, 1024 outstanding",
            taken: Taken::number(results, "rate/100/1024", rate, 1e-3),
            unit: " k/s",
            goal: (2_000.0, "2 M/s"),
            bar: (800.0, "800 k/s"),
            better: Better::More,
            floor: bytes_only(100.0),
        },
        Measure {
            what: "rate at 1 KiB",
            taken: Taken::number(results, "rate/1024/1024", rate, 1e-3),
            unit: " k/s",
            goal: (1_000.0, "1 M/s"),
            bar: (500.0, "500 k/s"),
            better: Better::More,
            floor: bytes_only(1024.0),
        },
        share("bandwidth at 64 KiB against the floor", 64 << 10),
        share("bandwidth at 286,208 B against the floor", 286_208),
        against_kept,
    ]
}

fn partitions(results: &Results) -> Vec<Measure> {
    let rounds = results.spread("floor partitions/64", rate).map(|spread| spread.median);
    // The work that one partition's logs are, and the wake-ups that 64 cost beside it. `each`: logs of a round.
    let at_least = |one: &str, each: f64| {
        let (one, many) = (results.spread(one, rate)?.median, rounds? * each);
        Some(format!("{:.0} %", 100.0 * (1.0 - many / (one + many))))
    };
    let loses = |what, one: &str, many: &str, each: Option<f64>| {
        let lost = |surface: Surface| {
            let kept = results.ratio(&surface.name(many), &surface.name(one), rate)?;
            Some(Spread { median: 1.0 - kept.median, min: 1.0 - kept.max, max: 1.0 - kept.min }.scaled(100.0))
        };
        let taken = Taken::of(results, &[one, many], lost);
        let floor = each.and_then(|each| at_least(&taken.surface.name(one), each));
        Measure { what, taken, unit: " %", goal: (10.0, "10 %"), bar: (25.0, "25 %"), better: Better::Less, floor }
    };
    // A partition more brings its own 1024 here, so it says what partitions add, not what they cost.
    let each = Measure {
        goal: (0.0, "-"),
        bar: (0.0, "-"),
        better: Better::Neither,
        ..loses("the same, 1024 for each of them (1024 against 65,536 in all: not equal)", "partitions/1024/1", "each/64", None)
    };
    vec![
        loses("from 1 to 64 partitions, 1024 outstanding in all: loses (floor: with the threads' wake-ups alone)", "partitions/1024/1", "partitions/1024/64", Some(16.0)),
        loses("the same, 16,384 in all", "partitions/16384/1", "partitions/16384/64", Some(256.0)),
        loses("the same, 65,536 in all (64 times 1024)", "partitions/65536/1", "each/64", Some(1024.0)),
        each,
    ]
}

fn durable(results: &Results) -> Vec<Measure> {
    let against = |both: &[Option<f64>], surface: Surface| {
        let pairs = results.find(&surface.name("durable/latency"))?.repeats.iter().zip(both);
        Spread::of(pairs.filter_map(|(ours, both)| Some(p50(ours.as_ref()?) / (*both)?)).collect())
    };
    let latency = |what, disk: &str| {
        let both = sum_of_floors(results, disk);
        Measure {
            what,
            taken: Taken::of(results, &["durable/latency"], |surface| against(&both, surface)),
            unit: "x",
            goal: (1.3, "1.3x"),
            bar: (2.0, "2x"),
            better: Better::Less,
            floor: Spread::of(both.iter().copied().flatten().collect()).map(|s| figures_text::time(s.median)),
        }
    };
    // Three replicas on one disk wait for each other's syncs; the goal was set against one writer.
    let by_three = Measure {
        goal: (0.0, "-"),
        bar: (0.0, "-"),
        better: Better::Neither,
        ..latency("the same, with three writers as the durable floor", "floor durable/100 by three")
    };
    vec![
        latency("durable, 1 outstanding, 100 B: p50 against both floors together (one writer)", "floor durable/100"),
        by_three,
        Measure {
            what: "durable, 1 KiB, 1024 outstanding",
            taken: Taken::number(results, "durable/rate", rate, 1e-3),
            unit: " k/s",
            goal: (600.0, "600 k/s"),
            bar: (250.0, "250 k/s"),
            better: Better::More,
            floor: floor(results, "floor durable/1048576 by three", bandwidth, |mb| figures_text::rate(mb * 1e6 / 1024.0)),
        },
    ]
}

/// A round trip and a write of the floor `disk`, in nanoseconds, by repeat.
fn sum_of_floors(results: &Results, disk: &str) -> Vec<Option<f64>> {
    let repeats = |name| results.find(name).map(|series| series.repeats.as_slice()).unwrap_or_default();
    let pairs = repeats("floor latency/100").iter().zip(repeats(disk));
    pairs.map(|(net, disk)| Some(p50(net.as_ref()?) + p50(disk.as_ref()?))).collect()
}

fn others(results: &Results) -> Vec<Measure> {
    let idle = |f: &Figures| f.processes.iter().map(|p| p.cores).fold(0.0, f64::max);
    let accepted = Spread::of(results.failovers.iter().map(|f| f.accepted_ms / 1e3).collect());
    let seconds = |what, spread, goal, bar| {
        let taken = Taken::from_rust_only(spread);
        Measure { what, taken, unit: " s", goal, bar, better: Better::Less, floor: None }
    };
    vec![
        Measure {
            what: "100 B logs, 1000/s, beside 50 MB logs on another partition: p99",
            taken: Taken::number(results, "beside", p99, 1e-6),
            unit: " ms",
            goal: (20.0, "20 ms"),
            bar: (100.0, "100 ms"),
            better: Better::Less,
            floor: None,
        },
        Measure {
            what: "idle, 64 partitions: the busiest process, of a core",
            taken: Taken::number(results, "idle", idle, 100.0),
            unit: " %",
            goal: (1.0, "1 %"),
            bar: (3.0, "3 %"),
            better: Better::Less,
            floor: None,
        },
        seconds("fail-over until a survivor accepts: median", accepted, (0.6, "0.6 s"), (1.0, "1 s")),
        seconds("the same: worst", accepted.map(|s| Spread { median: s.max, ..s }), (1.5, "1.5 s"), (3.0, "3 s")),
    ]
}

/// The goal for memory holds in every run, so the worst process of all counts.
fn memory(results: &Results) -> Option<Goal> {
    let shares = results.series.iter().filter_map(|series| {
        let (worst, bound) = (series.spread(peak_mib)?.max, series.bound_mib?);
        Some((worst / bound, worst, bound, series.name.as_str()))
    });
    let all: Vec<_> = shares.collect();
    let (share, worst, bound, name) = *all.iter().max_by(|a, b| a.0.total_cmp(&b.0))?;
    let over = all.iter().filter(|(share, ..)| *share > 1.0).count();
    Some(Goal {
        what: "memory: log, queues and 64 MB, in every cell; the worst",
        goal: "100 %",
        bar: "100 %",
        measured: format!(
            "{:.0} % ({name}: {worst:.0} of {bound:.0} MiB; {over} of {} cells above)",
            share * 100.0,
            all.len()
        ),
        surface: "both".into(),
        floor: "-".into(),
        verdict: if over == 0 { "goal" } else { "missed" },
    })
}

#[cfg(test)]
mod tests {
    use super::super::results::Series;
    use super::*;
    use crate::cell::Cell;
    use crate::histogram::Summary;
    use crate::run::ProcessFigures;

    fn with_p50(name: &str, p50_us: &[u64]) -> Series {
        let figures = |us: &u64| {
            let latency = Summary { p50: us * 1_000, ..Summary::default() };
            Some(Figures { latency, ..Figures::default() })
        };
        Series { repeats: p50_us.iter().map(figures).collect(), ..Series::of_floor(name, "") }
    }

    fn goal<'a>(goals: &'a [Goal], what: &str) -> &'a Goal {
        goals.iter().find(|goal| goal.what.contains(what)).unwrap()
    }

    #[test]
    fn a_ratio_is_judged_by_its_median_and_shown_beside_its_floor() {
        let mut results = Results::default();
        results.series.push(with_p50("floor latency/100", &[30, 40, 30]));
        results.series.push(with_p50("latency/100", &[60, 120, 75]));
        let goals = judge(&results);
        let goal = goal(&goals, "1 outstanding, 100 B: p50 against the floor's");
        assert_eq!((goal.verdict, goal.measured.as_str()), ("first bar", "2.50x (2.00 to 3.00)"));
        assert_eq!(goal.floor, "30 µs");
    }

    #[test]
    fn a_goal_is_judged_from_c_plus_plus_where_the_set_has_the_cell() {
        let mut results = Results::default();
        results.series.push(with_p50("latency/tpcc", &[500]));
        let tpcc = |results: &Results| {
            let goals = judge(results);
            goals.iter().find(|goal| goal.what.contains("log full: p50")).map(|goal| (goal.verdict, goal.surface.clone()))
        };
        assert_eq!(tpcc(&results), Some(("goal", "Rust".into())));
        results.series.push(with_p50("c++ latency/tpcc", &[700]));
        assert_eq!(tpcc(&results), Some(("first bar", "C++ (Rust: 0.50 ms)".into())));
        results.series[1].repeats = vec![None];
        assert_eq!(tpcc(&results), None, "a cell without a figure is not replaced by the other surface's");
    }

    #[test]
    fn durable_latency_is_held_against_the_sum_of_both_floors_of_its_repeat() {
        let mut results = Results::default();
        results.series.push(with_p50("floor latency/100", &[50, 100]));
        results.series.push(with_p50("floor durable/100", &[150, 100]));
        results.series.push(with_p50("durable/latency", &[200, 300]));
        let goals = judge(&results);
        let goal = goal(&goals, "both floors together");
        assert_eq!((goal.verdict, goal.measured.as_str()), ("goal", "1.25x (1.00 to 1.50)"));
    }

    #[test]
    fn losing_is_what_is_not_kept() {
        let with_rate = |name: &str, rate: f64| {
            let figures = Figures { logs_per_s: rate, ..Figures::default() };
            Series { repeats: vec![Some(figures)], ..Series::of_floor(name, "") }
        };
        let mut results = Results::default();
        results.series.push(with_rate("partitions/1024/1", 1_000.0));
        results.series.push(with_rate("partitions/1024/64", 800.0));
        let goals = judge(&results);
        assert_eq!(goal(&goals, "1024 outstanding in all").measured, "20.0 % (20.0 to 20.0)");
        assert_eq!(goal(&goals, "1024 outstanding in all").verdict, "first bar");
        results.series.push(with_rate("each/64", 2_000.0));
        let goals = judge(&results);
        let each = goal(&goals, "1024 for each of them");
        assert_eq!((each.verdict, each.goal, each.measured.as_str()), ("-", "-", "-100 % (-100 to -100)"));
    }

    #[test]
    fn one_process_of_one_repeat_above_its_bound_misses_the_goal_for_memory() {
        let cell = Cell { log_memory_bytes: Some(64 << 20), ..Cell::default() };
        let mut series = Series::of_cell("a", &cell);
        let bound = series.bound_mib.unwrap();
        let peak = |mib| {
            let processes = [10.0, mib, 10.0].map(|peak_mib| ProcessFigures { peak_mib, ..ProcessFigures::default() });
            Some(Figures { processes: processes.to_vec(), ..Figures::default() })
        };
        series.repeats = vec![peak(bound - 1.0), peak(bound / 2.0)];
        let mut results = Results { series: vec![series], ..Results::default() };
        assert_eq!(memory(&results).unwrap().verdict, "goal");
        results.series[0].repeats.push(peak(bound * 1.5));
        let goal = memory(&results).unwrap();
        assert_eq!(goal.verdict, "missed");
        assert!(goal.measured.starts_with("150 % (a: "), "{}", goal.measured);
        assert!(goal.measured.ends_with("1 of 1 cells above)"), "{}", goal.measured);
    }
}
