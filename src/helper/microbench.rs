//! `microbench_paxos`: a closed loop of small logs through everything but Mako.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::runtime::{Port, Refusal, Waited};

use super::submission::explain;
use super::{directory, lifecycle, refuse_in_callback, HelperError};

/// What the helper being replaced sends.
const LOG: &[u8; 5] = b"mbnch";
/// Where `-n` and `-T` are not given.
const OUTSTANDING_DEFAULT: u64 = 32;
const TOTAL_DEFAULT: u64 = 100_000;
/// A log whose fate is unknown for so long ends the run: nothing is being committed.
const STALL: Duration = Duration::from_secs(30);

/// Keeps `-n` logs of 5 bytes outstanding in each partition led here until `-T` of them are done, then
/// logs one line with the rate and the latency. They are ordinary logs: the registered callbacks get them.
///
/// # Errors
/// `Order` inside a callback or before `setup2`; `NotLeader` when no partition is led here, with the site
/// that leads the first, or when leadership was lost meanwhile; `QueueFull`, `ShutDown` and `Internal` as a submission;
/// `Unfinished` when nothing was committed for 30 s.
pub fn microbench() -> Result<(), HelperError> {
    refuse_in_callback("microbench")?;
    let instance = lifecycle::running("microbench")?;
    let arguments = &instance.configuration.arguments;
    let outstanding = arguments.outstanding.unwrap_or(OUTSTANDING_DEFAULT).max(1);
    let total = arguments.total.unwrap_or(TOTAL_DEFAULT);
    let led: Vec<Arc<Port>> = directory::served_ports().into_iter().filter(|port| port.is_leading()).collect();
    if led.is_empty() {
        return Err(instance.runtime.ports().first().map_or(HelperError::NotLeader { leader: None }, |port| why_not(port)));
    }
    let started = Instant::now();
    let results: Vec<Result<Latencies, HelperError>> = std::thread::scope(|scope| {
        let runs: Vec<_> = led.iter().map(|port| scope.spawn(|| run(&**port, outstanding, total))).collect();
        let panicked = |_| Err(HelperError::Internal("microbench: a thread panicked".into()));
        runs.into_iter().map(|run| run.join().unwrap_or_else(panicked)).collect()
    });
    let elapsed = started.elapsed();
    let mut latencies = Latencies::default();
    for result in results {
        latencies.add_all(&result?);
    }
    let rate = latencies.count as f64 / elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
    log::info!(
        "microbench: {} logs of {} bytes on {} partitions, {outstanding} outstanding in each: {rate:.0} logs/s, \
         latency p50 {} us, p90 {} us, p99 {} us, p99.9 {} us",
        latencies.count,
        LOG.len(),
        led.len(),
        latencies.at(0.5),
        latencies.at(0.9),
        latencies.at(0.99),
        latencies.at(0.999),
    );
    Ok(())
}

/// Why the partition's logs are not taken.
fn why_not(port: &Port) -> HelperError {
    explain(port.refusal().unwrap_or(Refusal::NotLeader(port.leader())), port)
}

/// What the loop asks of a partition.
trait Target {
    /// The ticket of a log of its own.
    fn submit(&self) -> Result<u64, HelperError>;
    /// Returns when the fate of the log with this ticket is known.
    fn wait(&self, ticket: u64) -> Result<(), HelperError>;
    fn settled(&self) -> u64;
    fn lost(&self) -> u64;
    fn why_not(&self) -> HelperError;
}

impl Target for Port {
    fn submit(&self) -> Result<u64, HelperError> {
        Port::submit(self, LOG).map_err(|refusal| explain(refusal, self))
    }

    fn wait(&self, ticket: u64) -> Result<(), HelperError> {
        match self.wait_settled(ticket, Instant::now() + STALL) {
            Waited::Settled => Ok(()),
            // Where it leads again by now, that is another leadership.
            Waited::Ended => Err(why_not(self)),
            Waited::TimedOut => {
                let text = format!("microbench: partition {}: nothing was committed for {STALL:?}", self.partition());
                Err(HelperError::Unfinished(text))
            }
        }
    }

    fn settled(&self) -> u64 {
        Port::settled(self)
    }

    fn lost(&self) -> u64 {
        self.counters().lost
    }

    fn why_not(&self) -> HelperError {
        why_not(self)
    }
}

