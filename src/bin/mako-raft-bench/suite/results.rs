//! Repeats of each figure, their median and spread.

use std::collections::BTreeMap;

use crate::failover::FailOver;
use crate::run::Figures;

/// What was measured, by name, one per repeat.
#[derive(Default)]
pub struct Results {
    /// Floors count as figures with a latency or a bandwidth.
    pub figures: BTreeMap<String, Vec<Figures>>,
    /// In the order in which they were made.
    pub failovers: Vec<FailOver>,
    /// Cells that had no figure in a repeat, and why.
    pub failures: Vec<(String, String)>,
}

/// The middle of some numbers, and how far they lie apart.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Of these; `None` of none.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Self { median, min, max })
    }
}

impl Results {
    /// The spread of one number of the cell called `name`.
    pub fn spread(&self, name: &str, number: impl Fn(&Figures) -> f64) -> Option<Spread> {
        Spread::of(self.figures.get(name)?.iter().map(number).collect())
    }

    /// The spread of a quotient of two cells' numbers, each taken in the same repeat.
    pub fn ratio(&self, name: &str, to: &str, number: impl Fn(&Figures) -> f64) -> Option<Spread> {
        let pairs = self.figures.get(name)?.iter().zip(self.figures.get(to)?);
        Spread::of(pairs.map(|(a, b)| number(a) / number(b)).collect())
    }
}

/// Half of the values lie below and half above, in nanoseconds.
pub fn p50(figures: &Figures) -> f64 {
    figures.latency.p50 as f64
}

/// One in a hundred is longer, in nanoseconds.
pub fn p99(figures: &Figures) -> f64 {
    figures.latency.p99 as f64
}

/// Logs per second.
pub fn rate(figures: &Figures) -> f64 {
    figures.logs_per_s
}

/// 10^6 bytes per second.
pub fn bandwidth(figures: &Figures) -> f64 {
    figures.mb_per_s
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        let spread = Spread::of(vec![4.0, 1.0, 2.0, 10.0]).unwrap();
        assert_eq!(spread, Spread { median: 3.0, min: 1.0, max: 10.0 });
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
