/* mako_raft.h - the C ABI of the mako-raft replication library.
 *
 * Written by cbindgen from src/ffi of the library. Do not edit: change the source and build.
 *
 * WHAT IT DOES
 *   A process is one replica of a shard. Its worker threads submit opaque byte strings ("logs") to
 *   partitions 0, 1, 2, ...; the library replicates each partition's stream to the shard's other
 *   processes and calls back on every one of them, in order, when a log is committed.
 *
 * ORDER OF CALLS
 *   mako_raft_setup, then the registrations, then mako_raft_setup2, then submissions, then
 *   mako_raft_pre_shutdown_step and mako_raft_shutdown. After a shutdown that returned
 *   MAKO_RAFT_OK, mako_raft_setup works again in the same process, as a new run.
 *
 * CONVENTIONS, for every function unless it says otherwise
 *   Threads    Any function may be called from any thread, several at once. "Inside a callback" is
 *              named where it is an error.
 *   Errors     A function that can fail returns a mako_raft_status and leaves its out-parameters
 *              untouched, except where it says what it stores. mako_raft_last_error() then tells
 *              what was wrong and what would be right. Nothing here aborts or exits the process,
 *              and no exception or panic leaves a function of this header; only memory that can't
 *              be had ends the process. Allow for raft.log_memory_bytes, twice the longest log, and
 *              raft.queue_bytes for each partition.
 *   fork       A child that was forked while the library is set up can only call exec or _exit: there
 *              a function with a status fails with MAKO_RAFT_ORDER, and one without does nothing and
 *              returns what it says of nothing (0, false, null, MAKO_RAFT_UNKNOWN_SITE). As ever work
 *              those that need no setup and no lock of ours: mako_raft_version, mako_raft_last_error,
 *              mako_raft_log (a line on standard error), the names_ and hosts_ functions. Until then
 *              the parent's port and data directory stay in use, also when the parent has died.
 *   Pointers   An in-pointer must not be null where nothing else is said; a null one is reported as
 *              MAKO_RAFT_INVALID. An out-pointer may be null where the caller does not want the
 *              value and the text says "may be null".
 *   Strings    const char* in is NUL-terminated UTF-8 and is copied. const char* out belongs to the
 *              library; each function says how long it lives.
 *   Handles    A function that returns a handle through an out-pointer gives it to the caller, who
 *              gives it back to the matching _free function, once. _free takes null.
 *   Callbacks  A callback is a function pointer, a void* context that the library passes through
 *              and never looks at, and a destructor for the context, which may be null. The
 *              destructor is called exactly once for each registration call, also where that call
 *              fails: when the registration is replaced, when a clean shutdown forgets it, or
 *              before a failing call returns. It is called on the thread that replaces, that sets
 *              up or shuts down, or that delivered last; never while the callback runs, never before
 *              it returned for the last time. The thread of a callback that is still running when
 *              shutdown gives up on it (MAKO_RAFT_UNFINISHED) is left alone. If that callback returns
 *              later, the outcome callback is told there of what it delivered and of what is lost, the
 *              destructors of what the thread called run there, and the thread ends. The threads of
 *              other partitions have ended, and run the destructors of what they called, as ever. Only
 *              what no thread had taken up, registered since its partition's last log, keeps its context
 *              for ever.
 *              "Inside a callback" is also inside a destructor, and, on a thread of the library,
 *              inside the destructors of C++ thread_local objects that callbacks made there: these
 *              run when the thread ends, and shutdown waits for them.
 *              The library may call back from a thread other than the one that registered, and
 *              holds no lock of its own while it does. A callback must not unwind: no C++ exception
 *              and no longjmp may leave it.
 *              Log, outcome and election callbacks run with the signal mask that the caller of
 *              mako_raft_setup2 had, and the threads and programs that they start inherit it: the host's
 *              signal handlers may run there. The library's other threads, on which a log sink may be
 *              called, block all signals but SIGPROF and those of a fault of their own.
 *              Their stack is 8 MiB, or the process's soft limit (RLIMIT_STACK) at setup2 where that is more
 *              and finite. A log sink has to do with 2 MiB.
 *
 * THE C++ FUNCTIONS OF MAKO AND THEIR TWINS HERE
 *   setup                                      mako_raft_setup
 *   setup2                                     mako_raft_setup2
 *   getHosts                                   mako_raft_get_hosts
 *   get_outstanding_logs                       mako_raft_get_outstanding_logs
 *   shutdown_paxos                             mako_raft_shutdown
 *   pre_shutdown_step                          mako_raft_pre_shutdown_step
 *   microbench_paxos, microbench_paxos_queue   mako_raft_microbench, mako_raft_microbench_queue
 *   register_for_leader[_par_id[_return]]      mako_raft_register_for_leader
 *   register_for_follower[_par_id[_return]]    mako_raft_register_for_follower
 *   register_leader_election_callback          mako_raft_register_leader_election_callback
 *   submit, add_log, add_log_without_queue,
 *   add_log_to_nc                              mako_raft_submit
 *   wait_for_submit                            mako_raft_wait_for_submit
 *   get_epoch, set_epoch                       mako_raft_get_epoch, mako_raft_set_epoch
 *   upgrade_p1_to_leader                       mako_raft_upgrade_to_leader
 *   worker_info_stats                          mako_raft_worker_info_stats
 *   send_no_ops_for_mark                       mako_raft_send_no_ops_for_mark
 *   send_no_ops_to_all_workers                 mako_raft_send_no_ops_to_all_workers
 *   set_preferred_leader                       mako_raft_set_preferred_leader
 */


