//! `performance.md`, the pictures beside it, and `performance.json`.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::figures_text::{self, latency_json};
use crate::json::Json;
use crate::run::Figures;

use super::goals::{self, Goal};
use super::plan::Durations;
use super::plots::{self, Picture};
use super::results::{bandwidth, p50, p99, rate, Results, Spread};
use super::machine;

/// Pictures lie in this folder beside the report.
const PICTURES: &str = "performance";
/// Written by people: kept when the report is written anew.
const NOTES: &str = "performance-notes.md";

/// Writes the report into `out`.
///
/// # Errors
/// A file can't be written.
pub fn write(out: &Path, results: &Results, durations: Durations, repeats: usize, took: Duration) -> Result<(), String> {
    let pictures = plots::draw(results);
    let goals = goals::judge(results);
    let save = |name: &Path, text: &str| {
        let path = out.join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    let folder = out.join(PICTURES);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for Picture { file, svg, .. } in &pictures {
        save(&Path::new(PICTURES).join(file), svg)?;
    }
    let mut text = head(durations, repeats, took);
    text += &goal_table(&goals);
    text += &fs::read_to_string(out.join(NOTES)).map(|notes| notes + "\n").unwrap_or_default();
    for Picture { file, caption, .. } in &pictures {
        let _ = writeln!(text, "![{caption}]({PICTURES}/{file})\n");
    }
    text += &figure_table(results);
    text += &failure_list(results);
    save(Path::new("performance.md"), &text)?;
    save(Path::new("performance.json"), &(json(results, &goals).line() + "\n"))
}

fn head(durations: Durations, repeats: usize, took: Duration) -> String {
    format!(
        "# Performance\n\n\
         Written by `scripts/bench.sh`; `performance.json` holds the same figures for programs. The text under \"Where \
         the time goes\" is `{NOTES}`.\n\n\
         Machine: {}; all three replicas and the load share it. Commit {}. Load average at the end: {}. {repeats} \
         repeats of {} s after {} s of warm-up, floors interleaved, {} s in all.\n\n\
         A log is done when the leader's callback has returned for it; every log is checked on all replicas for order, \
         gaps and repeats, and a run that fails the check has no figure. Figures are medians of the repeats with the \
         least and the greatest; a ratio compares two figures of the same repeat. With 256 and more outstanding every \
         eighth log is timed. In a closed loop the submitter sleeps when its logs are outstanding and is woken when \
         half of them are done (one outstanding: at once); in an open loop latency counts from the time at which the \
         log was due. A *floor* is a program without Raft: a message to two receivers and the first answer (latency), \
         blocks of 1 MiB to two receivers (bandwidth), pwrite and fdatasync (durable). `raft.log_memory_bytes` is 256 MiB \
         instead of the default 1 GiB, so that the log is full and its memory used again before a figure is taken; \
         \"growing\" is 64 KiB with the default, while the log still takes fresh memory.\n\n",
        machine::describe(),
        machine::commit(),
        machine::load(),
        durations.seconds,
        durations.warmup,
        took.as_secs()
    )
}

fn goal_table(goals: &[Goal]) -> String {
    let mut text = String::from("## Goals\n\n| what | goal | first bar | measured | reached |\n|---|---|---|---|---|\n");
    for Goal { what, goal, bar, measured, verdict } in goals {
        let _ = writeln!(text, "| {what} | {goal} | {bar} | {measured} | {verdict} |");
    }
    text + "\n"
}

fn with_spread(spread: Option<Spread>, show: impl Fn(f64) -> String) -> String {
    match spread {
        Some(s) if s.median > 0.0 => format!("{} ({} to {})", show(s.median), show(s.min), show(s.max)),
        _ => "-".into(),
    }
}

fn figure_table(results: &Results) -> String {
    let mut text = String::from(
        "## All figures\n\nCores, memory and copies: leader, then a follower. Switches per log are the sum of all three \
         processes. Copies are those of payload bytes in user space, counted by reading the code (`copies.rs` says \
         which).\n\n\
         | cell | logs/s | MB/s | p50 | p90 | p99 | p99.9 | max | cores | peak MiB | switches per log | copies per byte |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for name in results.figures.keys() {
        let of = |number: fn(&Figures) -> f64| results.spread(name, number);
        let median = |number: fn(&Figures) -> f64| of(number).map_or(0.0, |s| s.median);
        let time = |number: fn(&Figures) -> f64| figures_text::time(median(number));
        let process = |index: usize, number: fn(&crate::run::ProcessFigures) -> f64| {
            results.spread(name, |f: &Figures| f.processes.get(index).map_or(0.0, number)).map_or(0.0, |s| s.median)
        };
        let switches = |f: &Figures| f.processes.iter().map(|p| p.switches).sum::<f64>();
        let copies = |f: &Figures| f.copies_per_byte;
        let (leader, follower) = results.figures[name].first().map(copies).unwrap_or_default();
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} | {} | {} | {} | {} | {:.2}, {:.2} | {:.0}, {:.0} | {:.3} | {leader}, {follower} |",
            with_spread(of(rate), figures_text::rate),
            with_spread(of(bandwidth), |v| format!("{v:.0}")),
            with_spread(of(p50), figures_text::time),
            time(|f| f.latency.p90 as f64),
            with_spread(of(p99), figures_text::time),
            time(|f| f.latency.p999 as f64),
            time(|f| f.latency.max as f64),
            process(0, |p| p.cores),
            process(1, |p| p.cores),
            process(0, |p| p.peak_mib),
            process(1, |p| p.peak_mib),
            median(switches),
        );
    }
    text + "\n"
}

fn failure_list(results: &Results) -> String {
    if results.failures.is_empty() {
        return String::new();
    }
    let mut text = String::from("## Without a figure\n\n");
    for (name, what) in &results.failures {
        let _ = writeln!(text, "- {name}: {}", what.lines().next().unwrap_or_default());
    }
    text
}

fn json(results: &Results, goals: &[Goal]) -> Json {
    let figures = |f: &Figures| {
        let process = |p: &crate::run::ProcessFigures| {
            Json::Object(vec![
                ("cores", p.cores.into()),
                ("peak_mib", p.peak_mib.into()),
                ("switches_per_log", p.switches.into()),
            ])
        };
        Json::Object(vec![
            ("logs_per_s", f.logs_per_s.into()),
            ("mb_per_s", f.mb_per_s.into()),
            ("latency", latency_json(&f.latency)),
            ("processes", Json::List(f.processes.iter().map(process).collect())),
        ])
    };
    let cell = |(name, repeats): (&String, &Vec<Figures>)| {
        let repeats = Json::List(repeats.iter().map(figures).collect());
        Json::Object(vec![("name", name.clone().into()), ("repeats", repeats)])
    };
    let goal = |g: &Goal| {
        Json::Object(vec![
            ("what", g.what.clone().into()),
            ("goal", g.goal.into()),
            ("first_bar", g.bar.into()),
            ("measured", g.measured.clone().into()),
            ("reached", g.verdict.into()),
        ])
    };
    let failover = results.failovers.iter().map(|f| {
        Json::Object(vec![("accepted_ms", f.accepted_ms.into()), ("delivered_ms", f.delivered_ms.into())])
    });
    Json::Object(vec![
        ("machine", machine::describe().into()),
        ("commit", machine::commit().into()),
        ("load_average", machine::load().into()),
        ("goals", Json::List(goals.iter().map(goal).collect())),
        ("cells", Json::List(results.figures.iter().map(cell).collect())),
        ("failovers", Json::List(failover.collect())),
    ])
}
