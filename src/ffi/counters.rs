//! Counters, statistics and the built-in load.

use crate::helper;

use super::boundary::{checked, infallible, not_null};
use super::logging;
use super::mako_raft_status;
use crate::helper::HelperError;

/// One partition's counters. submitted = accepted + refused, and
/// accepted = delivered_own + lost + outstanding.
///
/// Set `size` to sizeof(mako_raft_counters) before the call: a newer library then fills no more
/// than an older program has room for.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct mako_raft_counters {
    /// In: sizeof(mako_raft_counters). Left as it is.
    pub size: usize,
    /// Logs given to the submit functions of this process in this run.
    pub submitted: u64,
    /// Logs accepted.
    pub accepted: u64,
    /// Logs refused, for any reason.
    pub refused: u64,
    /// Logs accepted here whose callback here has returned.
    pub delivered_own: u64,
    /// Other processes' logs whose callback here has returned.
    pub delivered_replayed: u64,
    /// Logs accepted here that will never be delivered.
    pub lost: u64,
    /// Logs accepted here and not yet delivered here or lost.
    pub outstanding: u64,
    /// Bytes of logs accepted here and not yet committed; bounded by raft.queue_bytes.
    pub queued_bytes: u64,
    /// Logs in the host's un-replayed queue, as mako_raft_set_unreplayed last said.
    pub unreplayed: u64,
    /// Zero.
    pub reserved: [u64; 6],
}

/// Fills `*counters` for `partition`. After a shutdown they are the last run's, until the next setup.
/// Errors: MAKO_RAFT_INVALID for a null pointer, a `size` that is not set, a partition that the shard
/// does not have, or one that has no replica in this process while the library runs; MAKO_RAFT_ORDER
/// before the first setup, and between setup and setup2; MAKO_RAFT_SHUT_DOWN after a shutdown that left
/// no such counters, since there was no setup2, or this process had no replica of the partition.
#[no_mangle]
pub unsafe extern "C" fn mako_raft_get_counters(
    partition: u32,
    counters: *mut mako_raft_counters,
) -> mako_raft_status {
    checked(|| {
        not_null(counters, "counters")?;
        // SAFETY: `size` is the first field of every version of the struct; read without making a
        // reference to more of it than the caller has.
        let size = unsafe { counters.cast::<usize>().read() };
        let smallest = size_of::<usize>() + size_of::<u64>();
        if size < smallest {
            return Err(HelperError::Invalid(format!(
                "counters->size is {size}; set it to sizeof(mako_raft_counters) before the call"
            )));
        }
        let now = helper::counters(partition)?;
        let full = mako_raft_counters {
            size,
            submitted: now.submitted,
            accepted: now.accepted,
            refused: now.refused,
            delivered_own: now.delivered_own,
            delivered_replayed: now.delivered_replayed,
            lost: now.lost,
            outstanding: now.outstanding,
            queued_bytes: now.queued_bytes,
            unreplayed: now.unreplayed,
            reserved: [0; 6],
        };
        let bytes = size.min(size_of::<mako_raft_counters>());
        // SAFETY: the caller's struct has `size` bytes, ours at least as many as are copied.
        unsafe {
            std::ptr::copy_nonoverlapping(std::ptr::from_ref(&full).cast::<u8>(), counters.cast(), bytes);
        }
        Ok(())
    })
}

/// How many partitions the shard has; 0 before setup and after shutdown.
#[no_mangle]
pub extern "C" fn mako_raft_partitions() -> u32 {
    infallible(0, helper::partitions)
}

/// Tells the library how many logs the host's un-replayed queue of `partition` holds: the counter
/// shows it, and a warning is logged when this process becomes the leader while there are any.
/// An unknown partition is ignored.
#[no_mangle]
pub extern "C" fn mako_raft_set_unreplayed(partition: u32, logs: u64) {
    infallible((), || helper::set_unreplayed(partition, logs));
}

/// Logs one line for each of the first `partitions` partitions: role, term, leader, counters. Role and
/// term are "unknown" where the library is held up and does not answer within 5 s.
#[no_mangle]
pub extern "C" fn mako_raft_worker_info_stats(partitions: usize) {
    infallible((), || {
        logging::install();
        helper::worker_info_stats(partitions);
    });
}

/// Submits 5-byte logs to every partition that this process leads, keeping as many outstanding as
/// the setup argument -n said, up to -T per partition; logs one line with rate and latencies.
/// Blocks until done. Errors: MAKO_RAFT_ORDER (not running, or inside a callback); MAKO_RAFT_NOT_LEADER
/// where it leads nothing, or lost leadership meanwhile; MAKO_RAFT_QUEUE_FULL, MAKO_RAFT_SHUT_DOWN and
/// MAKO_RAFT_INTERNAL as mako_raft_submit; MAKO_RAFT_UNFINISHED when nothing was committed for 30 s.
#[no_mangle]
pub extern "C" fn mako_raft_microbench() -> mako_raft_status {
    checked(helper::microbench)
}

/// As mako_raft_microbench.
#[no_mangle]
pub extern "C" fn mako_raft_microbench_queue() -> mako_raft_status {
    checked(helper::microbench)
}
