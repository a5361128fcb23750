//! Counters, and the line that shows them.

use std::collections::BTreeMap;

use crate::config::Topology;
use crate::ids::{GroupId, ProcessId};
use crate::replica::output::Status;
use crate::runtime::{NoAnswer, PartitionCounters, Port, Runtime};
use crate::transport::TransportCounters;

use super::{directory, lifecycle, HelperError};

/// What the event loop said of its groups, if it said anything.
type Answered = Result<Vec<(GroupId, Status)>, NoAnswer>;

/// Partitions of the shard; 0 before `setup` and after a shutdown.
pub fn partitions() -> u32 {
    directory::known_partitions().unwrap_or(0)
}

/// The counters of a partition. After a shutdown they are the last life's, until the next `setup`.
///
/// # Errors
/// `Invalid` where this process has no such partition, `Order` before `setup2`, `ShutDown` after a life without one.
pub fn counters(partition: u32) -> Result<PartitionCounters, HelperError> {
    let port = directory::port(partition).ok_or_else(|| directory::no_port("counters", partition))?;
    Ok(port.counters())
}

/// Accepted here and not yet delivered here (or lost); `None` for an unknown partition.
pub fn outstanding(partition: u32) -> Option<u64> {
    match directory::port(partition) {
        Some(port) => Some(port.outstanding()),
        None => (partition < partitions()).then_some(0),
    }
}

/// The C++ part's un-replayed queue of a partition now holds so many logs.
pub fn set_unreplayed(partition: u32, logs: u64) {
    if let Some(port) = directory::port(partition) {
        port.set_unreplayed(logs);
    }
}

/// Logs one line for each of the first `partitions` partitions of this process.
pub fn worker_info_stats(partitions: usize) {
    let Some(instance) = lifecycle::instance() else {
        log::warn!("worker_info_stats: {}", directory::not_running("worker_info_stats"));
        say_refused_elsewhere();
        return;
    };
    let status = instance.runtime.status();
    if let Err(no_answer @ (NoAnswer::Late | NoAnswer::TakenUp | NoAnswer::Itself)) = &status {
        log::warn!("worker_info_stats: {no_answer}");
    }
    for (_, line) in partition_lines(&instance.runtime, &instance.configuration.topology, &status).take(partitions) {
        log::info!("{line}");
    }
    say_refused_elsewhere();
}

/// What is in no partition's counters.
fn say_refused_elsewhere() {
    let (elsewhere, early) = (directory::refused_elsewhere(), directory::refused_early());
    if elsewhere > 0 {
        log::info!("refused for partitions that this process does not have, or outside its life: {elsewhere} logs");
    }
    if early > 0 {
        log::info!("refused between setup and setup2: {early} logs");
    }
}

/// Everything that the status endpoint says: one line per group, then one per partition.
pub fn report(runtime: &Runtime, topology: &Topology) -> String {
    let mut lines = vec![format!("process {}", topology.process(topology.me).name)];
    let status = runtime.status();
    match (runtime.failure(), &status) {
        (Some(reason), _) => lines.push(format!("stopped itself: {reason}")),
        (None, Err(NoAnswer::Ended)) => lines.push("shutting down".into()),
        (None, Err(late)) => lines.push(late.to_string()),
        (None, Ok(_)) => {}
    }
    // Who does not answer once is not asked again: the client waits.
    let traffic = status.as_ref().ok().and_then(|_| runtime.traffic().ok());
    for (group, status) in status.as_deref().unwrap_or_default() {
        let unwritten = runtime.unwritten(*group).map_or("none".into(), |writes| writes.to_string());
        lines.push(format!("{}, unwritten {unwritten}", group_line(*group, status, topology)));
    }
    lines.extend(traffic.map(|traffic| traffic_line(&traffic)));
    lines.extend(partition_lines(runtime, topology, &status).map(|(port, line)| format!("{line}, {}", waits_line(port))));
    lines.push(String::new());
    lines.join("\n")
}

fn group_line(group: GroupId, status: &Status, topology: &Topology) -> String {
    let name = |process: &ProcessId| topology.process(*process).name.as_str();
    let names = |processes: &[ProcessId]| processes.iter().map(name).collect::<Vec<_>>().join(" ");
    let (generation, formation) = status.formation.unwrap_or_default();
    format!(
        "{group}: role {}, term {}, leader {}, formation {formation:016x}, generation {generation}, commit {}, last {}, \
         delivered {}, first in memory {}, log {} B, voters [{}], learners [{}], lost accepted {}, \
         waits for {}, turned away {}, given up {}, held up {}, leaving {}, restored {}, connected [{}], absent {}, foreign {}, refused messages {}",
        status.role,
        status.term,
        status.leader.as_ref().map_or("unknown", name),
        status.commit,
        status.last,
        status.delivered,
        status.first_in_memory,
        status.log_bytes,
        names(&status.voters),
        names(&status.learners),
        status.lost_accepted,
        status.waits_for,
        status.turned_away,
        status.given_up,
        status.held_up,
        status.leaving,
        status.restored,
        names(&status.connected),
        status.absent.len(),
        status.foreign,
        status.refused_messages,
    )
}

fn traffic_line(traffic: &TransportCounters) -> String {
    let TransportCounters { bytes_in, bytes_out, frames_dropped, frames_lost, handshakes_refused, .. } = traffic;
    format!(
        "transport: received {bytes_in} B, sent {bytes_out} B, frames dropped {frames_dropped}, frames lost {frames_lost}, \
         handshakes refused {handshakes_refused}"
    )
}

/// What holds up a partition, behind its counters.
fn waits_line(port: &Port) -> String {
    let callback = match port.calling() {
        _ if port.lacks_callback() => "not registered".to_owned(),
        Some(slot) => format!("in slot {slot}"),
        None => "idle".to_owned(),
    };
    format!("submitters waiting {}, callback {callback}", port.waiting_submitters())
}

fn partition_lines<'a>(
    runtime: &'a Runtime,
    topology: &'a Topology,
    status: &Answered,
) -> impl Iterator<Item = (&'a Port, String)> + use<'a> {
    let status: Result<BTreeMap<GroupId, Status>, NoAnswer> = match status {
        Ok(status) => Ok(status.iter().cloned().collect()),
        Err(why) => Err(*why),
    };
    runtime.ports().iter().map(move |port| {
        let status = status.as_ref().map(|groups| groups.get(&port.group())).map_err(|why| *why);
        (&**port, line(port, status, topology))
    })
}

fn line(port: &Port, status: Result<Option<&Status>, NoAnswer>, topology: &Topology) -> String {
    let PartitionCounters { submitted, refused, lost, outstanding, queued_bytes, unreplayed, .. } = port.counters();
    let (role, term) = match status {
        Ok(Some(status)) => (status.role, status.term.0.to_string()),
        Ok(None) | Err(NoAnswer::Ended) => ("stopped", "0".to_owned()),
        Err(_) => ("unknown", "unknown".to_owned()),
    };
    let leader = port.leader().map_or("unknown", |process| &topology.process(process).name);
    format!(
        "partition {}: role {role}, term {term}, leader {leader}, submitted {submitted}, committed {}, delivered {}, \
         outstanding {outstanding}, queued {queued_bytes} B, refused {refused}, lost {lost}, un-replayed {unreplayed}",
        port.partition(),
        port.committed(),
        port.delivered(),
    )
}
