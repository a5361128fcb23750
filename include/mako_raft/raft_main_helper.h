// The functions through which Mako replicates its logs, in the global namespace and with the
// signatures that Mako's object code links (vintage November 2025).
//
// Include this header, or keep the declarations that your Mako tree has: the two are the same
// functions, so do not include both (a default argument may be given only once). Link the CMake
// target MakoRaft::helper, which compiles raft_main_helper.cc into your program with your compiler,
// your standard (C++11 or newer) and your allocator, and links the shared library libmako_raft.
//
// Order of calls: setup, the register_ functions, setup2, submissions, pre_shutdown_step,
// shutdown_paxos. After a shutdown_paxos that returned 0, setup works again in the same process.
//
// Threads: every function may be called from any thread. Calling shutdown_paxos, pre_shutdown_step or
// wait_for_submit from inside a callback is an error, which is reported and does nothing.
//
// Errors: nothing here throws or exits the process. What failed is logged, with the reason, through
// the library's log (standard error at level info, filtered by RUST_LOG, or the sink given to
// mako_raft_set_log_sink). The C functions of mako_raft.h return a status for each of these calls.
//
// Callbacks run on threads of the library: one thread per partition for its whole life, named after
// it, and one for leadership. An exception that leaves a callback is logged with its what(), the
// partition and the slot, and ends the process through std::terminate: a replica that failed to
// apply a log must not go on. The bytes of a log that a callback is given have a NUL behind them,
// belong to the library and are valid during the call.
//
// Lengths and slots are int here because Mako's are: of a slot past 2,147,483,647 the callback sees
// the low 32 bits. mako_raft.h has size_t and uint64_t.
#ifndef MAKO_RAFT_RAFT_MAIN_HELPER_H
#define MAKO_RAFT_RAFT_MAIN_HELPER_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <queue>
#include <string>
#include <tuple>
#include <vector>

// --- life cycle ---------------------------------------------------------------------------------

// Parses arguments ("-f FILE.yml", repeatable, "-P PROCESS", ...; argv[0] is skipped) and files.
// Returns the names of this process's sites, the last site of the file first; empty on any error. A
// second call without a shutdown is an error and changes nothing.
std::vector<std::string> setup(int argc, char* argv[]);

// Binds, starts to connect and to elect; does not wait for peers. action 1: do not campaign at start.
// shardIndex appears in messages only. Returns 0, or non-zero when an address can't be bound or setup
// did not come before.
int setup2(int action = 0, int shardIndex = -1);

// The `host` section of a YAML file: process name to address. Needs no setup. Empty on any error.
std::map<std::string, std::string> getHosts(std::string file);

// Stops accepting logs, drains what was accepted and delivers what is committed, for at most
// raft.drain_ms (5 s). The process goes on acknowledging and delivering until shutdown_paxos.
void pre_shutdown_step();

// Returns 0 once every thread has been joined and every port released; non-zero when a callback has
// not returned within 10 s: its thread is left alone, and if the callback returns later, it and what
// it captured, and what is left in its partition's un-replayed queue, are destroyed there.
// May be called twice, without setup, and without pre_shutdown_step. Where it returns 0, the
// partition callbacks are forgotten and what is left in their un-replayed queues is freed; the
// election callback is kept.
int shutdown_paxos();

// --- callbacks ----------------------------------------------------------------------------------

// A log that this run of this process submitted goes to the leader callback of its partition; every
// other log goes to the follower callback. Register between setup and setup2, or while running; the
// last registration of a partition and role wins, whichever of the three forms it has. Where one of
// the two is missing, the other gets all logs. An empty function is an error and changes nothing.
void register_for_leader(std::function<void(const char*, int)> callback, uint32_t par_id);
void register_for_follower(std::function<void(const char*, int)> callback, uint32_t par_id);

// With the length and the partition.
void register_for_leader_par_id(
    std::function<void(const char*& log, int len, int par_id)> callback, uint32_t par_id);
void register_for_follower_par_id(
    std::function<void(const char*& log, int len, int par_id)> callback, uint32_t par_id);

