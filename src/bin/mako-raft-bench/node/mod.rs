//! One replica process, driven by lines on its standard input.
//!
//! `NODE --file YAML --process NAME --partitions N [--data DIR] [--slow-us N]`. It prints `ready` once
//! `setup2` has returned, and then obeys; times are nanoseconds on the clock of `clock.rs`:
//!
//! | line | what it does | what it prints |
//! |---|---|---|
//! | `state` | | `state leading=0/1 delivered=N failed=0/1 peak_kib=N` |
//! | `window begin= end= [size= [big=]]` | notes what it has used at both times | at the end `window took_ns= cpu_ns= peak_kib= voluntary= involuntary= done= bytes= apart= all_before= all_bytes=`: logs and bytes in the figures, logs of streams that are not, bytes of all streams until the begin, and in between |
//! | `load size= outstanding=/rate= begin= end= [big= [big_every_ms=]] [apart=]` | submits on every partition until `end`, waits until all are done | `loaded submitted= count= p50= p90= p99= p999= max=` or `failed ...` |
//! | `standby size= outstanding= end=` | waits until it leads, and submits until `end` | `accepted at= behind=`, `delivered at=`, `stood delivered=` |
//! | `timeline begin= end= every_us=` | counts what partition 0 delivers | at the end `timeline at_us=.. delivered=..` |
//! | `intervals begin= every_ms= count= [size= [big=]]` | sums up each interval | after each `interval took_ns= logs= bytes= p50= p99= max= cpu_ns= resident_kib=` |
//! | `quit` | shuts down and ends | `bye` |
//!
//! A log out of order ends in `failed` and a reason, once. At the end of its input it ends at once: a
//! replica never outlives the process that controls it. Any program that speaks these lines can be
//! measured: the C++ one beside the C++ tests does.

mod load;
mod record;
mod standby;
mod stream;

use std::io::{BufRead, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use mako_raft::helper::{self, CallbackRole};

use crate::arguments::Arguments;
use crate::clock;
use crate::payload::Sizes;
use crate::usage::{self, Usage};
use crate::words::Words;

use stream::Stream;

struct Options {
    file: String,
    process: String,
    partitions: u32,
    data: Option<String>,
    slow: Duration,
}

fn options(arguments: &mut Arguments) -> Result<Options, String> {
    let mut options =
        Options { file: String::new(), process: String::new(), partitions: 1, data: None, slow: Duration::ZERO };
    while let Some(option) = arguments.word() {
        match option.as_str() {
            "--file" => options.file = arguments.value(&option)?,
            "--process" => options.process = arguments.value(&option)?,
            "--partitions" => options.partitions = arguments.value(&option)?,
            "--data" => options.data = Some(arguments.value(&option)?),
            "--slow-us" => options.slow = Duration::from_micros(arguments.value(&option)?),
            other => return Err(format!("node has no option \"{other}\"")),
        }
    }
    Ok(options)
}

/// Prints one line for the controlling process. A controller that is gone ends us through our input.
fn say(line: &str) {
    static OUT: Mutex<()> = Mutex::new(());
    let _one_at_a_time = OUT.lock().unwrap_or_else(PoisonError::into_inner);
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// The process's life.
///
/// # Errors
/// The library can't be started; the reason is in its log, too.
pub fn run(arguments: &mut Arguments) -> Result<(), String> {
    let options = options(arguments)?;
    let mut words = vec!["", "-f", &options.file, "-P", &options.process];
    if let Some(directory) = &options.data {
        words.extend(["-r", directory]);
    }
    let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    helper::setup(&words).map_err(|error| error.to_string())?;
    let streams: Vec<Arc<Stream>> = (0..options.partitions).map(|p| Arc::new(Stream::new(p))).collect();
    for (stream, partition) in streams.iter().zip(0..) {
        // A slow replica is slow in one partition: the others show whether it holds them up.
        let slow = if partition == 0 { options.slow } else { Duration::ZERO };
        for role in [CallbackRole::Leader, CallbackRole::Follower] {
            helper::register_log(role, partition, stream::callback(stream, role, slow))
                .map_err(|error| error.to_string())?;
        }
    }
    helper::setup2(0, 0).map_err(|error| error.to_string())?;
    say("ready version=1");
    obey(&streams)
}

fn obey(streams: &[Arc<Stream>]) -> Result<(), String> {
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| format!("reading orders: {error}"))?;
        let words = Words::parse(&line);
        expect_sizes(&words, streams)?;
        match words.kind.as_str() {
            "state" => say(&state(streams)),
            "window" => window(&words, streams.to_vec())?,
            "load" => load::start(&words, streams)?,
            "timeline" => record::timeline(&words, &streams[0])?,
            "intervals" => record::intervals(&words, streams)?,
            "standby" => standby::start(&words, &streams[0])?,
            "quit" => {
                let _ = helper::pre_shutdown_step();
                let _ = helper::shutdown();
                say("bye");
                return Ok(());
            }
            other => return Err(format!("no such order: \"{other}\"")),
        }
    }
    // The controlling process is gone: so are we, without ceremony.
    std::process::exit(1)
}

