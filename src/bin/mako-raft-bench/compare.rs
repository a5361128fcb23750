//! Two builds in one interleaved run: what differs beyond the noise?
//!
//! This program drives replicas of both. What it asks of them is what `node` has always understood, so an
//! older build need not know options of this one.

use std::path::{Path, PathBuf};

use crate::arguments::{self, Arguments};
use crate::cell::{Cell, Pace};
use crate::figures_text;
use crate::payload::Sizes;
use crate::progress::Progress;
use crate::report::Spread;
use crate::run::{self, Figures};

/// Smaller differences are not worth a line even when they repeat.
const LEAST_DIFFERENCE: f64 = 0.03;
/// With fewer no noise is known, and nothing is judged.
const REPEATS_JUDGED: usize = 3;
/// With fewer repeats all of them lie on one side too often by chance.
const REPEATS: usize = 7;

/// The verdict that makes the whole comparison fail.
const WORSE: &str = "WORSE";

/// What `compare` is asked for.
pub struct CompareOptions {
    before: PathBuf,
    after: PathBuf,
    repeats: usize,
    seconds: f64,
    only: Option<String>,
    data: PathBuf,
    preload: Option<PathBuf>,
}

/// Reads the options of `compare`.
///
/// # Errors
/// Names the option that is wrong or missing.
pub fn options(arguments: &mut Arguments) -> Result<CompareOptions, String> {
    let (mut before, mut after, mut repeats, mut seconds) = (None, None, REPEATS, 2.0);
    let (mut only, mut data, mut preload) = (None, std::env::temp_dir(), None);
    while let Some(option) = arguments.word() {
        match option.as_str() {
            "--before" => before = Some(arguments.program(&option)?),
            "--after" => after = Some(arguments.program(&option)?),
            "--repeats" => repeats = arguments.value(&option)?,
            "--seconds" => seconds = arguments.value(&option)?,
            "--only" => only = Some(arguments.value(&option)?),
            "--data" => data = arguments.value(&option)?,
            "--preload" => preload = Some(arguments.file(&option)?),
            other => return Err(format!("compare has no option \"{other}\"; see --help")),
        }
    }
    let before = before.ok_or("compare needs --before PROGRAM")?;
    let after = after.ok_or("compare needs --after PROGRAM")?;
    arguments::check_repeats(repeats)?;
    arguments::check_durations(seconds, 0.0)?;
    let cells = cells(seconds, &data, preload.as_deref());
    arguments::check_only(only.as_deref(), cells.iter().map(|(name, ..)| *name))?;
    Ok(CompareOptions { before, after, repeats, seconds, only, data, preload })
}

/// A number of a cell, and whether more of it is better.
struct Number {
    name: &'static str,
    of: fn(&Figures) -> f64,
    show: fn(f64) -> String,
    more: bool,
}

const RATE: Number = Number { name: "rate", of: |f| f.logs_per_s, show: figures_text::rate, more: true };
const P50: Number = Number { name: "p50", of: |f| f.latency.p50 as f64, show: figures_text::time, more: false };
const P99: Number = Number { name: "p99", of: |f| f.latency.p99 as f64, show: figures_text::time, more: false };
const CPU: Number = Number {
    name: "CPU per log",
    of: |f| f.processes.iter().map(|p| p.cores).sum::<f64>() / f.logs_per_s.max(1.0) * 1e9,
    show: |ns| if ns < 10_000.0 { format!("{ns:.0} ns") } else { figures_text::time(ns) },
    more: false,
};

/// Each with a short name, and in full log memory, as in the standard set.
fn cells(seconds: f64, data: &Path, preload: Option<&Path>) -> Vec<(&'static str, Cell, &'static [Number])> {
    let cell = |bytes, outstanding, partitions| Cell {
        sizes: Sizes::Fixed(bytes),
        pace: Pace::Closed { outstanding },
        partitions,
        log_memory_bytes: Some(256 << 20),
        preload: preload.map(Path::to_path_buf),
        seconds,
        ..Cell::default()
    };
    let durable = Cell { durable: Some(data.to_path_buf()), ..cell(100, 1, 1) };
    vec![
        ("100 B, 1 outstanding", cell(100, 1, 1), &[P50, P99, CPU]),
        ("100 B, 1024 outstanding", cell(100, 1024, 1), &[RATE, P99, CPU]),
        ("1 KiB, 1024 outstanding", cell(1024, 1024, 1), &[RATE, P99, CPU]),
        ("64 KiB, 256 outstanding", cell(64 << 10, 256, 1), &[RATE, P99, CPU]),
        ("286 KB, 56 outstanding", cell(286_208, 56, 1), &[RATE, P99, CPU]),
        ("100 B, 64 partitions x 16", cell(100, 16, 64), &[RATE, P99, CPU]),
        ("100 B, 1 outstanding, durable", durable, &[P50, P99, CPU]),
    ]
}

/// Measures both, one after the other in each repeat, and prints what differs.
///
/// # Errors
/// A cell had no figure, or something is worse.
pub fn run(options: &CompareOptions) -> Result<(), String> {
    let is_wanted = |name: &str| options.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let cells: Vec<_> = cells(options.seconds, &options.data, options.preload.as_deref()).into_iter().filter(|(name, ..)| is_wanted(name)).collect();
    let mut progress = Progress::new(cells.len() * options.repeats * 2);
    let mut figures: Vec<[Vec<Figures>; 2]> = cells.iter().map(|_| Default::default()).collect();
    for repeat in 0..options.repeats {
        for ((name, cell, _), both) in cells.iter().zip(&mut figures) {
            // Who goes first takes turns: the second one finds a warmer machine.
            for side in [repeat % 2, 1 - repeat % 2] {
                let program = if side == 0 { &options.before } else { &options.after };
                progress.step(name);
                both[side].push(run::measure(Some(program), cell)?);
            }
        }
    }
    progress.clear();
    match print_table(&cells, &figures) {
        0 => Ok(()),
        worse => Err(format!("{worse} figures are worse")),
    }
}

