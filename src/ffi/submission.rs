//! Submitting logs, and waiting for them.

use std::ffi::c_char;

use crate::helper::{self, HelperError};

use super::boundary::{checked, infallible};
use super::c_text;
use super::logging;
use super::mako_raft_status;

/// "Nobody knows", where a site id is returned.
pub const MAKO_RAFT_UNKNOWN_SITE: u16 = 65535;

/// Submits one log: copies `len` bytes, queues them, returns. The caller's buffer is free to be
/// reused at once. May block, see below. Works in C++ thread_local destructors.
///
/// `len` 0 is a real log, delivered in order; `log` may then be null. Up to raft.max_log_bytes
/// (1 GiB).
/// `ticket`, may be null: receives this log's number, 1, 2, 3, ... per partition in the order of
/// acceptance, which the outcome callback names again.
/// `leader_site`, may be null: on MAKO_RAFT_NOT_LEADER receives the id of the leader's site in this
/// partition, or MAKO_RAFT_UNKNOWN_SITE.
///
/// While this process is about to lead or has only lost touch with its quorum, the log is accepted
/// and kept. A full queue makes the caller wait, for at most raft.submit_wait_ms (30 s); inside a
/// callback the log is accepted over the bound instead.
///
/// Every failure is counted for the partition (from setup on; the others, and those for a partition that
/// this process has no replica of, in a number that mako_raft_worker_info_stats logs) and warned about at
/// a bounded rate:
/// MAKO_RAFT_NOT_LEADER, MAKO_RAFT_QUEUE_FULL (also when a hand-over of leadership took so long),
/// MAKO_RAFT_SHUT_DOWN, MAKO_RAFT_INVALID (null with a length, too long, unknown partition),
/// MAKO_RAFT_ORDER before setup2, MAKO_RAFT_INTERNAL once the replica has stopped itself (a full disk,
/// say; the text tells why). The log was then not accepted and will not be delivered.
#[no_mangle]
pub unsafe extern "C" fn mako_raft_submit(
    log: *const c_char,
    len: usize,
    partition: u32,
    ticket: *mut u64,
    leader_site: *mut u16,
) -> mako_raft_status {
    checked(|| {
        // A refusal's line may be the library's first.
        logging::install();
        // SAFETY: `log` is null or readable for `len` bytes.
        let bytes = unsafe { log_bytes(log, len) }.map_err(|what| {
            let reason = format!("partition {partition}: {what}");
            helper::refuse(partition, &reason);
            HelperError::Invalid(reason)
        })?;
        match helper::submit(bytes, partition) {
            Ok(number) => {
                if !ticket.is_null() {
                    // SAFETY: not null, so the caller's variable.
                    unsafe { *ticket = number };
                }
                Ok(())
            }
            Err(error) => {
                if let (HelperError::NotLeader { leader }, false) = (&error, leader_site.is_null()) {
                    // SAFETY: not null, so the caller's variable.
                    unsafe { *leader_site = leader.unwrap_or(MAKO_RAFT_UNKNOWN_SITE) };
                }
                Err(error)
            }
        }
    })
}

/// # Safety
/// `log` is null or readable for `len` bytes, for as long as the caller lives.
unsafe fn log_bytes<'a>(log: *const c_char, len: usize) -> Result<&'a [u8], String> {
    if len == 0 {
        return Ok(&[]);
    }
    if log.is_null() {
        return Err(format!("log is null and its length {len}; only an empty log may be null"));
    }
    if isize::try_from(len).is_err() {
        return Err(format!("a log of {len} bytes is longer than any memory"));
    }
    // SAFETY: not null, readable for `len` bytes, and `len` fits an isize.
    Ok(unsafe { std::slice::from_raw_parts(log.cast(), len) })
}

