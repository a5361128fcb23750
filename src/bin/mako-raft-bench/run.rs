//! Measures one cell.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cell::{Cell, Pace, Trouble};
use crate::cluster::{self, Cluster, ReplicaProcess};
use crate::histogram::Summary;
use crate::words::Words;
use crate::{clock, copies};

/// Between the order and the first log.
const LEAD_IN_NS: u64 = 20_000_000;
/// Beyond the load's own end: what was accepted has to come back.
const DONE_WITHIN: Duration = Duration::from_secs(60);
/// A follower that was stopped has to read the whole run.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(120);

/// What one process used while it was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessFigures {
    /// Seconds of processor time per second.
    pub cores: f64,
    /// The most memory ever resident, in MiB.
    pub peak_mib: f64,
    /// Context switches per log, or per second when idle.
    pub switches: f64,
}

/// What a cell measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Done per second.
    pub logs_per_s: f64,
    /// 10^6 payload bytes per second.
    pub mb_per_s: f64,
    /// Nanoseconds.
    pub latency: Summary,
    /// Leader first.
    pub processes: Vec<ProcessFigures>,
    /// In this process's user space: on the leader, and on each follower.
    pub copies_per_byte: (f64, f64),
    /// Logs checked, by replica. A replica with slow callbacks is not waited for, so it may have fewer.
    pub verified: Vec<u64>,
    /// The longest time without a delivery on the leader, in ms; looked at while a follower is stopped.
    pub longest_gap_ms: Option<f64>,
    /// Logs per second of partitions that are not in the figures.
    pub apart_per_s: f64,
    /// Payload bytes delivered, as a part of `raft.log_memory_bytes`: until it was measured, and at the end. From 1 on
    /// the log was full, whatever a log costs beside its bytes.
    pub log_filled: Option<(f64, f64)>,
}

/// Runs `cell` with replicas of the program `node`.
///
/// # Errors
/// Something failed or a check did: there is no figure then. The end of each replica's log is in the text.
pub fn measure(node: Option<&PathBuf>, cell: &Cell) -> Result<Figures, String> {
    let own = cluster::own_program()?;
    let node: &Path = node.unwrap_or(&own);
    let mut cluster = Cluster::start(node, cell)?;
    let figures = match drive(&mut cluster, cell) {
        Ok(figures) => figures,
        Err(what) => return Err(cluster.explain(what)),
    };
    if cell.trouble == Trouble::SlowCallback {
        // Its queue may hold minutes of calls; what it was given is checked, and it is killed.
        return Ok(figures);
    }
    cluster.quit()?;
    Ok(figures)
}

fn drive(cluster: &mut Cluster, cell: &Cell) -> Result<Figures, String> {
    let begin = clock::now_ns() + LEAD_IN_NS + (cell.warmup * 1e9) as u64;
    let end = begin + (cell.seconds * 1e9) as u64;
    let span = format!("begin={begin} end={end}");
    // Before the load: a replica that submits nothing learns from it how long the logs will be.
    for replica in &mut cluster.replicas {
        replica.order(&format!("window {span} {}", cell.size_words()))?;
    }
    if cell.pace != Pace::Idle {
        cluster.replicas[0].order(&format!("load {} {span}", cell.load_words()))?;
    }
    let stopped = cell.trouble == Trouble::StoppedFollower;
    let longest_gap_ms = if stopped { Some(stop_follower(cluster, begin, end)?) } else { None };
    let within = Duration::from_secs_f64(cell.seconds + cell.warmup) + DONE_WITHIN;
    let windows: Result<Vec<Words>, String> =
        cluster.replicas.iter().map(|replica| replica.expect("window", within)).collect();
    let loaded = match cell.pace {
        Pace::Idle => None,
        _ => Some(cluster.replicas[0].expect("loaded", within)?),
    };
    let submitted = loaded.as_ref().map_or(Ok(0), |loaded| loaded.get("submitted"))?;
    // A slow replica's share is checked as far as it has come.
    let whole: &[usize] = if cell.trouble == Trouble::SlowCallback { &[0, 2] } else { &[0, 1, 2] };
    cluster.wait_delivered(whole, submitted, if stopped { CAUGHT_UP_WITHIN } else { DONE_WITHIN })?;
    let states = check_order(&mut cluster.replicas)?;
    let verified = states.iter().map(|state| state.get("delivered")).collect::<Result<_, _>>()?;
    let mut figures = Figures { verified, longest_gap_ms, ..figures(cell, loaded.as_ref(), &windows?)? };
    // A follower that was stopped catches up, and a long log arrives, when the time that is measured is over.
    for (process, state) in figures.processes.iter_mut().zip(&states) {
        let peak_kib: u64 = state.find("peak_kib")?.unwrap_or(0);
        process.peak_mib = process.peak_mib.max(peak_kib as f64 / 1024.0);
    }
    Ok(figures)
}

