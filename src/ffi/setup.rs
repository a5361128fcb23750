//! The life of the library: set up, start, drain, shut down; and the hosts of a file.

use std::ffi::{c_char, CString};

use crate::helper::{self, HelperError};

use super::boundary::{checked, infallible, not_null};
use super::c_text;
use super::forked;
use super::logging;
use super::mako_raft_status;
use super::signals;

/// The names of this process's sites, the last site of the file first. Made by mako_raft_setup,
/// given back by mako_raft_names_free.
pub struct mako_raft_names(Vec<CString>);

/// Process names and their addresses, sorted by name. Made by mako_raft_get_hosts, given back by
/// mako_raft_hosts_free.
pub struct mako_raft_hosts(Vec<(CString, CString)>);

/// The library's version, "major.minor.patch". A static string.
#[no_mangle]
pub extern "C" fn mako_raft_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Parses the arguments and the YAML files they name, checks them, and opens storage. Binds
/// nothing, connects nowhere, starts nothing: mako_raft_setup2 does.
///
/// `argv` holds `argc` strings; the first is the program's name and is skipped, a null one ends the
/// list early. Understood are `-f FILE` (repeatable; .yml or .yaml), `-P PROCESS` (default
/// "localhost"), `-r DIR` for durable logs, and the other letters of Mako, which are accepted.
///
/// On MAKO_RAFT_OK, `*names` is a new list of this process's site names. `names` may be null.
/// Errors, each with file, line and key in mako_raft_last_error():
/// MAKO_RAFT_INVALID for a bad argument, file or environment variable (also one that is not UTF-8),
/// MAKO_RAFT_IO for a directory that can't be used,
/// MAKO_RAFT_ORDER for a second setup without a shutdown (which changes nothing), inside a
/// callback, or after a shutdown that returned MAKO_RAFT_UNFINISHED.
#[no_mangle]
pub unsafe extern "C" fn mako_raft_setup(
    argc: i32,
    argv: *const *const c_char,
    names: *mut *mut mako_raft_names,
) -> mako_raft_status {
    forked::watch();
    checked(|| {
        logging::install();
        // SAFETY: `argv` is null or holds `argc` strings.
        let arguments = unsafe { read_arguments(argc, argv) }?;
        let sites = signals::blocked(|| helper::setup(&arguments))?;
        if !names.is_null() {
            let list = mako_raft_names(sites.iter().map(|name| c_text::own(name)).collect());
            // SAFETY: not null, so the caller's variable.
            unsafe { *names = Box::into_raw(Box::new(list)) };
        }
        Ok(())
    })
}

/// # Safety
/// `argv` is null or holds `argc` pointers, each null or a C string.
unsafe fn read_arguments(argc: i32, argv: *const *const c_char) -> Result<Vec<String>, HelperError> {
    let count = usize::try_from(argc)
        .map_err(|_| HelperError::Invalid(format!("argc is {argc}; expected the number of strings in argv")))?;
    if count > 0 {
        not_null(argv, "argv")?;
    }
    let mut arguments = Vec::with_capacity(count.min(1024));
    for at in 0..count {
        // SAFETY: `at` is below `argc`.
        let argument = unsafe { *argv.add(at) };
        if argument.is_null() {
            break;
        }
        // SAFETY: not null, so a C string.
        arguments.push(unsafe { c_text::read(argument, &format!("argv[{at}]")) }?);
    }
    Ok(arguments)
}

/// How many names the list holds; 0 for null.
#[no_mangle]
pub unsafe extern "C" fn mako_raft_names_count(names: *const mako_raft_names) -> usize {
    // SAFETY: null or a live list.
    unsafe { names.as_ref() }.map_or(0, |list| list.0.len())
}

/// The name at `index`; null past the end or for a null list. The text lives as long as the list.
#[no_mangle]
pub unsafe extern "C" fn mako_raft_names_get(names: *const mako_raft_names, index: usize) -> *const c_char {
    // SAFETY: null or a live list.
    let name = unsafe { names.as_ref() }.and_then(|list| list.0.get(index));
    name.map_or(std::ptr::null(), |name| name.as_ptr())
}

/// Frees the list. Null is ignored.
#[no_mangle]
pub unsafe extern "C" fn mako_raft_names_free(names: *mut mako_raft_names) {
    if !names.is_null() {
        // SAFETY: made by `Box::into_raw` in mako_raft_setup, and given back once.
        drop(unsafe { Box::from_raw(names) });
    }
}

/// Binds this process's port, starts to connect and to elect, and returns without waiting for peers.
///
/// `action` 1 leaves forming the shard and the first campaign to the other processes; any other
/// value is a normal start. `shard_index` only appears in messages; -1 where there is none.
/// Errors: MAKO_RAFT_ORDER before mako_raft_setup, a second time, or inside a callback;
/// MAKO_RAFT_IO when the address can't be bound, or there are no descriptors or threads left (after
/// which setup2 may be tried again). Looking up names takes the system's time for this process's own, which
/// is waited for, and 2 s at most for the peers', which goes on later.
#[no_mangle]
pub extern "C" fn mako_raft_setup2(action: i32, shard_index: i32) -> mako_raft_status {
    checked(|| signals::blocked(|| helper::setup2(action, shard_index)))
}

