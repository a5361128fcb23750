// The headers compile in one C++ file, and default arguments come from ours: each is left out once here.
#include "mako_raft.h"
#include "mako_raft/raft_impl.h"
#include "mako_raft/raft_main_helper.h"

#ifndef MAKO_USE_RAFT
#error "MakoRaft::helper must define MAKO_USE_RAFT"
#endif

int main() {
  set_epoch();
  if (get_epoch() != 1 || mako_raft_get_epoch() != 1) return 1;
  raft_impl::set_epoch();
  if (raft_impl::get_epoch() != 2) return 1;
  if (setup2() == 0 || raft_impl::setup2() == 0) return 1;
  // Before setup: refused.
  add_log_to_nc("log", 3, 0);
  if (raft_impl::add_log_to_nc("log", 3, 0, 0)) return 1;
  return shutdown_paxos() == 0 ? 0 : 1;
}