#ifndef MAKO_RAFT_H
#define MAKO_RAFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// "Nobody knows", where a site id is returned.
#define MAKO_RAFT_UNKNOWN_SITE 65535

// What a fallible function returns. The text that goes with a code other than `MAKO_RAFT_OK` is
// mako_raft_last_error(). New codes may be added at the end.
enum mako_raft_status
#ifdef __cplusplus
  : int32_t
#endif // __cplusplus
 {
    // Done.
    MAKO_RAFT_OK = 0,
    // An argument, a file, a key or a value is wrong. Nothing was changed.
    MAKO_RAFT_INVALID = 1,
    // The call is not allowed now: a second setup, setup2 before setup, any call before the setup or
    // setup2 that it needs, shutdown from inside a callback. Nothing was changed.
    MAKO_RAFT_ORDER = 2,
    // This process does not lead; the log was not accepted.
    MAKO_RAFT_NOT_LEADER = 3,
    // The partition's queue stayed full for raft.submit_wait_ms; the log was not accepted.
    MAKO_RAFT_QUEUE_FULL = 4,
    // The library is shutting down or was shut down.
    MAKO_RAFT_SHUT_DOWN = 5,
    // An address can't be bound, a directory can't be written.
    MAKO_RAFT_IO = 6,
    // Shutdown left something running, a callback that does not return; or what was asked was done in
    // part, or whether it was done is not known. The text says which.
    MAKO_RAFT_UNFINISHED = 7,
    // A defect of the library: a panic was stopped at this boundary, or the replica has stopped
    // itself. Please report it with the text.
    MAKO_RAFT_INTERNAL = 8,
};
#ifndef __cplusplus
typedef int32_t mako_raft_status;
#endif // __cplusplus

// Process names and their addresses, sorted by name. Made by mako_raft_get_hosts, given back by
// mako_raft_hosts_free.
typedef struct mako_raft_hosts mako_raft_hosts;

// The names of this process's sites, the last site of the file first. Made by mako_raft_setup,
// given back by mako_raft_names_free.
typedef struct mako_raft_names mako_raft_names;

