//! No-ops: ordinary logs that Mako's replay recognises by their text.

use crate::ids::PartitionId;

use super::{directory, epoch, submission, HelperError};

/// Submits `no-ops:E` to every partition of this process, for a mark in Mako's replay.
///
/// # Errors
/// `Invalid` for an epoch outside 0..=9, which no receiver would recognise; else the first refusal, after
/// every partition was tried.
pub fn send_no_ops_for_mark(epoch: i32) -> Result<(), HelperError> {
    send_no_ops("send_no_ops_for_mark", epoch)
}

/// Submits `no-ops:E` to every partition of this process.
///
/// # Errors
/// As [`send_no_ops_for_mark`].
pub fn send_no_ops_to_all_workers(epoch: i32) -> Result<(), HelperError> {
    send_no_ops("send_no_ops_to_all_workers", epoch)
}

fn send_no_ops(call: &str, epoch: i32) -> Result<(), HelperError> {
    if !epoch::is_digit(epoch) {
        let text = format!("{call}: epoch {epoch} has no single digit (0 to 9), so no receiver would recognise it");
        return Err(HelperError::Invalid(text));
    }
    let log = format!("no-ops:{epoch}");
    let partitions: Vec<PartitionId> = directory::served_partitions();
    if partitions.is_empty() {
        return Err(directory::not_running(call));
    }
    // Each partition gets its no-op, also behind one that refuses.
    let submit = |partition: PartitionId| submission::submit(log.as_bytes(), partition.0);
    let results: Vec<_> = partitions.into_iter().map(submit).collect();
    results.into_iter().try_for_each(|result| result.map(|_ticket| ()))
}
