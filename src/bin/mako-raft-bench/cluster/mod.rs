//! Three replica processes on loopback, started for one measurement.

mod replica;
mod shard_file;
mod stopped;

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use crate::cell::{Cell, Trouble};
use crate::scratch::Scratch;

pub use replica::ReplicaProcess;
pub use stopped::{run_watcher, Stopped};
use shard_file::PROCESSES;

/// Starting three processes and electing a leader takes a fraction of a second; machines can be busy.
pub const START_WITHIN: Duration = Duration::from_secs(30);
/// A state is answered from memory.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks at a state that is waited for.
pub const LOOK_EVERY: Duration = Duration::from_millis(5);
/// With this, a slow callback makes a thousand calls a second.
const SLOW_CALLBACK_US: u32 = 1_000;

/// The replica processes: killed when dropped, whatever happened.
pub struct Cluster {
    /// In the order of the configuration; the first leads.
    pub replicas: Vec<ReplicaProcess>,
    _data: Option<Scratch>,
    _scratch: Scratch,
}

impl Cluster {
    /// Starts them with the program `node`, and waits until the designated one leads.
    ///
    /// # Errors
    /// Something does not start; the end of each log is in the text.
    pub fn start(node: &Path, cell: &Cell) -> Result<Self, String> {
        let scratch = Scratch::new(None)?;
        let data = cell.durable.as_deref().map(|directory| Scratch::new(Some(directory))).transpose()?;
        let mut settings = Vec::new();
        if cell.group_per_partition {
            settings.push(("grouping", "partition".to_owned()));
        }
        if let Some(bytes) = cell.log_memory_bytes {
            settings.push(("log_memory_bytes", bytes.to_string()));
        }
        let file = scratch.path().join("shard.yml");
        let text = shard_file::text(cell.partitions, &settings)?;
        std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        let mut cluster = Self { replicas: Vec::new(), _data: data, _scratch: scratch };
        for name in PROCESSES {
            let arguments = cluster.arguments(&file, name, cell);
            let started = ReplicaProcess::start(node, cell.preload.as_deref(), name, &arguments, cluster._scratch.path())?;
            cluster.replicas.push(started);
        }
        match cluster.wait_leading() {
            Ok(()) => Ok(cluster),
            Err(what) => Err(cluster.explain(what)),
        }
    }

    fn arguments(&self, file: &Path, name: &str, cell: &Cell) -> Vec<String> {
        let mut arguments = vec!["--file".to_owned(), file.display().to_string(), "--process".into(), name.into()];
        arguments.extend(["--partitions".into(), cell.partitions.to_string()]);
        if let Some(data) = &self._data {
            arguments.extend(["--data".into(), data.path().join(name).display().to_string()]);
        }
        if cell.trouble == Trouble::SlowCallback && name == PROCESSES[1] {
            arguments.extend(["--slow-us".into(), SLOW_CALLBACK_US.to_string()]);
        }
        arguments
    }

    fn wait_leading(&mut self) -> Result<(), String> {
        for replica in &self.replicas {
            replica.expect("ready", START_WITHIN)?;
        }
        let deadline = Instant::now() + START_WITHIN;
        while self.replicas[0].ask("state", ANSWER_WITHIN)?.get::<u8>("leading")? == 0 {
            if Instant::now() > deadline {
                return Err(format!("{} does not lead {} s after its start", PROCESSES[0], START_WITHIN.as_secs()));
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Waits until every one of `replicas` has delivered `logs` in all.
    ///
    /// # Errors
    /// One does not, or found a log out of order.
    pub fn wait_delivered(&mut self, replicas: &[usize], logs: u64, within: Duration) -> Result<(), String> {
        let deadline = Instant::now() + within;
        for &index in replicas {
            loop {
                let replica = &mut self.replicas[index];
                let state = replica.ask("state", ANSWER_WITHIN)?;
                let delivered: u64 = state.get("delivered")?;
                if state.get::<u8>("failed")? == 1 {
                    return Err(format!("{}: a log was out of order", replica.name));
                }
                if delivered == logs {
                    break;
                }
                if delivered > logs || Instant::now() > deadline {
                    return Err(format!("{}: {delivered} logs were delivered of {logs} submitted", replica.name));
                }
                thread::sleep(LOOK_EVERY);
            }
        }
        Ok(())
    }

    /// Stops a replica until the result is dropped.
    ///
    /// # Errors
    /// It is gone, or nothing can be started that would let it go on if this process died.
    pub fn stop(&self, index: usize) -> Result<Stopped, String> {
        let replica = &self.replicas[index];
        let id = Pid::from_raw(replica.id() as i32).ok_or("a process without a number")?;
        Stopped::new(id).map_err(|error| format!("stopping {}: {error}", replica.name))
    }

    /// Shuts all of them down, the way Mako does: at about the same time.
    ///
    /// # Errors
    /// One does not end cleanly.
    pub fn quit(mut self) -> Result<(), String> {
        let result = self.quit_all();
        result.map_err(|what| self.explain(what))
    }

    fn quit_all(&mut self) -> Result<(), String> {
        for replica in &mut self.replicas {
            replica.order("quit")?;
        }
        self.replicas.iter_mut().try_for_each(ReplicaProcess::ended)
    }

    /// What went wrong, with the end of each replica's log.
    pub fn explain(&self, what: String) -> String {
        let tails: String = self.replicas.iter().map(ReplicaProcess::log_tail).collect();
        format!("{what}\n{tails}")
    }
}

/// This program, which is a replica process as well.
///
/// # Errors
/// The system does not say where it is.
pub fn own_program() -> Result<PathBuf, String> {
    std::env::current_exe().map_err(|error| format!("where is this program? {error}"))
}
