// Leaders that die, stall, return, and hand over (contract 6).

#include <signal.h>
#include <stdlib.h>

#include <chrono>
#include <thread>

#include "campaign/shard.h"
#include "scenarios.h"

namespace {

constexpr int kLogBytes = 300;
constexpr int kPaceMicros = 500;

std::string load(const Cluster &cluster) {
  return "load " + std::to_string(cluster.shape().partitions) + " " + std::to_string(kLogBytes) + " " +
         std::to_string(kPaceMicros);
}

// Everything that the dead or deposed leader's callbacks saw is on `survivor`, in the same slots.
void require_all_kept(const History &leader, const History &survivor) {
  for (const auto &partition : leader.calls) {
    const auto found = survivor.calls.find(partition.first);
    const size_t kept = found == survivor.calls.end() ? 0 : found->second.size();
    require(kept >= partition.second.size(),
            survivor.replica + " lacks logs of partition " + std::to_string(partition.first) +
                " that were delivered on " + leader.replica);
  }
  check_agreement(leader, survivor);
}


}  // namespace

void failover::kill_the_leader_under_load(Stage &stage) {
  Cluster &cluster = stage.cluster();
  cluster.launch_all();
  cluster.await_elections(0, 1, "[1]");
  cluster[0].expect(load(cluster), "ok");
  cluster.await_calls({0, 1, 2}, 500);
  cluster[0].kill();
  const int leader = cluster.await_new_leader({1, 2});
  cluster.submit_all(leader, 500, kLogBytes);
  cluster[leader].expect("wait 0", "ok", 20000);
  cluster.await_equal({1, 2});
  cluster.shut_down({1, 2});
  const std::vector<History> survivors = cluster.histories({1, 2});
  check_complete(survivors);
  const History dead = cluster.history(0);
  check_history(dead);
  require_all_kept(dead, survivors[0]);
  require_all_kept(dead, survivors[1]);
  require(survivors[0].elections.size() + survivors[1].elections.size() == 1, "one survivor is told, once");
  for (const auto &partition : survivors[0].calls) {
    require(partition.second.size() >= dead.calls.at(partition.first).size() + 500, "the new leader's logs are missing");
  }
}

void failover::stop_and_continue_the_leader(Stage &stage) {
  Cluster &cluster = stage.cluster();
  cluster.launch_all();
  cluster.await_elections(0, 1, "[1]");
  // It may lose none of its load, and would then be given leadership back.
  cluster[0].expect("preferred -1", "ok");
  cluster[0].expect(load(cluster), "ok");
  cluster.await_calls({0, 1, 2}, 500);
  cluster[0].signal(SIGSTOP);
  const int leader = cluster.await_new_leader({1, 2});
  cluster.submit_all(leader, 300, kLogBytes);
  cluster[0].signal(SIGCONT);
  cluster.await_elections(0, 2, "[1 0]");
  cluster[0].expect("stop_load", "ok", 60000);
  cluster.submit_all(leader, 300, kLogBytes);
  cluster[leader].expect("wait 0", "ok", 20000);
  cluster.await_equal(cluster.everyone());
  cluster[0].expect("elections", "[1 0]");
  cluster[leader].expect("elections", "[1]");
  cluster.shut_down(cluster.everyone());
  check_complete(cluster.histories(cluster.everyone()));
}

void failover::killed_process_returns_and_leads_again(Stage &stage) {
  Cluster &cluster = stage.cluster();
  cluster.launch_all();
  cluster.await_elections(0, 1, "[1]");
  cluster.submit_all(0, 1000, kLogBytes);
  cluster.await_calls(cluster.everyone(), 1000);
  const History before = cluster.history(0);
  cluster[0].kill();
  const int interim = cluster.await_new_leader({1, 2});
  cluster[interim].expect(load(cluster), "ok");
  cluster.await_calls({interim}, 1200);
  cluster.launch(0);
  // It has lost its memory, gets everything from slot 1, and then leadership by transfer.
  cluster.await_elections(0, 1, "[1]", 30000);
  cluster.await_elections(interim, 2, "[1 0]");
  cluster[interim].expect("stop_load", "ok", 60000);
  cluster.submit_all(0, 300, kLogBytes);
  cluster[0].expect("wait 0", "ok", 20000);
  cluster.await_equal(cluster.everyone());
  cluster.shut_down(cluster.everyone());
  const std::vector<History> histories = cluster.histories(cluster.everyone());
  check_complete(histories);
  require_all_kept(before, histories[0]);
}

