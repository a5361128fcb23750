//! The goals, and how far the figures are from them.

use super::results::{bandwidth, p50, p99, rate, Results, Spread};

/// One goal.
pub struct Goal {
    /// What is measured.
    pub what: String,
    /// The goal, in words.
    pub goal: &'static str,
    /// The first bar, in words.
    pub bar: &'static str,
    /// What was measured, in words.
    pub measured: String,
    /// "goal", "first bar" or "missed".
    pub verdict: &'static str,
}

struct Measure<'a> {
    what: &'a str,
    spread: Option<Spread>,
    unit: &'a str,
    goal: (f64, &'static str),
    bar: (f64, &'static str),
    /// Whether more is better.
    more: bool,
}

impl Measure<'_> {
    fn judge(self) -> Option<Goal> {
        let Spread { median, min, max } = self.spread?;
        let reaches = |bar: f64| if self.more { median >= bar } else { median <= bar };
        let verdict = match () {
            () if reaches(self.goal.0) => "goal",
            () if reaches(self.bar.0) => "first bar",
            () => "missed",
        };
        let digits = |v: f64| match v.abs() {
            a if a >= 100.0 => format!("{v:.0}"),
            a if a >= 10.0 => format!("{v:.1}"),
            _ => format!("{v:.2}"),
        };
        let unit = self.unit;
        Some(Goal {
            what: self.what.to_owned(),
            goal: self.goal.1,
            bar: self.bar.1,
            measured: format!("{}{unit} ({} to {})", digits(median), digits(min), digits(max)),
            verdict,
        })
    }
}

/// Every goal for which there is a figure.
pub fn judge(results: &Results) -> Vec<Goal> {
    let mut measures = latency(results);
    measures.extend(throughput(results));
    measures.extend(durable(results));
    measures.extend(others(results));
    measures.into_iter().filter_map(Measure::judge).collect()
}

fn scaled(spread: Option<Spread>, by: f64) -> Option<Spread> {
    spread.map(|s| Spread { median: s.median * by, min: s.min * by, max: s.max * by })
}

fn latency(results: &Results) -> Vec<Measure<'static>> {
    let floor = "floor latency/100";
    vec![
        Measure {
            what: "latency, 1 outstanding, 100 B: p50 against the floor's",
            spread: results.ratio("latency/100", floor, p50),
            unit: "x",
            goal: (2.0, "2x"),
            bar: (3.0, "3x"),
            more: false,
        },
        Measure {
            what: "the same: p99 against the floor's p99",
            spread: results.ratio("latency/100", floor, p99),
            unit: "x",
            goal: (4.0, "4x"),
            bar: (6.0, "6x"),
            more: false,
        },
        Measure {
            what: "latency, 286,208 B, 191/s open loop: p50",
            spread: scaled(results.spread("latency/tpcc", p50), 1e-6),
            unit: " ms",
            goal: (0.6, "0.6 ms"),
            bar: (1.0, "1 ms"),
            more: false,
        },
        Measure {
            what: "the same: p99",
            spread: scaled(results.spread("latency/tpcc", p99), 1e-6),
            unit: " ms",
            goal: (1.5, "1.5 ms"),
            bar: (3.0, "3 ms"),
            more: false,
        },
    ]
}

