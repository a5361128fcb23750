//! The long run's figures, what "flat" means, and its section of the report.

use std::fmt::Write;

use crate::figures_text;
use crate::json::Json;

use super::kept::Kept;
use super::plot::{Line, Plot, Scale};
use super::plots::Picture;
use super::results::Spread;

/// Flat: the last third's median is at most so many times that of the first (a rate: at least one such part).
const FLAT_FACTOR: f64 = 1.2;
/// Flat memory: the last third's greatest is at most so many times that of the first, and so much more.
const FLAT_MEMORY_FACTOR: f64 = 1.05;
const FLAT_MEMORY_MIB: f64 = 16.0;

/// A long run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Endurance {
    /// Processor, cores, memory, kernel.
    pub machine: String,
    /// What was built.
    pub commit: String,
    /// Year, month, day.
    pub date: String,
    /// The load, in words.
    pub load: String,
    /// Before the first interval.
    pub warmup_s: f64,
    /// What a process may take.
    pub bound_mib: f64,
    /// Logs that were checked on every replica.
    pub verified: f64,
    /// In order.
    pub intervals: Vec<Interval>,
}

/// What one interval measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interval {
    /// Its end, from the begin.
    pub at_s: f64,
    /// Small logs per second.
    pub logs_per_s: f64,
    /// Of all logs.
    pub mb_per_s: f64,
    /// Half of the small logs took at most so long,
    pub p50_us: f64,
    /// 99 %,
    pub p99_us: f64,
    /// all.
    pub max_us: f64,
    /// Leader first.
    pub resident_mib: Vec<f64>,
    /// Leader first.
    pub cores: Vec<f64>,
}

/// One number in the first and the last third.
struct Trend {
    what: &'static str,
    first: f64,
    last: f64,
    flat: bool,
    show: fn(f64) -> String,
}

impl Kept for Endurance {
    const FILE: &'static str = "endurance.json";

    fn write(&self) -> Json {
        let numbers = |values: &[f64]| Json::list(values, |value| Json::Number(*value));
        let interval = |i: &Interval| {
            Json::object([
                ("at_s", i.at_s.into()),
                ("logs_per_s", i.logs_per_s.into()),
                ("mb_per_s", i.mb_per_s.into()),
                ("p50_us", i.p50_us.into()),
                ("p99_us", i.p99_us.into()),
                ("max_us", i.max_us.into()),
                ("resident_mib", numbers(&i.resident_mib)),
                ("cores", numbers(&i.cores)),
            ])
        };
        Json::object([
            ("machine", self.machine.clone().into()),
            ("commit", self.commit.clone().into()),
            ("date", self.date.clone().into()),
            ("load", self.load.clone().into()),
            ("warmup_s", self.warmup_s.into()),
            ("bound_mib", self.bound_mib.into()),
            ("verified_logs", self.verified.into()),
            ("flat", Json::Bool(self.is_flat())),
            ("intervals", Json::list(&self.intervals, interval)),
        ])
    }

    fn read(json: &Json) -> Result<Self, String> {
        let text = |name: &str| json.text(name).map(str::to_owned);
        Ok(Self {
            machine: text("machine")?,
            commit: text("commit")?,
            date: text("date")?,
            load: text("load")?,
            warmup_s: json.number("warmup_s")?,
            bound_mib: json.number("bound_mib")?,
            verified: json.number("verified_logs")?,
            intervals: json.items("intervals")?.iter().map(read_interval).collect::<Result<_, _>>()?,
        })
    }
}

impl Endurance {
    /// Nothing creeps, and memory is within its bound.
    pub fn is_flat(&self) -> bool {
        self.is_bounded() && self.trends().iter().all(|trend| trend.flat)
    }

    fn peak_mib(&self) -> f64 {
        self.intervals.iter().flat_map(|i| &i.resident_mib).copied().fold(0.0, f64::max)
    }

    fn is_bounded(&self) -> bool {
        self.peak_mib() <= self.bound_mib
    }

