// scripts/demo.sh: three replicas, a leader killed on the way, told as a timeline.

#include <stdarg.h>
#include <stdio.h>

#include "scenarios.h"

namespace {

class Timeline {
 public:
  Timeline() : start_(now_ms()) {}

  void say(const char *format, ...) __attribute__((format(printf, 2, 3))) {
    printf("  %6.3f s  ", static_cast<double>(now_ms() - start_) / 1000.0);
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    fflush(stdout);
  }

 private:
  long long start_;
};

size_t logs_in(const History &history, char role) {
  size_t count = 0;
  for (const auto &partition : history.calls) {
    for (const RecordedCall &call : partition.second) count += call.role == role;
  }
  return count;
}

}  // namespace

void demo::run(Stage &stage) {
  constexpr int kPartitions = 6, kLogs = 500, kBytes = 286208;
  Shape shape;
  shape.partitions = kPartitions;
  Cluster &cluster = stage.cluster(shape);
  const char *names[] = {"localhost", "p1", "p2"};
  printf("Three processes on this machine, one replica each of a shard with %d partitions.\n"
         "They know Mako's C++ functions only.\n\n",
         kPartitions);
  Timeline timeline;

  for (int i = 0; i < 3; ++i) {
    cluster.launch(i);
    timeline.say("%-9s started, listens on %s:%d", names[i], cluster.address(i).c_str(), cluster.port(i));
  }
  cluster.await_elections(0, 1, "[1]");
  timeline.say("localhost is told that it leads");

  const long long first = now_ms();
  cluster.submit_all(0, kLogs / 10, kBytes);
  cluster.await_calls(cluster.everyone(), kLogs / 10);
  timeline.say("localhost submitted %d logs of %d bytes on each partition; delivered everywhere after %lld ms",
               kLogs / 10, kBytes, now_ms() - first);
  cluster[0].expect("load 6 1000 300", "ok");
  cluster.await_calls(cluster.everyone(), kLogs);
  timeline.say("localhost goes on submitting logs of 1000 bytes on all partitions");

  const long long killed = now_ms();
  cluster[0].kill();
  timeline.say("localhost is killed (kill -9)");
  const int leader = cluster.await_new_leader({1, 2});
  timeline.say("%-9s is told that it leads, %lld ms after the kill", names[leader], now_ms() - killed);
  cluster.submit_all(leader, kLogs, 1000);
  cluster.await_equal({1, 2});
  timeline.say("%-9s submitted %d more on each partition", names[leader], kLogs);
  const History dead = cluster.history(0);

  cluster.launch(0);
  timeline.say("localhost is started again, with an empty memory");
  cluster.await_elections(0, 1, "[1]", 30000);
  timeline.say("localhost has caught up from slot 1, and takes leadership back");
  cluster.submit_all(0, kLogs, 1000);
  cluster.await_equal(cluster.everyone());
  cluster.shut_down(cluster.everyone());
  timeline.say("all three have shut down");

  const std::vector<History> histories = cluster.histories(cluster.everyone());
  check_complete(histories);
  check_history(dead);
  check_agreement(dead, histories[1]);
  for (const auto &partition : dead.calls) {
    require(histories[1].calls.at(partition.first).size() >= partition.second.size(),
            "a log that the killed leader had delivered is missing");
  }
  printf("\n  replica     logs delivered   by its leader callback   by its follower callback\n");
  printf("  localhost   %14zu   %22zu   %24zu   (until it was killed)\n", dead.total(), logs_in(dead, 'L'),
         logs_in(dead, 'F'));
  for (size_t i = 0; i < histories.size(); ++i) {
    printf("  %-9s   %14zu   %22zu   %24zu\n", names[i], histories[i].total(), logs_in(histories[i], 'L'),
           logs_in(histories[i], 'F'));
  }
  printf("\nChecked: on every replica slots 1, 2, 3, ... without a gap, the same bytes in the same slot, each\n"
         "submitter's order, the callback chosen by who executed the log, one thread per partition; and no\n"
         "log that the killed leader had delivered is missing anywhere.\n");
}
