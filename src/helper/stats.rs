//! Counters, and the line that shows them.

use std::collections::BTreeMap;

use crate::config::Topology;
use crate::ids::{GroupId, ProcessId};
use crate::replica::output::Status;
use crate::runtime::{PartitionCounters, Port};
use crate::transport::TransportCounters;

use super::lifecycle::Instance;
use super::{directory, lifecycle};

/// Partitions of the shard; 0 before `setup` and after a shutdown.
pub fn partitions() -> u32 {
    directory::known_partitions().unwrap_or(0)
}

/// The counters of a partition; `None` where this process has no such partition, or before `setup2`.
/// After a shutdown they are the last life's, until the next `setup`.
pub fn counters(partition: u32) -> Option<PartitionCounters> {
    directory::port(partition).map(|port| port.counters())
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
        return;
    };
    for (_, line) in partition_lines(&instance, &instance.runtime.status()).take(partitions) {
        log::info!("{line}");
    }
    let elsewhere = directory::refused_elsewhere();
    if elsewhere > 0 {
        log::info!("refused for partitions that this process does not have, or outside its life: {elsewhere} logs");
    }
}

/// Everything that the status endpoint says: one line per group, then one per partition.
pub(super) fn report() -> String {
    let Some(instance) = lifecycle::instance() else { return "not running\n".into() };
    let topology = &instance.configuration.topology;
    let mut lines = vec![format!("process {}", topology.process(topology.me).name)];
    lines.extend(instance.runtime.failure().map(|reason| format!("stopped itself: {reason}")));
    let status = instance.runtime.status();
    if status.is_empty() && instance.runtime.failure().is_none() {
        lines.push("the event loop does not answer: it is held up, by a disk or a machine that is out of memory".into());
    }
    for (group, status) in &status {
        let unwritten = instance.runtime.unwritten(*group).map_or("none".into(), |writes| writes.to_string());
        lines.push(format!("{}, unwritten {unwritten}", group_line(*group, status, topology)));
    }
    lines.extend(instance.runtime.traffic().map(|traffic| traffic_line(&traffic)));
    lines.extend(partition_lines(&instance, &status).map(|(port, line)| format!("{line}, {}", waits_line(port))));
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
         waits for {}, turned away {}, given up {}, restored {}, connected [{}], absent {}, foreign {}, refused messages {}",
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
    instance: &'a Instance,
    status: &[(GroupId, Status)],
) -> impl Iterator<Item = (&'a Port, String)> + use<'a> {
    let status: BTreeMap<GroupId, Status> = status.iter().cloned().collect();
    let topology = &instance.configuration.topology;
    instance.runtime.ports().iter().map(move |port| (&**port, line(port, status.get(&port.group()), topology)))
}

fn line(port: &Port, status: Option<&Status>, topology: &Topology) -> String {
    let PartitionCounters { submitted, refused, lost, outstanding, queued_bytes, unreplayed, .. } = port.counters();
    let (role, term) = status.map_or(("stopped", 0), |status| (status.role, status.term.0));
    let leader = port.leader().map_or("unknown", |process| &topology.process(process).name);
    format!(
        "partition {}: role {role}, term {term}, leader {leader}, submitted {submitted}, committed {}, delivered {}, \
         outstanding {outstanding}, queued {queued_bytes} B, refused {refused}, lost {lost}, un-replayed {unreplayed}",
        port.partition(),
        port.committed(),
        port.delivered(),
    )
}