void failover::killed_follower_returns(Stage &stage) {
  Cluster &cluster = stage.cluster();
  cluster.launch_all();
  cluster.await_elections(0, 1, "[1]");
  cluster[0].expect(load(cluster), "ok");
  int returns = 0;
  for (const int victim : {1, 2, 1}) {
    cluster.await_calls({victim}, 100);
    cluster[victim].kill();
    cluster.launch(victim);
    cluster.await_calls({victim}, 100);
    // Only when it is a voter again may the next one fail: the log is in memory, and two of three must
    // not lose theirs at once.
    cluster[0].await_log("making it a voter", 20000, ++returns);
    const uint64_t now = std::stoull(cluster[0].ask("calls 0"));
    cluster.await_calls({0}, now + 200);
  }
  cluster.await_calls({1, 2}, 100);
  cluster[0].expect("stop_load", "ok", 60000);
  cluster.await_equal(cluster.everyone());
  cluster[0].expect("elections", "[1]");
  cluster.shut_down(cluster.everyone());
  check_complete(cluster.histories(cluster.everyone()));
}

void failover::upgrade_moves_leadership(Stage &stage) {
  Cluster &cluster = stage.cluster();
  cluster.launch_all();
  cluster.await_elections(0, 1, "[1]");
  cluster.submit_all(0, 200, kLogBytes);
  cluster.await_calls(cluster.everyone(), 200);
  cluster[1].expect("upgrade", "ok");
  cluster[1].expect("noops_all 3", "ok");  // Mako's very next line
  cluster.await_elections(1, 1, "[1]");
  cluster.await_elections(0, 2, "[1 0]");
  cluster.await_calls(cluster.everyone(), 201);
  cluster.submit_all(1, 200, kLogBytes);
  cluster.await_calls(cluster.everyone(), 401);
  cluster.shut_down(cluster.everyone());
  check_complete(cluster.histories(cluster.everyone()));
}

void failover::preferred_leader_moves_and_stays(Stage &stage) {
  Cluster &cluster = stage.cluster();
  cluster.launch_all();
  cluster.await_elections(0, 1, "[1]");
  cluster.submit_all(0, 200, kLogBytes);
  cluster.await_calls(cluster.everyone(), 200);
  // A follower asks for the third one: any of its sites will do.
  cluster[1].expect("preferred " + std::to_string(cluster.site_id(2, 1)), "ok");
  cluster.await_elections(2, 1, "[1]");
  cluster.await_elections(0, 2, "[1 0]");
  cluster.submit_all(2, 200, kLogBytes);
  cluster.await_calls(cluster.everyone(), 400);
  // The wish survives the fail-over: the third one dies, comes back, and leads again.
  cluster[2].kill();
  const int interim = cluster.await_new_leader({0, 1});
  cluster.submit_all(interim, 10, kLogBytes);
  cluster.launch(2);
  cluster.await_elections(2, 1, "[1]", 30000);
  cluster.await_calls(cluster.everyone(), 410);
  cluster.shut_down(cluster.everyone());
  check_complete(cluster.histories(cluster.everyone()));
}

