// Callbacks: what they are given, what they may do, and what happens when they misbehave (contract 4, 5).

#include <signal.h>
#include <sys/wait.h>

#include <chrono>
#include <thread>

#include "scenarios.h"

namespace {

std::string text(int number) { return std::to_string(number); }

void close_down(Cluster &cluster) {
  cluster.await_equal(cluster.everyone());
  cluster.shut_down(cluster.everyone());
  check_complete(cluster.histories(cluster.everyone()));
}

// The figure behind `name` in the model's summary.
uint64_t figure(const std::string &summary, const std::string &name) {
  const size_t at = summary.find(name + " ");
  require(at != std::string::npos, "no figure " + name + " in " + summary);
  return std::stoull(summary.substr(at + name.size() + 1));
}

// One log of so many bytes with short ones behind it arrives everywhere, and no leader is lost by it.
void log_of(Stage &stage, int bytes) {
  constexpr int kMs = 120000;
  Cluster &cluster = stage.cluster();
  cluster.launch_all();
  cluster.await_elections(0, 1, "[1]");
  cluster[0].expect("submit 1 1 " + text(bytes), "ok", kMs);
  cluster[0].expect("submit 1 10 100", "ok", kMs);
  for (int i = 0; i < 3; ++i) cluster[i].expect("await 1 11 " + text(kMs), "ok", kMs + 5000);
  cluster[0].expect("elections", "[1]");
  close_down(cluster);
}

}  // namespace

// Transactions with timestamps, an advancer marker, no-ops per epoch, end signals; followers replay or
// queue, and shut down at the first end signal they see, before the leader does.
void delivery::mako_model(Stage &stage) {
  Shape shape;
  shape.form = "model";
  Cluster &cluster = stage.cluster(shape);
  cluster.launch_all();
  cluster.await_elections(0, 1, "[1]");
  for (int epoch = 0; epoch < 3; ++epoch) {
    // On the way timestamp * 10 passes 2^32, and the result of a callback wraps.
    if (epoch == 1) cluster[0].expect("timestamp 429496500", "ok");
    cluster.submit_all(0, 400, 300);
    for (int partition = 0; partition < 3; ++partition) {
      cluster[0].expect("submit_raw " + text(partition) + " ad", "ok");
    }
    cluster[0].expect(epoch % 2 ? "noops_mark " + text(epoch) : "noops_all " + text(epoch), "ok");
  }
  const uint64_t before_end = 3 * (400 + 1 + 1);
  cluster.await_calls(cluster.everyone(), before_end);
  std::vector<int> ends;
  for (int i : {1, 2}) ends.push_back(cluster[i].begin("await_first_end 20000"));
  for (int partition = 0; partition < 3; ++partition) cluster[0].expect("submit_raw " + text(partition), "ok");
  for (int i : {1, 2}) {
    require(cluster[i].finish(ends[static_cast<size_t>(i - 1)], 25000) == "ok", "no end signal");
  }
  cluster.shut_down({1, 2});
  cluster.shut_down({0});
  const std::vector<History> histories = cluster.histories(cluster.everyone());
  for (const History &history : histories) check_history(history);
  check_agreement(histories[0], histories[1]);
  check_agreement(histories[0], histories[2]);
  require(histories[0].total() == 3 * (before_end + 1), "the leader did not see all of its logs and ends");
  for (const int i : {1, 2}) {
    const std::string summary = cluster[i].ask("model");
    require(figure(summary, "errors") == 0, cluster[i].name() + ": " + summary);
    require(figure(summary, "queued") > 0, cluster[i].name() + " never queued: the model tests nothing: " + summary);
    require(figure(summary, "noops") == 9 && figure(summary, "markers") == 9, cluster[i].name() + ": " + summary);
    // What is still queued when it shuts down was never replayed; nothing else is missing.
    require(figure(summary, "replayed") + figure(summary, "queued") - figure(summary, "drained") == 3600,
            cluster[i].name() + ": " + summary);
  }
}

void delivery::big_logs_beside_small_ones(Stage &stage) {
  Cluster &cluster = stage.cluster();
  cluster.launch_all();
  cluster.await_elections(0, 1, "[1]");
  const int big = cluster[0].begin("submit 0 3 50380812");
  // The other partitions go on while 150 MB travel.
  for (const int partition : {1, 2}) {
    cluster[0].expect("submit " + text(partition) + " 300 300", "ok", 30000);
  }
  for (const int partition : {1, 2}) cluster[0].expect("await " + text(partition) + " 300 30000", "ok", 35000);
  require(cluster[0].finish(big, 60000) == "ok", "submitting failed");
  for (int i = 0; i < 3; ++i) cluster[i].expect("await 0 3 60000", "ok", 65000);
  close_down(cluster);
}

