//! One replica process, as the controlling process sees it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use crate::words::Words;

/// How much of a replica's log is shown when something failed.
const TAIL_LINES: usize = 30;
/// And of each line.
const TAIL_COLUMNS: usize = 300;
/// A clean end: drains and joins, 5 s and more where a peer is gone.
const QUIT_WITHIN: Duration = Duration::from_secs(20);

/// A started replica process. Killed when dropped.
pub struct ReplicaProcess {
    /// Its name in the configuration.
    pub name: String,
    child: Child,
    orders: Option<ChildStdin>,
    lines: Receiver<Words>,
    /// Arrived while another line was waited for.
    early: RefCell<VecDeque<Words>>,
    log: PathBuf,
}

impl ReplicaProcess {
    /// Starts `program node ...`, with the library `preload` loaded before the others; its log goes to a file in
    /// `directory`.
    ///
    /// # Errors
    /// It can't be started.
    pub fn start(
        program: &Path,
        preload: Option<&Path>,
        name: &str,
        arguments: &[String],
        directory: &Path,
    ) -> Result<Self, String> {
        let log = directory.join(format!("{name}.log"));
        let file = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let mut command = Command::new(program);
        if let Some(library) = preload {
            command.env("LD_PRELOAD", library);
        }
        let mut child = command
            .arg("node")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(file))
            .spawn()
            .map_err(|error| format!("starting {}: {error}", program.display()))?;
        let orders = child.stdin.take();
        let output = child.stdout.take().expect("piped");
        let (sender, lines) = std::sync::mpsc::channel();
        let process = Self { name: name.to_owned(), child, orders, lines, early: RefCell::default(), log };
        let reader = thread::Builder::new().name(format!("from {name}"));
        reader.spawn(move || forward(output, &sender)).map_err(|error| format!("a thread: {error}"))?;
        Ok(process)
    }

    /// The system's number for it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Gives an order.
    ///
    /// # Errors
    /// It has ended.
    pub fn order(&mut self, line: &str) -> Result<(), String> {
        let name = &self.name;
        let orders = self.orders.as_mut().ok_or_else(|| format!("{name} has ended"))?;
        writeln!(orders, "{line}").map_err(|error| format!("{name} takes no orders any more: {error}"))
    }

    /// Waits for the line that starts with `kind`.
    ///
    /// # Errors
    /// It reported a failure, ended, or said nothing in time.
    pub fn expect(&self, kind: &str, within: Duration) -> Result<Words, String> {
        let found = self.find(kind, within)?;
        found.ok_or_else(|| format!("{} did not say \"{kind}\" within {} s", self.name, within.as_secs()))
    }

    /// Waits for the line that starts with `kind`; `None` when it does not come in time.
    ///
    /// # Errors
    /// It reported a failure or ended.
    pub fn find(&self, kind: &str, within: Duration) -> Result<Option<Words>, String> {
        let deadline = Instant::now() + within;
        let place = self.early.borrow().iter().position(|words| words.kind == kind);
        if let Some(words) = place.and_then(|place| self.early.borrow_mut().remove(place)) {
            return Ok(Some(words));
        }
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(words) if words.kind == kind => return Ok(Some(words)),
                Ok(words) if words.kind == "failed" => return Err(format!("{}: {}", self.name, words.line)),
                // Two threads of a replica may answer in either order; each answer comes once.
                Ok(words) => self.early.borrow_mut().push_back(words),
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => return Err(format!("{} ended", self.name)),
            }
        }
    }

    /// Gives an order and waits for the answer, which starts with the same word.
    ///
    /// # Errors
    /// As of [`ReplicaProcess::order`] and [`ReplicaProcess::expect`].
    pub fn ask(&mut self, order: &str, within: Duration) -> Result<Words, String> {
        self.order(order)?;
        self.expect(order.split(' ').next().unwrap_or(order), within)
    }

    /// kill -9, and waits until it is gone.
    pub fn kill(&mut self) {
        // It has ended by itself if this fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.orders = None;
    }

    /// The end of a `quit`: waits until the process is gone.
    ///
    /// # Errors
    /// It did not end, or not well.
    pub fn ended(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + QUIT_WITHIN;
        self.expect("bye", QUIT_WITHIN)?;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(format!("{} ended with {status}", self.name)),
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(1)),
                Ok(None) => return Err(format!("{} does not end", self.name)),
                Err(error) => return Err(format!("{}: {error}", self.name)),
            }
        }
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let short = |line: &str| line.chars().take(TAIL_COLUMNS).collect();
        let lines: Vec<String> = text.lines().map(short).collect();
        let from = lines.len().saturating_sub(TAIL_LINES);
        format!("--- {} (process {}) ---\n{}\n", self.name, self.id(), lines[from..].join("\n"))
    }
}

impl Drop for ReplicaProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

fn forward(output: impl std::io::Read, to: &Sender<Words>) {
    for line in BufReader::new(output).lines() {
        let Ok(line) = line else { return };
        if to.send(Words::parse(&line)).is_err() {
            return;
        }
    }
}
