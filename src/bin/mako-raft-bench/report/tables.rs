//! The tables of the report.

use std::fmt::Write;

use crate::figures_text;
use crate::run::{Figures, ProcessFigures};
use crate::suite::plan::{CXX, PRELOADED};

use super::goals::Goal;
use super::results::{bandwidth, p50, p99, peak_mib, rate, Results, Series, Spread};

/// The goals.
pub fn goals(goals: &[Goal]) -> String {
    let mut text = String::from(
        "## Goals\n\nJudged through Mako's own C++ functions wherever the set has the cell from there, with the figure from Rust \
         beside it; else from Rust.\n\n\
         | what | goal | first bar | measured | surface | floor | reached |\n|---|---|---|---|---|---|---|\n",
    );
    for Goal { what, goal, bar, measured, surface, floor, verdict } in goals {
        let _ = writeln!(text, "| {what} | {goal} | {bar} | {measured} | {surface} | {floor} | {verdict} |");
    }
    text + "\n"
}

/// The cells whose names begin with `prefix`, each beside the one that has the rest of its name.
fn beside_plain(results: &Results, prefix: &str) -> String {
    let mut rows = String::new();
    for other in &results.series {
        let Some(name) = other.name.strip_prefix(prefix) else { continue };
        let both = |number: fn(&Figures) -> f64, show: fn(f64) -> String| {
            format!("{} | {}", with_spread(results.spread(name, number), show), with_spread(other.spread(number), show))
        };
        let _ = writeln!(
            rows,
            "| {} | {} | {} | {} |",
            other.what,
            both(rate, figures_text::rate),
            both(p50, figures_text::time),
            both(p99, figures_text::time)
        );
    }
    rows
}

/// Cells that were also taken with the host's allocator; nothing where there are none.
pub fn allocators(results: &Results) -> String {
    let rows = beside_plain(results, PRELOADED);
    if rows.is_empty() {
        return rows;
    }
    format!(
        "## With the host's allocator\n\nMako links jemalloc. The same cells with that library preloaded in the replicas, \
         beside those with the C library's own allocator, in the same run.\n\n\
         | cell | own: rate | preloaded | own: p50 | preloaded | own: p99 | preloaded |\n\
         |---|---|---|---|---|---|---|\n{rows}\n"
    )
}

/// Cells that were taken through both surfaces; nothing where there are none.
pub fn surfaces(results: &Results) -> String {
    let rows = beside_plain(results, CXX);
    if rows.is_empty() {
        return rows;
    }
    format!(
        "## From C++\n\nThe same cells through Mako's own functions (`add_log_to_nc`, `std::function` callbacks) instead of \
         the Rust ones, in the same run.\n\n| cell | Rust: rate | C++ | Rust: p50 | C++ | Rust: p99 | C++ |\n\
         |---|---|---|---|---|---|---|\n{rows}\n"
    )
}

fn with_spread(spread: Option<Spread>, show: impl Fn(f64) -> String) -> String {
    match spread {
        Some(s) if s.median > 0.0 => format!("{} ({} to {})", show(s.median), show(s.min), show(s.max)),
        _ => "-".into(),
    }
}

fn median(series: &Series, number: impl Fn(&Figures) -> f64) -> f64 {
    series.spread(number).map_or(0.0, |spread| spread.median)
}

/// A number that a floor or an idle cell does not have.
fn or_none(value: f64, show: impl Fn(f64) -> String) -> String {
    if value > 0.0 { show(value) } else { "-".into() }
}

/// Everything.
pub fn figures(results: &Results) -> String {
    let mut text = String::from(
        "## All figures\n\nOf two numbers the first is the leader's, the second a follower's. Memory: the most that any \
         process took in any repeat, and what it may take (log, a full queue of 64 MiB for each partition, 64 MB). Log: \
         payload bytes delivered until a cell was measured, as a part of `raft.log_memory_bytes`, the least of the repeats; \
         full: its memory was used again. Context switches are those of all three processes for one log; idle: in a second. Copies of a payload byte in user space \
         are counted by reading the code (`copies.rs`), not measured.\n\n\
         | name | cell | logs/s | MB/s | p50 | p90 | p99 | p99.9 | max | cores | log | peak of bound, MiB | switches | copies |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for series in &results.series {
        let _ = writeln!(text, "{}", figure_row(series));
    }
    text + "\n"
}

fn figure_row(series: &Series) -> String {
    let Series { name, what, .. } = series;
    let time = |number: fn(&Figures) -> f64| or_none(median(series, number), figures_text::time);
    let process = |index: usize, number: fn(&ProcessFigures) -> f64| {
        median(series, |f| f.processes.get(index).map_or(0.0, number))
    };
    let two = |leader: f64, follower: f64, show: fn(f64) -> String| {
        if leader > 0.0 { format!("{}, {}", show(leader), show(follower)) } else { "-".into() }
    };
    let peak = series.spread(peak_mib).map_or(0.0, |spread| spread.max);
    let memory = series.bound_mib.map_or("-".into(), |bound| format!("{peak:.0} of {bound:.0}"));
    let least = series.repeats.iter().flatten().filter_map(|f| f.log_filled).min_by(|a, b| a.0.total_cmp(&b.0));
    let log = least.map_or("-".into(), figures_text::filled);
    let switches = median(series, |f| f.processes.iter().map(|p| p.switches).sum());
    let (leader, follower) = series.repeats.iter().flatten().next().map(|f| f.copies_per_byte).unwrap_or_default();
    format!(
        "| {name} | {what} | {} | {} | {} | {} | {} | {} | {} | {} | {log} | {memory} | {} | {} |",
        with_spread(series.spread(rate), figures_text::rate),
        with_spread(series.spread(bandwidth), figures_text::short),
        with_spread(series.spread(p50), figures_text::time),
        time(|f| f.latency.p90 as f64),
        with_spread(series.spread(p99), figures_text::time),
        time(|f| f.latency.p999 as f64),
        time(|f| f.latency.max as f64),
        two(process(0, |p| p.cores), process(1, |p| p.cores), |v| format!("{v:.2}")),
        or_none(switches, figures_text::short),
        two(leader, follower, |v| format!("{v:.0}")),
    )
}

