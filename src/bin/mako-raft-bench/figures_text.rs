//! Figures as text for people.

use crate::cell::{Cell, Pace};
use crate::histogram::Summary;
use crate::run::Figures;

/// A count with a unit that keeps it short.
pub fn rate(per_second: f64) -> String {
    match per_second {
        r if r >= 1e6 => format!("{:.2} M/s", r / 1e6),
        r if r >= 1e4 => format!("{:.0} k/s", r / 1e3),
        r if r >= 1e3 => format!("{:.1} k/s", r / 1e3),
        r => format!("{r:.0}/s"),
    }
}

/// A number to three digits.
pub fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
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
         byte {leader} on the leader, {follower} on a follower; {}{}{}",
        cell.describe(),
        rate(figures.logs_per_s),
        figures.mb_per_s,
        percentiles.join(" / "),
        verified(&figures.verified),
        match figures.longest_gap_ms {
            Some(ms) => format!("; longest time without a delivery {}", time(ms * 1e6)),
            None => String::new(),
        },
        match figures.apart_per_s {
            none if none <= 0.0 => String::new(),
            apart => format!("; {} in the partition that is not in the figures", rate(apart)),
        }
    )
}

/// How many logs were found in order, and where.
pub fn verified(by_replica: &[u64]) -> String {
    match by_replica {
        [first, rest @ ..] if rest.iter().all(|logs| logs == first) => format!("{first} logs in order on every replica"),
        uneven => {
            let logs: Vec<String> = uneven.iter().map(u64::to_string).collect();
            format!("{} logs in order so far, by replica", logs.join(", "))
        }
    }
}

/// How much of the log's memory had been used when a cell began to be measured.
pub fn filled((begin, end): (f64, f64)) -> String {
    match (begin, end) {
        (begin, _) if begin >= 1.0 => "full".into(),
        (_, end) if end >= 1.0 => format!("{:.0} %, then full", (begin * 100.0).floor()),
        (begin, end) => format!("{:.0} to {:.0} %", begin * 100.0, (end * 100.0).floor()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_that_is_behind_is_not_said_to_have_all() {
        assert_eq!(verified(&[9, 9, 9]), "9 logs in order on every replica");
        assert_eq!(verified(&[9, 4, 9]), "9, 4, 9 logs in order so far, by replica");
    }

    #[test]
    fn a_log_is_full_when_its_memory_was_used_once() {
        let filled = [(1.0, 3.0), (0.999, 2.0), (0.01, 0.996)].map(filled);
        assert_eq!(filled, ["full", "99 %, then full", "1 to 99 %"]);
    }
}
