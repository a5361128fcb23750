// What is left in a partition's un-replayed queue at shutdown is freed (contract 5). The logs are so long
// that malloc maps each on its own, and can say how many bytes are mapped.

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <string>

#include "mako_raft/raft_main_helper.h"

namespace {

constexpr size_t kLogBytes = 64u << 20;
constexpr size_t kLogs = 3;

#define CHECK(condition)                                                  \
  do {                                                                    \
    if (!(condition)) {                                                   \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);     \
      exit(1);                                                            \
    }                                                                     \
  } while (0)

// glibc before 2.33 has the one with `int` only, in which these logs fit.
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
size_t mapped_bytes() { return mallinfo2().hblkhd; }
#else
size_t mapped_bytes() { return static_cast<size_t>(mallinfo().hblkhd); }
#endif

std::string write_file(const std::string &directory) {
  const std::string path = directory + "/one.yml";
  FILE *file = fopen(path.c_str(), "w");
  CHECK(file != nullptr);
  fprintf(file, "site:\n  server:\n    - [\"s0:21500\"]\nprocess:\n  s0: localhost\nhost:\n  localhost: 127.%d.%d.6\n",
          16 + (getpid() >> 8) % 200, getpid() & 255);
  // The library's own memory must not hide the host's.
  fprintf(file, "raft:\n  log_memory_bytes: 16MiB\n");
  CHECK(fclose(file) == 0);
  return path;
}

}  // namespace

int main() {
  char directory[] = "/tmp/mako-raft-unreplayed-XXXXXX";
  CHECK(mkdtemp(directory) != nullptr);
  std::string path = write_file(directory);
  char program[] = "", file[] = "-f";
  char *argv[] = {program, file, &path[0]};
  CHECK(setup(3, argv).size() == 1);
  std::atomic<size_t> queued{0};
  register_for_leader_par_id_return(
      [&](const char *&, int, int, int, std::queue<std::tuple<int, int, int, int, const char *>> &un_replayed) {
        queued = un_replayed.size();
        return 123 * 10 + 3;  // safety fail
      },
      0);
  CHECK(setup2() == 0);
  {
    const std::string log(kLogBytes, 'x');
    for (size_t i = 0; i < kLogs; ++i) {
      submit(log.data(), static_cast<int>(log.size()), 0);
      wait_for_submit(0);
    }
  }
  submit("", 0, 0);
  wait_for_submit(0);
  CHECK(queued == kLogs);
  CHECK(mapped_bytes() >= kLogs * kLogBytes);
  CHECK(shutdown_paxos() == 0);
  CHECK(mapped_bytes() < kLogBytes);
  CHECK(remove(path.c_str()) == 0 && rmdir(directory) == 0);
  puts("passed");
  return 0;
}