// With the slot (1, 2, 3, ...) and the partition's queue of un-replayed logs, and a result:
// timestamp * 10 + status in unsigned 32-bit arithmetic. Where the status is 3 and len > 0, the log is
// copied with malloc after the callback returned, and (timestamp, slot, status, len, copy) is pushed on
// the queue, which the next calls for this partition, of either role, receive. Who pops an element
// calls free on its copy.
void register_for_leader_par_id_return(
    std::function<int(const char*& log, int len, int par_id, int slot_id,
                      std::queue<std::tuple<int, int, int, int, const char*>>& un_replayed)>
        callback,
    uint32_t par_id);
void register_for_follower_par_id_return(
    std::function<int(const char*& log, int len, int par_id, int slot_id,
                      std::queue<std::tuple<int, int, int, int, const char*>>& un_replayed)>
        callback,
    uint32_t par_id);

// Called with 1 when this process has become the leader, after every log of earlier leaders has been
// delivered here, and with 0 when another process has taken over (raft.election_codes changes that).
// May be registered before setup; kept through shutdown. An empty function removes it.
void register_leader_election_callback(std::function<void(int control)> callback);

// --- logs ---------------------------------------------------------------------------------------

// Copies the log, queues it and returns; the buffer may be reused at once. len 0 is a real log. A null
// log with a length, a negative length, an unknown partition, and any log where this process does not
// lead are refused: counted, and warned about at a bounded rate. A full queue makes the caller wait.
// The four are the same; batch_size is a hint that changes nothing.
void submit(const char* log, int len, uint32_t par_id);
void add_log(const char* log, int len, uint32_t par_id);
void add_log_without_queue(const char* log, int len, uint32_t par_id);
void add_log_to_nc(const char* log, int len, uint32_t par_id, int batch_size = 0);

// Returns when get_outstanding_logs is 0, leadership is lost for good, or the library shuts down.
void wait_for_submit(uint32_t par_id);

// Logs accepted here and neither delivered here nor lost; -1 for an unknown partition.
int get_outstanding_logs(uint32_t par_id);

// Submits "no-ops:E" to every partition. An epoch outside 0..9 is an error.
void send_no_ops_for_mark(int epoch);
void send_no_ops_to_all_workers(int epoch);

// --- leadership and epochs ----------------------------------------------------------------------

// Makes the process of this site the shard's preferred leader; an id in no partition: nobody.
void set_preferred_leader(int site_id);

// Makes this process the preferred leader and asks for leadership. Logs submitted meanwhile are kept for
// 5 s at most; where leadership has not come by then they are lost.
void upgrade_p1_to_leader();

// Mako's epoch: 0 at start; set_epoch(-1) adds one, any other value sets it.
int get_epoch();
void set_epoch(int epoch = -1);

// --- figures ------------------------------------------------------------------------------------

// Logs one line for each of the first `partitions` partitions.
void worker_info_stats(size_t partitions);

// Closed-loop load of small logs on the partitions led here, then one line with rate and latencies.
void microbench_paxos();
void microbench_paxos_queue();

// --- the client server of Mako's micro-benchmarks -----------------------------------------------

// Not offered by this version: nc_setup_server logs that, and the getters return an empty list. The list
// is never null, belongs to the library and lives for ever.
void nc_setup_server(int nthreads, std::string host);
std::vector<std::vector<int>>* nc_get_new_order_requests(int par_id);
std::vector<std::vector<int>>* nc_get_payment_requests(int par_id);
std::vector<std::vector<int>>* nc_get_delivery_requests(int par_id);
std::vector<std::vector<int>>* nc_get_order_status_requests(int par_id);
std::vector<std::vector<int>>* nc_get_stock_level_requests(int par_id);
std::vector<std::vector<int>>* nc_get_read_requests(int par_id);
std::vector<std::vector<int>>* nc_get_rmw_requests(int par_id);

#endif  // MAKO_RAFT_RAFT_MAIN_HELPER_H