fn throughput(results: &Results) -> Vec<Measure<'static>> {
    let rate_of = |name: &str| scaled(results.spread(name, rate), 1e-3);
    let share = |bytes: usize| {
        let (name, floor) = (format!("bandwidth/{bytes}"), format!("floor bandwidth/{bytes}"));
        scaled(results.ratio(&name, &floor, bandwidth), 100.0)
    };
    let loss = |cells: &str| {
        let kept = results.ratio(&format!("{cells}/64"), &format!("{cells}/1"), rate)?;
        Some(Spread { median: 1.0 - kept.median, min: 1.0 - kept.max, max: 1.0 - kept.min })
    };
    vec![
        Measure {
            what: "rate at 100 B, 1 partition, 1024 outstanding",
            spread: rate_of("rate/100/1024"),
            unit: " k/s",
            goal: (2_000.0, "2 M/s"),
            bar: (800.0, "800 k/s"),
            more: true,
        },
        Measure {
            what: "rate at 1 KiB",
            spread: rate_of("rate/1024/1024"),
            unit: " k/s",
            goal: (1_000.0, "1 M/s"),
            bar: (500.0, "500 k/s"),
            more: true,
        },
        Measure {
            what: "bandwidth at 64 KiB against the floor",
            spread: share(64 << 10),
            unit: " %",
            goal: (80.0, "80 %"),
            bar: (55.0, "55 %"),
            more: true,
        },
        Measure {
            what: "bandwidth at 286,208 B against the floor",
            spread: share(286_208),
            unit: " %",
            goal: (80.0, "80 %"),
            bar: (55.0, "55 %"),
            more: true,
        },
        Measure {
            what: "from 1 to 64 partitions, 1024 outstanding in all: loses",
            spread: scaled(loss("partitions"), 100.0),
            unit: " %",
            goal: (10.0, "10 %"),
            bar: (25.0, "25 %"),
            more: false,
        },
        Measure {
            what: "from 1 to 64 partitions, 16,384 outstanding in all: loses",
            spread: scaled(loss("many partitions"), 100.0),
            unit: " %",
            goal: (10.0, "10 %"),
            bar: (25.0, "25 %"),
            more: false,
        },
    ]
}

fn durable(results: &Results) -> Vec<Measure<'static>> {
    let repeats = |name: &str| results.figures.get(name).map(Vec::as_slice).unwrap_or_default();
    let floors = repeats("floor latency/100").iter().zip(repeats("floor durable/100"));
    let ratios = repeats("durable/latency").iter().zip(floors).map(|(ours, (net, disk))| p50(ours) / (p50(net) + p50(disk)));
    vec![
        Measure {
            what: "durable, 1 outstanding, 100 B: p50 against both floors together",
            spread: Spread::of(ratios.collect()),
            unit: "x",
            goal: (1.3, "1.3x"),
            bar: (2.0, "2x"),
            more: false,
        },
        Measure {
            what: "durable, 1 KiB, 1024 outstanding",
            spread: scaled(results.spread("durable/rate", rate), 1e-3),
            unit: " k/s",
            goal: (600.0, "600 k/s"),
            bar: (250.0, "250 k/s"),
            more: true,
        },
    ]
}

fn others(results: &Results) -> Vec<Measure<'static>> {
    let idle = |f: &crate::run::Figures| f.processes.iter().map(|p| p.cores).fold(0.0, f64::max);
    let accepted = || results.failovers.iter().map(|f| f.accepted_ms / 1e3).collect::<Vec<f64>>();
    let worst = Spread::of(accepted()).map(|s| Spread { median: s.max, ..s });
    vec![
        Measure {
            what: "100 B logs, 1000/s, beside 50 MB logs on another partition: p99",
            spread: scaled(results.spread("beside", p99), 1e-6),
            unit: " ms",
            goal: (20.0, "20 ms"),
            bar: (100.0, "100 ms"),
            more: false,
        },
        Measure {
            what: "idle, 64 partitions: the busiest process, of a core",
            spread: scaled(results.spread("idle", idle), 100.0),
            unit: " %",
            goal: (1.0, "1 %"),
            bar: (3.0, "3 %"),
            more: false,
        },
        Measure {
            what: "fail-over until a survivor accepts: median",
            spread: Spread::of(accepted()),
            unit: " s",
            goal: (0.6, "0.6 s"),
            bar: (1.0, "1 s"),
            more: false,
        },
        Measure {
            what: "the same: worst",
            spread: worst,
            unit: " s",
            goal: (1.5, "1.5 s"),
            bar: (3.0, "3 s"),
            more: false,
        },
    ]
}