// Called once per committed log of a partition.
//
// `log` points at `len` bytes with a NUL one byte past them; it is never null, also where `len` is
// 0, belongs to the library and is valid during the call. `slot` is the log's position in the
// partition: 1, 2, 3, ... without a gap, the same on every replica. All calls of a partition come
// from one and the same thread, one at a time, in slot order; partitions run in parallel, and a
// call that blocks holds up its own partition only. That holds until raft.log_memory_bytes (1 GiB) of
// the shard's logs lie behind it: then a follower takes no more, and a leader makes all submitters
// wait (docs/operations.md, "The bound on the log in memory").
//
// Returns timestamp * 10 + status as Mako defines it (see mako_raft_decode_value); return 0 where
// that has no meaning. The library itself only shows the value in messages.
typedef uint32_t (*mako_raft_log_callback)(void *context,
                                           const char *log,
                                           size_t len,
                                           uint32_t partition,
                                           uint64_t slot);

// Frees a callback's context. Called exactly once for each registration; may be null. What is an error
// inside a callback is one in here too.
typedef void (*mako_raft_destructor)(void *context);

// Called on one thread of the library, in order: `code` is 1 when this process has become the
// leader, after every log of earlier leaders has been delivered here, and 0 when another run has
// taken over. raft.election_codes changes or silences the values.
typedef void (*mako_raft_election_callback)(void *context, int32_t code);

// Called on the partition's thread, in ticket order per partition: the `count` logs with the
// tickets `first_ticket`, `first_ticket` + 1, ... that mako_raft_submit gave out have been
// delivered here (`delivered` is true: the log callback has returned for them) or are lost
// (false: they never will be).
typedef void (*mako_raft_outcome_callback)(void *context,
                                           uint32_t partition,
                                           uint64_t first_ticket,
                                           uint64_t count,
                                           bool delivered);

// One partition's counters. submitted = accepted + refused, and
// accepted = delivered_own + lost + outstanding.
//
// Set `size` to sizeof(mako_raft_counters) before the call: a newer library then fills no more
// than an older program has room for.
typedef struct mako_raft_counters {
    // In: sizeof(mako_raft_counters). Left as it is.
    size_t size;
    // Logs given to the submit functions of this process in this run.
    uint64_t submitted;
    // Logs accepted.
    uint64_t accepted;
    // Logs refused, for any reason.
    uint64_t refused;
    // Logs accepted here whose callback here has returned.
    uint64_t delivered_own;
    // Other processes' logs whose callback here has returned.
    uint64_t delivered_replayed;
    // Logs accepted here that will never be delivered.
    uint64_t lost;
    // Logs accepted here and not yet delivered here or lost.
    uint64_t outstanding;
    // Bytes of logs accepted here and not yet committed; bounded by raft.queue_bytes.
    uint64_t queued_bytes;
    // Logs in the host's un-replayed queue, as mako_raft_set_unreplayed last said.
    uint64_t unreplayed;
    // Zero.
    uint64_t reserved[6];
} mako_raft_counters;

// Receives one message of the library, from any of its threads and from any thread that calls it,
// several at once. `level` is 1 error, 2 warning, 3 info, 4 debug, 5 trace. `target` names the
// part of the library, `message` has no newline at its end; both are valid during the call.
// Messages that the sink itself causes are dropped.
typedef void (*mako_raft_log_sink)(void *context,
                                   int32_t level,
                                   const char *target,
                                   const char *message);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The message of the last call of this library that failed on the calling thread; an empty string
// when none has failed yet. Calls that succeed leave it alone. Never null.
//
// The text belongs to the library and lives until the next failing call on this thread or the
// thread's end, whichever comes first; copy it to keep it. Works in thread_local destructors too.
const char *mako_raft_last_error(void);

// The library's version, "major.minor.patch". A static string.
const char *mako_raft_version(void);

