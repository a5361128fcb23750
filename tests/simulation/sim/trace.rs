//! What happened, line by line: the transcript of a run.

use std::fmt::Write;

/// How much of a run is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// Nothing: the run is only checked.
    Nothing,
    /// What an operator or a host would see: starts, leaders, deliveries, faults.
    Story,
    /// Every message and every turn as well.
    Everything,
}

/// The lines of a run.
pub struct Trace {
    detail: Detail,
    text: String,
}

impl Trace {
    /// An empty trace.
    pub fn new(detail: Detail) -> Self {
        Self { detail, text: String::new() }
    }

    /// A line about the whole world.
    pub fn world(&mut self, now: u64, line: impl FnOnce() -> String) {
        if self.detail >= Detail::Story {
            self.push(now, "--", &line());
        }
    }

    /// A line about one process.
    pub fn story(&mut self, now: u64, process: u16, line: impl FnOnce() -> String) {
        if self.detail >= Detail::Story {
            self.push(now, &format!("p{process}"), &line());
        }
    }

    /// A line that only a reader of everything wants.
    pub fn minor(&mut self, now: u64, process: u16, line: impl FnOnce() -> String) {
        if self.detail >= Detail::Everything {
            self.push(now, &format!("p{process}"), &line());
        }
    }

    fn push(&mut self, now: u64, who: &str, line: &str) {
        let (millis, micros) = (now / 1_000, now % 1_000);
        writeln!(self.text, "{millis:>6}.{micros:03} {who:<3} {line}").expect("writing to a string");
    }

    /// Everything written so far.
    pub fn text(&self) -> &str {
        &self.text
    }
}
