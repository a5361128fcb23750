//! The load: one submitting thread per partition.

use std::sync::Arc;
use std::thread;

use mako_raft::helper;

use crate::clock;
use crate::histogram::{Histogram, Summary};
use crate::payload::{self, Sizes};
use crate::words::Words;

use super::{say, stream::Stream};

/// How long accepted logs may take to come back once the load has ended.
const DONE_WITHIN_NS: u64 = 45_000_000_000;
/// With this many outstanding, every seventh log is timed: reading the clock twice per log would be a
/// tenth of the cost of a log at 2 million a second. Not every eighth: bursts are powers of two long, so always the
/// same places in them would be timed.
const TIMED_SPARSELY_FROM: u64 = 256;
const TIMED_EVERY: u64 = 7;

/// What one submitter does.
#[derive(Clone)]
struct Plan {
    sizes: Sizes,
    begin_ns: u64,
    end_ns: u64,
    pace: Pace,
}

#[derive(Clone, Copy)]
enum Pace {
    Closed { outstanding: u64 },
    Open { every_ns: f64 },
    /// One at a time, and no sooner than so long behind the last.
    Spaced { every_ns: u64 },
}

/// `load`: starts the submitters; says `loaded` when all of their logs have been delivered here.
///
/// # Errors
/// The order can't be understood.
pub fn start(words: &Words, streams: &[Arc<Stream>]) -> Result<(), String> {
    let big: Option<usize> = words.find("big")?;
    let apart: Option<usize> = words.find("apart")?;
    let counted = streams.len() - usize::from(big.is_some());
    let pace = match words.find::<f64>("rate")? {
        Some(rate) => Pace::Open { every_ns: 1e9 * counted as f64 / rate },
        None => Pace::Closed { outstanding: words.get("outstanding")? },
    };
    let sizes = words.get::<String>("size")?.parse()?;
    let plan = Plan { sizes, begin_ns: words.get("begin")?, end_ns: words.get("end")?, pace };
    let mut submitters = Vec::new();
    for (index, stream) in streams.iter().enumerate() {
        let (stream, mut plan) = (stream.clone(), plan.clone());
        if let Some(bytes) = big.filter(|_| index == counted) {
            plan.sizes = Sizes::Fixed(bytes);
            plan.pace = match words.find::<u64>("big_every_ms")? {
                Some(ms) => Pace::Spaced { every_ns: ms * 1_000_000 },
                None => Pace::Closed { outstanding: 1 },
            };
            stream.leave_uncounted();
        } else if apart == Some(index) {
            stream.leave_uncounted();
        } else {
            stream.time_from(plan.begin_ns);
        }
        let body = move || submit_all(&stream, &plan);
        let name = format!("submit{index}");
        submitters.push(thread::Builder::new().name(name).spawn(body).map_err(|e| format!("a thread: {e}"))?);
    }
    let streams = streams.to_vec();
    let wait = move || {
        let results: Result<Vec<u64>, String> =
            submitters.into_iter().map(|s| s.join().unwrap_or_else(|_| Err("a submitter panicked".into()))).collect();
        match results {
            Ok(submitted) => say(&loaded(submitted.iter().sum(), &streams)),
            Err(what) => say(&format!("failed {what}")),
        }
    };
    thread::Builder::new().name("load".into()).spawn(wait).map_err(|e| format!("a thread: {e}"))?;
    Ok(())
}

fn loaded(submitted: u64, streams: &[Arc<Stream>]) -> String {
    let all = Histogram::default();
    streams.iter().filter(|stream| stream.is_counted()).for_each(|stream| all.merge(&stream.latency));
    let Summary { count, p50, p90, p99, p999, max } = all.summary();
    format!("loaded submitted={submitted} count={count} p50={p50} p90={p90} p99={p99} p999={p999} max={max}")
}

