//! The standard set: every cell next to its floor, the whole set repeated, so that a busy minute falls on
//! all of them alike; and the report.

mod goals;
mod machine;
mod plan;
mod plot;
mod plots;
mod report;
pub mod results;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::arguments::Arguments;
use crate::histogram::Summary;
use crate::run::Figures;
use crate::{failover, figures_text, floor, run};

use plan::{Durations, Item, Subject};
use results::Results;

/// A floor is steady sooner than a cluster.
const FLOOR_SECONDS: f64 = 1.0;

/// What `suite` is asked for.
pub struct SuiteOptions {
    repeats: usize,
    out: PathBuf,
    data: PathBuf,
    failovers: usize,
    durations: Durations,
    /// Only names that start with this.
    only: Option<String>,
}

/// Reads the options of `suite`.
///
/// # Errors
/// Names the option that is wrong.
pub fn options(arguments: &mut Arguments) -> Result<SuiteOptions, String> {
    let mut options = SuiteOptions {
        repeats: 3,
        out: PathBuf::from("docs"),
        data: std::env::temp_dir(),
        failovers: 20,
        durations: Durations { seconds: 2.0, warmup: 1.0 },
        only: None,
    };
    while let Some(option) = arguments.word() {
        match option.as_str() {
            "--repeats" => options.repeats = arguments.value(&option)?,
            "--out" => options.out = arguments.value(&option)?,
            "--data" => options.data = arguments.value(&option)?,
            "--failovers" => options.failovers = arguments.value(&option)?,
            "--seconds" => options.durations.seconds = arguments.value(&option)?,
            "--warmup" => options.durations.warmup = arguments.value(&option)?,
            "--only" => options.only = Some(arguments.value(&option)?),
            other => return Err(format!("suite has no option \"{other}\"; see --help")),
        }
    }
    Ok(options)
}

/// Takes every figure of the standard set and writes the report.
///
/// # Errors
/// A cell had no figure (the report says which and why, and is written), or the report can't be written.
pub fn run(options: &SuiteOptions) -> Result<(), String> {
    let items = plan::items(options.durations, &options.data);
    let wanted = |item: &&Item| options.only.as_ref().map_or(true, |only| item.name.contains(only.as_str()));
    let items: Vec<&Item> = items.iter().filter(wanted).collect();
    let mut results = Results::default();
    let mut progress = Progress::new(items.len() * options.repeats + options.failovers);
    for _ in 0..options.repeats {
        for item in &items {
            progress.step(&item.name);
            match measure(&item.subject, &options.data) {
                Ok(figures) => {
                    progress.say(&describe(item, &figures));
                    results.figures.entry(item.name.clone()).or_default().push(figures);
                }
                Err(what) => {
                    progress.say(&format!("{}: no figure: {what}", item.name));
                    results.failures.push((item.name.clone(), what));
                }
            }
        }
    }
    for _ in 0..options.failovers {
        progress.step("fail-over");
        match failover::measure() {
            Ok(failover) => results.failovers.push(failover),
            Err(what) => {
                progress.say(&format!("fail-over: no figure: {what}"));
                results.failures.push(("fail-over".into(), what));
            }
        }
    }
    let took = progress.begin.elapsed();
    report::write(&options.out, &results, options.durations, options.repeats, took)?;
    progress.say(&format!("the report is {}", options.out.join("performance.md").display()));
    match results.failures.len() {
        0 => Ok(()),
        failed => Err(format!("{failed} measurements have no figure; the report names them")),
    }
}

fn describe(item: &Item, figures: &Figures) -> String {
    match &item.subject {
        Subject::Cell(cell) => figures_text::line(cell, figures),
        _ => format!(
            "{}: p50 {}, p99 {}, {:.1} MB/s",
            item.name,
            figures_text::time(figures.latency.p50 as f64),
            figures_text::time(figures.latency.p99 as f64),
            figures.mb_per_s
        ),
    }
}

fn measure(subject: &Subject, data: &Path) -> Result<Figures, String> {
    let floor = match subject {
        Subject::Cell(cell) => return run::measure(None, cell),
        Subject::LatencyFloor(bytes) => floor::latency(*bytes, FLOOR_SECONDS)?,
        Subject::BandwidthFloor => floor::bandwidth(FLOOR_SECONDS)?,
        Subject::DurableFloor(bytes) => floor::fsync(data, *bytes, FLOOR_SECONDS)?,
    };
    let Summary { count, .. } = floor.latency;
    let logs_per_s = count as f64 / FLOOR_SECONDS;
    Ok(Figures { logs_per_s, mb_per_s: floor.mb_per_s, latency: floor.latency, ..Figures::default() })
}

/// Says how far it is: on a terminal in one line that is rewritten.
pub struct Progress {
    begin: Instant,
    done: usize,
    total: usize,
    terminal: bool,
}

impl Progress {
    /// Of `total` steps.
    pub fn new(total: usize) -> Self {
        Self { begin: Instant::now(), done: 0, total, terminal: std::io::stderr().is_terminal() }
    }

    /// The next step begins.
    pub fn step(&mut self, name: &str) {
        if self.terminal {
            let seconds = self.begin.elapsed().as_secs();
            let left = if self.done > 0 { seconds * (self.total - self.done) as u64 / self.done as u64 } else { 0 };
            eprint!("\r\x1b[K[{}/{}] {name}, {seconds} s, about {left} s left", self.done + 1, self.total);
            let _ = std::io::stderr().flush();
        }
        self.done += 1;
    }

    /// A line that stays.
    pub fn say(&self, line: &str) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
        eprintln!("{line}");
    }
}
