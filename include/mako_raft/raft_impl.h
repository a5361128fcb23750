// The functions of raft_main_helper.h once more, inside namespace raft_impl: Mako's trees of 2026 choose
// between two such namespaces at run time, in global functions of their own. Such a tree links the target
// MakoRaft::raft_impl, which has no global functions. MakoRaft::helper has both sets: either may be used in one
// program, for one and the same library.
//
// Everything that raft_main_helper.h says holds here. What differs is stated below.
#ifndef MAKO_RAFT_RAFT_IMPL_H
#define MAKO_RAFT_RAFT_IMPL_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <queue>
#include <string>
#include <tuple>
#include <vector>

namespace raft_impl {

std::vector<std::string> setup(int argc, char* argv[]);
int setup2(int action = 0, int shardIndex = -1);
std::map<std::string, std::string> getHosts(std::string file);
void pre_shutdown_step();
int shutdown_paxos();

void register_for_leader(std::function<void(const char*, int)> callback, uint32_t par_id);
void register_for_follower(std::function<void(const char*, int)> callback, uint32_t par_id);
void register_for_leader_par_id(
    std::function<void(const char*& log, int len, int par_id)> callback, uint32_t par_id);
void register_for_follower_par_id(
    std::function<void(const char*& log, int len, int par_id)> callback, uint32_t par_id);
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
void register_leader_election_callback(std::function<void(int control)> callback);

void submit(const char* log, int len, uint32_t par_id);
void add_log(const char* log, int len, uint32_t par_id);
void add_log_without_queue(const char* log, int len, uint32_t par_id);

// True when the log was accepted. On false, *leader_hint_out (may be null) is the site id of the leader in
// this partition where this process does not lead and knows who does, and 65535 otherwise.
bool add_log_to_nc(const char* log, int len, uint32_t par_id, int batch_size,
                   uint16_t* leader_hint_out = nullptr);

// True while this process leads the partition and has announced it.
bool is_replication_leader(uint32_t par_id);

void wait_for_submit(uint32_t par_id);
int get_outstanding_logs(uint32_t par_id);
void send_no_ops_for_mark(int epoch);
void send_no_ops_to_all_workers(int epoch);

void set_preferred_leader(int site_id);
void upgrade_p1_to_leader();
int get_epoch();
void set_epoch(int epoch = -1);

void worker_info_stats(size_t partitions);
void microbench_paxos();
void microbench_paxos_queue();

void nc_setup_server(int nthreads, std::string host);
std::vector<std::vector<int>>* nc_get_new_order_requests(int par_id);
std::vector<std::vector<int>>* nc_get_payment_requests(int par_id);
std::vector<std::vector<int>>* nc_get_delivery_requests(int par_id);
std::vector<std::vector<int>>* nc_get_order_status_requests(int par_id);
std::vector<std::vector<int>>* nc_get_stock_level_requests(int par_id);
std::vector<std::vector<int>>* nc_get_read_requests(int par_id);
std::vector<std::vector<int>>* nc_get_rmw_requests(int par_id);

}  // namespace raft_impl

#endif  // MAKO_RAFT_RAFT_IMPL_H