/// Cells with something wrong in the cluster: what their percentiles don't show. Nothing where there are none.
pub fn troubles(results: &Results) -> String {
    let mut rows = String::new();
    for series in &results.series {
        let figures: Vec<&Figures> = series.repeats.iter().flatten().collect();
        let gap = Spread::of(figures.iter().filter_map(|f| f.longest_gap_ms).collect());
        // Logs beside 50 MB logs are no trouble.
        let is_behind = figures.iter().any(|f| f.verified.windows(2).any(|pair| pair[0] != pair[1]));
        if gap.is_none() && !is_behind {
            continue;
        }
        let apart = series.spread(|f| f.apart_per_s);
        let _ = writeln!(
            rows,
            "| {}: {} | {} | {} | {} | {} |",
            series.name,
            series.what,
            with_spread(series.spread(rate), figures_text::rate),
            with_spread(series.spread(p99), figures_text::time),
            with_spread(apart, figures_text::rate),
            with_spread(gap.map(|gap| gap.scaled(1e6)), figures_text::time),
        );
    }
    if rows.is_empty() {
        return rows;
    }
    format!(
        "## With a replica in trouble\n\nA closed loop submits nothing while it waits: once the log is full of what a stopped \
         follower has not read, the submitters wait until it goes on, few logs are in flight, and neither the rate nor a percentile \
         shows that. The longest time without a delivery on the leader does, looked at every 5 ms. In an open loop latency counts \
         from the time at which a log was due. With slow callbacks in one partition the figures are those of the other one; the \
         slow follower is not waited for, so its logs are checked as far as it has come.\n\n\
         | cell | rate | p99 | rate of the slow partition | longest time without a delivery |\n|---|---|---|---|---|\n{rows}\n"
    )
}

/// What has no figure, and why.
pub fn failures(results: &Results) -> String {
    if results.failures.is_empty() {
        return String::new();
    }
    let mut text = String::from("## Without a figure\n\n");
    for (name, what) in &results.failures {
        let _ = writeln!(text, "- {name}: {}", what.lines().next().unwrap_or_default());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::Cell;
    use crate::histogram::Summary;

    fn measured(name: &str, cell: &Cell, p50_ns: u64) -> Series {
        let latency = Summary { p50: p50_ns, p90: p50_ns, p99: p50_ns, p999: p50_ns, max: p50_ns, count: 1 };
        let process = ProcessFigures { cores: 0.5, peak_mib: 12.0, switches: 3.0 };
        let figures = Figures {
            logs_per_s: 1e4,
            mb_per_s: 1.0,
            latency,
            processes: vec![process; 3],
            copies_per_byte: (5.0, 1.0),
            verified: vec![1; 3],
            ..Figures::default()
        };
        Series { repeats: vec![Some(figures)], ..Series::of_cell(name, cell) }
    }

    #[test]
    fn a_floor_has_no_numbers_of_replicas() {
        let latency = Summary { p50: 30_000, p99: 60_000, ..Summary::default() };
        let figures = Figures { logs_per_s: 2e4, latency, ..Figures::default() };
        let floor = Series { repeats: vec![Some(figures)], ..Series::of_floor("floor latency/100", "100 B") };
        let row = figure_row(&floor);
        assert_eq!(
            row,
            "| floor latency/100 | 100 B | 20 k/s (20 k/s to 20 k/s) | - | 30 µs (30 µs to 30 µs) | - | 60 µs (60 µs to 60 \
             µs) | - | - | - | - | - | - | - |"
        );
        let columns = |row: &str| row.matches(" |").count();
        let row = figure_row(&measured("latency/100", &Cell::default(), 50_000));
        assert!(row.contains("| 0.50, 0.50 | - | 12 of 1149 | 9.00 | 5, 1 |"), "{row}");
        assert_eq!(columns(&row), columns(&figure_row(&floor)));
    }

    #[test]
    fn both_surfaces_stand_in_one_row() {
        let mut results = Results::default();
        results.series.push(measured("latency/100", &Cell::default(), 50_000));
        assert_eq!(surfaces(&results), "");
        results.series.push(measured("c++ latency/100", &Cell::default(), 60_000));
        let text = surfaces(&results);
        assert!(text.contains("| 50 µs (50 µs to 50 µs) | 60 µs (60 µs to 60 µs) |"), "{text}");
        assert_eq!(allocators(&results), "");
        results.series.push(measured("preloaded latency/100", &Cell::default(), 70_000));
        let text = allocators(&results);
        assert!(text.contains("| 50 µs (50 µs to 50 µs) | 70 µs (70 µs to 70 µs) |"), "{text}");
    }
}
