//! The pictures of the report.

use super::plot::{Line, Plot, Scale};
use super::results::{bandwidth, p50, p99, rate, Results, Spread};
use crate::failover;
use crate::run::Figures;
use crate::suite::plan::{OUTSTANDING, OUTSTANDING_IN_ALL, PARTITIONS, SIZES};

/// A picture: its file's name, what it shows, its text.
pub struct Picture {
    /// Below the report's folder for pictures.
    pub file: &'static str,
    /// For those who can't see it.
    pub caption: &'static str,
    /// SVG.
    pub svg: String,
}

impl Picture {
    /// `None` of an empty plot.
    pub fn of(file: &'static str, caption: &'static str, plot: &Plot<'_>) -> Option<Self> {
        let drawn = plot.lines.iter().any(|line| !line.points.is_empty());
        drawn.then(|| Picture { file, caption, svg: plot.svg() })
    }
}

fn line(results: &Results, name: &str, by: f64, cells: &[(f64, String)], number: fn(&Figures) -> f64) -> Line {
    let point = |(x, cell): &(f64, String)| {
        let spread = results.spread(cell, number)?.scaled(by);
        Some((*x, spread.median, spread.min, spread.max))
    };
    Line { name: name.to_owned(), points: cells.iter().filter_map(point).collect() }
}

/// All pictures for which there are figures.
pub fn draw(results: &Results) -> Vec<Picture> {
    let pictures = [latency(results), rates(results), bandwidths(results), partitions(results), failovers(results)];
    pictures.into_iter().flatten().collect()
}

fn size_marks(sizes: &[usize]) -> Vec<(f64, String)> {
    let label = |bytes: usize| match bytes {
        b if b % (1 << 20) == 0 => format!("{} MiB", b >> 20),
        b if b % (1 << 10) == 0 => format!("{} KiB", b >> 10),
        b if b >= 1_000 => format!("{} KB", b / 1_000),
        b => format!("{b} B"),
    };
    sizes.iter().map(|&bytes| (bytes as f64, label(bytes))).collect()
}

fn latency(results: &Results) -> Option<Picture> {
    let cells = |prefix: &str| SIZES.map(|bytes| (bytes as f64, format!("{prefix}latency/{bytes}")));
    let plot = Plot {
        title: "Latency, one log outstanding",
        x: "size of a log",
        y: "latency, µs",
        x_scale: Scale::Logarithmic,
        y_scale: Scale::Logarithmic,
        x_marks: size_marks(&SIZES),
        event: None,
        lines: vec![
            line(results, "p50", 1e-3, &cells(""), p50),
            line(results, "p99", 1e-3, &cells(""), p99),
            line(results, "floor p50", 1e-3, &cells("floor "), p50),
            line(results, "floor p99", 1e-3, &cells("floor "), p99),
        ],
    };
    Picture::of("latency.svg", "Latency against size, beside the floor", &plot)
}

fn rates(results: &Results) -> Option<Picture> {
    let cells = |prefix: &str, bytes: usize| {
        OUTSTANDING.map(|n| {
            let name = if n == 1 { format!("{prefix}latency/{bytes}") } else { format!("{prefix}rate/{bytes}/{n}") };
            (n as f64, name)
        })
    };
    let plot = Plot {
        title: "Rate, one partition",
        x: "logs outstanding",
        y: "1000 logs per second",
        x_scale: Scale::Logarithmic,
        y_scale: Scale::Logarithmic,
        x_marks: OUTSTANDING.map(|n| (n as f64, n.to_string())).to_vec(),
        event: None,
        lines: vec![
            line(results, "100 B", 1e-3, &cells("", 100), rate),
            line(results, "1 KiB", 1e-3, &cells("", 1 << 10), rate),
            line(results, "100 B from C++", 1e-3, &cells("c++ ", 100), rate),
            line(results, "1 KiB from C++", 1e-3, &cells("c++ ", 1 << 10), rate),
        ],
    };
    Picture::of("rate.svg", "Rate against logs outstanding", &plot)
}