/// Every order may say how long the logs are, so that a replica that submits none can check it.
fn expect_sizes(words: &Words, streams: &[Arc<Stream>]) -> Result<(), String> {
    let Some(size) = words.find::<String>("size")? else { return Ok(()) };
    let (sizes, big) = (size.parse()?, words.find("big")?.map(Sizes::Fixed));
    for (index, stream) in streams.iter().enumerate() {
        stream.expect_sizes(big.filter(|_| index + 1 == streams.len()).unwrap_or(sizes));
    }
    Ok(())
}

fn state(streams: &[Arc<Stream>]) -> String {
    let leading = (0..streams.len() as u32).all(helper::is_leader);
    let delivered: u64 = streams.iter().map(|stream| stream.delivered()).sum();
    let failed = streams.iter().any(|stream| stream.has_failed());
    let (leading, failed) = (u8::from(leading), u8::from(failed));
    format!("state leading={leading} delivered={delivered} failed={failed} peak_kib={}", usage::peak_kib())
}

fn window(words: &Words, streams: Vec<Arc<Stream>>) -> Result<(), String> {
    let (begin, end): (u64, u64) = (words.get("begin")?, words.get("end")?);
    let done = move || Done::of(&streams);
    let sample = move || {
        clock::sleep_until(begin);
        // The walk through /proc takes a while: what is divided by the time is read right beside the clock.
        let used = Usage::of_this_process();
        let (before, start) = (done(), clock::now_ns());
        clock::sleep_until(end);
        let (after, took_ns) = (done(), clock::now_ns() - start);
        let used = Usage::of_this_process().since(used);
        say(&format!(
            "window took_ns={took_ns} cpu_ns={} peak_kib={} voluntary={} involuntary={} done={} bytes={} \
             apart={} all_before={} all_bytes={}",
            used.cpu_ns,
            used.peak_kib,
            used.voluntary,
            used.involuntary,
            after.logs - before.logs,
            after.bytes - before.bytes,
            after.apart - before.apart,
            before.all_bytes,
            after.all_bytes - before.all_bytes
        ));
    };
    thread::Builder::new().name("window".into()).spawn(sample).map_err(|error| format!("a thread: {error}"))?;
    Ok(())
}

/// What the streams have delivered.
struct Done {
    /// Of those in the figures.
    logs: u64,
    bytes: u64,
    /// Logs of the others.
    apart: u64,
    all_bytes: u64,
}

impl Done {
    fn of(streams: &[Arc<Stream>]) -> Self {
        let mut done = Self { logs: 0, bytes: 0, apart: 0, all_bytes: 0 };
        for stream in streams {
            let (logs, bytes) = (stream.delivered(), stream.bytes());
            done.all_bytes += bytes;
            match stream.is_counted() {
                true => (done.logs, done.bytes) = (done.logs + logs, done.bytes + bytes),
                false => done.apart += logs,
            }
        }
        done
    }
}
