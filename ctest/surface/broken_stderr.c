/* Whoever reads standard error may go away; the signal's default would end this program. */

#include <signal.h>
#include <unistd.h>

#include "mako_raft.h"

int main(void) {
    int ends[2];
    sigset_t pending;
    if (signal(SIGPIPE, SIG_DFL) == SIG_ERR || pipe(ends) != 0) return 2;
    close(ends[0]);
    dup2(ends[1], STDERR_FILENO);
    for (int i = 0; i < 10; ++i) mako_raft_log(1, "a line for nobody");
    sigpending(&pending);
    return sigismember(&pending, SIGPIPE) != 0;
}
