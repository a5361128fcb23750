// Declares what it needs itself, as Mako does.
#include <functional>
#include <queue>
#include <string>
#include <tuple>
#include <vector>
#include <cstdint>

#ifndef MAKO_USE_RAFT
#error "MAKO_USE_RAFT is not exported"
#endif
#ifdef MAKO_RAFT_RAFT_MAIN_HELPER_H
#error "this program must not see our header"
#endif

extern std::vector<std::string> setup(int argc, char* argv[]);
extern int shutdown_paxos();
extern void register_for_leader_par_id_return(
    std::function<int(const char*&, int, int, int, std::queue<std::tuple<int, int, int, int, const char*>>&)>,
    uint32_t);

int main() {
  char name[] = "", flag[] = "-f", file[] = "/nonexistent/topology.yml";
  char* argv[] = {name, flag, file, nullptr};
  if (!setup(3, argv).empty()) return 1;
  register_for_leader_par_id_return(nullptr, 0);
  return shutdown_paxos();
}
