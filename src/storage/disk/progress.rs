//! Says how far the reading of a long log has come. It can take minutes, and a start shows nothing else meanwhile.

use std::path::Path;
use std::time::{Duration, Instant};

/// So often it is said.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// Looking at the clock for every record would cost more than short records do.
const LOOK_BYTES: u64 = 1 << 20;

/// Where the time comes from, and where the lines go.
pub(super) struct Teller<'a> {
    pub now: &'a dyn Fn() -> Instant,
    pub say: &'a dyn Fn(String),
}

/// How far it has come.
pub(super) struct Progress<'a> {
    teller: Teller<'a>,
    directory: &'a Path,
    all_bytes: u64,
    read_bytes: u64,
    look_at_bytes: u64,
    said_at: Instant,
}

impl<'a> Progress<'a> {
    /// At the beginning of the log in `directory`, whose files have `all_bytes`.
    pub fn new(teller: Teller<'a>, directory: &'a Path, all_bytes: u64) -> Self {
        let said_at = (teller.now)();
        Self { teller, directory, all_bytes, read_bytes: 0, look_at_bytes: LOOK_BYTES, said_at }
    }

    /// So many more bytes were read.
    pub fn read(&mut self, bytes: u64) {
        self.read_bytes += bytes;
        if self.read_bytes < self.look_at_bytes {
            return;
        }
        self.look_at_bytes = self.read_bytes + LOOK_BYTES;
        let now = (self.teller.now)();
        if now.duration_since(self.said_at) < SAY_EVERY {
            return;
        }
        self.said_at = now;
        let [read, all] = [self.read_bytes, self.all_bytes].map(|bytes| bytes / 1_000_000);
        (self.teller.say)(format!("{}: {read} of at most {all} MB are read; it starts when all are", self.directory.display()));
    }
}