/// Stops accepting logs, drains what was accepted and delivers what is already committed here, for
/// at most raft.drain_ms (5 s), or 0.5 s where that is less; what is left is reported as lost, for which
/// the last half second of that time is kept (a fourth of less than 2 s). Says goodbye to the peers; the
/// process keeps acknowledging and delivering until mako_raft_shutdown. Where it leads, it hands leadership
/// to a process that stays, 2 s after nothing is undecided any more.
///
/// From its start on no callback is called but those of deliveries and their outcomes. An election callback
/// that had begun has returned when this returns, or has taken longer than raft.drain_ms (a warning).
///
/// May be called again, after a shutdown, or without a setup: then it does nothing.
/// Errors: MAKO_RAFT_ORDER inside a callback.
#[no_mangle]
pub extern "C" fn mako_raft_pre_shutdown_step() -> mako_raft_status {
    checked(helper::pre_shutdown_step)
}

/// Stops everything: on MAKO_RAFT_OK every thread of the library has ended (but for one kind, below),
/// every port is released and every partition callback is forgotten (its destructor has run when the
/// call that shut down returns); the election callback is kept. Drains first where
/// mako_raft_pre_shutdown_step was not called. Bounded, with or without peers. May be called again or
/// without a setup: then it does nothing.
///
/// What may outlive it is a look-up of a peer's name that the system's resolver has not answered yet
/// (a thread "mako-resolve", two for each such peer at most). Nothing can end it but that answer; it
/// calls nobody back and touches nothing of the library. Addresses written as numbers need none.
///
/// Errors: MAKO_RAFT_ORDER inside a callback; MAKO_RAFT_UNFINISHED when a callback, or the destructor of
/// a thread_local object on a thread that has called back, is still running 10 s after shutdown began, or
/// 2 s after the drain where raft.drain_ms is longer (its thread is left alone, and a later setup is refused).
#[no_mangle]
pub extern "C" fn mako_raft_shutdown() -> mako_raft_status {
    checked(helper::shutdown)
}

/// An operator's act, for a survivor that can't find a majority of its members any more because too
/// many have lost their memory: goes on alone from this process's log, to which the others are then
/// admitted anew. What only the lost processes knew is gone. docs/operations.md says when to.
/// May be called again: what has gone on alone already is left as it is. Takes 10 s at most.
///
/// Errors: MAKO_RAFT_ORDER where this process is not in that state, where the library is held up and
/// does not answer (and will not do it later), before setup2, and on the library's own thread that
/// would have to do it (in a log sink); nothing was changed, and the text says why.
/// MAKO_RAFT_UNFINISHED where some groups (raft.grouping: partition) went on alone and others, which
/// are no better off, did not, or where it was begun and no answer came; the text says which, and a further call is for the others.
/// MAKO_RAFT_SHUT_DOWN after shutdown, MAKO_RAFT_INTERNAL when the replica has stopped itself.
#[no_mangle]
pub extern "C" fn mako_raft_restore_alone() -> mako_raft_status {
    checked(helper::restore_alone)
}

/// Reads the "host" section of a YAML file: process name to address. Needs no setup.
///
/// On MAKO_RAFT_OK, `*hosts` is a new list. Errors: MAKO_RAFT_INVALID for a file
/// that can't be read, is not YAML, or has no such section.
#[no_mangle]
pub unsafe extern "C" fn mako_raft_get_hosts(
    file: *const c_char,
    hosts: *mut *mut mako_raft_hosts,
) -> mako_raft_status {
    checked(|| {
        logging::install();
        not_null(hosts, "hosts")?;
        // SAFETY: null or a C string.
        let file = unsafe { c_text::read(file, "file") }?;
        let map = helper::hosts(&file)?;
        let list = map.iter().map(|(name, address)| (c_text::own(name), c_text::own(address))).collect();
        // SAFETY: not null, so the caller's variable.
        unsafe { *hosts = Box::into_raw(Box::new(mako_raft_hosts(list))) };
        Ok(())
    })
}

/// How many hosts the list holds; 0 for null.
#[no_mangle]
pub unsafe extern "C" fn mako_raft_hosts_count(hosts: *const mako_raft_hosts) -> usize {
    // SAFETY: null or a live list.
    unsafe { hosts.as_ref() }.map_or(0, |list| list.0.len())
}

/// The process name at `index`; null past the end or for a null list. Lives as long as the list.
#[no_mangle]
pub unsafe extern "C" fn mako_raft_hosts_name(hosts: *const mako_raft_hosts, index: usize) -> *const c_char {
    // SAFETY: null or a live list.
    let host = unsafe { hosts.as_ref() }.and_then(|list| list.0.get(index));
    host.map_or(std::ptr::null(), |(name, _)| name.as_ptr())
}

/// The address at `index`; null past the end or for a null list. Lives as long as the list.
#[no_mangle]
pub unsafe extern "C" fn mako_raft_hosts_address(
    hosts: *const mako_raft_hosts,
    index: usize,
) -> *const c_char {
    // SAFETY: null or a live list.
    let host = unsafe { hosts.as_ref() }.and_then(|list| list.0.get(index));
    host.map_or(std::ptr::null(), |(_, address)| address.as_ptr())
}

/// Frees the list. Null is ignored.
#[no_mangle]
pub unsafe extern "C" fn mako_raft_hosts_free(hosts: *mut mako_raft_hosts) {
    if !hosts.is_null() {
        // SAFETY: made by `Box::into_raw` in mako_raft_get_hosts, and given back once.
        drop(unsafe { Box::from_raw(hosts) });
    }
}

/// True on a thread that is inside one of this library's callbacks or the destructor of its context, and
/// on the library's own threads in the destructors of C++ thread_local objects.
#[no_mangle]
pub extern "C" fn mako_raft_in_callback() -> bool {
    infallible(false, helper::in_callback)
}