void failover::aborted_transfer_resumes(Stage &stage) {
  constexpr int kLineMs = 400;
  Setting setting;
  setting.preferred = false;
  Shard shard(setting, stage.directory());
  try {
    Cluster &cluster = shard.cluster();
    const int leader = shard.await_leader(cluster.everyone(), 15000);
    const int target = (leader + 1) % 3, third = (leader + 2) % 3;
    cluster.await_calls(cluster.everyone(), 300);
    // What the leader sends to the target takes a while, and so does the call to campaign: it is sent when the target
    // has acknowledged everything, and is under way for one line's time from then on.
    shard.delay(leader, target, kLineMs);
    cluster[leader].expect("preferred " + std::to_string(cluster.site_id(target, 0)), "ok");
    cluster[leader].await_log("handing leadership to");
    const uint64_t held = std::stoull(cluster[leader].ask("calls 0"));
    shard.await_log_of(leader, target, 5000);
    shard.load_for(kLineMs / 4);
    const uint64_t drained = std::stoull(cluster[leader].ask("calls 0"));
    shard.kill(target);
    // The leader goes on, with the logs of the submitters that it held, and its host is told nothing.
    cluster[leader].await_log("took too long: going on as leader");
    cluster.await_calls({leader, third}, drained + 500);
    cluster[leader].expect("elections", "[1]");
    require(drained < held + 2 * kLineMs / 3, "submitters were not held during the hand-over");
    // The wish is in the log: whoever runs there next gets leadership, once it is a member again.
    shard.heal();
    shard.start(target);
    cluster.await_elections(target, 1, "[1]", 30000);
    cluster.await_elections(leader, 2, "[1 0]");
    shard.stop_load();
    shard.await_level(20000);
    require(shard.status(leader).lost == 0, "the former leader lost logs");
    shard.check();
    cluster.shut_down(cluster.everyone());
  } catch (const Failure &failure) {
    throw Failure(failure.what() + ("\n" + shard.log_tails()));
  }
}

// What an operator must not do (docs/operations.md). The replica has forgotten what it acknowledged: both sides say so, and
// it is sent all of it again.
void failover::data_directory_from_a_backup(Stage &stage) {
  Shape shape;
  shape.data = stage.directory() + "/data";
  Cluster &cluster = stage.cluster(shape);
  const std::string directory = cluster.data_directory(2), backup = stage.directory() + "/backup";
  cluster.launch_all();
  cluster.await_elections(0, 1, "[1]");
  cluster.submit_all(0, 300, kLogBytes);
  cluster.await_calls(cluster.everyone(), 300);
  cluster[2].kill();
  require(system(("cp -a " + directory + " " + backup).c_str()) == 0, "can't copy " + directory);
  cluster.launch(2);
  cluster.submit_all(0, 300, kLogBytes);
  cluster.await_calls(cluster.everyone(), 600);
  cluster[2].kill();
  require(system(("rm -r " + directory + " && mv " + backup + " " + directory).c_str()) == 0, "can't replace " + directory);
  cluster.launch(2);
  cluster[0].await_log("acknowledged entries through", 10000);
  cluster[2].await_log("this member has acknowledged and does not have", 10000);
  cluster.submit_all(0, 300, kLogBytes);
  cluster.await_calls(cluster.everyone(), 900);
  cluster.shut_down(cluster.everyone());
  check_complete(cluster.histories(cluster.everyone()));
}

// Whose segments somebody removed has no log to go on from, and must not begin as if it had never had one.
void failover::data_directory_without_its_segments(Stage &stage) {
  Shape shape;
  shape.data = stage.directory() + "/data";
  Cluster &cluster = stage.cluster(shape);
  const std::string directory = cluster.data_directory(2);
  cluster.launch_all();
  cluster.await_elections(0, 1, "[1]");
  cluster.submit_all(0, 300, kLogBytes);
  cluster.await_calls(cluster.everyone(), 300);
  cluster[2].kill();
  require(system(("find " + directory + " -name 'segment-*' -delete").c_str()) == 0, "can't remove the segments");
  cluster[2].start();
  cluster[2].expect(cluster.setup_command(2), "refused");
  cluster[2].await_log("it is missing with all other segments", 1000);
  cluster[2].kill();
  require(system(("mv " + directory + " " + stage.directory() + "/away").c_str()) == 0, "can't move " + directory);
  cluster.launch(2);
  cluster.await_calls(cluster.everyone(), 300);
  cluster.shut_down(cluster.everyone());
  check_complete(cluster.histories(cluster.everyone()));
}