/// Submits until the end, waits for the rest; how many.
fn submit_all(stream: &Stream, plan: &Plan) -> Result<u64, String> {
    let first = stream.delivered();
    let mut submitter = Submitter::new(stream, plan.sizes);
    match plan.pace {
        Pace::Closed { outstanding: 0 } => {}
        Pace::Closed { outstanding } => submitter.closed(outstanding, plan.end_ns)?,
        Pace::Open { every_ns } => submitter.open(every_ns, plan.end_ns)?,
        Pace::Spaced { every_ns } => submitter.spaced(every_ns, plan.end_ns)?,
    }
    if !stream.wait_delivered(submitter.last, clock::now_ns() + DONE_WITHIN_NS) {
        let (partition, missing) = (stream.partition(), submitter.last - stream.delivered());
        return Err(format!("partition {partition}: {missing} logs were not delivered when the load had ended"));
    }
    Ok(submitter.last - first)
}

/// One submitting thread's state.
pub(super) struct Submitter<'a> {
    stream: &'a Stream,
    sizes: Sizes,
    buffer: Vec<u8>,
    /// The last log's sequence number.
    last: u64,
}

impl<'a> Submitter<'a> {
    /// Goes on behind what was delivered here.
    pub(super) fn new(stream: &'a Stream, sizes: Sizes) -> Self {
        Self { stream, sizes, buffer: vec![0x5a; sizes.max()], last: stream.delivered() }
    }

    /// The last log's sequence number.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Submits the next log; `stamp` is when its latency counts from, or 0.
    pub(super) fn submit(&mut self, stamp: u64) -> Result<(), String> {
        let sequence = self.last + 1;
        let log = &mut self.buffer[..self.sizes.of(sequence)];
        payload::mark(log, sequence, stamp);
        helper::submit(log, self.stream.partition()).map_err(|error| format!("log {sequence} was refused: {error}"))?;
        self.last = sequence;
        Ok(())
    }

    /// Keeps `outstanding` logs undelivered until `end_ns`.
    pub(super) fn closed(&mut self, outstanding: u64, end_ns: u64) -> Result<(), String> {
        let timed_every = if outstanding >= TIMED_SPARSELY_FROM { TIMED_EVERY } else { 1 };
        // With one outstanding that is all of it; with more the submitter sleeps until half are done.
        let left_when_woken = outstanding / 2;
        while clock::now_ns() < end_ns && !self.stream.has_failed() {
            while self.last - self.stream.delivered() < outstanding {
                let timed = self.last.is_multiple_of(timed_every);
                let now = if timed { clock::now_ns() } else { 0 };
                // As fast as they are delivered this loop alone never ends. Timed logs only: the clock costs.
                if now >= end_ns || self.stream.has_failed() {
                    return Ok(());
                }
                self.submit(now)?;
            }
            let patience = clock::now_ns() + DONE_WITHIN_NS;
            if !self.stream.wait_delivered(self.last - left_when_woken, patience) {
                return Err(format!("partition {}: nothing is delivered any more", self.stream.partition()));
            }
        }
        Ok(())
    }

    fn open(&mut self, every_ns: f64, end_ns: u64) -> Result<(), String> {
        let start = clock::now_ns();
        for number in 0u64.. {
            let due = start + (number as f64 * every_ns) as u64;
            if due >= end_ns || self.stream.has_failed() {
                break;
            }
            clock::sleep_until(due);
            self.submit(due)?;
        }
        Ok(())
    }

    fn spaced(&mut self, every_ns: u64, end_ns: u64) -> Result<(), String> {
        let mut due = clock::now_ns();
        while due < end_ns && !self.stream.has_failed() {
            clock::sleep_until(due);
            self.submit(0)?;
            if !self.stream.wait_delivered(self.last, clock::now_ns() + DONE_WITHIN_NS) {
                return Err(format!("partition {}: a long log is not delivered", self.stream.partition()));
            }
            due = clock::now_ns().max(due + every_ns);
        }
        Ok(())
    }
}