void delivery::huge_log(Stage &stage) { log_of(stage, 200 << 20); }

// The longest that is accepted. Takes about 7 GiB of memory: run by hand, and not by ctest.
void delivery::longest_log(Stage &stage) { log_of(stage, 1 << 30); }

void delivery::submission_inside_callbacks(Stage &stage) {
  Shape shape;
  shape.settings = "  queue_bytes: 64KiB\n  submit_wait_ms: 3000\n";
  Cluster &cluster = stage.cluster(shape);
  cluster.launch_all();
  cluster.await_elections(0, 1, "[1]");
  // 4000 logs of 64 bytes are far over the bound of the queue: waiting for room would be a deadlock.
  cluster[0].expect("behave 0 5 submit 4000", "ok");
  cluster.submit_all(0, 10, 300);
  cluster[0].expect("await 0 4010 20000", "ok", 25000);
  cluster.await_calls(cluster.everyone(), 10);
  close_down(cluster);
}

void delivery::blocking_callback_delays_nobody_else(Stage &stage) {
  constexpr int kBlockMs = 4000;
  Cluster &cluster = stage.cluster();
  for (int i = 0; i < 3; ++i) {
    cluster.launch(i);
    cluster[i].expect("behave 0 3 block " + text(kBlockMs), "ok");
  }
  cluster.await_elections(0, 1, "[1]");
  const long long start = now_ms();
  cluster.submit_all(0, 500, 300);
  for (int i = 0; i < 3; ++i) {
    for (const int partition : {1, 2}) cluster[i].expect("await " + text(partition) + " 500 3000", "ok");
  }
  require(now_ms() - start < kBlockMs, "the other partitions waited for the blocked one");
  cluster.await_calls(cluster.everyone(), 500);
  require(now_ms() - start >= kBlockMs, "no callback was blocked: the test tests nothing");
  for (int i = 0; i < 3; ++i) cluster[i].expect("elections", i == 0 ? "[1]" : "[]");
  close_down(cluster);
}

void delivery::throwing_callback_ends_the_process(Stage &stage) {
  Cluster &cluster = stage.cluster();
  cluster.launch_all();
  cluster.await_elections(0, 1, "[1]");
  cluster[1].expect("behave 2 7 throw 0", "ok");
  cluster[2].expect("behave 1 4 throw_int 5", "ok");
  cluster.submit_all(0, 20, 300);
  for (const int i : {1, 2}) {
    const int status = cluster[i].await_exit(10000);
    require(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "not ended by std::terminate");
  }
  cluster[1].await_log("the follower callback of partition 2 at slot 7 threw an exception: the test asked for "
                       "this exception");
  cluster[2].await_log("the follower callback of partition 1 at slot 4 threw an exception: not a std::exception");
  check_history(cluster.history(1));
  check_history(cluster.history(2));
}

void delivery::throwing_election_and_leader_callbacks_end_the_process(Stage &stage) {
  Cluster &cluster = stage.cluster();
  const auto require_terminated = [&cluster] {
    const int status = cluster[0].await_exit(10000);
    require(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "not ended by std::terminate");
  };
  // Alone it can't be elected.
  cluster.launch(0);
  cluster[0].expect("behave -1 1 throw_int 5", "ok");
  cluster.launch(1);
  require_terminated();
  cluster[0].await_log("the leader election callback with code 1 threw an exception: not a std::exception");
  cluster[1].kill();
  cluster.launch_all();
  cluster.await_elections(0, 1, "[1]");
  cluster[0].expect("behave 2 7 throw 0", "ok");
  // It ends before it has answered, perhaps.
  cluster[0].begin("submit 2 20 300");
  require_terminated();
  cluster[0].await_log("the leader callback of partition 2 at slot 7 threw an exception: the test asked for this exception");
}

