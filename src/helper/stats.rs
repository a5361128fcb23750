//! Counters, and the line that shows them.

use std::collections::BTreeMap;

use crate::config::Topology;
use crate::ids::GroupId;
use crate::replica::output::Status;
use crate::runtime::{PartitionCounters, Port};

use super::{directory, lifecycle};

/// Partitions of the shard; 0 before `setup`.
pub fn partitions() -> u32 {
    directory::topology().map_or(0, |topology| topology.partitions.len() as u32)
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
    let status: BTreeMap<GroupId, Status> = instance.runtime.status().into_iter().collect();
    for port in instance.runtime.ports().iter().take(partitions) {
        log::info!("{}", line(port, status.get(&port.group()), &instance.configuration.topology));
    }
    let elsewhere = directory::refused_elsewhere();
    if elsewhere > 0 {
        log::info!("refused for partitions that this process does not have, or outside its life: {elsewhere} logs");
    }
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
