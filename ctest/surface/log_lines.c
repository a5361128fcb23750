/* Writes a line of two levels where the library's own go; ctest looks at standard error. */

#include "mako_raft.h"

int main(void) {
    mako_raft_log(1, "a line of level error");
    mako_raft_log(3, "a line of level info");
    mako_raft_log(4, "a line of level debug");
    return 0;
}
