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
        Self { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(), max: AtomicU64::new(0) }
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
        if ns > self.max.load(Ordering::Relaxed) {
            self.max.store(ns, Ordering::Relaxed);
        }
    }

    /// Adds another's values.
    pub fn merge(&self, other: &Histogram) {
        for (mine, theirs) in self.buckets.iter().zip(&other.buckets) {
            bump(mine, theirs.load(Ordering::Relaxed));
        }
        self.max.fetch_max(other.max.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// The report's figures.
    pub fn summary(&self) -> Summary {
        let mut counts = Counts::default();
        counts.add(self);
        Summary { max: self.max.load(Ordering::Relaxed), ..counts.summary() }.capped()
    }
}

impl Summary {
    /// Percentiles are edges of buckets; none is longer than the longest value.
    fn capped(self) -> Self {
        let cap = |ns: u64| ns.min(self.max);
        Self { p50: cap(self.p50), p90: cap(self.p90), p99: cap(self.p99), p999: cap(self.p999), ..self }
    }
}

/// What histograms held at a time: the difference of two is what happened in between.
#[derive(Clone)]
pub struct Counts(Vec<u64>);

impl Default for Counts {
    fn default() -> Self {
        Self(vec![0; BUCKETS])
    }
}

impl Counts {
    /// Adds what a histogram holds.
    pub fn add(&mut self, histogram: &Histogram) {
        for (mine, theirs) in self.0.iter_mut().zip(&histogram.buckets) {
            *mine += theirs.load(Ordering::Relaxed);
        }
    }

    /// What came behind `earlier`.
    pub fn since(&self, earlier: &Counts) -> Counts {
        Self(self.0.iter().zip(&earlier.0).map(|(now, then)| now - then).collect())
    }

    fn percentile(&self, count: u64, per_mille: u64) -> u64 {
        let wanted = (count * per_mille).div_ceil(1_000).max(1);
        let mut seen = 0;
        for (bucket, cell) in self.0.iter().enumerate() {
            seen += cell;
            if seen >= wanted {
                return upper_edge(bucket);
            }
        }
        0
    }

    /// The report's figures; the longest is exact to its bucket.
    pub fn summary(&self) -> Summary {
        let count = self.0.iter().sum();
        Summary {
            count,
            p50: self.percentile(count, 500),
            p90: self.percentile(count, 900),
            p99: self.percentile(count, 990),
            p999: self.percentile(count, 999),
            max: self.percentile(count, 1_000),
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

    #[test]
    fn the_difference_of_two_counts_is_what_came_in_between() {
        let (histogram, mut before, mut after) = (Histogram::default(), Counts::default(), Counts::default());
        (0..900).for_each(|_| histogram.record(10));
        before.add(&histogram);
        (0..100).for_each(|_| histogram.record(100));
        after.add(&histogram);
        let all = after.since(&Counts::default()).summary();
        assert_eq!((all.count, all.p50, all.p99), (1_000, 10, 100));
        assert_eq!(after.since(&before).summary(), Summary { count: 100, p50: 100, p90: 100, p99: 100, p999: 100, max: 100 });
    }
}