/// One partition's closed loop.
fn run(port: &impl Target, outstanding: u64, total: u64) -> Result<Latencies, HelperError> {
    let mut latencies = Latencies::default();
    let lost_before = port.lost();
    let mut in_flight: VecDeque<(u64, Instant)> = VecDeque::new();
    let mut sent = 0;
    while sent < total || !in_flight.is_empty() {
        while sent < total && (in_flight.len() as u64) < outstanding {
            let submitted_at = Instant::now();
            let ticket = port.submit()?;
            in_flight.push_back((ticket, submitted_at));
            sent += 1;
        }
        let Some(&(oldest, _)) = in_flight.front() else { break };
        port.wait(oldest)?;
        let (settled, now) = (port.settled(), Instant::now());
        // Read behind what is settled: logs that are lost with leadership are settled too, and not done.
        if port.lost() > lost_before {
            return Err(port.why_not());
        }
        while let Some(&(ticket, submitted_at)) = in_flight.front() {
            if ticket > settled {
                break;
            }
            latencies.add(now - submitted_at);
            in_flight.pop_front();
        }
    }
    Ok(latencies)
}

/// Sixteen steps per doubling: a percentile is at most 6 % off, and `-T` may be any number.
const STEPS: usize = 16;

/// A histogram of microseconds.
struct Latencies {
    count: u64,
    buckets: Vec<u64>,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { count: 0, buckets: vec![0; STEPS * 64] }
    }
}

impl Latencies {
    fn add(&mut self, latency: Duration) {
        self.count += 1;
        self.buckets[bucket(latency.as_micros() as u64)] += 1;
    }

    fn add_all(&mut self, other: &Latencies) {
        self.count += other.count;
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(sum, add)| *sum += add);
    }

    /// The latency that this share of the logs does not exceed, in microseconds.
    fn at(&self, share: f64) -> u64 {
        let rank = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (index, &count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank && count > 0 {
                return bucket_start(index);
            }
        }
        0
    }
}

fn bucket(us: u64) -> usize {
    if us < STEPS as u64 {
        return us as usize;
    }
    let doublings = us.ilog2() as usize - STEPS.ilog2() as usize;
    doublings * STEPS + (us >> doublings) as usize
}

fn bucket_start(index: usize) -> u64 {
    if index < 2 * STEPS {
        return index as u64;
    }
    let doublings = index / STEPS - 1;
    ((index % STEPS + STEPS) as u64) << doublings
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_bucket_starts_at_or_below_what_is_put_into_it_by_a_sixteenth_at_most() {
        for us in (0..200).chain([1_000, 65_535, 65_536, 1 << 40, u64::MAX]) {
            let start = bucket_start(bucket(us));
            assert!(start <= us && us - start <= us / STEPS as u64, "{us} is put at {start}");
        }
    }

    /// Takes every log; the last of these are lost with leadership, after all were taken.
    struct Deposed {
        taken: Cell<u64>,
        keeps: u64,
    }

    impl Target for Deposed {
        fn submit(&self) -> Result<u64, HelperError> {
            self.taken.set(self.taken.get() + 1);
            Ok(self.taken.get())
        }

        fn wait(&self, _ticket: u64) -> Result<(), HelperError> {
            Ok(())
        }

        fn settled(&self) -> u64 {
            self.taken.get()
        }

        fn lost(&self) -> u64 {
            self.taken.get().saturating_sub(self.keeps)
        }

        fn why_not(&self) -> HelperError {
            HelperError::NotLeader { leader: None }
        }
    }

    #[test]
    fn logs_that_are_lost_with_leadership_are_not_counted_as_done() {
        let run = |keeps| run(&Deposed { taken: Cell::new(0), keeps }, 4, 10).map(|latencies| latencies.count);
        assert_eq!(run(9), Err(HelperError::NotLeader { leader: None }));
        assert_eq!(run(10), Ok(10));
    }

    #[test]
    fn percentiles_are_those_of_what_was_added() {
        let mut latencies = Latencies::default();
        (1..=1000).for_each(|us| latencies.add(Duration::from_micros(us)));
        assert!((470..=500).contains(&latencies.at(0.5)), "{}", latencies.at(0.5));
        assert!((930..=990).contains(&latencies.at(0.99)), "{}", latencies.at(0.99));
        assert_eq!(Latencies::default().at(0.5), 0);
    }
}
