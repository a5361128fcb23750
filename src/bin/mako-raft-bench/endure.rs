//! Full load for long: do latency and memory stay where they are?

use std::path::PathBuf;
use std::time::Duration;

use crate::arguments::{self, Arguments};
use crate::cell::{Cell, Pace};
use crate::cluster::{self, Cluster, ReplicaProcess};
use crate::payload::Sizes;
use crate::progress::Progress;
use crate::report::endurance::{Endurance, Interval};
use crate::report::{self, machine};
use crate::words::Words;
use crate::{clock, figures_text};

/// An answer that is due now may be late on a busy machine.
const LATE: Duration = Duration::from_secs(30);
/// Beyond the load's end: what was accepted has to come back.
const DONE_WITHIN: Duration = Duration::from_secs(60);
/// The log of the default settings fills in this time, so what grows later does so for another reason.
const WARMUP_S: f64 = 15.0;
/// The load: small logs on all partitions but one, which has a long log now and then.
const PARTITIONS: u32 = 6;
const SMALL_BYTES: usize = 1 << 10;
const OUTSTANDING: u64 = 1024;
const BIG_BYTES: usize = 25_000_000;
const BIG_EVERY_MS: u64 = 1_000;

/// What `endure` is asked for.
pub struct EndureOptions {
    minutes: f64,
    interval_s: f64,
    warmup_s: f64,
    out: PathBuf,
}

/// Reads the options of `endure`.
///
/// # Errors
/// Names the option that is wrong.
pub fn options(arguments: &mut Arguments) -> Result<EndureOptions, String> {
    let mut options = EndureOptions { minutes: 10.0, interval_s: 10.0, warmup_s: WARMUP_S, out: "docs".into() };
    while let Some(option) = arguments.word() {
        match option.as_str() {
            "--minutes" => options.minutes = arguments.value(&option)?,
            "--interval" => options.interval_s = arguments.value(&option)?,
            "--warmup" => options.warmup_s = arguments.value(&option)?,
            "--out" => options.out = arguments.value(&option)?,
            other => return Err(format!("endure has no option \"{other}\"; see --help")),
        }
    }
    arguments::check_durations(options.minutes * 60.0, options.warmup_s)?;
    if !(options.interval_s >= 0.1 && options.minutes * 60.0 >= 3.0 * options.interval_s) {
        return Err("endure needs three intervals of 0.1 s or more to compare the first third with the last".into());
    }
    Ok(options)
}

/// Measures, and writes the report with the new figures.
///
/// # Errors
/// A check failed, latency or memory was not flat, or the report can't be written.
pub fn run(options: &EndureOptions) -> Result<(), String> {
    report::check(&options.out)?;
    report::probe(&options.out)?;
    let cell = Cell {
        sizes: Sizes::Fixed(SMALL_BYTES),
        partitions: PARTITIONS,
        pace: Pace::Closed { outstanding: OUTSTANDING },
        big_bytes: Some(BIG_BYTES),
        big_every_ms: Some(BIG_EVERY_MS),
        ..Cell::default()
    };
    let endurance = measure(&cell, options)?;
    report::save_endurance(&options.out, &endurance)?;
    report::write(&options.out)?;
    crate::stdout::write(format_args!("{}", endurance.section()));
    match endurance.is_flat() {
        true => Ok(()),
        false => Err("latency, rate or memory was not flat".into()),
    }
}

fn measure(cell: &Cell, options: &EndureOptions) -> Result<Endurance, String> {
    let mut cluster = Cluster::start(&cluster::own_program()?, cell)?;
    let (intervals, verified) = match drive(&mut cluster, cell, options) {
        Ok(measured) => measured,
        Err(what) => return Err(cluster.explain(what)),
    };
    cluster.quit()?;
    Ok(Endurance {
        machine: machine::describe(),
        commit: machine::commit(),
        date: machine::date(),
        load: cell.describe(),
        warmup_s: options.warmup_s,
        bound_mib: cell.memory_bound_bytes() as f64 / f64::from(1 << 20),
        verified: verified as f64,
        intervals,
    })
}

/// The intervals, and how many logs were checked on every replica.
fn drive(cluster: &mut Cluster, cell: &Cell, options: &EndureOptions) -> Result<(Vec<Interval>, u64), String> {
    let count = (options.minutes * 60.0 / options.interval_s).round() as u64;
    let every_ms = (options.interval_s * 1e3) as u64;
    let begin = clock::now_ns() + (options.warmup_s * 1e9) as u64;
    let end = begin + count * every_ms * 1_000_000;
    for replica in &mut cluster.replicas {
        replica.order(&format!("intervals begin={begin} every_ms={every_ms} count={count} {}", cell.size_words()))?;
    }
    cluster.replicas[0].order(&format!("load {} begin={begin} end={end}", cell.load_words()))?;
    let mut progress = Progress::new(count as usize);
    let mut intervals = Vec::new();
    for number in 1..=count {
        progress.step(&format!("minute {:.1}", number as f64 * options.interval_s / 60.0));
        let due = begin + number * every_ms * 1_000_000;
        let within = LATE + Duration::from_nanos(due.saturating_sub(clock::now_ns()));
        let interval = interval(number as f64 * options.interval_s, &cluster.replicas, within)?;
        progress.say(&describe(&interval));
        intervals.push(interval);
    }
    let submitted = cluster.replicas[0].expect("loaded", DONE_WITHIN)?.get("submitted")?;
    cluster.wait_delivered(&[0, 1, 2], submitted, DONE_WITHIN)?;
    Ok((intervals, submitted))
}

fn interval(at_s: f64, replicas: &[ReplicaProcess], within: Duration) -> Result<Interval, String> {
    let said: Vec<Words> =
        replicas.iter().map(|replica| replica.expect("interval", within)).collect::<Result<_, _>>()?;
    let of_each = |number: &dyn Fn(&Words) -> Result<f64, String>| said.iter().map(number).collect::<Result<Vec<f64>, _>>();
    let leader = &said[0];
    let seconds = leader.get::<f64>("took_ns")? / 1e9;
    let us = |key: &str| leader.get::<f64>(key).map(|ns| ns / 1e3);
    Ok(Interval {
        at_s,
        logs_per_s: leader.get::<f64>("logs")? / seconds,
        mb_per_s: leader.get::<f64>("bytes")? / seconds / 1e6,
        p50_us: us("p50")?,
        p99_us: us("p99")?,
        max_us: us("max")?,
        resident_mib: of_each(&|words| Ok(words.get::<f64>("resident_kib")? / 1024.0))?,
        cores: of_each(&|words| Ok(words.get::<f64>("cpu_ns")? / words.get::<f64>("took_ns")?))?,
    })
}

fn describe(interval: &Interval) -> String {
    let Interval { at_s, logs_per_s, mb_per_s, p50_us, p99_us, max_us, resident_mib, .. } = interval;
    let time = |us: &f64| figures_text::time(us * 1e3);
    let memory: Vec<String> = resident_mib.iter().map(|mib| format!("{mib:.0}")).collect();
    format!(
        "{at_s:.0} s: {}, {mb_per_s:.0} MB/s; p50 / p99 / max {} / {} / {}; {} MiB",
        figures_text::rate(*logs_per_s),
        time(p50_us),
        time(p99_us),
        time(max_us),
        memory.join(" + ")
    )
}
