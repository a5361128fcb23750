//! The pictures of the report.

use super::plan::{OUTSTANDING, PARTITIONS, SIZES};
use super::plot::{Plot, Scale, Series};
use super::results::{bandwidth, p50, p99, rate, Results};
use crate::run::Figures;

/// A picture: its file's name, what it shows, its text.
pub struct Picture {
    /// Below the report's folder for pictures.
    pub file: &'static str,
    /// For those who can't see it.
    pub caption: &'static str,
    /// SVG.
    pub svg: String,
}

fn series(results: &Results, name: &str, by: f64, cells: &[(f64, String)], number: fn(&Figures) -> f64) -> Series {
    let point = |(x, cell): &(f64, String)| {
        let spread = results.spread(cell, number)?;
        Some((*x, spread.median * by, spread.min * by, spread.max * by))
    };
    Series { name: name.to_owned(), points: cells.iter().filter_map(point).collect() }
}

/// All pictures for which there are figures.
pub fn draw(results: &Results) -> Vec<Picture> {
    let pictures = [latency(results), rates(results), bandwidths(results), partitions(results), failovers(results)];
    pictures.into_iter().flatten().collect()
}

fn picture(file: &'static str, caption: &'static str, plot: &Plot<'_>) -> Option<Picture> {
    let drawn = plot.series.iter().any(|series| !series.points.is_empty());
    drawn.then(|| Picture { file, caption, svg: plot.svg() })
}

fn latency(results: &Results) -> Option<Picture> {
    let cells = |prefix: &str| SIZES.map(|bytes| (bytes as f64, format!("{prefix}latency/{bytes}")));
    let plot = Plot {
        title: "Latency, one log outstanding",
        x: "bytes of a log",
        y: "µs",
        x_scale: Scale::Logarithmic,
        y_scale: Scale::Logarithmic,
        series: vec![
            series(results, "p50", 1e-3, &cells(""), p50),
            series(results, "p99", 1e-3, &cells(""), p99),
            series(results, "floor p50", 1e-3, &cells("floor "), p50),
            series(results, "floor p99", 1e-3, &cells("floor "), p99),
        ],
    };
    picture("latency.svg", "Latency against size, beside the floor", &plot)
}

fn rates(results: &Results) -> Option<Picture> {
    let cells = |bytes: usize| {
        OUTSTANDING.map(|n| {
            let name = if n == 1 { format!("latency/{bytes}") } else { format!("rate/{bytes}/{n}") };
            (n as f64, name)
        })
    };
    let plot = Plot {
        title: "Rate, one partition",
        x: "logs outstanding",
        y: "1000 logs per second",
        x_scale: Scale::Logarithmic,
        y_scale: Scale::Logarithmic,
        series: vec![
            series(results, "100 B", 1e-3, &cells(100), rate),
            series(results, "1 KiB", 1e-3, &cells(1 << 10), rate),
        ],
    };
    picture("rate.svg", "Rate against logs outstanding", &plot)
}

fn bandwidths(results: &Results) -> Option<Picture> {
    let cells = |prefix: &str| -> Vec<(f64, String)> {
        SIZES[2..].iter().map(|bytes| (*bytes as f64, format!("{prefix}bandwidth/{bytes}"))).collect()
    };
    let plot = Plot {
        title: "Bandwidth, one partition, 16 MiB outstanding",
        x: "bytes of a log",
        y: "MB of logs per second",
        x_scale: Scale::Logarithmic,
        y_scale: Scale::Linear,
        series: vec![
            series(results, "replicated", 1.0, &cells(""), bandwidth),
            series(results, "floor", 1.0, &cells("floor "), bandwidth),
        ],
    };
    picture("bandwidth.svg", "Bandwidth against size, beside the floor", &plot)
}

fn partitions(results: &Results) -> Option<Picture> {
    let cells = |kind: &str| PARTITIONS.map(|n| (f64::from(n), format!("{kind}/{n}")));
    let plot = Plot {
        title: "Partitions, 1024 logs of 100 B outstanding in all",
        x: "partitions",
        y: "1000 logs per second",
        x_scale: Scale::Logarithmic,
        y_scale: Scale::Linear,
        series: vec![
            series(results, "one group", 1e-3, &cells("partitions"), rate),
            series(results, "a group each", 1e-3, &cells("groups"), rate),
        ],
    };
    picture("partitions.svg", "Rate against partitions", &plot)
}

fn failovers(results: &Results) -> Option<Picture> {
    let mut times: Vec<f64> = results.failovers.iter().map(|f| f.accepted_ms).collect();
    times.sort_by(f64::total_cmp);
    let count = times.len() as f64;
    let share = |(i, ms): (usize, &f64)| {
        let percent = (i + 1) as f64 / count * 100.0;
        (*ms, percent, percent, percent)
    };
    let plot = Plot {
        title: "Fail-over: the leader is killed at 0",
        x: "ms until a survivor accepts",
        y: "% of fail-overs that have ended",
        x_scale: Scale::Linear,
        y_scale: Scale::Linear,
        series: vec![Series { name: "accepted".into(), points: times.iter().enumerate().map(share).collect() }],
    };
    picture("failover.svg", "How many fail-overs have ended after a time", &plot)
}