/// Stops the last replica from `begin` to `end`, and looks meanwhile how long nothing is delivered on the leader: a
/// closed loop submits nothing while it waits, so its percentiles don't show it.
fn stop_follower(cluster: &mut Cluster, begin: u64, end: u64) -> Result<f64, String> {
    clock::sleep_until(begin);
    let stopped = cluster.stop(2)?;
    let mut gaps = Gaps::new(begin);
    while clock::now_ns() < end {
        let state = cluster.replicas[0].ask("state", cluster::ANSWER_WITHIN)?;
        gaps.look(clock::now_ns(), state.get("delivered")?);
        std::thread::sleep(cluster::LOOK_EVERY);
    }
    drop(stopped);
    Ok(gaps.longest_ns as f64 / 1e6)
}

/// How long a count stood still, to within the time between two looks.
struct Gaps {
    count: u64,
    since_ns: u64,
    longest_ns: u64,
}

impl Gaps {
    fn new(now_ns: u64) -> Self {
        Self { count: 0, since_ns: now_ns, longest_ns: 0 }
    }

    fn look(&mut self, now_ns: u64, count: u64) {
        self.longest_ns = self.longest_ns.max(now_ns.saturating_sub(self.since_ns));
        if count != self.count {
            (self.count, self.since_ns) = (count, now_ns);
        }
    }
}

/// The state of each, which has found all of its logs in order.
fn check_order(replicas: &mut [ReplicaProcess]) -> Result<Vec<Words>, String> {
    let mut states = Vec::new();
    for replica in replicas {
        let state = replica.ask("state", cluster::ANSWER_WITHIN)?;
        if state.get::<u8>("failed")? == 1 {
            return Err(format!("{}: a log was out of order", replica.name));
        }
        states.push(state);
    }
    Ok(states)
}

fn figures(cell: &Cell, loaded: Option<&Words>, windows: &[Words]) -> Result<Figures, String> {
    let leader = windows.first().ok_or("no process was measured")?;
    let seconds = leader.get::<u64>("took_ns")? as f64 / 1e9;
    let logs = leader.get::<u64>("done")? as f64;
    if cell.pace != Pace::Idle && logs == 0.0 {
        return Err("no log was done while it was measured".into());
    }
    let per = if logs > 0.0 { logs } else { seconds };
    let process = |words: &Words| -> Result<ProcessFigures, String> {
        let switches = words.get::<u64>("voluntary")? + words.get::<u64>("involuntary")?;
        Ok(ProcessFigures {
            cores: words.get::<u64>("cpu_ns")? as f64 / words.get::<u64>("took_ns")? as f64,
            peak_mib: words.get::<u64>("peak_kib")? as f64 / 1024.0,
            switches: switches as f64 / per,
        })
    };
    // A build of another commit may not say these.
    let log_filled = match (leader.find::<u64>("all_before")?, leader.find::<u64>("all_bytes")?) {
        (Some(before), Some(meanwhile)) => {
            let part = |bytes: u64| bytes as f64 / cell.log_memory_bytes() as f64;
            Some((part(before), part(before + meanwhile)))
        }
        _ => None,
    };
    Ok(Figures {
        logs_per_s: logs / seconds,
        mb_per_s: leader.get::<u64>("bytes")? as f64 / seconds / 1e6,
        latency: loaded.map_or(Ok(Summary::default()), latency)?,
        processes: windows.iter().map(process).collect::<Result<_, _>>()?,
        copies_per_byte: copies::per_byte(cell),
        apart_per_s: leader.find::<u64>("apart")?.unwrap_or(0) as f64 / seconds,
        log_filled,
        ..Figures::default()
    })
}

fn latency(words: &Words) -> Result<Summary, String> {
    Ok(Summary {
        count: words.get("count")?,
        p50: words.get("p50")?,
        p90: words.get("p90")?,
        p99: words.get("p99")?,
        p999: words.get("p999")?,
        max: words.get("max")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_ends_with_a_delivery_or_with_the_last_look() {
        let mut gaps = Gaps::new(100);
        for (now_ns, count) in [(110, 5), (120, 6), (150, 6), (160, 7)] {
            gaps.look(now_ns, count);
        }
        assert_eq!(gaps.longest_ns, 40);
        gaps.look(260, 7);
        assert_eq!(gaps.longest_ns, 100, "nothing came until the end");
    }
}