fn bandwidths(results: &Results) -> Option<Picture> {
    let cells = |prefix: &str| -> Vec<(f64, String)> {
        SIZES.iter().map(|bytes| (*bytes as f64, format!("{prefix}bandwidth/{bytes}"))).collect()
    };
    let plot = Plot {
        title: "Bandwidth, one partition, 16 MiB outstanding (4 KiB: 4 MiB)",
        x: "size of a log",
        y: "MB of logs per second",
        x_scale: Scale::Logarithmic,
        y_scale: Scale::Linear,
        x_marks: size_marks(&SIZES[2..]),
        event: None,
        lines: vec![
            line(results, "replicated", 1.0, &cells(""), bandwidth),
            line(results, "floor", 1.0, &cells("floor "), bandwidth),
        ],
    };
    Picture::of("bandwidth.svg", "Bandwidth against size, beside the floor", &plot)
}

fn partitions(results: &Results) -> Option<Picture> {
    let in_all = |n: u32| (f64::from(n), format!("partitions/{OUTSTANDING_IN_ALL}/{n}"));
    let each = |n: u32| if n == 1 { in_all(1) } else { (f64::from(n), format!("each/{n}")) };
    let groups = |n: u32| (f64::from(n), format!("groups/{n}"));
    let plot = Plot {
        title: "Partitions, logs of 100 B",
        x: "partitions",
        y: "million logs per second",
        x_scale: Scale::Logarithmic,
        y_scale: Scale::Linear,
        x_marks: PARTITIONS.map(|n| (f64::from(n), n.to_string())).to_vec(),
        event: None,
        lines: vec![
            line(results, "1024 in all", 1e-6, &PARTITIONS.map(in_all), rate),
            line(results, "1024 each", 1e-6, &PARTITIONS.map(each), rate),
            line(results, "1024, a group each", 1e-6, &PARTITIONS.map(groups), rate),
        ],
    };
    Picture::of("partitions.svg", "Rate against partitions", &plot)
}

fn failovers(results: &Results) -> Option<Picture> {
    let drawn = failover::typical(&results.failovers);
    let median_ms = Spread::of(results.failovers.iter().map(|f| f.accepted_ms).collect()).map_or(0.0, |all| all.median);
    let named = |(name, f): &(&str, &failover::FailOver)| {
        // Of an even number none is the median, which the table has; the one that is drawn is next to it.
        let accepted_ms = if *name == failover::MEDIAN { median_ms } else { f.accepted_ms };
        Line::of(&format!("{name}: {accepted_ms:.0} ms"), f.timeline.iter().copied())
    };
    let plot = Plot {
        title: "Fail-over: the leader is killed at 0",
        x: "ms from the kill -9",
        y: "logs delivered in 10 ms, as the new leader sees it",
        x_scale: Scale::Linear,
        y_scale: Scale::Linear,
        // The first sample lies in the middle of a step, so -200 itself is not on the axis.
        x_marks: (-1..=10).filter(|n| n % 2 == 0 || *n < 0).map(|n| (f64::from(n) * 100.0, (n * 100).to_string())).collect(),
        event: Some(0.0),
        lines: drawn.iter().map(named).collect(),
    };
    Picture::of("failover.svg", "Logs delivered around the death of the leader", &plot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_people_say_them() {
        let labels: Vec<String> = size_marks(&SIZES).into_iter().map(|(_, label)| label).collect();
        assert_eq!(labels, ["100 B", "1 KiB", "4 KiB", "16 KiB", "64 KiB", "286 KB", "1 MiB"]);
    }

    #[test]
    fn the_median_of_the_fail_overs_is_that_of_the_table() {
        let all = [300.0, 400.0, 500.0, 900.0].map(|accepted_ms| failover::FailOver {
            accepted_ms,
            timeline: vec![(-5.0, 1.0), (5.0, 0.0)],
            ..failover::FailOver::default()
        });
        let svg = failovers(&Results { failovers: all.to_vec(), ..Results::default() }).unwrap().svg;
        for name in ["fastest: 300 ms", "median: 450 ms", "slowest: 900 ms"] {
            assert!(svg.contains(name), "no \"{name}\" in {svg}");
        }
    }
}
