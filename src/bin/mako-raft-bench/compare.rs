//! Two builds in one interleaved run: what differs beyond the noise?

use std::path::PathBuf;

use crate::arguments::Arguments;
use crate::cell::{Cell, Pace};
use crate::figures_text;
use crate::payload::Sizes;
use crate::run::{self, Figures};
use crate::suite::results::Spread;
use crate::suite::Progress;

/// Smaller differences are not worth a line even when they repeat.
const LEAST_DIFFERENCE: f64 = 0.03;

/// What `compare` is asked for.
pub struct CompareOptions {
    before: PathBuf,
    after: PathBuf,
    repeats: usize,
    seconds: f64,
}

/// Reads the options of `compare`.
///
/// # Errors
/// Names the option that is wrong or missing.
pub fn options(arguments: &mut Arguments) -> Result<CompareOptions, String> {
    let (mut before, mut after, mut repeats, mut seconds) = (None, None, 5, 2.0);
    while let Some(option) = arguments.word() {
        match option.as_str() {
            "--before" => before = Some(arguments.value(&option)?),
            "--after" => after = Some(arguments.value(&option)?),
            "--repeats" => repeats = arguments.value(&option)?,
            "--seconds" => seconds = arguments.value(&option)?,
            other => return Err(format!("compare has no option \"{other}\"; see --help")),
        }
    }
    let before = before.ok_or("compare needs --before PROGRAM")?;
    let after = after.ok_or("compare needs --after PROGRAM")?;
    Ok(CompareOptions { before, after, repeats, seconds })
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
const CORES: Number = Number {
    name: "processor time per log",
    of: |f| f.processes.iter().map(|p| p.cores).sum::<f64>() / f.logs_per_s.max(1.0) * 1e9,
    show: figures_text::time,
    more: false,
};

fn cells(seconds: f64) -> Vec<(Cell, &'static [Number])> {
    let cell = |bytes, outstanding, partitions| Cell {
        sizes: Sizes::Fixed(bytes),
        pace: Pace::Closed { outstanding },
        partitions,
        seconds,
        ..Cell::default()
    };
    vec![
        (cell(100, 1, 1), &[P50, P99, CORES]),
        (cell(100, 1024, 1), &[RATE, P99, CORES]),
        (cell(1024, 1024, 1), &[RATE, P99, CORES]),
        (cell(64 << 10, 256, 1), &[RATE, P99, CORES]),
        (cell(286_208, 64, 1), &[RATE, P99, CORES]),
        (cell(100, 16, 64), &[RATE, P99, CORES]),
    ]
}

/// Measures both, one after the other in each repeat, and prints what differs.
///
/// # Errors
/// A cell had no figure.
pub fn run(options: &CompareOptions) -> Result<(), String> {
    let cells = cells(options.seconds);
    let mut progress = Progress::new(cells.len() * options.repeats * 2);
    let mut figures: Vec<[Vec<Figures>; 2]> = cells.iter().map(|_| Default::default()).collect();
    for repeat in 0..options.repeats {
        for ((cell, _), both) in cells.iter().zip(&mut figures) {
            // Who goes first takes turns: the second one finds a warmer machine.
            for side in [repeat % 2, 1 - repeat % 2] {
                let program = if side == 0 { &options.before } else { &options.after };
                progress.step(&cell.describe());
                both[side].push(run::measure(Some(program), cell)?);
            }
        }
    }
    let mut differs = 0;
    for ((cell, numbers), both) in cells.iter().zip(&figures) {
        for number in *numbers {
            differs += u32::from(judge(cell, number, both));
        }
    }
    println!("{differs} figures differ beyond the noise");
    Ok(())
}

/// Beyond the noise: in every repeat to the same side, and by 3 % at the median. (Five repeats go to one
/// side by chance once in sixteen times; so a difference that matters is worth a second run.)
fn judge(cell: &Cell, number: &Number, both: &[Vec<Figures>; 2]) -> bool {
    let pairs = both[0].iter().zip(&both[1]);
    let change = Spread::of(pairs.map(|(before, after)| (number.of)(after) / (number.of)(before) - 1.0).collect());
    let median = |side: usize| Spread::of(both[side].iter().map(number.of).collect()).map_or(0.0, |s| s.median);
    let Some(change) = change else { return false };
    let one_sided = change.min > 0.0 || change.max < 0.0;
    let differs = one_sided && change.median.abs() >= LEAST_DIFFERENCE;
    let verdict = match (differs, (change.median > 0.0) == number.more) {
        (false, _) => "within the noise",
        (true, true) => "BETTER",
        (true, false) => "WORSE",
    };
    println!(
        "{}: {} {} -> {}, {:+.1} % ({:+.1} to {:+.1}): {verdict}",
        cell.describe(),
        number.name,
        (number.show)(median(0)),
        (number.show)(median(1)),
        change.median * 100.0,
        change.min * 100.0,
        change.max * 100.0
    );
    differs
}
