//! Where the submitting threads find their partition: the cheapest path through the helper.
//!
//! A submission takes one read lock that no other partition's submitters touch (below 64 partitions)
//! and that is written only by `setup` and `setup2`. No Rust thread-local is used: this works in C++
//! `thread_local` destructors.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::config::Topology;
use crate::ids::{PartitionId, ProcessId, SiteId};
use crate::runtime::Port;

use super::HelperError;

const SHARDS: usize = 64;

/// A line of its own per shard: neighbours' reader counts would share it otherwise.
#[repr(align(64))]
struct Shard(RwLock<Vec<Option<Arc<Port>>>>);

/// Partition p is at `[p % SHARDS][p / SHARDS]`. The ports of a shut-down life stay until the next
/// `setup`: they refuse and count.
static PORTS: [Shard; SHARDS] = [const { Shard(RwLock::new(Vec::new())) }; SHARDS];
static TOPOLOGY: RwLock<Option<Arc<Topology>>> = RwLock::new(None);
static STAGE: AtomicU8 = AtomicU8::new(Stage::Fresh as u8);
/// Logs that came while there was no partition to count them for.
static REFUSED_ELSEWHERE: AtomicU64 = AtomicU64::new(0);
/// Logs that were refused between `setup` and `setup2`, by partition: the ports begin with them. Locked before a shard.
static REFUSED_EARLY: Mutex<BTreeMap<u32, u64>> = Mutex::new(BTreeMap::new());

/// How far the host has come, for messages.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Stage {
    Fresh = 0,
    SetUp = 1,
    Running = 2,
    ShutDown = 3,
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

fn early() -> MutexGuard<'static, BTreeMap<u32, u64>> {
    REFUSED_EARLY.lock().unwrap_or_else(PoisonError::into_inner)
}

fn place(partition: PartitionId) -> (usize, usize) {
    let number = partition.0 as usize;
    (number % SHARDS, number / SHARDS)
}

/// A partition that this process replicates, from `setup2` on.
pub(super) fn port(partition: u32) -> Option<Arc<Port>> {
    let (shard, index) = place(PartitionId(partition));
    read(&PORTS[shard].0).get(index).cloned().flatten()
}

/// The shard's shape, from `setup` on.
pub(super) fn topology() -> Option<Arc<Topology>> {
    read(&TOPOLOGY).clone()
}

/// How many partitions the shard has that is set up; `None` before `setup` and after a shutdown: the next
/// life may have more.
pub(super) fn known_partitions() -> Option<u32> {
    let over = STAGE.load(Ordering::SeqCst) == Stage::ShutDown as u8;
    topology().filter(|_| !over).map(|topology| topology.partitions.len() as u32)
}

/// Between a `setup` that succeeded and the end of the shutdown: there may be threads and files of ours. Reads one
/// atomic and nothing else.
pub(crate) fn is_set_up() -> bool {
    let stage = STAGE.load(Ordering::SeqCst);
    stage == Stage::SetUp as u8 || stage == Stage::Running as u8
}

/// `setup` succeeded: a new life begins. The ports of the former one: a registration that came too late for it may
/// still be in them, so they are dropped where the host's destructors may run.
#[must_use]
pub(super) fn publish_topology(topology: Arc<Topology>) -> Vec<Option<Arc<Port>>> {
    let former = take_ports();
    *write(&TOPOLOGY) = Some(topology);
    STAGE.store(Stage::SetUp as u8, Ordering::SeqCst);
    former
}

fn take_ports() -> Vec<Option<Arc<Port>>> {
    PORTS.iter().flat_map(|shard| std::mem::take(&mut *write(&shard.0))).collect()
}

/// `setup2` is about to start the threads.
pub(super) fn publish_ports(ports: &[Arc<Port>]) {
    let mut early = early();
    for port in ports {
        port.count_refused(early.remove(&port.partition().0).unwrap_or(0));
        let (shard, index) = place(port.partition());
        let mut shard = write(&PORTS[shard].0);
        if shard.len() <= index {
            shard.resize(index + 1, None);
        }
        shard[index] = Some(port.clone());
    }
    STAGE.store(Stage::Running as u8, Ordering::SeqCst);
}

