/* A child of fork has none of the library's threads: every call there fails at once, also where another thread
   held a lock at the fork, and the parent is not disturbed. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mako_raft.h"

#define CHECK(condition)                                                                        \
    do {                                                                                        \
        if (!(condition)) {                                                                     \
            fprintf(stderr, "%s:%d: %s; last error: %s\n", __FILE__, __LINE__, #condition,      \
                    mako_raft_last_error());                                                    \
            _exit(1);                                                                           \
        }                                                                                       \
    } while (0)

static uint32_t on_log(void *context, const char *log, size_t len, uint32_t partition, uint64_t slot) {
    (void)log, (void)len, (void)partition;
    *(uint64_t *)context = slot;
    return 0;
}

static void child(int argc, const char *const *argv) {
    uint64_t outstanding = 7;
    alarm(20);
    CHECK(mako_raft_submit("x", 1, 0, NULL, NULL) == MAKO_RAFT_ORDER);
    CHECK(strstr(mako_raft_last_error(), "forked") != NULL);
    CHECK(mako_raft_get_outstanding_logs(0, &outstanding) == MAKO_RAFT_ORDER && outstanding == 7);
    CHECK(mako_raft_wait_for_submit(0) == MAKO_RAFT_ORDER);
    CHECK(mako_raft_pre_shutdown_step() == MAKO_RAFT_ORDER);
    CHECK(mako_raft_shutdown() == MAKO_RAFT_ORDER);
    CHECK(mako_raft_setup(argc, argv, NULL) == MAKO_RAFT_ORDER);
    CHECK(!mako_raft_is_leader(0) && mako_raft_partitions() == 0);
    mako_raft_worker_info_stats(1);
    mako_raft_log(3, "a line of the child");
    exit(0);
}

int main(void) {
    char file[] = "/tmp/mako-raft-forked-XXXXXX.yml", shard[400];
    const char *argv[] = {"", "-f", file, "-P", "localhost"};
    uint64_t last_slot = 0;
    int descriptor = mkstemps(file, 4), length, forks;
    CHECK(descriptor >= 0);
    length = snprintf(shard, sizeof shard,
                      "site:\n  server:\n    - [\"s0:21700\"]\nprocess:\n  s0: localhost\nhost:\n  localhost: 127.%d.%d.8\n",
                      16 + (getpid() >> 8) % 200, getpid() & 255);
    CHECK(write(descriptor, shard, (size_t)length) == length && close(descriptor) == 0);
    CHECK(mako_raft_setup(5, argv, NULL) == MAKO_RAFT_OK);
    CHECK(mako_raft_register_for_leader(on_log, &last_slot, NULL, 0) == MAKO_RAFT_OK);
    CHECK(mako_raft_setup2(0, 0) == MAKO_RAFT_OK);
    for (forks = 1; forks <= 5; ++forks) {
        int status = 0;
        pid_t pid;
        /* The designated process keeps it until it leads. */
        CHECK(mako_raft_submit("log", 3, 0, NULL, NULL) == MAKO_RAFT_OK);
        pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) child(5, argv);
        CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
        CHECK(mako_raft_submit("log", 3, 0, NULL, NULL) == MAKO_RAFT_OK);
        CHECK(mako_raft_wait_for_submit(0) == MAKO_RAFT_OK);
        CHECK(last_slot == (uint64_t)(2 * forks));
    }
    CHECK(mako_raft_shutdown() == MAKO_RAFT_OK);
    CHECK(unlink(file) == 0);
    return 0;
}
