//! Figures as a line for people and as JSON.

use crate::cell::{Cell, Pace};
use crate::histogram::Summary;
use crate::json::Json;
use crate::run::{Figures, ProcessFigures};

/// A count with a unit that keeps it short.
pub fn rate(per_second: f64) -> String {
    match per_second {
        r if r >= 1e6 => format!("{:.2} M/s", r / 1e6),
        r if r >= 1e4 => format!("{:.0} k/s", r / 1e3),
        r if r >= 1e3 => format!("{:.1} k/s", r / 1e3),
        r => format!("{r:.0}/s"),
    }
}

/// Nanoseconds with a unit that keeps them short.
pub fn time(ns: f64) -> String {
    match ns {
        t if t >= 1e9 => format!("{:.2} s", t / 1e9),
        t if t >= 1e7 => format!("{:.0} ms", t / 1e6),
        t if t >= 1e6 => format!("{:.2} ms", t / 1e6),
        t => format!("{:.0} µs", t / 1e3),
    }
}

/// One line.
pub fn line(cell: &Cell, figures: &Figures) -> String {
    let processes = figures.processes.iter();
    let cores: Vec<String> = processes.clone().map(|p| format!("{:.2}", p.cores)).collect();
    let memory: Vec<String> = processes.clone().map(|p| format!("{:.0}", p.peak_mib)).collect();
    let used = format!("cores {}, peak MiB {}", cores.join(" + "), memory.join(" + "));
    if cell.pace == Pace::Idle {
        return format!("{}: {used}", cell.describe());
    }
    let Summary { p50, p90, p99, p999, max, .. } = figures.latency;
    let percentiles: Vec<String> = [p50, p90, p99, p999, max].iter().map(|&ns| time(ns as f64)).collect();
    let switches: f64 = figures.processes.iter().map(|p| p.switches).sum();
    let (leader, follower) = figures.copies_per_byte;
    format!(
        "{}: {}, {:.1} MB/s; p50 / p90 / p99 / p99.9 / max {}; {used}; {switches:.3} switches per log; copies per \
         byte {leader} on the leader, {follower} on a follower; {} logs in order on every replica",
        cell.describe(),
        rate(figures.logs_per_s),
        figures.mb_per_s,
        percentiles.join(" / "),
        figures.verified
    )
}

/// Nanoseconds as microseconds, by name.
pub fn latency_json(latency: &Summary) -> Json {
    let us = |ns: u64| Json::Number(ns as f64 / 1e3);
    Json::Object(vec![
        ("p50_us", us(latency.p50)),
        ("p90_us", us(latency.p90)),
        ("p99_us", us(latency.p99)),
        ("p99_9_us", us(latency.p999)),
        ("max_us", us(latency.max)),
    ])
}

/// A cell and its figures.
pub fn json(cell: &Cell, figures: &Figures) -> Json {
    let process = |p: &ProcessFigures| {
        Json::Object(vec![
            ("cores", p.cores.into()),
            ("peak_mib", p.peak_mib.into()),
            ("switches_per_log", p.switches.into()),
        ])
    };
    let (leader, follower) = figures.copies_per_byte;
    Json::Object(vec![
        ("cell", cell.describe().into()),
        ("logs_per_s", figures.logs_per_s.into()),
        ("mb_per_s", figures.mb_per_s.into()),
        ("latency", latency_json(&figures.latency)),
        ("processes", Json::List(figures.processes.iter().map(process).collect())),
        ("copies_per_byte_leader", leader.into()),
        ("copies_per_byte_follower", follower.into()),
        ("verified_logs", (figures.verified as f64).into()),
    ])
}
