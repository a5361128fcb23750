//! What other systems reached, typed in by hand, beside ours of the same cell.
//!
//! `performance/peers.json`; a field that is missing or null is not shown:
//!
//! ```json
//! { "peers": [
//!   { "name": "NuRaft raft_bench",
//!     "version": "commit or release",
//!     "setting": "3 servers on loopback, in memory, 4 clients",
//!     "machine": "of theirs; left out when it is the report's",
//!     "date": "2026-11-25",
//!     "same_run": true,
//!     "figures": [
//!       { "cell": "rate/1024/64", "what": "256 B, 64 clients", "logs_per_s": 38000, "mb_per_s": 9.7,
//!         "p50_us": 375, "p99_us": 900 } ] } ] }
//! ```
//!
//! `same_run`: measured between our repeats, within minutes; else the machine may have been another one in all
//! but name. `cell` is the name in the report's long table that comes nearest; `what` says what theirs was, where
//! it differs. Figures are theirs as their tool counts them.

use std::fmt::Write;
use std::path::Path;

use crate::figures_text;
use crate::json::Json;
use crate::run::Figures;

use super::results::{bandwidth, p50, p99, rate, Results};

/// Its name in the report's folder for parts.
const FILE: &str = "peers.json";

/// The file; without systems where there is none.
#[derive(Debug, Default, PartialEq)]
pub struct Peers(Vec<Peer>);

#[derive(Debug, PartialEq)]
struct Peer {
    name: String,
    version: String,
    setting: String,
    machine: Option<String>,
    date: String,
    same_run: bool,
    figures: Vec<PeerFigure>,
}

#[derive(Debug, PartialEq)]
struct PeerFigure {
    cell: String,
    what: Option<String>,
    logs_per_s: Option<f64>,
    mb_per_s: Option<f64>,
    p50_us: Option<f64>,
    p99_us: Option<f64>,
}

impl Peers {
    /// Reads the file in `folder`.
    ///
    /// # Errors
    /// It can't be read, or not understood.
    pub fn load(folder: &Path) -> Result<Self, String> {
        let read = |json: &Json| json.items("peers")?.iter().map(read_peer).collect::<Result<_, _>>().map(Self);
        Ok(super::load(&folder.join(FILE), read)?.unwrap_or_default())
    }

    /// Theirs and ours; nothing where there are none.
    pub fn table(&self, results: &Results) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let mut text = String::from(
            "## Others\n\nTheirs, then ours in the nearest cell of this report. Written by hand, in `performance/peers.json`. \
             Not \"same run\": taken at another time, so only a factor of two or more means anything.\n\n\
             | system | what | logs/s | MB/s | p50 | p99 | taken |\n|---|---|---|---|---|---|---|\n",
        );
        for peer in &self.0 {
            for figure in &peer.figures {
                let _ = writeln!(text, "{}", peer.row(figure, results));
            }
        }
        text + "\n"
    }
}

impl Peer {
    fn row(&self, figure: &PeerFigure, results: &Results) -> String {
        let Self { name, version, setting, machine, date, same_run, .. } = self;
        let PeerFigure { cell, what, .. } = figure;
        let what = what.as_ref().map_or(cell.clone(), |what| format!("{what}; ours: {cell}"));
        let both = |theirs: Option<f64>, ours: fn(&Figures) -> f64, show: fn(f64) -> String| {
            let ours = || results.spread(cell, ours).map_or("-".into(), |spread| show(spread.median));
            theirs.map_or("-".into(), |theirs| format!("{}; {}", show(theirs), ours()))
        };
        let machine = machine.as_ref().map_or(String::new(), |machine| format!(", on {machine}"));
        let when = if *same_run { ", same run" } else { "" };
        format!(
            "| {name} {version}: {setting} | {what} | {} | {} | {} | {} | {date}{when}{machine} |",
            both(figure.logs_per_s, rate, figures_text::rate),
            both(figure.mb_per_s, bandwidth, figures_text::short),
            both(figure.p50_us.map(|us| us * 1e3), p50, figures_text::time),
            both(figure.p99_us.map(|us| us * 1e3), p99, figures_text::time),
        )
    }
}

fn read_peer(json: &Json) -> Result<Peer, String> {
    let text = |name: &str| json.text(name).map(str::to_owned);
    let name = text("name")?;
    let rest = || -> Result<Peer, String> {
        let Json::Bool(same_run) = *json.get("same_run")? else { return Err("\"same_run\" is true or false".into()) };
        Ok(Peer {
            version: text("version")?,
            setting: text("setting")?,
            machine: json.find("machine").map(|_| text("machine")).transpose()?,
            date: text("date")?,
            same_run,
            figures: json.items("figures")?.iter().map(read_figure).collect::<Result<_, _>>()?,
            name: name.clone(),
        })
    };
    rest().map_err(|what| format!("{name}: {what}"))
}

fn read_figure(json: &Json) -> Result<PeerFigure, String> {
    let number = |name: &str| json.find(name).map(|_| json.number(name)).transpose();
    Ok(PeerFigure {
        cell: json.text("cell")?.to_owned(),
        what: json.find("what").map(|_| json.text("what").map(str::to_owned)).transpose()?,
        logs_per_s: number("logs_per_s")?,
        mb_per_s: number("mb_per_s")?,
        p50_us: number("p50_us")?,
        p99_us: number("p99_us")?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::results::Series;
    use super::*;
    use crate::scratch::Scratch;

    const ONE: &str = r#"{ "peers": [ { "name": "Other", "version": "1.2", "setting": "3 servers", "date": "2026-11-25",
        "same_run": true, "figures": [ { "cell": "rate/1024/64", "what": "256 B, 64 clients", "logs_per_s": 38000,
        "p50_us": 375.0, "p99_us": null } ] } ] }"#;

    fn load(text: &str) -> Result<Peers, String> {
        let scratch = Scratch::new(None).unwrap();
        std::fs::write(scratch.path().join(FILE), text).unwrap();
        Peers::load(scratch.path())
    }

    #[test]
    fn theirs_stand_beside_ours_of_the_named_cell() {
        let mut results = Results::default();
        let figures = Figures { logs_per_s: 300_000.0, ..Figures::default() };
        results.series.push(Series { repeats: vec![Some(figures)], ..Series::of_floor("rate/1024/64", "") });
        let text = load(ONE).unwrap().table(&results);
        let row = "| Other 1.2: 3 servers | 256 B, 64 clients; ours: rate/1024/64 | 38 k/s; 300 k/s | - | 375 µs; 0 µs | - | \
                   2026-11-25, same run |";
        assert!(text.contains(row), "{text}");
        assert!(load(ONE).unwrap().table(&Results::default()).contains("| 38 k/s; - |"), "ours may be missing");
    }

    #[test]
    fn no_file_and_no_systems_are_no_table() {
        let scratch = Scratch::new(None).unwrap();
        assert_eq!(Peers::load(scratch.path()), Ok(Peers::default()));
        assert_eq!(load(r#"{"peers": []}"#).unwrap().table(&Results::default()), "");
    }

    #[test]
    fn what_is_missing_is_named_with_its_system() {
        let error = load(&ONE.replace("\"date\"", "\"day\"")).unwrap_err();
        assert!(error.ends_with("peers.json: Other: \"date\" is missing"), "{error}");
        assert!(load(&ONE.replace("38000", "\"many\"")).unwrap_err().contains("\"logs_per_s\" is not a number"));
    }
}
