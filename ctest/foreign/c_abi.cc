#include <mako_raft.h>

int main() { return mako_raft_shutdown() == MAKO_RAFT_OK ? 0 : 1; }