    /// Three intervals make thirds; with fewer there is no trend.
    fn trends(&self) -> Vec<Trend> {
        let third = self.intervals.len() / 3;
        if third == 0 {
            return Vec::new();
        }
        let (first, last) = (&self.intervals[..third], &self.intervals[self.intervals.len() - third..]);
        let median = |of: &[Interval], number: fn(&Interval) -> f64| {
            Spread::of(of.iter().map(number).collect()).map_or(0.0, |spread| spread.median)
        };
        let latency = |what, number: fn(&Interval) -> f64| {
            let (first, last) = (median(first, number), median(last, number));
            Trend { what, first, last, flat: last <= first * FLAT_FACTOR, show: |us| figures_text::time(us * 1e3) }
        };
        let rate = || {
            let (first, last) = (median(first, |i| i.logs_per_s), median(last, |i| i.logs_per_s));
            Trend { what: "logs/s", first, last, flat: last >= first / FLAT_FACTOR, show: figures_text::rate }
        };
        let memory = |what, process: usize| {
            let most = |of: &[Interval]| of.iter().filter_map(|i| i.resident_mib.get(process)).copied().fold(0.0, f64::max);
            let (first, last) = (most(first), most(last));
            let flat = last <= first * FLAT_MEMORY_FACTOR + FLAT_MEMORY_MIB;
            Trend { what, first, last, flat, show: |mib| format!("{mib:.0} MiB") }
        };
        vec![
            rate(),
            latency("p50", |i| i.p50_us),
            latency("p99", |i| i.p99_us),
            memory("memory of the leader", 0),
            memory("memory of the second", 1),
            memory("memory of the third", 2),
        ]
    }

    /// Its section of the report.
    pub fn section(&self) -> String {
        let Self { machine, commit, date, load, warmup_s, bound_mib, verified, intervals } = self;
        let minutes = intervals.last().map_or(0.0, |last| last.at_s / 60.0);
        let worst = intervals.iter().map(|i| i.max_us).fold(0.0, f64::max);
        let mut text = format!(
            "## {} minutes of full load\n\n{load}; {machine}; commit {commit}, {date}. {} intervals after {warmup_s} s of \
             warm-up; {verified:.0} logs in order on every replica; the longest wait of a small log was {}. Taken by \
             `scripts/bench.sh --long`, and kept when the rest of this report is taken anew.\n\n\
             | | first third | last third | |\n|---|---|---|---|\n",
            (minutes * 10.0).round() / 10.0,
            intervals.len(),
            figures_text::time(worst * 1e3),
        );
        for Trend { what, first, last, flat, show } in self.trends() {
            let verdict = if flat { "flat" } else { "NOT FLAT" };
            let _ = writeln!(text, "| {what} | {} | {} | {verdict} |", show(first), show(last));
        }
        let bounded = if self.is_bounded() { "within the bound" } else { "ABOVE THE BOUND" };
        let _ = writeln!(text, "| most memory of a process | {:.0} MiB | of {bound_mib:.0} | {bounded} |", self.peak_mib());
        let _ = writeln!(
            text,
            "\nFlat: the median of the last third of the intervals is at most {FLAT_FACTOR} times that of the first (the rate: \
             at least 1/{FLAT_FACTOR}); the greatest memory is at most {FLAT_MEMORY_FACTOR} times that of the first \
             plus {FLAT_MEMORY_MIB} MiB.\n"
        );
        text
    }