void delivery::calls_inside_callbacks_are_refused(Stage &stage) {
  Cluster &cluster = stage.cluster();
  cluster.launch_all();
  cluster.await_elections(0, 1, "[1]");
  cluster[0].expect("behave 0 2 shutdown 0", "ok");
  cluster[1].expect("behave 0 2 shutdown 0", "ok");
  cluster.submit_all(0, 20, 300);
  cluster.await_calls(cluster.everyone(), 20);
  for (const int i : {0, 1}) cluster[i].expect("inside_result", "1");
  for (const char *call : {"shutdown_paxos: ", "pre_shutdown_step: ", "wait_for_submit: "}) {
    cluster[0].await_log(call);
  }
  close_down(cluster);
}

void delivery::thread_local_destructor_and_late_submissions(Stage &stage) {
  Cluster &cluster = stage.cluster();
  cluster.launch_all();
  cluster.await_elections(0, 1, "[1]");
  for (int i = 0; i < 20; ++i) cluster[0].expect("tls_submit " + text(i % 3), "ok");
  cluster[0].expect("await 0 14 10000", "ok");
  // On a follower the same is refused, without a crash, also when its queue is gone.
  cluster[1].expect("tls_submit 0", "ok");
  cluster.await_equal(cluster.everyone());
  cluster.shut_down(cluster.everyone());
  for (int i = 0; i < 3; ++i) {
    cluster[i].expect("tls_submit 0", "ok");
    cluster[i].expect("submit 0 10 300", "ok");
    cluster[i].expect("submit_raw 0", "ok");
    cluster[i].expect("wait 0", "ok");
  }
  const std::vector<History> histories = cluster.histories(cluster.everyone());
  check_complete(histories);
  require(histories[0].total() == 40, "40 logs were submitted before the shutdown");
}

void delivery::stuck_callback_is_left_alone(Stage &stage) {
  constexpr int kForEverMs = 600000;
  Cluster &cluster = stage.cluster();
  cluster.launch_all();
  cluster.await_elections(0, 1, "[1]");
  cluster[1].expect("behave 2 3 block " + text(kForEverMs), "ok");
  cluster.submit_all(0, 10, 300);
  for (const int partition : {0, 1}) cluster[1].expect("await " + text(partition) + " 10 10000", "ok");
  cluster[1].expect("await_blocked 10000", "ok");
  const long long start = now_ms();
  const std::string answer = cluster[1].ask("shutdown", 20000);
  require(answer.compare(0, 2, "1 ") == 0, "shutdown answered " + answer + " with a callback still running");
  const long long took = now_ms() - start;
  require(took >= 9500 && took < 13000, "shutdown gave up after " + text(static_cast<int>(took)) + " ms, not 10 s");
  cluster[1].await_log("slot 3");
  cluster[1].expect(cluster.setup_command(1), "refused");
  // The others are not concerned.
  cluster.submit_all(0, 10, 300);
  cluster.await_calls({0, 2}, 20);
  cluster.shut_down({0, 2});
  check_complete(cluster.histories({0, 2}));
  check_agreement(cluster.history(0), cluster.history(1));
}

void delivery::full_queue_waits_then_refuses(Stage &stage) {
  constexpr int kWaitMs = 500;
  Shape shape;
  shape.partitions = 1;
  shape.settings = "  queue_bytes: 64KiB\n  submit_wait_ms: " + text(kWaitMs) + "\n";
  Cluster &cluster = stage.cluster(shape);
  cluster.launch(0);  // alone: accepted logs stay in the queue
  const long long start = now_ms();
  cluster[0].expect("submit 0 12 10000", "ok");
  const int kept = std::stoi(cluster[0].ask("outstanding 0"));
  require(kept >= 6 && kept < 12, "the queue of 64 KiB holds " + text(kept) + " logs of 10000 bytes");
  require(now_ms() - start >= (12 - kept) * kWaitMs, "a log was refused without waiting");
  cluster[0].await_log("raft.submit_wait_ms");
  // What was accepted is not lost.
  cluster.launch(1);
  cluster.launch(2);
  cluster.await_calls(cluster.everyone(), static_cast<uint64_t>(kept));
  close_down(cluster);
}

void delivery::several_submitters_of_one_partition(Stage &stage) {
  Shape shape;
  shape.partitions = 1;
  Cluster &cluster = stage.cluster(shape);
  cluster.launch_all();
  cluster.await_elections(0, 1, "[1]");
  cluster[0].expect("submit 0 3000 64 3", "ok", 30000);
  cluster.await_calls(cluster.everyone(), 9000);
  close_down(cluster);
}
