//! Says how far a long measurement is.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// On a terminal one line that is rewritten.
pub struct Progress {
    begin: Instant,
    done: usize,
    total: usize,
    terminal: bool,
}

impl Progress {
    /// Of `total` steps.
    pub fn new(total: usize) -> Self {
        Self { begin: Instant::now(), done: 0, total, terminal: std::io::stderr().is_terminal() }
    }

    /// Since the begin.
    pub fn took(&self) -> Duration {
        self.begin.elapsed()
    }

    /// The next step begins.
    pub fn step(&mut self, name: &str) {
        if self.terminal {
            let seconds = self.begin.elapsed().as_secs();
            let left = seconds * (self.total - self.done) as u64 / self.done.max(1) as u64;
            let left = if self.done > 0 { format!(", about {left} s left") } else { String::new() };
            eprint!("\r\x1b[K[{}/{}] {name}, {seconds} s{left}", self.done + 1, self.total);
            let _ = std::io::stderr().flush();
        }
        self.done += 1;
    }

    /// A line that stays.
    pub fn say(&self, line: &str) {
        self.clear();
        eprintln!("{line}");
    }

    /// Leaves the terminal's line to others.
    pub fn clear(&self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }
}
