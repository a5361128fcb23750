// Destructors of thread_local objects that callbacks have made: they run on the library's threads when these end, which
// shutdown waits for. "waits": one of them does not return, and shutdown does. "calls": they make the calls that would
// wait for them.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>

#include "mako_raft.h"
#include "mako_raft/raft_main_helper.h"

namespace {

#define CHECK(condition)                                                                            \
  do {                                                                                              \
    if (!(condition)) {                                                                             \
      fprintf(stderr, "%s:%d: %s; last error: %s\n", __FILE__, __LINE__, #condition, mako_raft_last_error()); \
      exit(1);                                                                                      \
    }                                                                                               \
  } while (0)

std::mutex mutex;
std::condition_variable changed;
bool may_return = false;
bool is_elected = false;
std::atomic<int> refused{0};

struct Waits {
  ~Waits() {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [] { return may_return; });
  }
};

struct Calls {
  ~Calls() {
    refused += mako_raft_in_callback();
    refused += mako_raft_shutdown() == MAKO_RAFT_ORDER;
    refused += mako_raft_pre_shutdown_step() == MAKO_RAFT_ORDER;
    refused += mako_raft_setup2(0, 0) == MAKO_RAFT_ORDER;
    refused += mako_raft_wait_for_submit(0) == MAKO_RAFT_ORDER;
  }
};

template <class Guard>
void make() {
  static thread_local Guard guard;
  (void)guard;
}

std::string write_file(const std::string &directory) {
  const std::string path = directory + "/one.yml";
  FILE *file = fopen(path.c_str(), "w");
  CHECK(file != nullptr);
  fprintf(file, "site:\n  server:\n    - [\"s0:21700\"]\n    - [\"s1:21701\"]\nprocess:\n  s0: localhost\n  s1: localhost\n");
  fprintf(file, "host:\n  localhost: 127.%d.%d.7\n", 16 + (getpid() >> 8) % 200, getpid() & 255);
  CHECK(fclose(file) == 0);
  return path;
}

void deliver_one(uint32_t partition) {
  submit("log", 3, partition);
  wait_for_submit(partition);
}

double seconds_since(std::chrono::steady_clock::time_point began) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

void waits(char **argv) {
  register_for_leader([](const char *, int) {}, 0);
  register_for_leader([](const char *, int) { make<Waits>(); }, 1);
  CHECK(setup2() == 0);
  deliver_one(0);
  deliver_one(1);
  const auto began = std::chrono::steady_clock::now();
  CHECK(shutdown_paxos() != 0);
  const double took = seconds_since(began);
  fprintf(stderr, "shutdown took %.1f s\n", took);
  CHECK(took > 9.5 && took < 13);
  const std::string left = mako_raft_last_error();
  CHECK(left.find("partition 1") != std::string::npos && left.find("thread_local") != std::string::npos);
  CHECK(left.find("partition 0") == std::string::npos);
  CHECK(setup(3, argv).empty());
  std::lock_guard<std::mutex> lock(mutex);
  may_return = true;
  changed.notify_all();
}

void calls(char **argv) {
  register_leader_election_callback([](int) {
    make<Calls>();
    std::lock_guard<std::mutex> lock(mutex);
    is_elected = true;
    changed.notify_all();
  });
  for (const uint32_t partition : {0, 1}) {
    register_for_leader([](const char *, int) { make<Calls>(); }, partition);
  }
  CHECK(setup2() == 0);
  deliver_one(0);
  deliver_one(1);
  {
    std::unique_lock<std::mutex> lock(mutex);
    CHECK(changed.wait_for(lock, std::chrono::seconds(10), [] { return is_elected; }));
  }
  const auto began = std::chrono::steady_clock::now();
  CHECK(shutdown_paxos() == 0);
  CHECK(seconds_since(began) < 9);
  // Five calls in each of three threads.
  CHECK(refused == 15);
  CHECK(setup(3, argv).size() == 2 && shutdown_paxos() == 0);
}

}  // namespace

int main(int argc, char **arguments) {
  CHECK(argc == 2);
  char directory[] = "/tmp/mako-raft-tls-XXXXXX";
  CHECK(mkdtemp(directory) != nullptr);
  std::string path = write_file(directory);
  char program[] = "", file[] = "-f";
  char *argv[] = {program, file, &path[0]};
  CHECK(setup(3, argv).size() == 2);
  strcmp(arguments[1], "waits") == 0 ? waits(argv) : calls(argv);
  CHECK(remove(path.c_str()) == 0 && rmdir(directory) == 0);
  puts("passed");
  fflush(stdout);
  // The thread that was left alone may still be in its destructor.
  _exit(0);
}
