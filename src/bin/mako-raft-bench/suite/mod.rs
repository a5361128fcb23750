//! The standard set: every cell next to its floor, the whole set repeated, so that a busy minute falls on
//! all of them alike.

pub mod plan;

use std::path::{Path, PathBuf};

use crate::arguments::{self, Arguments};
use crate::histogram::Summary;
use crate::progress::Progress;
use crate::report::{self, machine, Record, Results, Series, Setting};
use crate::run::Figures;
use crate::{failover, figures_text, floor, run};

use plan::{Durations, Item, Subject};

/// A floor is steady sooner than a cluster.
const FLOOR_SECONDS: f64 = 1.0;
/// The paced floor makes 191 round trips in a second, and a p99 needs some hundred.
const PACED_FLOOR_SECONDS: f64 = 2.0;

/// What `suite` is asked for.
pub struct SuiteOptions {
    repeats: usize,
    /// `None`: figures are printed, and the report is left alone.
    out: Option<PathBuf>,
    data: PathBuf,
    failovers: usize,
    durations: Durations,
    /// Only names that contain this; then there is no report unless it is asked for.
    only: Option<String>,
    /// Replicas on the C++ surface; their cells are left out without it.
    cxx: Option<PathBuf>,
    /// The host's allocator; cells with it are left out without it.
    preload: Option<PathBuf>,
}

/// Reads the options of `suite`.
///
/// # Errors
/// Names the option that is wrong.
pub fn options(arguments: &mut Arguments) -> Result<SuiteOptions, String> {
    let mut options = SuiteOptions {
        repeats: 3,
        out: None,
        data: std::env::temp_dir(),
        failovers: 50,
        durations: Durations { seconds: 2.0, warmup: 1.0 },
        only: None,
        cxx: None,
        preload: None,
    };
    while let Some(option) = arguments.word() {
        match option.as_str() {
            "--repeats" => options.repeats = arguments.value(&option)?,
            "--out" => options.out = Some(arguments.value(&option)?),
            "--data" => options.data = arguments.value(&option)?,
            "--failovers" => options.failovers = arguments.value(&option)?,
            "--seconds" => options.durations.seconds = arguments.value(&option)?,
            "--warmup" => options.durations.warmup = arguments.value(&option)?,
            "--only" => options.only = Some(arguments.value(&option)?),
            "--cxx" => options.cxx = Some(arguments.program(&option)?),
            "--preload" => options.preload = Some(arguments.file(&option)?),
            other => return Err(format!("suite has no option \"{other}\"; see --help")),
        }
    }
    arguments::check_repeats(options.repeats)?;
    arguments::check_durations(options.durations.seconds, options.durations.warmup)?;
    let items = available(&options);
    arguments::check_only(options.only.as_deref(), items.iter().map(|item| item.name.as_str()))?;
    if options.only.is_none() && options.out.is_none() {
        options.out = Some(PathBuf::from("docs"));
    }
    Ok(options)
}

/// Takes every figure of the standard set and writes the report.
///
/// # Errors
/// The report can't be written where it should go (nothing is measured then), a cell had no figure (the report says which and why, and is written), or the report can't be written.
pub fn run(options: &SuiteOptions) -> Result<(), String> {
    if let Some(out) = &options.out {
        report::probe(out)?;
    }
    let items = wanted(options);
    let mut progress = Progress::new(items.len() * options.repeats + options.failovers);
    let mut results = Results { series: items.iter().map(series).collect(), ..Results::default() };
    for _ in 0..options.repeats {
        for (index, item) in items.iter().enumerate() {
            progress.step(&item.name);
            let measured = measure(&item.subject, options);
            match &measured {
                Ok(figures) => progress.say(&describe(item, figures)),
                Err(what) => {
                    progress.say(&format!("{}: no figure: {what}", item.name));
                    results.failures.push((item.name.clone(), what.clone()));
                }
            }
            results.series[index].repeats.push(measured.ok());
        }
    }
    fail_over(options.failovers, &mut results, &mut progress);
    let failed = results.failures.len();
    if let Some(out) = &options.out {
        report::save_record(out, &Record { setting: setting(options, &progress), results })?;
        report::write(out)?;
        progress.say(&format!("the report is {}", out.join(report::FILE).display()));
    }
    progress.clear();
    match failed {
        0 => Ok(()),
        failed => Err(format!("{failed} measurements have no figure; their reasons are above")),
    }
}

/// What can be measured here.
fn available(options: &SuiteOptions) -> Vec<Item> {
    let is_available = |item: &Item| options.cxx.is_some() || !matches!(item.subject, Subject::CxxCell(_));
    plan::items(options.durations, &options.data, options.preload.as_deref()).into_iter().filter(is_available).collect()
}

