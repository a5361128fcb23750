// Both headers compile in one C++ file, and setup's default arguments come from ours.
#include "mako_raft.h"
#include "mako_raft/raft_main_helper.h"

#ifndef MAKO_USE_RAFT
#error "MakoRaft::helper must define MAKO_USE_RAFT"
#endif

int main() {
  set_epoch();
  return get_epoch() == 1 && mako_raft_get_epoch() == 1 && setup2() != 0 && shutdown_paxos() == 0 ? 0 : 1;
}
