//! Who leads, who should, and Mako's epoch.

use crate::helper;

use super::boundary::{checked, infallible};
use super::logging;
use super::mako_raft_status;
use super::submission::MAKO_RAFT_UNKNOWN_SITE;

/// True while this process leads `partition` and has announced it: logs are then accepted.
/// False for an unknown partition.
#[no_mangle]
pub extern "C" fn mako_raft_is_leader(partition: u32) -> bool {
    infallible(false, || helper::is_leader(partition))
}

/// The id of the leader's site in `partition`; MAKO_RAFT_UNKNOWN_SITE where nobody is known to lead
/// or the partition is unknown, and once the library is shut down or the replica has stopped itself.
#[no_mangle]
pub extern "C" fn mako_raft_leader_site(partition: u32) -> u16 {
    infallible(MAKO_RAFT_UNKNOWN_SITE, || {
        helper::leader_site(partition).unwrap_or(MAKO_RAFT_UNKNOWN_SITE)
    })
}

/// Makes the process of site `site_id` the preferred leader of the whole shard, on every replica and
/// through fail-overs; an id that is in no partition (-1, say) disables the preference. Returns once
/// the wish is on its way. Errors: MAKO_RAFT_INVALID for the site of a learner, which can't lead;
/// MAKO_RAFT_ORDER before setup2, MAKO_RAFT_SHUT_DOWN afterwards, MAKO_RAFT_INTERNAL when the replica
/// has stopped itself. The wish then changes nothing.
#[no_mangle]
pub extern "C" fn mako_raft_set_preferred_leader(site_id: i32) -> mako_raft_status {
    checked(|| helper::set_preferred_leader(site_id))
}

/// Makes this process the preferred leader and asks the present one to hand over. Returns when it has
/// asked, in the time of one turn of the library's loop as a rule, 10 s at most.
/// From then on logs are accepted and kept, for 5 s at most: where leadership has not come by then,
/// those that were kept are lost, and later ones are refused.
/// Errors: MAKO_RAFT_INVALID in a learner, which can't lead; MAKO_RAFT_ORDER before setup2, in a replica that
/// is out of its shard, as its log says ("cut off", "serves no more"), until it is restarted, and when
/// the library is held up for 5 s (by its disk, say): it then does not ask later. MAKO_RAFT_SHUT_DOWN from
/// mako_raft_pre_shutdown_step on, MAKO_RAFT_INTERNAL when the replica has stopped itself,
/// MAKO_RAFT_UNFINISHED when it is held up in the middle of it.
#[no_mangle]
pub extern "C" fn mako_raft_upgrade_to_leader() -> mako_raft_status {
    checked(helper::upgrade_to_leader)
}

/// Mako's epoch: 0 at start.
#[no_mangle]
pub extern "C" fn mako_raft_get_epoch() -> i32 {
    infallible(0, helper::epoch)
}

/// Sets Mako's epoch; -1 increments it. The number lives in this process only. Mako packs it as one
/// decimal digit: above 9 a warning is logged once.
#[no_mangle]
pub extern "C" fn mako_raft_set_epoch(epoch: i32) {
    infallible((), || {
        // The warning is given once, and may come before setup.
        logging::install();
        helper::set_epoch(epoch);
    });
}
