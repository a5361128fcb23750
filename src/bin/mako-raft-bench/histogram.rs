//! Latencies, counted in buckets whose width grows with the value: at most 1.6 % wide, so a percentile
//! is exact to that, and recording costs an addition and no allocation.

use std::sync::atomic::{AtomicU64, Ordering};

/// Each power of two is divided into so many buckets.
const PER_OCTAVE: u64 = 64;
const PER_OCTAVE_BITS: u32 = PER_OCTAVE.trailing_zeros();
/// Longest value told apart: 2^40 ns are 18 minutes, longer than any wait of a run.
const TOP_BITS: u32 = 40;
const BUCKETS: usize = ((TOP_BITS - PER_OCTAVE_BITS + 1) as u64 * PER_OCTAVE) as usize;

/// Counts of nanoseconds. One thread records, any thread reads.
pub struct Histogram {
    buckets: Vec<AtomicU64>,
    count: AtomicU64,
    max: AtomicU64,
}

/// What a report says about a histogram, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Values recorded.
    pub count: u64,
    /// Half of them are at most this long,
    pub p50: u64,
    /// 90 %,
    pub p90: u64,
    /// 99 %,
    pub p99: u64,
    /// 99.9 %.
    pub p999: u64,
    /// The longest, exactly.
    pub max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            count: AtomicU64::new(0),
            max: AtomicU64::new(0),
        }
    }
}

fn bucket_of(ns: u64) -> usize {
    let ns = ns.min((1 << TOP_BITS) - 1);
    let octave = (u64::BITS - ns.leading_zeros()).saturating_sub(PER_OCTAVE_BITS + 1);
    // Below two octaves' worth of buckets each value has its own.
    (u64::from(octave) * PER_OCTAVE + (ns >> octave)) as usize
}

/// The longest value that the bucket holds: a percentile is never reported too short.
fn upper_edge(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * PER_OCTAVE {
        return bucket;
    }
    let octave = bucket / PER_OCTAVE - 1;
    let mantissa = bucket - octave * PER_OCTAVE;
    ((mantissa + 1) << octave) - 1
}

/// A counter with one writer needs no read-modify-write.
fn bump(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
}

impl Histogram {
    /// Counts one value. Only one thread may record.
    pub fn record(&self, ns: u64) {
        bump(&self.buckets[bucket_of(ns)], 1);
        bump(&self.count, 1);
        if ns > self.max.load(Ordering::Relaxed) {
            self.max.store(ns, Ordering::Relaxed);
        }
    }

    /// Adds another's values.
    pub fn merge(&self, other: &Histogram) {
        for (mine, theirs) in self.buckets.iter().zip(&other.buckets) {
            bump(mine, theirs.load(Ordering::Relaxed));
        }
        bump(&self.count, other.count.load(Ordering::Relaxed));
        self.max.fetch_max(other.max.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    fn percentile(&self, per_mille: u64) -> u64 {
        let count = self.count.load(Ordering::Relaxed);
        let wanted = (count * per_mille).div_ceil(1_000).max(1);
        let mut seen = 0;
        for (bucket, cell) in self.buckets.iter().enumerate() {
            seen += cell.load(Ordering::Relaxed);
            if seen >= wanted {
                return upper_edge(bucket).min(self.max.load(Ordering::Relaxed));
            }
        }
        0
    }

    /// The report's figures.
    pub fn summary(&self) -> Summary {
        Summary {
            count: self.count.load(Ordering::Relaxed),
            p50: self.percentile(500),
            p90: self.percentile(900),
            p99: self.percentile(990),
            p999: self.percentile(999),
            max: self.max.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_is_at_most_a_64th_below_its_edge() {
        let values = (0..40).flat_map(|bit| [1u64 << bit, (1 << bit) + 1, (1 << bit) * 3 / 2, (2 << bit) - 1]);
        for value in values.filter(|&value| value < 1 << TOP_BITS) {
            let edge = upper_edge(bucket_of(value));
            assert!(value <= edge && edge - value <= value / PER_OCTAVE, "{value}: {edge}");
        }
        assert!(bucket_of(u64::MAX) < BUCKETS);
    }

    #[test]
    fn percentiles_of_a_thousand_values_are_theirs() {
        let histogram = Histogram::default();
        (1..=1_000).for_each(|us| histogram.record(us * 1_000));
        let Summary { count, p50, p99, p999, max, .. } = histogram.summary();
        assert_eq!((count, max), (1_000, 1_000_000));
        for (got, wanted) in [(p50, 500_000), (p99, 990_000), (p999, 999_000)] {
            assert!((wanted..wanted + wanted / 60).contains(&got), "{got} for {wanted}");
        }
    }

    #[test]
    fn an_empty_one_reports_zeros() {
        assert_eq!(Histogram::default().summary(), Summary::default());
    }
}
