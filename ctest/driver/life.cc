// Start, ordinary work, and shutdown (contract 3).

#include <chrono>
#include <thread>

#include "scenarios.h"

namespace {

// Mako's ordinary run: the designated process leads, every partition gets `logs`, everybody has them.
void work(Cluster &cluster, int logs, int threads = 1) {
  cluster.await_elections(0, 1, "[1]");
  cluster.submit_all(0, logs, 300, threads);
  cluster.await_calls(cluster.everyone(), static_cast<uint64_t>(logs * threads));
  for (int partition = 0; partition < cluster.shape().partitions; ++partition) {
    cluster[0].expect("wait " + std::to_string(partition), "ok");
    cluster[0].expect("outstanding " + std::to_string(partition), "0");
  }
}

void pause(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

}  // namespace

void life::steady(Stage &stage) {
  Cluster &cluster = stage.cluster();
  cluster.launch_all();
  work(cluster, 2000, 2);
  cluster[0].expect("epoch", "0");
  cluster[0].expect("set_epoch", "ok");
  cluster[0].expect("set_epoch 6", "ok");
  cluster[0].expect("set_epoch -1", "ok");
  cluster[0].expect("epoch", "7");
  cluster[0].expect("stats 3", "ok");
  cluster[0].expect("nc", "0");
  cluster[0].expect("hosts " + cluster.topology_file(),
                    "hosts localhost=" + cluster.address(0) + " p1=" + cluster.address(1) + " p2=" + cluster.address(2));
  cluster[1].expect("elections", "[]");
  cluster[2].expect("elections", "[]");
  cluster.shut_down(cluster.everyone());
  const std::vector<History> histories = cluster.histories(cluster.everyone());
  check_complete(histories);
  require(histories[0].total() == 3 * 4000, "some log was not delivered");
}

void life::two_shards(Stage &stage) {
  Shape second;
  second.shard = 1;
  second.partitions = 6;
  Cluster &one = stage.cluster(), &two = stage.cluster(second);
  one.launch_all();
  two.launch_all();
  for (Cluster *cluster : {&one, &two}) work(*cluster, 1000);
  for (Cluster *cluster : {&one, &two}) {
    cluster->shut_down(cluster->everyone());
    check_complete(cluster->histories(cluster->everyone()));
  }
}

void life::any_start_order(Stage &stage) {
  Cluster &cluster = stage.cluster();
  cluster.launch(2);
  pause(2000);  // the contract says "seconds apart"
  cluster.launch(1);
  pause(2000);
  const long long start = now_ms();
  cluster.launch(0);
  work(cluster, 500);
  require(now_ms() - start < 5000, "the designated process took too long to lead");
  cluster[1].expect("elections", "[]");
  cluster[2].expect("elections", "[]");
  cluster.shut_down(cluster.everyone());
  check_complete(cluster.histories(cluster.everyone()));
}

void life::one_replica_missing(Stage &stage) {
  Cluster &cluster = stage.cluster();
  cluster.launch(0);
  cluster.launch(1);
  cluster.await_elections(0, 1, "[1]");
  cluster.submit_all(0, 500, 300);
  cluster.await_calls({0, 1}, 500);
  // It comes late, and gets everything from slot 1.
  cluster.launch(2);
  cluster.await_calls({2}, 500);
  cluster.submit_all(0, 500, 300);
  cluster.await_calls(cluster.everyone(), 1000);
  cluster.shut_down(cluster.everyone());
  check_complete(cluster.histories(cluster.everyone()));
}

void life::early_submissions_are_kept(Stage &stage) {
  Cluster &cluster = stage.cluster();
  cluster.launch(0);
  cluster.submit_all(0, 100, 300);  // alone: nobody can lead yet
  cluster[0].expect("outstanding 0", "100");
  cluster.launch(1);
  cluster.launch(2);
  cluster.await_calls(cluster.everyone(), 100);
  cluster.shut_down(cluster.everyone());
  check_complete(cluster.histories(cluster.everyone()));
}

void life::action_1_leaves_the_first_campaign_to_others(Stage &stage) {
  Shape shape;
  shape.settings = "  form_wait_ms: 500\n  preferred_leader: none\n";
  Cluster &cluster = stage.cluster(shape);
  cluster.launch(0, 1);
  cluster.launch(1);
  cluster.launch(2);
  const int leader = cluster.await_new_leader(cluster.everyone());
  require(leader != 0, "the process that was started with action 1 campaigned first");
  cluster.submit_all(leader, 10, 300);
  cluster.await_calls(cluster.everyone(), 10);
  cluster.shut_down(cluster.everyone());
  check_complete(cluster.histories(cluster.everyone()));
}

void life::learner(Stage &stage) {
  Shape shape;
  shape.learner = true;
  shape.mode = "multi_paxos";  // Mako's Paxos files run as they are
  Cluster &cluster = stage.cluster(shape);
  cluster.launch_all();
  work(cluster, 500);
  // It counts for nothing: with one of three voters gone the other two go on; with two gone nobody does.
  cluster[1].kill();
  cluster.submit_all(0, 100, 300);
  cluster.await_calls({0, 2, 3}, 600);
  cluster[2].kill();
  cluster.submit_all(0, 1, 300);
  pause(1500);
  cluster[3].expect("calls 0", "600");
  cluster[3].expect("elections", "[]");
  cluster.shut_down({3});
  cluster.shut_down({0});
  check_complete({cluster.history(2), cluster.history(3)});
}

void life::second_life(Stage &stage) {
  Cluster &cluster = stage.cluster();
  cluster.launch_all();
  work(cluster, 300);
  cluster.shut_down(cluster.everyone());
  check_complete(cluster.histories(cluster.everyone()));
  // The election callback is kept, everything else begins again, slots too.
  for (const int i : {2, 0, 1}) cluster.begin_life(i);
  work(cluster, 200);
  cluster.shut_down(cluster.everyone());
  const std::vector<History> histories = cluster.histories(cluster.everyone());
  check_complete(histories);
  require(histories[0].total() == 3 * 200, "the second life does not begin at slot 1");
}

void life::shutdown_in_any_order(Stage &stage) {
  Cluster &cluster = stage.cluster();
  cluster.launch_all();
  work(cluster, 100);
  // Shutdown without pre_shutdown_step, both twice, and pre_shutdown_step afterwards.
  std::vector<int> running;
  for (int i = 0; i < 3; ++i) running.push_back(cluster[i].begin("shutdown"));
  for (int i = 0; i < 3; ++i) {
    const std::string answer = cluster[i].finish(running[static_cast<size_t>(i)], 12000);
    require(answer.compare(0, 2, "0 ") == 0, "shutdown answered " + answer);
  }
  cluster.shut_down(cluster.everyone(), 2000);
  cluster.shut_down(cluster.everyone(), 2000);
  check_complete(cluster.histories(cluster.everyone()));
  cluster[0].expect("elections", "[1]");
}

void life::shutdown_without_peers(Stage &stage) {
  Cluster &cluster = stage.cluster();
  cluster.launch_all();
  work(cluster, 100);
  cluster[1].kill();
  cluster[2].kill();
  cluster.submit_all(0, 5, 300);  // can't be committed any more
  cluster.shut_down({0});
  check_history(cluster.history(0));
  // And a replica that never had any.
  Shape other;
  other.shard = 1;
  Cluster &alone = stage.cluster(other);
  alone.launch(1);
  alone.shut_down({1});
}

void life::shutdown_without_setup(Stage &stage) {
  Cluster &cluster = stage.cluster();
  cluster[0].start();
  cluster.shut_down({0}, 1000);
  cluster[0].expect("outstanding 0", "-1");
  cluster[0].expect("submit_raw 0 early", "ok");
  cluster[0].expect("epoch", "0");
  cluster[0].expect("stats 4", "ok");
  const std::string setup2 = cluster[0].ask("setup2 0 0");
  require(setup2 != "0", "setup2 without setup returned 0");
}

void life::simple_callbacks(Stage &stage) {
  Shape shape;
  shape.form = "simple";
  Cluster &cluster = stage.cluster(shape);
  cluster.launch_all();
  work(cluster, 200);
  cluster.shut_down(cluster.everyone());
  check_complete(cluster.histories(cluster.everyone()));
}

void life::par_id_callbacks(Stage &stage) {
  Shape shape;
  shape.form = "par_id";
  Cluster &cluster = stage.cluster(shape);
  cluster.launch_all();
  work(cluster, 200);
  cluster.shut_down(cluster.everyone());
  check_complete(cluster.histories(cluster.everyone()));
}