/// `setup2` failed after the ports were published.
pub(super) fn withdraw_ports() {
    let mut early = early();
    // No callback goes with them: they are still registered.
    for port in take_ports().into_iter().flatten() {
        early.insert(port.partition().0, port.counters().refused);
    }
    STAGE.store(Stage::SetUp as u8, Ordering::SeqCst);
}

/// Shutdown began its end: the ports stay, for the counters.
pub(super) fn note_shutdown() {
    let mut early = early();
    // Without a `setup2` they have come to no partition.
    REFUSED_ELSEWHERE.fetch_add(std::mem::take(&mut *early).into_values().sum(), Ordering::Relaxed);
    STAGE.store(Stage::ShutDown as u8, Ordering::SeqCst);
}

/// The partitions that this process replicates, ascending; empty before `setup2`.
pub(super) fn served_partitions() -> Vec<PartitionId> {
    let mut partitions: Vec<PartitionId> = served_ports().iter().map(|port| port.partition()).collect();
    partitions.sort();
    partitions
}

/// Their ports, in no particular order.
pub(super) fn served_ports() -> Vec<Arc<Port>> {
    PORTS.iter().flat_map(|shard| read(&shard.0).iter().flatten().cloned().collect::<Vec<_>>()).collect()
}

/// The site of `process` in `partition`.
pub(super) fn site_of(partition: u32, process: ProcessId) -> Option<u16> {
    let SiteId(site) = topology()?.site_of(PartitionId(partition), process)?;
    Some(site)
}

/// Why there is nothing to act on.
pub(super) fn not_running(call: &str) -> HelperError {
    let stage = STAGE.load(Ordering::SeqCst);
    if stage == Stage::ShutDown as u8 {
        return HelperError::ShutDown;
    }
    let missing = if stage == Stage::Fresh as u8 { "setup and setup2 have" } else { "setup2 has" };
    HelperError::Order(format!("{call}: {missing} not succeeded yet"))
}

/// Why `setup2` has nothing to start.
pub(super) fn not_ready() -> HelperError {
    HelperError::Order("setup2 was called without a successful setup before it".into())
}

/// Why [`port`] found nothing.
pub(super) fn no_port(call: &str, partition: u32) -> HelperError {
    match topology() {
        Some(topology) if partition as usize >= topology.partitions.len() => HelperError::Invalid(format!(
            "{call}: partition {partition} does not exist; the shard has partitions 0 to {}",
            topology.partitions.len().saturating_sub(1)
        )),
        Some(_) if STAGE.load(Ordering::SeqCst) == Stage::Running as u8 => HelperError::Invalid(format!(
            "{call}: this process has no replica of partition {partition}"
        )),
        _ => not_running(call),
    }
}

/// Counts a log that was refused because [`port`] found nothing.
#[cold]
pub(super) fn count_refused(partition: u32) {
    let mut early = early();
    match port(partition) {
        // `setup2` has come between.
        Some(port) => port.count_refused(1),
        None if STAGE.load(Ordering::SeqCst) == Stage::SetUp as u8 && is_served(partition) => {
            *early.entry(partition).or_default() += 1;
        }
        None => {
            REFUSED_ELSEWHERE.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// This process will replicate it, from `setup2` on.
fn is_served(partition: u32) -> bool {
    topology().is_some_and(|topology| topology.site_of(PartitionId(partition), topology.me).is_some())
}

/// Logs that were refused while there was no partition to count them for.
pub(super) fn refused_elsewhere() -> u64 {
    REFUSED_ELSEWHERE.load(Ordering::Relaxed)
}

/// Logs that were refused since `setup`, and will be in the partitions' counters from `setup2` on.
pub(super) fn refused_early() -> u64 {
    early().values().sum()
}