// Parses the arguments and the YAML files they name, checks them, and opens storage. Binds
// nothing, connects nowhere, starts nothing: mako_raft_setup2 does.
//
// `argv` holds `argc` strings; the first is the program's name and is skipped, a null one ends the
// list early. Understood are `-f FILE` (repeatable; .yml or .yaml), `-P PROCESS` (default
// "localhost"), `-r DIR` for durable logs, and the other letters of Mako, which are accepted.
//
// On MAKO_RAFT_OK, `*names` is a new list of this process's site names. `names` may be null.
// Errors, each with file, line and key in mako_raft_last_error():
// MAKO_RAFT_INVALID for a bad argument, file or environment variable (also one that is not UTF-8),
// MAKO_RAFT_IO for a directory that can't be used,
// MAKO_RAFT_ORDER for a second setup without a shutdown (which changes nothing), inside a
// callback, or after a shutdown that returned MAKO_RAFT_UNFINISHED.
mako_raft_status mako_raft_setup(int32_t argc,
                                 const char *const *argv,
                                 struct mako_raft_names **names);

// How many names the list holds; 0 for null.
size_t mako_raft_names_count(const struct mako_raft_names *names);

// The name at `index`; null past the end or for a null list. The text lives as long as the list.
const char *mako_raft_names_get(const struct mako_raft_names *names,
                                size_t index);

// Frees the list. Null is ignored.
void mako_raft_names_free(struct mako_raft_names *names);

// Binds this process's port, starts to connect and to elect, and returns without waiting for peers.
//
// `action` 1 leaves forming the shard and the first campaign to the other processes; any other
// value is a normal start. `shard_index` only appears in messages; -1 where there is none.
// Errors: MAKO_RAFT_ORDER before mako_raft_setup, a second time, or inside a callback;
// MAKO_RAFT_IO when the address can't be bound, or there are no descriptors or threads left (after
// which setup2 may be tried again). Looking up names takes the system's time for this process's own, which
// is waited for, and 2 s at most for the peers', which goes on later.
mako_raft_status mako_raft_setup2(int32_t action,
                                  int32_t shard_index);

// Stops accepting logs, drains what was accepted and delivers what is already committed here, for
// at most raft.drain_ms (5 s), or 0.5 s where that is less; what is left is reported as lost, for which
// the last half second of that time is kept (a fourth of less than 2 s). Says goodbye to the peers; the
// process keeps acknowledging and delivering until mako_raft_shutdown. Where it leads, it hands leadership
// to a process that stays, 2 s after nothing is undecided any more.
//
// From its start on no callback is called but those of deliveries and their outcomes. An election callback
// that had begun has returned when this returns, or has taken longer than raft.drain_ms (a warning).
//
// May be called again, after a shutdown, or without a setup: then it does nothing.
// Errors: MAKO_RAFT_ORDER inside a callback.
mako_raft_status mako_raft_pre_shutdown_step(void);

// Stops everything: on MAKO_RAFT_OK every thread of the library has ended (but for one kind, below),
// every port is released and every partition callback is forgotten (its destructor has run when the
// call that shut down returns); the election callback is kept. Drains first where
// mako_raft_pre_shutdown_step was not called. Bounded, with or without peers. May be called again or
// without a setup: then it does nothing.
//
// What may outlive it is a look-up of a peer's name that the system's resolver has not answered yet
// (a thread "mako-resolve", two for each such peer at most). Nothing can end it but that answer; it
// calls nobody back and touches nothing of the library. Addresses written as numbers need none.
//
// Errors: MAKO_RAFT_ORDER inside a callback; MAKO_RAFT_UNFINISHED when a callback, or the destructor of
// a thread_local object on a thread that has called back, is still running 10 s after shutdown began, or
// 2 s after the drain where raft.drain_ms is longer (its thread is left alone, and a later setup is refused).
mako_raft_status mako_raft_shutdown(void);

// An operator's act, for a survivor that can't find a majority of its members any more because too
// many have lost their memory: goes on alone from this process's log, to which the others are then
// admitted anew. What only the lost processes knew is gone. docs/operations.md says when to.
// May be called again: what has gone on alone already is left as it is. Takes 10 s at most.
//
// Errors: MAKO_RAFT_ORDER where this process is not in that state, where the library is held up and
// does not answer (and will not do it later), before setup2, and on the library's own thread that
// would have to do it (in a log sink); nothing was changed, and the text says why.
// MAKO_RAFT_UNFINISHED where some groups (raft.grouping: partition) went on alone and others, which
// are no better off, did not, or where it was begun and no answer came; the text says which, and a further call is for the others.
// MAKO_RAFT_SHUT_DOWN after shutdown, MAKO_RAFT_INTERNAL when the replica has stopped itself.
mako_raft_status mako_raft_restore_alone(void);

