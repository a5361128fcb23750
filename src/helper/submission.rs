//! Submitting logs, refusing them, and waiting for their end.

use std::time::Duration;

use crate::runtime::throttle::Throttle;
use crate::runtime::{Port, Refusal, Waited};

use super::{directory, refuse_in_callback, HelperError};

/// A refused log is worth a line, thousands of them are not. The first few may each have another reason.
static REFUSALS: Throttle = Throttle::burst(10, Duration::from_secs(1));

/// Copies and queues a log, whose length may be 0; its ticket: 1, 2, 3, ... per partition in acceptance
/// order. Waits at a full queue for at most `raft.submit_wait_ms`, and never inside a callback. Any
/// thread, also while it exits.
///
/// # Errors
/// `NotLeader`, `QueueFull`, `ShutDown`, `Internal` (the replica stopped itself), `Invalid` (unknown partition, too long), `Order` (before
/// `setup2`). The log is counted as refused and a warning is logged at a bounded rate.
pub fn submit(log: &[u8], partition: u32) -> Result<u64, HelperError> {
    let refused = match directory::port(partition) {
        Some(port) => match port.submit(log) {
            Ok(ticket) => return Ok(ticket),
            Err(refusal) => explain(refusal, &port),
        },
        None => {
            directory::count_refused(partition);
            directory::no_port("submit", partition)
        }
    };
    warn(partition, &refused.to_string());
    Err(refused)
}

#[cold]
pub(super) fn explain(refusal: Refusal, port: &Port) -> HelperError {
    let partition = port.partition().0;
    match refusal {
        Refusal::NotLeader(leader) => HelperError::NotLeader {
            leader: leader.and_then(|process| directory::site_of(partition, process)),
        },
        Refusal::QueueFull { waited_ms, queued_bytes, queue_bytes } => HelperError::QueueFull(format!(
            "partition {partition}: the queue stayed full for {waited_ms} ms (raft.submit_wait_ms): \
             {queued_bytes} of {queue_bytes} bytes (raft.queue_bytes) wait to be committed"
        )),
        Refusal::TooLong { length, max_log_bytes } => HelperError::Invalid(format!(
            "partition {partition}: a log of {length} bytes; raft.max_log_bytes allows {max_log_bytes}"
        )),
        Refusal::Stopped => match port.failure() {
            Some(reason) => HelperError::Internal(format!("the replica stopped itself: {reason}")),
            None => HelperError::ShutDown,
        },
    }
}

/// Counts and warns, at a bounded rate, a submission that the boundary already refused (null, negative length).
pub fn refuse(partition: u32, reason: &str) {
    match directory::port(partition) {
        Some(port) => port.count_refused(1),
        None => directory::count_refused(partition),
    }
    warn(partition, reason);
}

#[cold]
fn warn(partition: u32, reason: &str) {
    if let Some(held_back) = REFUSALS.pass() {
        let place = format!("partition {partition}: ");
        let reason = reason.strip_prefix(&place).unwrap_or(reason);
        log::warn!("partition {partition}: a log was refused: {reason} ({held_back} more were since the last such line)");
    }
}

/// Returns when nothing accepted for the partition is outstanding, when leadership is lost for good, or
/// when the library shuts down.
///
/// # Errors
/// `Order` inside a callback or before `setup2`, `Invalid` for an unknown partition, `ShutDown` after a life without `setup2`.
pub fn wait_for_submit(partition: u32) -> Result<(), HelperError> {
    refuse_in_callback("wait_for_submit")?;
    let port = directory::port(partition).ok_or_else(|| directory::no_port("wait_for_submit", partition))?;
    match port.wait_idle() {
        Waited::Settled | Waited::Ended | Waited::TimedOut => Ok(()),
    }
}
