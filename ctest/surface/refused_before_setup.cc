// The first thing that this program does with the library is refused: the reason goes to standard error, where ctest
// looks for it.

#include <string.h>

#include "mako_raft/raft_main_helper.h"

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "submission") == 0) add_log_to_nc("log", 3, 0, 0);
  if (argc == 2 && strcmp(argv[1], "negative") == 0) add_log_to_nc("log", -3, 0, 0);
  if (argc == 2 && strcmp(argv[1], "epoch") == 0) set_epoch(12);
  if (argc == 2 && strcmp(argv[1], "stats") == 0) worker_info_stats(1);
  return 0;
}