    /// Latency and memory over time.
    pub fn pictures(&self) -> Vec<Picture> {
        let line = |name: &str, number: fn(&Interval) -> f64| {
            Line::of(name, self.intervals.iter().map(|i| (i.at_s / 60.0, number(i))))
        };
        let latency = Plot {
            title: "Latency under full load",
            x: "minutes",
            y: "latency, ms",
            x_scale: Scale::Linear,
            y_scale: Scale::Logarithmic,
            x_marks: Vec::new(),
            event: None,
            lines: vec![line("p50", |i| i.p50_us / 1e3), line("p99", |i| i.p99_us / 1e3), line("longest", |i| i.max_us / 1e3)],
        };
        let resident = |index: usize| {
            move |i: &Interval| (i.at_s / 60.0, i.resident_mib.get(index).copied().unwrap_or_default())
        };
        let of_process = |index, name: &str| Line::of(name, self.intervals.iter().map(resident(index)));
        let bound = Line::of("bound", self.intervals.iter().map(|i| (i.at_s / 60.0, self.bound_mib)));
        let memory = Plot {
            title: "Resident memory under full load",
            x: "minutes",
            y: "resident, MiB",
            x_scale: Scale::Linear,
            y_scale: Scale::Linear,
            x_marks: Vec::new(),
            event: None,
            lines: vec![of_process(0, "leader"), of_process(1, "second"), of_process(2, "third"), bound],
        };
        let pictures = [
            Picture::of("endurance-latency.svg", "Latency over time under full load", &latency),
            Picture::of("endurance-memory.svg", "Resident memory over time under full load", &memory),
        ];
        pictures.into_iter().flatten().collect()
    }
}

fn read_interval(json: &Json) -> Result<Interval, String> {
    Ok(Interval {
        at_s: json.number("at_s")?,
        logs_per_s: json.number("logs_per_s")?,
        mb_per_s: json.number("mb_per_s")?,
        p50_us: json.number("p50_us")?,
        p99_us: json.number("p99_us")?,
        max_us: json.number("max_us")?,
        resident_mib: json.numbers("resident_mib")?,
        cores: json.numbers("cores")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn run(change: impl Fn(usize, &mut Interval)) -> Endurance {
        let interval = |number: usize| {
            let mut interval = Interval {
                at_s: 10.0 * (number + 1) as f64,
                logs_per_s: 500_000.0,
                mb_per_s: 512.0,
                p50_us: 800.0,
                p99_us: 3_000.0,
                max_us: 9_000.0,
                resident_mib: vec![1_100.0, 1_050.0, 1_050.0],
                cores: vec![0.9, 0.4, 0.4],
            };
            change(number, &mut interval);
            interval
        };
        let intervals = (0..9).map(interval).collect();
        Endurance { load: "1024 B".into(), bound_mib: 1_400.0, verified: 9.0, intervals, ..Endurance::default() }
    }

    #[test]
    fn one_slow_interval_is_no_creep() {
        let run = run(|number, interval| interval.p99_us *= if number == 7 { 20.0 } else { 1.0 });
        assert!(run.is_flat());
        assert!(run.section().contains("## 1.5 minutes") && !run.section().contains("NOT FLAT"));
    }

    #[test]
    fn what_creeps_is_seen() {
        let creeping: [fn(usize, &mut Interval); 4] = [
            |n, i| i.p50_us += 40.0 * n as f64,
            |n, i| i.p99_us += 300.0 * n as f64,
            |n, i| i.logs_per_s -= 20_000.0 * n as f64,
            |n, i| i.resident_mib[2] += 15.0 * n as f64,
        ];
        for creep in creeping {
            let run = run(creep);
            assert!(!run.is_flat());
            assert_eq!(run.section().matches("NOT FLAT").count(), 1, "{}", run.section());
        }
    }

    #[test]
    fn memory_above_its_bound_is_not_flat() {
        let run = run(|_, interval| interval.resident_mib[1] = 1_500.0);
        assert!(!run.is_flat() && run.section().contains("ABOVE THE BOUND"));
    }

    #[test]
    fn a_run_is_read_as_it_was_saved() {
        let scratch = Scratch::new(None).unwrap();
        assert_eq!(Endurance::load(scratch.path()), Ok(None));
        let run = run(|_, _| {});
        run.save(scratch.path()).unwrap();
        assert_eq!(Endurance::load(scratch.path()), Ok(Some(run)));
    }
}
