// What Mako's own headers declare, written down as its tree has it. The test programs include this and
// never our header: they link by the mangled names alone, as Mako's object code does.
#ifndef MAKO_DECLARATIONS_H
#define MAKO_DECLARATIONS_H

#include <stdint.h>

#include <functional>
#include <map>
#include <queue>
#include <string>
#include <tuple>
#include <vector>

typedef std::queue<std::tuple<int, int, int, int, const char *>> unreplayed_queue;

extern std::vector<std::string> setup(int argc, char *argv[]);
extern int setup2(int action = 0, int shardIndex = -1);
extern std::map<std::string, std::string> getHosts(std::string file);
extern int get_outstanding_logs(uint32_t par_id);
extern int shutdown_paxos();
extern void microbench_paxos();
extern void microbench_paxos_queue();
extern void register_for_follower(std::function<void(const char *, int)>, uint32_t par_id);
extern void register_for_leader(std::function<void(const char *, int)>, uint32_t par_id);
extern void register_for_follower_par_id(std::function<void(const char *&, int len, int par_id)>, uint32_t);
extern void register_for_leader_par_id(std::function<void(const char *&, int len, int par_id)>, uint32_t);
extern void register_for_follower_par_id_return(
    std::function<int(const char *&log, int len, int par_id, int slot_id, unreplayed_queue &)>, uint32_t);
extern void register_for_leader_par_id_return(
    std::function<int(const char *&log, int len, int par_id, int slot_id, unreplayed_queue &)>, uint32_t);
extern void register_leader_election_callback(std::function<void(int)>);
extern void submit(const char *, int, uint32_t);
extern void add_log(const char *, int, uint32_t);
extern void add_log_without_queue(const char *, int, uint32_t);
extern void add_log_to_nc(const char *, int, uint32_t, int batch_size = 0);
// Of the 2026 vintage: the only one that says whether the log was accepted.
namespace raft_impl {
extern bool add_log_to_nc(const char *, int, uint32_t, int batch_size, uint16_t *leader_hint_out = nullptr);
}
extern void wait_for_submit(uint32_t);
extern void pre_shutdown_step();
extern int get_epoch();
extern void set_epoch(int = -1);
extern void upgrade_p1_to_leader();
extern void worker_info_stats(size_t);
extern void send_no_ops_for_mark(int epoch);
extern void send_no_ops_to_all_workers(int epoch);
extern void set_preferred_leader(int site_id);
extern void nc_setup_server(int nthreads, std::string host);
extern std::vector<std::vector<int>> *nc_get_new_order_requests(int par_id);
extern std::vector<std::vector<int>> *nc_get_payment_requests(int par_id);
extern std::vector<std::vector<int>> *nc_get_delivery_requests(int par_id);
extern std::vector<std::vector<int>> *nc_get_order_status_requests(int par_id);
extern std::vector<std::vector<int>> *nc_get_stock_level_requests(int par_id);
extern std::vector<std::vector<int>> *nc_get_read_requests(int par_id);
extern std::vector<std::vector<int>> *nc_get_rmw_requests(int par_id);

#endif