fn wanted(options: &SuiteOptions) -> Vec<Item> {
    let is_wanted = |item: &Item| options.only.as_ref().is_none_or(|only| item.name.contains(only.as_str()));
    available(options).into_iter().filter(is_wanted).collect()
}

fn series(item: &Item) -> Series {
    match &item.subject {
        Subject::Cell(cell) | Subject::CxxCell(cell) => Series::of_cell(&item.name, cell),
        Subject::LatencyFloor(bytes) => Series::of_floor(&item.name, &format!("{bytes} B to two, the first answer")),
        Subject::PacedFloor(bytes, rate) => {
            Series::of_floor(&item.name, &format!("{bytes} B to two, the first answer, {rate}/s due"))
        }
        Subject::BandwidthFloor(None) => Series::of_floor(&item.name, "blocks of 1 MiB to two"),
        Subject::BandwidthFloor(Some(kept)) => {
            Series::of_floor(&item.name, &format!("blocks of 1 MiB to two, {} MiB in turn", kept >> 20))
        }
        Subject::ThreadsFloor(partitions) => {
            Series::of_floor(&item.name, &format!("a round of 4 threads, {partitions} partitions"))
        }
        Subject::DurableFloor(bytes, 1) => Series::of_floor(&item.name, &format!("{bytes} B written, fdatasync")),
        Subject::DurableFloor(bytes, writers) => {
            Series::of_floor(&item.name, &format!("{bytes} B written, fdatasync, {writers} at once; MB/s of one"))
        }
    }
}

fn fail_over(count: usize, results: &mut Results, progress: &mut Progress) {
    for _ in 0..count {
        progress.step("fail-over");
        match failover::measure() {
            Ok(failover) => results.failovers.push(failover),
            Err(what) => {
                progress.say(&format!("fail-over: no figure: {what}"));
                results.failures.push(("fail-over".into(), what));
            }
        }
    }
}

fn setting(options: &SuiteOptions, progress: &Progress) -> Setting {
    Setting {
        machine: machine::describe(),
        commit: machine::commit(),
        date: machine::date(),
        load_average: machine::load(),
        seconds: options.durations.seconds,
        warmup: options.durations.warmup,
        repeats: options.repeats as f64,
        took_seconds: progress.took().as_secs_f64().round(),
    }
}

fn describe(item: &Item, figures: &Figures) -> String {
    match &item.subject {
        Subject::Cell(cell) | Subject::CxxCell(cell) => {
            format!("{}: {}", item.name, figures_text::line(cell, figures))
        }
        _ => format!(
            "{}: p50 {}, p99 {}, {:.1} MB/s",
            item.name,
            figures_text::time(figures.latency.p50 as f64),
            figures_text::time(figures.latency.p99 as f64),
            figures.mb_per_s
        ),
    }
}

fn measure(subject: &Subject, options: &SuiteOptions) -> Result<Figures, String> {
    let data: &Path = &options.data;
    let (floor, seconds) = match subject {
        Subject::Cell(cell) => return run::measure(None, cell),
        Subject::CxxCell(cell) => return run::measure(options.cxx.as_ref(), cell),
        Subject::LatencyFloor(bytes) => (floor::latency(*bytes, None, FLOOR_SECONDS)?, FLOOR_SECONDS),
        Subject::PacedFloor(bytes, rate) => {
            (floor::latency(*bytes, Some(*rate), PACED_FLOOR_SECONDS)?, PACED_FLOOR_SECONDS)
        }
        Subject::BandwidthFloor(kept) => (floor::bandwidth(*kept, FLOOR_SECONDS)?, FLOOR_SECONDS),
        Subject::DurableFloor(bytes, writers) => (floor::fsync(data, *bytes, *writers, FLOOR_SECONDS)?, FLOOR_SECONDS),
        Subject::ThreadsFloor(partitions) => (floor::threads(*partitions as usize, FLOOR_SECONDS)?, FLOOR_SECONDS),
    };
    let Summary { count, .. } = floor.latency;
    let logs_per_s = count as f64 / seconds;
    Ok(Figures { logs_per_s, mb_per_s: floor.mb_per_s, latency: floor.latency, ..Figures::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> SuiteOptions {
        options(&mut Arguments::new(line.split(' ').map(str::to_owned).collect())).unwrap()
    }

    #[test]
    fn a_part_of_the_set_does_not_overwrite_the_report() {
        assert_eq!(parse("--repeats 1").out, Some(PathBuf::from("docs")));
        assert_eq!(parse("--only rate").out, None);
        assert_eq!(parse("--only rate --out d").out, Some(PathBuf::from("d")));
    }

    #[test]
    fn cells_on_the_c_plus_plus_surface_need_its_program() {
        let cxx = |line: &str| wanted(&parse(line)).iter().filter(|item| item.name.starts_with("c++")).count();
        assert_eq!((cxx("--repeats 1"), cxx("--cxx /bin/sh")), (0, 17));
    }
}
