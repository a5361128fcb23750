//! A replica that is stopped (SIGSTOP), and goes on whatever becomes of this process.
//!
//! A stopped process does not see that its input has ended, so it would stay for ever if this one were killed. A
//! watcher, which is this program too, waits for the end of its own input, which comes with the end of this process
//! at the latest, and continues it.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::process::{kill_process, Pid, Signal};

use crate::arguments::Arguments;

/// A stopped process; goes on when this is dropped.
pub struct Stopped {
    id: Pid,
    watcher: Child,
}

impl Stopped {
    /// Stops the process.
    ///
    /// # Errors
    /// It is gone, or the watcher can't be started.
    pub fn new(id: Pid) -> io::Result<Self> {
        let watcher = Command::new(std::env::current_exe()?)
            .args(["watcher", &id.as_raw_nonzero().to_string()])
            .stdin(Stdio::piped())
            // Out of the terminal's group: Ctrl-C must not end it first.
            .process_group(0)
            .spawn()?;
        let stopped = Self { id, watcher };
        kill_process(id, Signal::STOP)?;
        Ok(stopped)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill_process(self.id, Signal::CONT);
        // The end of its input. Waited for, so that it signals no other process that has the number by then.
        drop(self.watcher.stdin.take());
        let _ = self.watcher.wait();
    }
}

/// `watcher PID`: continues the process at the end of the input.
///
/// # Errors
/// The argument is no process.
pub fn run_watcher(arguments: &mut Arguments) -> Result<(), String> {
    let id = Pid::from_raw(arguments.value("watcher")?).filter(|id| id.as_raw_nonzero().get() > 1);
    let id = id.ok_or("watcher takes the number of a process")?;
    let _ = io::stdin().lock().read(&mut [0]);
    // Where it has ended by itself, that is well.
    let _ = kill_process(id, Signal::CONT);
    Ok(())
}
