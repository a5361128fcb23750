//! Registering callbacks: before, between and after `setup` and `setup2`, and while running.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use crate::ids::PartitionId;
use crate::runtime::{
    CallbackRole, Callbacks, ElectionCallback, ElectionSlot, LogCallback, OutcomeCallback, OutcomeSlot,
    PartitionCallbacks,
};

use super::{directory, HelperError};

/// There are no more partitions than sites, and sites are numbered with 16 bits.
const PARTITIONS_MAX: u32 = 1 << 16;

/// Partition callbacks are forgotten at shutdown; the others are kept across lives.
static PARTITIONS: Mutex<BTreeMap<PartitionId, Arc<PartitionCallbacks>>> = Mutex::new(BTreeMap::new());
static ELECTION: LazyLock<Arc<ElectionSlot>> = LazyLock::new(Arc::default);
static OUTCOME: LazyLock<Arc<OutcomeSlot>> = LazyLock::new(Arc::default);

fn registered() -> MutexGuard<'static, BTreeMap<PartitionId, Arc<PartitionCallbacks>>> {
    PARTITIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Registers the callback of one role for one partition; the last one wins. While the partition is being
/// delivered it is used from the next log on, and the one that it replaces is dropped after the call that
/// is running. Any thread, also inside a callback.
///
/// # Errors
/// `Invalid` for a partition that the shard does not have.
pub fn register_log(role: CallbackRole, partition: u32, callback: LogCallback) -> Result<(), HelperError> {
    let count = directory::known_partitions().unwrap_or(PARTITIONS_MAX);
    if partition >= count {
        return Err(HelperError::Invalid(format!(
            "registering a callback: partition {partition} does not exist; the shard has partitions 0 to {}",
            count.saturating_sub(1)
        )));
    }
    let slot = registered().entry(PartitionId(partition)).or_default().clone();
    slot.register(role, callback);
    Ok(())
}

/// Registers the election callback, or removes it. Kept across lives. Any thread, also inside a callback.
///
/// # Errors
/// None today.
pub fn register_election(callback: Option<ElectionCallback>) -> Result<(), HelperError> {
    ELECTION.register(callback);
    Ok(())
}

/// Registers the outcome callback, or removes it. Kept across lives. Any thread, also inside a callback.
///
/// # Errors
/// None today.
pub fn register_outcome(callback: Option<OutcomeCallback>) -> Result<(), HelperError> {
    OUTCOME.register(callback);
    Ok(())
}

/// Callbacks that nobody will call any more. Dropping it runs the host's destructors, which may wait for another
/// thread's call: not while the library's life is changing.
#[must_use]
pub(super) struct Forgotten(Vec<Arc<PartitionCallbacks>>);

impl Drop for Forgotten {
    fn drop(&mut self) {
        // A lane that was left alone may hold the slot as well.
        self.0.iter().for_each(|slot| slot.forget());
    }
}

/// Takes away, with a warning, what was registered for partitions that turn out not to exist.
pub(super) fn keep_below(partitions: u32) -> Forgotten {
    let beyond = registered().split_off(&PartitionId(partitions));
    if !beyond.is_empty() {
        let numbers: Vec<String> = beyond.keys().map(|partition| partition.to_string()).collect();
        log::warn!(
            "callbacks were registered for partitions {}, but the shard has {partitions} partitions",
            numbers.join(", ")
        );
    }
    Forgotten(beyond.into_values().collect())
}

/// The slots that a new life's lanes read, one per partition, so that later registrations reach them.
pub(super) fn callbacks(partitions: u32) -> Callbacks {
    let mut registered = registered();
    let slots = (0..partitions).map(PartitionId);
    Callbacks {
        partitions: slots.map(|p| (p, registered.entry(p).or_default().clone())).collect(),
        election: ELECTION.clone(),
        outcome: OUTCOME.clone(),
    }
}

/// Takes the partition callbacks away (contract section 3.8).
pub(super) fn forget_partitions() -> Forgotten {
    Forgotten(std::mem::take(&mut *registered()).into_values().collect())
}
