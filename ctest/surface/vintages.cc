// The vintages of August 2025 and of 2026, as their trees declare them and without a header of ours: a shard
// of one replica with a partition for each.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <functional>
#include <queue>
#include <string>
#include <tuple>
#include <vector>

// August 2025.
typedef std::queue<std::tuple<std::vector<uint32_t>, int, int, int, const char *>> vector_queue;
void register_for_leader_par_id_return(
    std::function<std::vector<uint32_t>(const char *&log, int len, int par_id, int slot_id, vector_queue &)>, uint32_t);
void register_for_follower_par_id_return(
    std::function<std::vector<uint32_t>(const char *&log, int len, int par_id, int slot_id, vector_queue &)>, uint32_t);
void add_log_to_nc(const char *, int, uint32_t, int batch_size = 0);
void wait_for_submit(uint32_t);

// 2026.
namespace raft_impl {
typedef std::queue<std::tuple<int, int, int, int, const char *>> int_queue;
std::vector<std::string> setup(int argc, char *argv[]);
int setup2(int action = 0, int shardIndex = -1);
void register_for_leader_par_id_return(std::function<int(const char *&, int, int, int, int_queue &)>, uint32_t);
void register_for_follower_par_id_return(std::function<int(const char *&, int, int, int, int_queue &)>, uint32_t);
bool add_log_to_nc(const char *, int, uint32_t, int, uint16_t *leader_hint_out = nullptr);
bool is_replication_leader(uint32_t par_id);
void wait_for_submit(uint32_t);
void pre_shutdown_step();
int shutdown_paxos();
}  // namespace raft_impl

#define CHECK(condition)                                                  \
  do {                                                                    \
    if (!(condition)) {                                                   \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);     \
      exit(1);                                                            \
    }                                                                     \
  } while (0)

namespace {

enum : uint32_t { kAugust = 0, k2026 = 1 };
constexpr uint32_t kSafetyFail = 3;
// Past 429,496,729: ten times it wraps, and the log's own tail puts it right.
constexpr uint32_t kLateTime = 1000000000u;

std::string log_with(uint32_t time) {
  const uint32_t tail[] = {time, 77};
  return "transactions" + std::string(reinterpret_cast<const char *>(tail), sizeof tail);
}

std::string write_file(const std::string &directory) {
  const std::string path = directory + "/one.yml";
  FILE *file = fopen(path.c_str(), "w");
  CHECK(file != nullptr);
  fprintf(file,
          "site:\n  server:\n    - [\"s0:21600\"]\n    - [\"s1:21601\"]\nprocess:\n  s0: localhost\n  s1: localhost\n"
          "host:\n  localhost: 127.%d.%d.7\n",
          16 + (getpid() >> 8) % 200, getpid() & 255);
  CHECK(fclose(file) == 0);
  return path;
}

}  // namespace

int main() {
  char directory[] = "/tmp/mako-raft-vintages-XXXXXX";
  CHECK(mkdtemp(directory) != nullptr);
  std::string path = write_file(directory);
  char program[] = "", file[] = "-f";
  char *argv[] = {program, file, &path[0]};
  uint16_t hint = 1;
  CHECK(!raft_impl::add_log_to_nc("early", 5, k2026, 0, &hint) && hint == 65535);
  CHECK(!raft_impl::is_replication_leader(k2026));
  CHECK(raft_impl::setup(3, argv).size() == 2);

  int calls = 0;  // of partition 0, all on one thread
  vector_queue *august = nullptr;
  const auto on_august = [&](const char *&, int len, int par_id, int slot, vector_queue &queue) {
    CHECK(par_id == kAugust && slot == ++calls);
    august = &queue;
    const uint32_t value = kLateTime * 10 + (len > 0 ? kSafetyFail : 0);
    return std::vector<uint32_t>{value, 11, 22};
  };
  register_for_leader_par_id_return(on_august, kAugust);
  register_for_follower_par_id_return(on_august, kAugust);
  size_t queued_2026 = 0;
  const auto on_2026 = [&](const char *&, int, int, int, raft_impl::int_queue &queue) {
    queued_2026 = queue.size();
    return 123 * 10 + static_cast<int>(kSafetyFail);
  };
  raft_impl::register_for_leader_par_id_return(on_2026, k2026);
  raft_impl::register_for_follower_par_id_return(on_2026, k2026);
  CHECK(raft_impl::setup2() == 0);

  const std::string log = log_with(kLateTime);
  add_log_to_nc(log.data(), static_cast<int>(log.size()), kAugust);
  add_log_to_nc("", 0, kAugust);
  for (int i = 0; i < 2; ++i) CHECK(raft_impl::add_log_to_nc("some log", 8, k2026, 0));
  wait_for_submit(kAugust);
  raft_impl::wait_for_submit(k2026);
  CHECK(raft_impl::is_replication_leader(k2026) && !raft_impl::is_replication_leader(9));
  CHECK(calls == 2 && august->size() == 1 && queued_2026 == 1);
  const auto &kept = august->front();
  CHECK((std::get<0>(kept) == std::vector<uint32_t>{kLateTime, 11, 22}));
  CHECK(std::get<1>(kept) == 1 && std::get<2>(kept) == static_cast<int>(kSafetyFail));
  CHECK(std::get<3>(kept) == static_cast<int>(log.size()) && memcmp(std::get<4>(kept), log.data(), log.size()) == 0);

  CHECK(!raft_impl::add_log_to_nc("x", -1, k2026, 0, &hint) && hint == 65535);
  raft_impl::pre_shutdown_step();
  CHECK(!raft_impl::add_log_to_nc("late", 4, k2026, 0));
  CHECK(raft_impl::shutdown_paxos() == 0);
  CHECK(remove(path.c_str()) == 0 && rmdir(directory) == 0);
  puts("passed");
  return 0;
}