// Reads the "host" section of a YAML file: process name to address. Needs no setup.
//
// On MAKO_RAFT_OK, `*hosts` is a new list. Errors: MAKO_RAFT_INVALID for a file
// that can't be read, is not YAML, or has no such section.
mako_raft_status mako_raft_get_hosts(const char *file, struct mako_raft_hosts **hosts);

// How many hosts the list holds; 0 for null.
size_t mako_raft_hosts_count(const struct mako_raft_hosts *hosts);

// The process name at `index`; null past the end or for a null list. Lives as long as the list.
const char *mako_raft_hosts_name(const struct mako_raft_hosts *hosts, size_t index);

// The address at `index`; null past the end or for a null list. Lives as long as the list.
const char *mako_raft_hosts_address(const struct mako_raft_hosts *hosts, size_t index);

// Frees the list. Null is ignored.
void mako_raft_hosts_free(struct mako_raft_hosts *hosts);

// True on a thread that is inside one of this library's callbacks or the destructor of its context, and
// on the library's own threads in the destructors of C++ thread_local objects.
bool mako_raft_in_callback(void);

// Registers the callback for logs of `partition` that this run of this process submitted.
//
// Allowed at any time, also while running and inside a callback; the last registration wins, from
// the next log on. Where only one of the two callbacks of a partition is registered, it gets all
// logs; where none is, delivery of the partition waits. Forgotten by a clean shutdown.
// `callback` must not be null. `context` and `destructor` may be.
// Errors: MAKO_RAFT_INVALID for a null callback or an unknown partition; the destructor has then
// been called. Before mako_raft_setup the partitions are not known: a callback for one that turns
// out not to exist is dropped by setup, with a warning.
mako_raft_status mako_raft_register_for_leader(mako_raft_log_callback callback,
                                               void *context,
                                               mako_raft_destructor destructor,
                                               uint32_t partition);

// Registers the callback for every other log of `partition`: those that another process, or an
// earlier run of this one, submitted. Otherwise as mako_raft_register_for_leader.
mako_raft_status mako_raft_register_for_follower(mako_raft_log_callback callback,
                                                 void *context,
                                                 mako_raft_destructor destructor,
                                                 uint32_t partition);

// Registers the callback for leadership; the last registration wins. Allowed at any time, also
// before mako_raft_setup. Kept through shutdown and the next setup, until replaced.
// A null `callback` removes it (the `context` given with the null is destroyed at once).
mako_raft_status mako_raft_register_leader_election_callback(mako_raft_election_callback callback,
                                                             void *context,
                                                             mako_raft_destructor destructor);

// Registers the callback for the outcomes of logs accepted here; the last registration wins.
// Allowed at any time. Kept through shutdown and the next setup, until replaced. A null `callback`
// removes it (the `context` given with the null is destroyed at once).
mako_raft_status mako_raft_register_outcome_callback(mako_raft_outcome_callback callback,
                                                     void *context,
                                                     mako_raft_destructor destructor);

