//! A logger that keeps every line of the present test, so that a test can wait for one.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

/// By when a line must have come.
const SOON: Duration = Duration::from_secs(30);

pub struct Lines {
    lines: Mutex<Vec<(log::Level, String)>>,
    added: Condvar,
    held: Mutex<Option<(&'static str, Receiver<()>)>>,
}

/// The only logger of the test program.
pub static LINES: Lines = Lines { lines: Mutex::new(Vec::new()), added: Condvar::new(), held: Mutex::new(None) };

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.lock().push((record.level(), record.args().to_string()));
        self.added.notify_all();
        let held = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.take_if(|(part, _)| record.args().to_string().contains(*part))
        };
        if let Some((_, released)) = held {
            // Ends when the test lets go of the sender.
            let _ = released.recv_timeout(SOON);
        }
    }

    fn flush(&self) {}
}

impl Lines {
    /// Installs it, once, and forgets the lines of the former test.
    pub fn begin(&'static self) {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(|| {
            log::set_logger(self).expect("the only logger of this process");
            log::set_max_level(log::LevelFilter::Info);
        });
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(log::Level, String)>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lines of a level that contain `part`, once there are `count` of them.
    pub fn wait(&self, level: log::Level, part: &str, count: usize) -> Vec<String> {
        let deadline = Instant::now() + SOON;
        let mut lines = self.lock();
        loop {
            let found: Vec<String> = matching(&lines, level, part);
            if found.len() >= count {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{count} x {level} {part:?} not among {lines:#?}");
            lines = self.added.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Holds the thread that writes the next line with `part` in it, until what this gives is dropped.
    #[allow(dead_code, reason = "not every program that waits for lines holds one")]
    pub fn hold(&self, part: &'static str) -> Sender<()> {
        let (release, released) = mpsc::channel();
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some((part, released));
        release
    }

    /// Those that there are.
    #[allow(dead_code, reason = "not every program that waits for lines counts them")]
    pub fn now(&self, level: log::Level, part: &str) -> Vec<String> {
        matching(&self.lock(), level, part)
    }
}

fn matching(lines: &[(log::Level, String)], level: log::Level, part: &str) -> Vec<String> {
    lines.iter().filter(|(l, text)| *l == level && text.contains(part)).map(|(_, text)| text.clone()).collect()
}