/// How many figures are worse.
fn print_table(cells: &[(&str, Cell, &[Number])], figures: &[[Vec<Figures>; 2]]) -> usize {
    let row = |cells: [&str; 7]| {
        let [cell, number, before, after, change, range, verdict] = cells;
        format!("{cell:<30} {number:<12} {before:>9} {after:>9} {change:>8}  {range:<18} {verdict}")
    };
    say!("{}", row(["cell", "", "before", "after", "change", "least to greatest", ""]).trim_end());
    let mut differing = Vec::new();
    for ((name, _, numbers), both) in cells.iter().zip(figures) {
        for number in *numbers {
            let values = |side: usize| both[side].iter().map(number.of).collect::<Vec<f64>>();
            let Some(change) = Change::between(&values(0), &values(1)) else { continue };
            let median = |side: usize| Spread::of(values(side)).map_or_else(String::new, |s| (number.show)(s.median));
            let percent = |share: f64| format!("{:+.1} %", share * 100.0);
            let Spread { median: middle, min, max } = change.spread;
            let range = format!("{} to {}", percent(min), percent(max));
            let verdict = change.verdict(number.more);
            let line = row([name, number.name, &median(0), &median(1), &percent(middle), &range, verdict]);
            say!("{}", line.trim_end());
            if !verdict.is_empty() {
                differing.push(format!("{name}: {} {} {verdict}", number.name, percent(middle)));
            }
        }
    }
    say!("before, after: medians; change: of the two runs of one repeat, the median");
    if figures.iter().any(|both| both[0].len() < REPEATS_JUDGED) {
        say!("Nothing is judged with fewer than {REPEATS_JUDGED} repeats: how far two of one build lie apart is not known.");
        return 0;
    }
    match differing.as_slice() {
        [] => say!("Nothing differs beyond the noise."),
        some => say!("Beyond the noise:\n  {}", some.join("\n  ")),
    }
    differing.iter().filter(|line| line.ends_with(WORSE)).count()
}

/// What became of a number, and what counts as noise.
struct Change {
    /// After by before, less 1, of each repeat.
    spread: Spread,
    /// How far two repeats of the same build lie apart, at the median; `None` of too few repeats.
    noise: Option<f64>,
}

impl Change {
    /// `None` of no repeats.
    fn between(before: &[f64], after: &[f64]) -> Option<Self> {
        let changes = before.iter().zip(after).map(|(before, after)| after / before - 1.0);
        let steps = [before, after].into_iter().flat_map(|side| side.windows(2)).map(|pair| (pair[1] / pair[0] - 1.0).abs());
        let noise = Spread::of(steps.collect()).filter(|_| before.len().min(after.len()) >= REPEATS_JUDGED);
        let noise = noise.map(|steps| steps.median);
        Some(Self { spread: Spread::of(changes.collect())?, noise })
    }

    /// Beyond the noise: in every repeat to the same side, and at the median by more than 3 % and by more than
    /// two repeats of one build differ from one another.
    fn is_beyond_noise(&self) -> bool {
        let Spread { median, min, max } = self.spread;
        let beyond = |noise: f64| (min > 0.0 || max < 0.0) && median.abs() > noise.max(LEAST_DIFFERENCE);
        self.noise.is_some_and(beyond)
    }

    fn verdict(&self, more_is_better: bool) -> &'static str {
        match (self.is_beyond_noise(), (self.spread.median > 0.0) == more_is_better) {
            (false, _) => "",
            (true, true) => "BETTER",
            (true, false) => WORSE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(before: &[f64], after: &[f64]) -> &'static str {
        Change::between(before, after).unwrap().verdict(true)
    }

    #[test]
    fn what_repeats_beyond_the_noise_is_a_difference() {
        assert_eq!(verdict(&[100.0, 101.0, 99.0], &[110.0, 111.0, 108.0]), "BETTER");
        assert_eq!(verdict(&[100.0, 101.0, 99.0], &[90.0, 91.0, 88.0]), "WORSE");
    }

    #[test]
    fn noise_is_no_difference() {
        assert_eq!(verdict(&[100.0, 101.0, 99.0], &[110.0, 111.0, 98.0]), "", "one repeat to the other side");
        assert_eq!(verdict(&[100.0, 101.0, 99.0], &[102.0, 102.5, 101.0]), "", "below 3 %");
        assert_eq!(verdict(&[100.0, 150.0, 90.0], &[110.0, 165.0, 99.0]), "", "one build differs more from itself");
    }

    #[test]
    fn with_two_repeats_nothing_is_judged() {
        assert_eq!((verdict(&[100.0], &[50.0]), verdict(&[100.0, 101.0], &[50.0, 51.0])), ("", ""));
    }

    #[test]
    fn less_of_a_latency_is_better() {
        let change = Change::between(&[100.0, 101.0, 100.0], &[80.0, 81.0, 80.0]).unwrap();
        assert_eq!((change.verdict(false), change.verdict(true)), ("BETTER", "WORSE"));
    }
}
