// A tree of 2026: its own global functions choose between raft_impl and another implementation at run time. Declared
// as such a tree does, without a header of ours. A shard of one replica.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <vector>

namespace raft_impl {
std::vector<std::string> setup(int argc, char *argv[]);
int setup2(int action, int shardIndex);
void register_for_leader(std::function<void(const char *, int)>, uint32_t);
bool add_log_to_nc(const char *, int, uint32_t, int, uint16_t *leader_hint_out = nullptr);
void wait_for_submit(uint32_t);
int get_epoch();
void set_epoch(int epoch);
void pre_shutdown_step();
int shutdown_paxos();
}  // namespace raft_impl

namespace {

bool raft = false;
// How often the other implementation was called, and how often a global function.
int other_calls = 0, global_calls = 0;

int other(int result) {
  ++other_calls;
  return result;
}

}  // namespace

// The tree's own. Were ours linked too, the link would fail; did ours call these, they would never return.
std::vector<std::string> setup(int argc, char *argv[]) {
  ++global_calls;
  return raft ? raft_impl::setup(argc, argv) : std::vector<std::string>(size_t(other(3)));
}
int setup2(int action, int shardIndex) {
  ++global_calls;
  return raft ? raft_impl::setup2(action, shardIndex) : other(5);
}
void register_for_leader(std::function<void(const char *, int)> callback, uint32_t par_id) {
  ++global_calls;
  raft_impl::register_for_leader(callback, par_id);
}
bool add_log_to_nc(const char *log, int len, uint32_t par_id, int flag = 0, uint16_t *hint = nullptr) {
  ++global_calls;
  return raft ? raft_impl::add_log_to_nc(log, len, par_id, flag, hint) : other(1) == 1;
}
void wait_for_submit(uint32_t par_id) {
  ++global_calls;
  raft_impl::wait_for_submit(par_id);
}
int get_epoch() {
  ++global_calls;
  return raft ? raft_impl::get_epoch() : other(42);
}
void set_epoch(int epoch) {
  ++global_calls;
  raft_impl::set_epoch(epoch);
}
int shutdown_paxos() {
  ++global_calls;
  return raft ? raft_impl::shutdown_paxos() : other(7);
}

#define CHECK(condition)                                              \
  do {                                                                \
    if (!(condition)) {                                               \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                        \
    }                                                                 \
  } while (0)

int main() {
  CHECK(setup(0, nullptr).size() == 3 && setup2(0, -1) == 5 && add_log_to_nc("log", 3, 0) && get_epoch() == 42);
  CHECK(shutdown_paxos() == 7 && other_calls == 5 && global_calls == 5);

  raft = true;
  char path[] = "/tmp/mako-raft-choice-XXXXXX.yml";
  const int descriptor = mkstemps(path, 4);
  CHECK(descriptor >= 0);
  dprintf(descriptor,
          "site:\n  server:\n    - [\"s0:21600\"]\nprocess:\n  s0: localhost\nhost:\n  localhost: 127.%d.%d.8\n",
          16 + (getpid() >> 8) % 200, getpid() & 255);
  CHECK(close(descriptor) == 0);
  char program[] = "", file[] = "-f";
  char *argv[] = {program, file, path};
  CHECK(setup(3, argv).size() == 1);
  int delivered = 0;
  register_for_leader([&delivered](const char *, int) { ++delivered; }, 0);
  CHECK(setup2(0, -1) == 0);
  for (int i = 0; i < 10; ++i) CHECK(add_log_to_nc("log", 3, 0));
  wait_for_submit(0);
  set_epoch(4);
  CHECK(get_epoch() == 4 && delivered == 10);
  raft_impl::pre_shutdown_step();
  CHECK(shutdown_paxos() == 0 && remove(path) == 0);
  // What ours does it does itself: no call came back to the tree's functions.
  CHECK(other_calls == 5 && global_calls == 5 + 3 + 10 + 4);
  puts("passed");
  return 0;
}
