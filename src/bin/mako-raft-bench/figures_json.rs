//! Figures as JSON, and back.

use crate::histogram::Summary;
use crate::json::Json;
use crate::run::{Figures, ProcessFigures};

/// The figures of one measurement.
pub fn write(figures: &Figures) -> Json {
    let process = |p: &ProcessFigures| {
        Json::object([
            ("cores", p.cores.into()),
            ("peak_mib", p.peak_mib.into()),
            ("switches_per_log", p.switches.into()),
        ])
    };
    let (leader, follower) = figures.copies_per_byte;
    Json::object([
        ("logs_per_s", figures.logs_per_s.into()),
        ("mb_per_s", figures.mb_per_s.into()),
        ("latency", write_latency(&figures.latency)),
        ("processes", Json::list(&figures.processes, process)),
        ("copies_per_byte_leader", leader.into()),
        ("copies_per_byte_follower", follower.into()),
        ("verified_logs", Json::list(&figures.verified, |logs| Json::Number(*logs as f64))),
        ("longest_gap_ms", figures.longest_gap_ms.map_or(Json::Null, Json::Number)),
        ("apart_per_s", figures.apart_per_s.into()),
        ("log_filled_before", figures.log_filled.map_or(Json::Null, |(before, _)| before.into())),
        ("log_filled_after", figures.log_filled.map_or(Json::Null, |(_, after)| after.into())),
    ])
}

/// What [`write`] wrote.
///
/// # Errors
/// Names what is missing.
pub fn read(json: &Json) -> Result<Figures, String> {
    let process = |p: &Json| -> Result<ProcessFigures, String> {
        Ok(ProcessFigures {
            cores: p.number("cores")?,
            peak_mib: p.number("peak_mib")?,
            switches: p.number("switches_per_log")?,
        })
    };
    // Older files lack what is optional here, and have one number for all replicas.
    let optional = |name: &str| json.find(name).map(|_| json.number(name)).transpose();
    let verified = match json.get("verified_logs")? {
        Json::Number(logs) => vec![*logs],
        _ => json.numbers("verified_logs")?,
    };
    Ok(Figures {
        logs_per_s: json.number("logs_per_s")?,
        mb_per_s: json.number("mb_per_s")?,
        latency: read_latency(json.get("latency")?)?,
        processes: json.items("processes")?.iter().map(process).collect::<Result<_, _>>()?,
        copies_per_byte: (json.number("copies_per_byte_leader")?, json.number("copies_per_byte_follower")?),
        verified: verified.into_iter().map(|logs| logs as u64).collect(),
        longest_gap_ms: optional("longest_gap_ms")?,
        apart_per_s: optional("apart_per_s")?.unwrap_or(0.0),
        log_filled: optional("log_filled_before")?.zip(optional("log_filled_after")?),
    })
}

fn write_latency(latency: &Summary) -> Json {
    let us = |ns: u64| Json::Number(ns as f64 / 1e3);
    Json::object([
        ("timed", (latency.count as f64).into()),
        ("p50_us", us(latency.p50)),
        ("p90_us", us(latency.p90)),
        ("p99_us", us(latency.p99)),
        ("p99_9_us", us(latency.p999)),
        ("max_us", us(latency.max)),
    ])
}

fn read_latency(json: &Json) -> Result<Summary, String> {
    let ns = |name: &str| json.number(name).map(|us| (us * 1e3).round() as u64);
    Ok(Summary {
        count: json.number("timed")? as u64,
        p50: ns("p50_us")?,
        p90: ns("p90_us")?,
        p99: ns("p99_us")?,
        p999: ns("p99_9_us")?,
        max: ns("max_us")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_as_they_were_written() {
        let latency = Summary { count: 9, p50: 1_000, p90: 2_500, p99: 3_000, p999: 4_000, max: 5_001 };
        let process = ProcessFigures { cores: 0.5, peak_mib: 251.5, switches: 0.014 };
        let figures = Figures {
            logs_per_s: 1.5e6,
            mb_per_s: 150.0,
            latency,
            processes: vec![process; 3],
            copies_per_byte: (1.0, 0.0),
            verified: vec![3_000_000; 3],
            longest_gap_ms: Some(1_600.5),
            apart_per_s: 1_000.0,
            log_filled: Some((0.25, 1.5)),
        };
        let read = read(&Json::parse(&write(&figures).line()).unwrap()).unwrap();
        assert_eq!(read, figures);
    }
}