// Submits one log: copies `len` bytes, queues them, returns. The caller's buffer is free to be
// reused at once. May block, see below. Works in C++ thread_local destructors.
//
// `len` 0 is a real log, delivered in order; `log` may then be null. Up to raft.max_log_bytes
// (1 GiB).
// `ticket`, may be null: receives this log's number, 1, 2, 3, ... per partition in the order of
// acceptance, which the outcome callback names again.
// `leader_site`, may be null: on MAKO_RAFT_NOT_LEADER receives the id of the leader's site in this
// partition, or MAKO_RAFT_UNKNOWN_SITE.
//
// While this process is about to lead or has only lost touch with its quorum, the log is accepted
// and kept. A full queue makes the caller wait, for at most raft.submit_wait_ms (30 s); inside a
// callback the log is accepted over the bound instead.
//
// Every failure is counted for the partition (from setup on; the others, and those for a partition that
// this process has no replica of, in a number that mako_raft_worker_info_stats logs) and warned about at
// a bounded rate:
// MAKO_RAFT_NOT_LEADER, MAKO_RAFT_QUEUE_FULL (also when a hand-over of leadership took so long),
// MAKO_RAFT_SHUT_DOWN, MAKO_RAFT_INVALID (null with a length, too long, unknown partition),
// MAKO_RAFT_ORDER before setup2, MAKO_RAFT_INTERNAL once the replica has stopped itself (a full disk,
// say; the text tells why). The log was then not accepted and will not be delivered.
mako_raft_status mako_raft_submit(const char *log,
                                  size_t len,
                                  uint32_t partition,
                                  uint64_t *ticket,
                                  uint16_t *leader_site);

// Counts a log that the caller's own layer refused (Mako's C++ functions take an int length, which
// may be negative) as submitted and refused, and warns at a bounded rate with `reason`.
// `reason` may be null.
void mako_raft_refuse(uint32_t partition,
                      const char *reason);

// Stores how many logs of `partition` have been accepted here and are neither delivered here nor
// lost. Errors: MAKO_RAFT_INVALID for an unknown partition or a null `outstanding`.
mako_raft_status mako_raft_get_outstanding_logs(uint32_t partition,
                                                uint64_t *outstanding);

// Blocks until mako_raft_get_outstanding_logs is 0 for `partition`, leadership is lost for good,
// or the library shuts down; there is no other bound. Errors: MAKO_RAFT_INVALID for an unknown
// partition, MAKO_RAFT_ORDER inside a callback or before setup2, MAKO_RAFT_SHUT_DOWN after a shutdown
// without a setup2 before it (after any other it returns at once).
mako_raft_status mako_raft_wait_for_submit(uint32_t partition);

// Submits the eight bytes "no-ops:E" to every partition of this process. Receivers read one digit:
// MAKO_RAFT_INVALID for an epoch outside 0..9, with nothing submitted. Otherwise fails like
// mako_raft_submit.
mako_raft_status mako_raft_send_no_ops_for_mark(int32_t epoch);

// As mako_raft_send_no_ops_for_mark.
mako_raft_status mako_raft_send_no_ops_to_all_workers(int32_t epoch);

// Decodes what a log callback returned for a log: `value` is timestamp * 10 + status in unsigned
// 32-bit arithmetic that may have wrapped. A Mako log ends in a u32 timestamp and u32
// milliseconds; where it does, that timestamp settles the wrapped value.
//
// `log` and `len` are the log's; `log` may be null when `len` is 0. `timestamp` and `status` may be
// null. Errors: MAKO_RAFT_INVALID for a null log with a length, or a length that no memory has.
mako_raft_status mako_raft_decode_value(uint32_t value,
                                        const char *log,
                                        size_t len,
                                        uint32_t *timestamp,
                                        uint32_t *status);

// True while this process leads `partition` and has announced it: logs are then accepted.
// False for an unknown partition.
bool mako_raft_is_leader(uint32_t partition);

// The id of the leader's site in `partition`; MAKO_RAFT_UNKNOWN_SITE where nobody is known to lead
// or the partition is unknown, and once the library is shut down or the replica has stopped itself.
uint16_t mako_raft_leader_site(uint32_t partition);

// Makes the process of site `site_id` the preferred leader of the whole shard, on every replica and
// through fail-overs; an id that is in no partition (-1, say) disables the preference. Returns once
// the wish is on its way. Errors: MAKO_RAFT_INVALID for the site of a learner, which can't lead;
// MAKO_RAFT_ORDER before setup2, MAKO_RAFT_SHUT_DOWN afterwards, MAKO_RAFT_INTERNAL when the replica
// has stopped itself. The wish then changes nothing.
mako_raft_status mako_raft_set_preferred_leader(int32_t site_id);

