/* A pure C program that does everything through mako_raft.h, alone in a shard of one replica. */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mako_raft.h"

#define CHECK(condition)                                                                        \
    do {                                                                                        \
        if (!(condition)) {                                                                     \
            fprintf(stderr, "%s:%d: %s; last error: %s\n", __FILE__, __LINE__, #condition,      \
                    mako_raft_last_error());                                                    \
            exit(1);                                                                            \
        }                                                                                       \
    } while (0)

enum { PARTITIONS = 2, LOGS = 100 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

/* The context of a callback: what it saw. */
struct seen {
    int calls;
    uint64_t last_slot;
    uint64_t delivered, lost;
    int last_code;
    int destroyed;
    int inside_errors;
};

static void locked_increment(int *number) {
    pthread_mutex_lock(&mutex);
    ++*number;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static void destroy(void *context) { locked_increment(&((struct seen *)context)->destroyed); }

static uint32_t on_log(void *context, const char *log, size_t len, uint32_t partition, uint64_t slot) {
    struct seen *seen = context;
    int inside_errors = 0;
    CHECK(log != NULL && log[len] == '\0');
    CHECK(partition < PARTITIONS);
    CHECK(slot == seen->last_slot + 1);
    CHECK(mako_raft_in_callback());
    if (slot == 1) {
        inside_errors += mako_raft_shutdown() == MAKO_RAFT_ORDER;
        inside_errors += mako_raft_pre_shutdown_step() == MAKO_RAFT_ORDER;
        inside_errors += mako_raft_wait_for_submit(partition) == MAKO_RAFT_ORDER;
    }
    pthread_mutex_lock(&mutex);
    seen->inside_errors += inside_errors;
    seen->last_slot = slot;
    ++seen->calls;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    return 0;
}

static void on_election(void *context, int32_t code) {
    struct seen *seen = context;
    seen->last_code = code;
    locked_increment(&seen->calls);
}

static void on_outcome(void *context, uint32_t partition, uint64_t first, uint64_t count, bool delivered) {
    struct seen *seen = context;
    CHECK(partition < PARTITIONS && first > 0 && count > 0);
    pthread_mutex_lock(&mutex);
    *(delivered ? &seen->delivered : &seen->lost) += count;
    ++seen->calls;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static void on_message(void *context, int32_t level, const char *target, const char *message) {
    CHECK(level >= 1 && level <= 5 && target != NULL && message != NULL);
    CHECK(mako_raft_in_callback() && mako_raft_shutdown() == MAKO_RAFT_ORDER);
    if (strcmp(message, "from the test") == 0) locked_increment(&((struct seen *)context)->calls);
    mako_raft_log(1, "a sink that logs is not called again");
}

/* Waits, for at most ten seconds, until *number is at least `least`. */
static void await(const int *number, int least) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    pthread_mutex_lock(&mutex);
    while (*number < least) CHECK(pthread_cond_timedwait(&changed, &mutex, &until) == 0);
    pthread_mutex_unlock(&mutex);
}

static const char *write_file(char *path, size_t size, const char *directory, int port) {
    FILE *file;
    int partition;
    snprintf(path, size, "%s/one.yml", directory);
    file = fopen(path, "w");
    CHECK(file != NULL);
    fprintf(file, "site:\n  server:\n");
    for (partition = 0; partition < PARTITIONS; ++partition) {
        fprintf(file, "    - [\"s%d:%d\"]\n", partition, port + partition);
    }
    fprintf(file, "process:\n");
    for (partition = 0; partition < PARTITIONS; ++partition) fprintf(file, "  s%d: localhost\n", partition);
    fprintf(file, "host:\n  localhost: 127.%d.%d.5\n", 16 + (getpid() >> 8) % 200, getpid() & 255);
    CHECK(fclose(file) == 0);
    return path;
}

static void errors_before_setup(void) {
    struct seen seen = {0};
    uint64_t outstanding = 77;
    mako_raft_counters counters = {0};
    CHECK(mako_raft_setup(1, NULL, NULL) == MAKO_RAFT_INVALID);
    CHECK(mako_raft_setup(-1, NULL, NULL) == MAKO_RAFT_INVALID);
    CHECK(strstr(mako_raft_last_error(), "argc") != NULL);
    CHECK(mako_raft_setup2(0, 0) == MAKO_RAFT_ORDER);
    CHECK(mako_raft_submit("a", 1, 0, NULL, NULL) != MAKO_RAFT_OK);
    CHECK(mako_raft_get_outstanding_logs(0, &outstanding) == MAKO_RAFT_INVALID && outstanding == 77);
    CHECK(mako_raft_get_counters(0, NULL) == MAKO_RAFT_INVALID);
    CHECK(mako_raft_get_counters(0, &counters) == MAKO_RAFT_INVALID);
    CHECK(strstr(mako_raft_last_error(), "size") != NULL);
    CHECK(mako_raft_register_for_leader(NULL, &seen, destroy, 0) == MAKO_RAFT_INVALID && seen.destroyed == 1);
    CHECK(mako_raft_register_for_leader(on_log, &seen, destroy, 0) == MAKO_RAFT_OK && seen.destroyed == 1);
    CHECK(mako_raft_leader_site(0) == MAKO_RAFT_UNKNOWN_SITE && !mako_raft_is_leader(0));
    CHECK(mako_raft_partitions() == 0 && mako_raft_get_epoch() == 0 && !mako_raft_in_callback());
    CHECK(mako_raft_pre_shutdown_step() == MAKO_RAFT_OK && mako_raft_shutdown() == MAKO_RAFT_OK);
    CHECK(mako_raft_register_for_leader(on_log, &seen, NULL, 0) == MAKO_RAFT_OK && seen.destroyed == 2);
    mako_raft_names_free(NULL);
    mako_raft_hosts_free(NULL);
    CHECK(mako_raft_names_count(NULL) == 0 && mako_raft_names_get(NULL, 0) == NULL);
    CHECK(mako_raft_hosts_name(NULL, 0) == NULL && mako_raft_hosts_address(NULL, 0) == NULL);
    CHECK(strcmp(mako_raft_version(), "") != 0);
}

static void decoding(void) {
    const char log[] = "payload.";  /* eight bytes and the NUL; the last eight are time and milliseconds */
    char late[16] = {0};
    uint32_t timestamp = 0, status = 0, late_time = 429496730u;
    CHECK(mako_raft_decode_value(1235, NULL, 0, &timestamp, &status) == MAKO_RAFT_OK);
    CHECK(timestamp == 123 && status == 5);
    CHECK(mako_raft_decode_value(3, log, 2, &timestamp, &status) == MAKO_RAFT_OK && status == 3);
    /* past 429,496,729 the product wraps, and the log's own timestamp settles it */
    memcpy(late + 8, &late_time, 4);
    CHECK(mako_raft_decode_value(late_time * 10u + 3u, late, 16, &timestamp, &status) == MAKO_RAFT_OK);
    CHECK(timestamp == late_time && status == 3);
    CHECK(mako_raft_decode_value(3, NULL, 2, NULL, NULL) == MAKO_RAFT_INVALID);
    CHECK(mako_raft_decode_value(3, log, SIZE_MAX, NULL, NULL) == MAKO_RAFT_INVALID);
    CHECK(mako_raft_decode_value(3, NULL, 0, NULL, NULL) == MAKO_RAFT_OK);
}

static void one_life(const char *file, struct seen *election, int life) {
    const char *argv[] = {"", "-f", file, "-P", "localhost", NULL};
    static struct seen logs[PARTITIONS], replaced;
    struct seen outcomes = {0};
    mako_raft_names *names = NULL;
    mako_raft_hosts *hosts = NULL;
    mako_raft_counters counters = {0};
    uint64_t ticket = 0, outstanding = 1;
    uint16_t leader = 1;
    uint32_t partition;
    int i;

    memset(logs, 0, sizeof logs);
    memset(&replaced, 0, sizeof replaced);
    CHECK(mako_raft_setup(5, argv, &names) == MAKO_RAFT_OK);
    CHECK(mako_raft_names_count(names) == PARTITIONS);
    CHECK(strcmp(mako_raft_names_get(names, 0), "s1") == 0 && strcmp(mako_raft_names_get(names, 1), "s0") == 0);
    CHECK(mako_raft_names_get(names, 2) == NULL);
    mako_raft_names_free(names);
    CHECK(mako_raft_setup(5, argv, NULL) == MAKO_RAFT_ORDER);
    CHECK(mako_raft_get_hosts(file, &hosts) == MAKO_RAFT_OK && mako_raft_hosts_count(hosts) == 1);
    CHECK(strcmp(mako_raft_hosts_name(hosts, 0), "localhost") == 0);
    CHECK(strncmp(mako_raft_hosts_address(hosts, 0), "127.", 4) == 0);
    mako_raft_hosts_free(hosts);
    CHECK(mako_raft_get_hosts(NULL, &hosts) == MAKO_RAFT_INVALID);
    CHECK(mako_raft_get_hosts(file, NULL) == MAKO_RAFT_INVALID);

    CHECK(mako_raft_partitions() == PARTITIONS);
    CHECK(mako_raft_register_for_leader(on_log, &replaced, destroy, 0) == MAKO_RAFT_OK);
    for (partition = 0; partition < PARTITIONS; ++partition) {
        CHECK(mako_raft_register_for_leader(on_log, &logs[partition], destroy, partition) == MAKO_RAFT_OK);
    }
    CHECK(replaced.destroyed == 1);
    CHECK(mako_raft_register_for_leader(on_log, &replaced, destroy, PARTITIONS) == MAKO_RAFT_INVALID);
    CHECK(replaced.destroyed == 2);
    CHECK(mako_raft_register_outcome_callback(on_outcome, &outcomes, destroy) == MAKO_RAFT_OK);
    CHECK(mako_raft_setup2(0, -1) == MAKO_RAFT_OK);
    await(&election->calls, life);
    CHECK(election->last_code == 1 && mako_raft_is_leader(1) && mako_raft_leader_site(1) == 1);

    for (i = 1; i <= LOGS; ++i) {
        for (partition = 0; partition < PARTITIONS; ++partition) {
            CHECK(mako_raft_submit("some bytes", (size_t)(i % 11), partition, &ticket, &leader) == MAKO_RAFT_OK);
            CHECK(ticket == (uint64_t)i);
        }
    }
    CHECK(mako_raft_submit(NULL, 0, 0, NULL, NULL) == MAKO_RAFT_OK);
    CHECK(mako_raft_submit(NULL, 1, 0, NULL, NULL) == MAKO_RAFT_INVALID);
    CHECK(mako_raft_submit("a", 1, PARTITIONS, NULL, NULL) == MAKO_RAFT_INVALID);
    CHECK(mako_raft_send_no_ops_to_all_workers(9) == MAKO_RAFT_OK);
    CHECK(mako_raft_send_no_ops_for_mark(10) == MAKO_RAFT_INVALID);
    await(&logs[0].calls, LOGS + 2);
    await(&logs[1].calls, LOGS + 1);
    CHECK(logs[0].inside_errors == 3 && logs[1].inside_errors == 3);
    for (partition = 0; partition < PARTITIONS; ++partition) {
        CHECK(mako_raft_wait_for_submit(partition) == MAKO_RAFT_OK);
        CHECK(mako_raft_get_outstanding_logs(partition, &outstanding) == MAKO_RAFT_OK && outstanding == 0);
    }

    mako_raft_set_unreplayed(0, 4);
    counters.size = sizeof counters;
    CHECK(mako_raft_get_counters(0, &counters) == MAKO_RAFT_OK);
    CHECK(counters.submitted == LOGS + 3 && counters.accepted == LOGS + 2 && counters.refused == 1);
    CHECK(counters.delivered_own == LOGS + 2 && counters.lost == 0 && counters.outstanding == 0);
    CHECK(counters.unreplayed == 4 && counters.queued_bytes == 0 && counters.reserved[0] == 0);
    counters.size = sizeof counters.size + sizeof counters.submitted;  /* an older program's struct */
    counters.accepted = 12345;
    CHECK(mako_raft_get_counters(0, &counters) == MAKO_RAFT_OK && counters.accepted == 12345);
    mako_raft_worker_info_stats(PARTITIONS);

    CHECK(mako_raft_pre_shutdown_step() == MAKO_RAFT_OK);
    CHECK(mako_raft_submit("late", 4, 0, NULL, NULL) == MAKO_RAFT_SHUT_DOWN);
    CHECK(mako_raft_shutdown() == MAKO_RAFT_OK);
    CHECK(mako_raft_shutdown() == MAKO_RAFT_OK);
    CHECK(mako_raft_submit("late", 4, 0, NULL, NULL) == MAKO_RAFT_SHUT_DOWN);
    CHECK(logs[0].destroyed == 1 && logs[1].destroyed == 1 && outcomes.destroyed == 0);
    CHECK(mako_raft_register_outcome_callback(NULL, NULL, NULL) == MAKO_RAFT_OK && outcomes.destroyed == 1);
    CHECK(outcomes.delivered == 2 * LOGS + 3 && outcomes.lost == 0);
    CHECK(election->destroyed == 0);
}

/* The context of a callback whose destructor makes the calls that would wait for it. */
struct parting {
    int calls;
    int refused;
    int destroyed;
};

static uint32_t on_log_until_parting(void *context, const char *log, size_t len, uint32_t partition, uint64_t slot) {
    (void)log, (void)len, (void)partition, (void)slot;
    locked_increment(&((struct parting *)context)->calls);
    return 0;
}

static void destroy_parting(void *context) {
    struct parting *parting = context;
    int refused = mako_raft_in_callback();
    refused += mako_raft_shutdown() == MAKO_RAFT_ORDER;
    refused += mako_raft_pre_shutdown_step() == MAKO_RAFT_ORDER;
    refused += mako_raft_wait_for_submit(0) == MAKO_RAFT_ORDER;
    refused += mako_raft_setup2(0, 0) == MAKO_RAFT_ORDER;
    pthread_mutex_lock(&mutex);
    parting->refused += refused;
    ++parting->destroyed;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static void register_parting(struct parting *parting, uint32_t partition) {
    CHECK(mako_raft_register_for_leader(on_log_until_parting, parting, destroy_parting, partition) == MAKO_RAFT_OK);
}

static int parted(const struct parting *parting) { return parting->destroyed == 1 && parting->refused == 5; }

/* Wherever a destructor runs, it is as inside the callback, and the call that runs it is not disturbed. */
static void calls_in_destructors(const char *file) {
    const char *argv[] = {"", "-f", file, NULL};
    struct parting beyond = {0}, former = {0}, last = {0}, first = {0}, second = {0};
    register_parting(&beyond, PARTITIONS);
    CHECK(mako_raft_setup(3, argv, NULL) == MAKO_RAFT_OK && parted(&beyond));
    register_parting(&former, 0);
    register_parting(&last, 0);
    CHECK(parted(&former));
    CHECK(mako_raft_shutdown() == MAKO_RAFT_OK && parted(&last));

    CHECK(mako_raft_setup(3, argv, NULL) == MAKO_RAFT_OK);
    register_parting(&first, 0);
    CHECK(mako_raft_setup2(0, -1) == MAKO_RAFT_OK);
    CHECK(mako_raft_submit("a", 1, 0, NULL, NULL) == MAKO_RAFT_OK);
    await(&first.calls, 1);
    register_parting(&second, 0);  /* the first is destroyed by the thread that has called it */
    CHECK(mako_raft_submit("b", 1, 0, NULL, NULL) == MAKO_RAFT_OK);
    await(&second.calls, 1);
    CHECK(parted(&first) && second.destroyed == 0);
    CHECK(mako_raft_shutdown() == MAKO_RAFT_OK && parted(&second));
    CHECK(!mako_raft_in_callback());
}

int main(void) {
    struct seen messages = {0}, election = {0};
    char directory[] = "/tmp/mako-raft-c-XXXXXX", path[64];
    CHECK(mkdtemp(directory) != NULL);
    CHECK(mako_raft_set_log_sink(on_message, &messages, destroy) == MAKO_RAFT_OK);
    mako_raft_log(3, "from the test");
    mako_raft_log(3, NULL);
    CHECK(messages.calls == 1);
    errors_before_setup();
    decoding();
    CHECK(mako_raft_register_leader_election_callback(on_election, &election, destroy) == MAKO_RAFT_OK);
    write_file(path, sizeof path, directory, 21000);
    one_life(path, &election, 1);
    one_life(path, &election, 2);  /* the election callback is kept */
    CHECK(mako_raft_register_leader_election_callback(NULL, NULL, NULL) == MAKO_RAFT_OK);
    CHECK(election.destroyed == 1);
    calls_in_destructors(path);
    CHECK(mako_raft_set_log_sink(NULL, NULL, NULL) == MAKO_RAFT_OK && messages.destroyed == 1);
    CHECK(remove(path) == 0 && rmdir(directory) == 0);
    puts("passed");
    return 0;
}
