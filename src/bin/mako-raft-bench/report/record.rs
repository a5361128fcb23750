//! `performance.json`: everything that the report is written from.

use crate::failover::{self, FailOver};
use crate::figures_json;
use crate::json::Json;

use super::goals::{self, Goal};
use super::kept::Kept;
use super::results::{Results, Series};

/// A run of the standard set.
pub struct Record {
    /// Where and how.
    pub setting: Setting,
    /// What came out.
    pub results: Results,
}

/// Where and how figures were taken.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Setting {
    /// Processor, cores, memory, kernel.
    pub machine: String,
    /// What was built.
    pub commit: String,
    /// Year, month, day.
    pub date: String,
    /// Of the last minute, at the end.
    pub load_average: String,
    /// Of a cell,
    pub seconds: f64,
    /// and before it.
    pub warmup: f64,
    /// Of the set.
    pub repeats: f64,
    /// All of it.
    pub took_seconds: f64,
}

impl Setting {
    fn write(&self) -> Json {
        Json::object([
            ("machine", self.machine.clone().into()),
            ("commit", self.commit.clone().into()),
            ("date", self.date.clone().into()),
            ("load_average", self.load_average.clone().into()),
            ("seconds", self.seconds.into()),
            ("warmup", self.warmup.into()),
            ("repeats", self.repeats.into()),
            ("took_seconds", self.took_seconds.into()),
        ])
    }

    fn read(json: &Json) -> Result<Self, String> {
        let text = |name: &str| json.text(name).map(str::to_owned);
        Ok(Self {
            machine: text("machine")?,
            commit: text("commit")?,
            date: text("date")?,
            load_average: text("load_average")?,
            seconds: json.number("seconds")?,
            warmup: json.number("warmup")?,
            repeats: json.number("repeats")?,
            took_seconds: json.number("took_seconds")?,
        })
    }
}

impl Kept for Record {
    const FILE: &'static str = "performance.json";

    fn write(&self) -> Json {
        let Results { series, failovers, failures } = &self.results;
        let failure = |(name, what): &(String, String)| {
            Json::object([("name", name.clone().into()), ("what", what.clone().into())])
        };
        Json::object([
            ("setting", self.setting.write()),
            ("goals", Json::list(goals::judge(&self.results), write_goal)),
            ("cells", Json::list(series, write_series)),
            ("failovers", write_failovers(failovers)),
            ("failures", Json::list(failures, failure)),
        ])
    }

    fn read(json: &Json) -> Result<Self, String> {
        let failure = |json: &Json| Ok((json.text("name")?.to_owned(), json.text("what")?.to_owned()));
        let results = Results {
            series: json.items("cells")?.iter().map(read_series).collect::<Result<_, String>>()?,
            failovers: json.items("failovers")?.iter().map(read_failover).collect::<Result<_, String>>()?,
            failures: json.items("failures")?.iter().map(failure).collect::<Result<_, String>>()?,
        };
        Ok(Self { setting: Setting::read(json.get("setting")?)?, results })
    }
}

/// For programs that read the file; the report judges anew.
fn write_goal(goal: Goal) -> Json {
    Json::object([
        ("what", goal.what.into()),
        ("goal", goal.goal.into()),
        ("first_bar", goal.bar.into()),
        ("measured", goal.measured.into()),
        ("surface", goal.surface.into()),
        ("reached", goal.verdict.into()),
    ])
}

fn write_series(series: &Series) -> Json {
    let figures = |repeat: &Option<_>| repeat.as_ref().map_or(Json::Null, figures_json::write);
    Json::object([
        ("name", series.name.clone().into()),
        ("what", series.what.clone().into()),
        ("bound_mib", series.bound_mib.map_or(Json::Null, Json::Number)),
        ("repeats", Json::list(&series.repeats, figures)),
    ])
}

fn read_series(json: &Json) -> Result<Series, String> {
    let figures = |json: &Json| match json {
        Json::Null => Ok(None),
        json => figures_json::read(json).map(Some),
    };
    let repeats = json.items("repeats")?.iter().map(figures).collect::<Result<_, String>>()?;
    let bound_mib = json.find("bound_mib").map(|_| json.number("bound_mib")).transpose()?;
    Ok(Series { name: json.text("name")?.to_owned(), what: json.text("what")?.to_owned(), bound_mib, repeats })
}

/// Timelines are kept of those that are drawn.
fn write_failovers(failovers: &[FailOver]) -> Json {
    let drawn = failover::typical(failovers);
    Json::list(failovers, |f| {
        let is_drawn = drawn.iter().any(|(_, typical)| std::ptr::eq(*typical, f));
        let timeline: &[(f64, f64)] = if is_drawn { &f.timeline } else { &[] };
        Json::object([
            ("accepted_ms", f.accepted_ms.into()),
            ("delivered_ms", f.delivered_ms.into()),
            ("at_ms", Json::list(timeline, |step| step.0.into())),
            ("logs_in_10_ms", Json::list(timeline, |step| step.1.into())),
        ])
    })
}

fn read_failover(json: &Json) -> Result<FailOver, String> {
    Ok(FailOver {
        accepted_ms: json.number("accepted_ms")?,
        delivered_ms: json.number("delivered_ms")?,
        timeline: json.numbers("at_ms")?.into_iter().zip(json.numbers("logs_in_10_ms")?).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::Cell;
    use crate::run::Figures;
    use crate::scratch::Scratch;

    #[test]
    fn a_record_is_read_as_it_was_saved() {
        let scratch = Scratch::new(None).unwrap();
        assert!(Record::load(scratch.path()).unwrap().is_none());
        let mut results = Results::default();
        let figures = Figures { logs_per_s: 3.0, ..Figures::default() };
        results.series.push(Series { repeats: vec![Some(figures), None], ..Series::of_cell("a", &Cell::default()) });
        results.series.push(Series::of_floor("floor", "a floor"));
        results.failovers.push(FailOver { accepted_ms: 400.0, delivered_ms: 401.0, timeline: vec![(-5.0, 7.0)] });
        results.failures.push(("a".into(), "a log was out of order".into()));
        let setting = Setting { machine: "two cores".into(), repeats: 2.0, ..Setting::default() };
        let record = Record { setting, results };
        record.save(scratch.path()).unwrap();
        let read = Record::load(scratch.path()).unwrap().unwrap();
        assert_eq!(read.write(), Json::parse(&record.write().line()).unwrap());
        assert_eq!((read.setting, read.results.failovers), (record.setting, record.results.failovers));
        assert_eq!(read.results.series[0].repeats, record.results.series[0].repeats);
        std::fs::write(scratch.path().join(Record::FILE), "{}").unwrap();
        assert!(Record::load(scratch.path()).err().unwrap().contains("performance.json: \"cells\" is missing"));
    }
}
