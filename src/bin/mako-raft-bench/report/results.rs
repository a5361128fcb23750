//! Repeats of each figure, their median and spread.

use crate::cell::Cell;
use crate::failover::FailOver;
use crate::run::Figures;

/// What was measured.
#[derive(Default)]
pub struct Results {
    /// In the order of the plan. Floors count as figures with a latency or a bandwidth.
    pub series: Vec<Series>,
    /// In the order in which they were made.
    pub failovers: Vec<FailOver>,
    /// What had no figure in a repeat, and why.
    pub failures: Vec<(String, String)>,
}

/// One name's figures.
pub struct Series {
    /// As the plan calls it.
    pub name: String,
    /// What was measured, in words.
    pub what: String,
    /// What a process may take, in MiB; `None` for a floor.
    pub bound_mib: Option<f64>,
    /// One for each repeat; `None` where there was no figure.
    pub repeats: Vec<Option<Figures>>,
}

impl Series {
    /// Of a cell, without a figure yet.
    pub fn of_cell(name: &str, cell: &Cell) -> Self {
        let bound_mib = Some(cell.memory_bound_bytes() as f64 / f64::from(1 << 20));
        Self { name: name.to_owned(), what: cell.describe(), bound_mib, repeats: Vec::new() }
    }

    /// Of a floor, without a figure yet.
    pub fn of_floor(name: &str, what: &str) -> Self {
        Self { name: name.to_owned(), what: what.to_owned(), bound_mib: None, repeats: Vec::new() }
    }

    /// The spread of one number.
    pub fn spread(&self, number: impl Fn(&Figures) -> f64) -> Option<Spread> {
        Spread::of(self.repeats.iter().flatten().map(number).collect())
    }
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

    /// In another unit.
    pub fn scaled(self, by: f64) -> Self {
        Self { median: self.median * by, min: self.min * by, max: self.max * by }
    }
}

impl Results {
    /// What is called `name`.
    pub fn find(&self, name: &str) -> Option<&Series> {
        self.series.iter().find(|series| series.name == name)
    }

    /// The spread of one number of what is called `name`.
    pub fn spread(&self, name: &str, number: impl Fn(&Figures) -> f64) -> Option<Spread> {
        self.find(name)?.spread(number)
    }

    /// The spread of a quotient of two numbers, each taken in the same repeat.
    pub fn ratio(&self, name: &str, to: &str, number: impl Fn(&Figures) -> f64) -> Option<Spread> {
        let pairs = self.find(name)?.repeats.iter().zip(&self.find(to)?.repeats);
        let quotient = |(a, b): (&Option<Figures>, &Option<Figures>)| Some(number(a.as_ref()?) / number(b.as_ref()?));
        Spread::of(pairs.filter_map(quotient).collect())
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

/// The most memory that any process took, in MiB.
pub fn peak_mib(figures: &Figures) -> f64 {
    figures.processes.iter().map(|process| process.peak_mib).fold(0.0, f64::max)
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

    #[test]
    fn a_quotient_takes_both_of_its_numbers_from_the_same_repeat() {
        let series = |name: &str, rates: [Option<f64>; 3]| {
            let figures = |rate: f64| Figures { logs_per_s: rate, ..Figures::default() };
            Series { repeats: rates.map(|r| r.map(figures)).to_vec(), ..Series::of_floor(name, "") }
        };
        let mut results = Results::default();
        results.series.push(series("ours", [Some(10.0), None, Some(30.0)]));
        results.series.push(series("floor", [Some(20.0), Some(1.0), Some(60.0)]));
        assert_eq!(results.ratio("ours", "floor", rate), Some(Spread { median: 0.5, min: 0.5, max: 0.5 }));
        assert_eq!(results.ratio("ours", "none", rate), None);
    }
}
