//! Registering callbacks.

use std::ffi::c_void;

use crate::helper::{self, CallbackRole, HelperError};

use super::boundary::checked;
use super::callbacks::{
    election_callback, log_callback, mako_raft_destructor, mako_raft_election_callback,
    mako_raft_log_callback, mako_raft_outcome_callback, outcome_callback, Context,
};
use super::mako_raft_status;

/// Registers the callback for logs of `partition` that this run of this process submitted.
///
/// Allowed at any time, also while running and inside a callback; the last registration wins, from
/// the next log on. Where only one of the two callbacks of a partition is registered, it gets all
/// logs; where none is, delivery of the partition waits. Forgotten by a clean shutdown.
/// `callback` must not be null. `context` and `destructor` may be.
/// Errors: MAKO_RAFT_INVALID for a null callback or an unknown partition; the destructor has then
/// been called. Before mako_raft_setup the partitions are not known: a callback for one that turns
/// out not to exist is dropped by setup, with a warning.
#[no_mangle]
pub unsafe extern "C" fn mako_raft_register_for_leader(
    callback: mako_raft_log_callback,
    context: *mut c_void,
    destructor: mako_raft_destructor,
    partition: u32,
) -> mako_raft_status {
    register_log(CallbackRole::Leader, callback, Context::new(context, destructor), partition)
}

/// Registers the callback for every other log of `partition`: those that another process, or an
/// earlier run of this one, submitted. Otherwise as mako_raft_register_for_leader.
#[no_mangle]
pub unsafe extern "C" fn mako_raft_register_for_follower(
    callback: mako_raft_log_callback,
    context: *mut c_void,
    destructor: mako_raft_destructor,
    partition: u32,
) -> mako_raft_status {
    register_log(CallbackRole::Follower, callback, Context::new(context, destructor), partition)
}

fn register_log(
    role: CallbackRole,
    callback: mako_raft_log_callback,
    context: Context,
    partition: u32,
) -> mako_raft_status {
    checked(|| {
        let callback = log_callback(callback, context).ok_or_else(|| {
            HelperError::Invalid(format!("the {role:?} callback for partition {partition} is null"))
        })?;
        helper::register_log(role, partition, callback)
    })
}

/// Registers the callback for leadership; the last registration wins. Allowed at any time, also
/// before mako_raft_setup. Kept through shutdown and the next setup, until replaced.
/// A null `callback` removes it (the `context` given with the null is destroyed at once).
#[no_mangle]
pub unsafe extern "C" fn mako_raft_register_leader_election_callback(
    callback: mako_raft_election_callback,
    context: *mut c_void,
    destructor: mako_raft_destructor,
) -> mako_raft_status {
    let context = Context::new(context, destructor);
    checked(|| helper::register_election(election_callback(callback, context)))
}

/// Registers the callback for the outcomes of logs accepted here; the last registration wins.
/// Allowed at any time. Kept through shutdown and the next setup, until replaced. A null `callback`
/// removes it (the `context` given with the null is destroyed at once).
#[no_mangle]
pub unsafe extern "C" fn mako_raft_register_outcome_callback(
    callback: mako_raft_outcome_callback,
    context: *mut c_void,
    destructor: mako_raft_destructor,
) -> mako_raft_status {
    let context = Context::new(context, destructor);
    checked(|| helper::register_outcome(outcome_callback(callback, context)))
}