/// Counts a log that the caller's own layer refused (Mako's C++ functions take an int length, which
/// may be negative) as submitted and refused, and warns at a bounded rate with `reason`.
/// `reason` may be null.
#[no_mangle]
pub unsafe extern "C" fn mako_raft_refuse(partition: u32, reason: *const c_char) {
    infallible((), || {
        logging::install();
        // SAFETY: null or a C string.
        let reason = unsafe { c_text::read(reason, "reason") };
        helper::refuse(partition, reason.as_deref().unwrap_or("refused by the caller's own layer"));
    });
}

/// Stores how many logs of `partition` have been accepted here and are neither delivered here nor
/// lost. Errors: MAKO_RAFT_INVALID for an unknown partition or a null `outstanding`.
#[no_mangle]
pub unsafe extern "C" fn mako_raft_get_outstanding_logs(
    partition: u32,
    outstanding: *mut u64,
) -> mako_raft_status {
    checked(|| {
        super::boundary::not_null(outstanding, "outstanding")?;
        let number = helper::outstanding(partition).ok_or_else(|| unknown_partition(partition))?;
        // SAFETY: not null, so the caller's variable.
        unsafe { *outstanding = number };
        Ok(())
    })
}

/// The error for a partition that no file names.
fn unknown_partition(partition: u32) -> HelperError {
    HelperError::Invalid(match helper::partitions() {
        0 => format!("partition {partition}: the library is not set up and has no partitions"),
        count => format!("partition {partition} is unknown; expected 0..={}", count - 1),
    })
}

/// Blocks until mako_raft_get_outstanding_logs is 0 for `partition`, leadership is lost for good,
/// or the library shuts down; there is no other bound. Errors: MAKO_RAFT_INVALID for an unknown
/// partition, MAKO_RAFT_ORDER inside a callback or before setup2, MAKO_RAFT_SHUT_DOWN after a shutdown
/// without a setup2 before it (after any other it returns at once).
#[no_mangle]
pub extern "C" fn mako_raft_wait_for_submit(partition: u32) -> mako_raft_status {
    checked(|| helper::wait_for_submit(partition))
}

/// Submits the eight bytes "no-ops:E" to every partition of this process. Receivers read one digit:
/// MAKO_RAFT_INVALID for an epoch outside 0..9, with nothing submitted. Otherwise fails like
/// mako_raft_submit.
#[no_mangle]
pub extern "C" fn mako_raft_send_no_ops_for_mark(epoch: i32) -> mako_raft_status {
    checked(|| helper::send_no_ops_for_mark(epoch))
}

/// As mako_raft_send_no_ops_for_mark.
#[no_mangle]
pub extern "C" fn mako_raft_send_no_ops_to_all_workers(epoch: i32) -> mako_raft_status {
    checked(|| helper::send_no_ops_to_all_workers(epoch))
}

/// Decodes what a log callback returned for a log: `value` is timestamp * 10 + status in unsigned
/// 32-bit arithmetic that may have wrapped. A Mako log ends in a u32 timestamp and u32
/// milliseconds; where it does, that timestamp settles the wrapped value.
///
/// `log` and `len` are the log's; `log` may be null when `len` is 0. `timestamp` and `status` may be
/// null. Errors: MAKO_RAFT_INVALID for a null log with a length, or a length that no memory has.
#[no_mangle]
pub unsafe extern "C" fn mako_raft_decode_value(
    value: u32,
    log: *const c_char,
    len: usize,
    timestamp: *mut u32,
    status: *mut u32,
) -> mako_raft_status {
    checked(|| {
        // SAFETY: by contract null or readable for `len` bytes until this returns.
        let bytes = unsafe { log_bytes(log, len) }.map_err(HelperError::Invalid)?;
        let (time, code) = helper::decode_value(value, bytes);
        // SAFETY: each is null or the caller's variable.
        unsafe {
            if let Some(timestamp) = timestamp.as_mut() {
                *timestamp = time;
            }
            if let Some(status) = status.as_mut() {
                *status = code;
            }
        }
        Ok(())
    })
}
