//! What a replica did over time: `timeline` in small steps around a fail-over, `intervals` in long ones.

use std::sync::Arc;
use std::thread;

use crate::clock;
use crate::histogram::{Counts, Summary};
use crate::usage::Usage;
use crate::words::Words;

use super::{say, stream::Stream};

/// `timeline`: how many logs had been delivered, every `every_us` from `begin` to `end`. A sample is taken
/// when the thread runs, so each has its own time.
///
/// # Errors
/// The order can't be understood.
pub fn timeline(words: &Words, stream: &Arc<Stream>) -> Result<(), String> {
    let (begin, end): (u64, u64) = (words.get("begin")?, words.get("end")?);
    let every_ns = words.get::<u64>("every_us")?.max(1) * 1_000;
    let stream = stream.clone();
    let sample = move || {
        let (mut times, mut logs) = (Vec::new(), Vec::new());
        let mut due = begin;
        while due <= end {
            clock::sleep_until(due);
            times.push((clock::now_ns().saturating_sub(begin) / 1_000).to_string());
            logs.push(stream.delivered().to_string());
            due += every_ns;
        }
        say(&format!("timeline at_us={} delivered={}", times.join(","), logs.join(",")));
    };
    thread::Builder::new().name("timeline".into()).spawn(sample).map_err(|error| format!("a thread: {error}"))?;
    Ok(())
}

/// `intervals`: a line at the end of each of `count` intervals.
///
/// # Errors
/// The order can't be understood.
pub fn intervals(words: &Words, streams: &[Arc<Stream>]) -> Result<(), String> {
    let (begin, every_ms, count): (u64, u64, u64) = (words.get("begin")?, words.get("every_ms")?, words.get("count")?);
    let streams = streams.to_vec();
    let sample = move || {
        clock::sleep_until(begin);
        let mut before = Sample::take(&streams);
        for number in 1..=count {
            clock::sleep_until(begin + number * every_ms * 1_000_000);
            let after = Sample::take(&streams);
            say(&after.since(&before));
            before = after;
        }
    };
    thread::Builder::new().name("intervals".into()).spawn(sample).map_err(|error| format!("a thread: {error}"))?;
    Ok(())
}

/// All that has happened until a time.
struct Sample {
    at_ns: u64,
    logs: u64,
    bytes: u64,
    latencies: Counts,
    used: Usage,
}

impl Sample {
    fn take(streams: &[Arc<Stream>]) -> Self {
        let mut sample = Self {
            at_ns: clock::now_ns(),
            logs: 0,
            bytes: 0,
            latencies: Counts::default(),
            used: Usage::of_this_process(),
        };
        for stream in streams {
            sample.bytes += stream.bytes();
            if stream.is_counted() {
                sample.logs += stream.delivered();
                sample.latencies.add(&stream.latency);
            }
        }
        sample
    }

    fn since(&self, before: &Sample) -> String {
        let Summary { p50, p99, max, .. } = self.latencies.since(&before.latencies).summary();
        format!(
            "interval took_ns={} logs={} bytes={} p50={p50} p99={p99} max={max} cpu_ns={} resident_kib={}",
            self.at_ns - before.at_ns,
            self.logs - before.logs,
            self.bytes - before.bytes,
            self.used.since(before.used).cpu_ns,
            self.used.resident_kib
        )
    }
}