// Makes this process the preferred leader and asks the present one to hand over. Returns when it has
// asked, in the time of one turn of the library's loop as a rule, 10 s at most.
// From then on logs are accepted and kept, for 5 s at most: where leadership has not come by then,
// those that were kept are lost, and later ones are refused.
// Errors: MAKO_RAFT_INVALID in a learner, which can't lead; MAKO_RAFT_ORDER before setup2, in a replica that
// is out of its shard, as its log says ("cut off", "serves no more"), until it is restarted, and when
// the library is held up for 5 s (by its disk, say): it then does not ask later. MAKO_RAFT_SHUT_DOWN from
// mako_raft_pre_shutdown_step on, MAKO_RAFT_INTERNAL when the replica has stopped itself,
// MAKO_RAFT_UNFINISHED when it is held up in the middle of it.
mako_raft_status mako_raft_upgrade_to_leader(void);

// Mako's epoch: 0 at start.
int32_t mako_raft_get_epoch(void);

// Sets Mako's epoch; -1 increments it. The number lives in this process only. Mako packs it as one
// decimal digit: above 9 a warning is logged once.
void mako_raft_set_epoch(int32_t epoch);

// Fills `*counters` for `partition`. After a shutdown they are the last run's, until the next setup.
// Errors: MAKO_RAFT_INVALID for a null pointer, a `size` that is not set, a partition that the shard
// does not have, or one that has no replica in this process while the library runs; MAKO_RAFT_ORDER
// before the first setup, and between setup and setup2; MAKO_RAFT_SHUT_DOWN after a shutdown that left
// no such counters, since there was no setup2, or this process had no replica of the partition.
mako_raft_status mako_raft_get_counters(uint32_t partition,
                                        struct mako_raft_counters *counters);

// How many partitions the shard has; 0 before setup and after shutdown.
uint32_t mako_raft_partitions(void);

// Tells the library how many logs the host's un-replayed queue of `partition` holds: the counter
// shows it, and a warning is logged when this process becomes the leader while there are any.
// An unknown partition is ignored.
void mako_raft_set_unreplayed(uint32_t partition,
                              uint64_t logs);

// Logs one line for each of the first `partitions` partitions: role, term, leader, counters. Role and
// term are "unknown" where the library is held up and does not answer within 5 s.
void mako_raft_worker_info_stats(size_t partitions);

// Submits 5-byte logs to every partition that this process leads, keeping as many outstanding as
// the setup argument -n said, up to -T per partition; logs one line with rate and latencies.
// Blocks until done. Errors: MAKO_RAFT_ORDER (not running, or inside a callback); MAKO_RAFT_NOT_LEADER
// where it leads nothing, or lost leadership meanwhile; MAKO_RAFT_QUEUE_FULL, MAKO_RAFT_SHUT_DOWN and
// MAKO_RAFT_INTERNAL as mako_raft_submit; MAKO_RAFT_UNFINISHED when nothing was committed for 30 s.
mako_raft_status mako_raft_microbench(void);

// As mako_raft_microbench.
mako_raft_status mako_raft_microbench_queue(void);

// Sends the library's messages to `sink` in place of standard error, from now on; a null `sink`
// returns to standard error. RUST_LOG filters either way (default: info). May be called at any
// time, also before mako_raft_setup. The former sink's destructor is called when its last call has
// returned.
//
// Errors: MAKO_RAFT_ORDER where the program, being written in Rust, has installed a logger of its
// own: messages go there.
mako_raft_status mako_raft_set_log_sink(mako_raft_log_sink sink,
                                        void *context,
                                        mako_raft_destructor destructor);

// Writes `message` where the library's own messages go. `level` as in mako_raft_log_sink; a value
// outside 1..5 counts as the nearest. A null message is ignored.
void mako_raft_log(int32_t level,
                   const char *message);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* MAKO_RAFT_H */
