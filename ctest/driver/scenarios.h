// Every scenario is a function that throws Failure where the library does not keep its promise. The
// registry in main.cc names them.
#ifndef SCENARIOS_H
#define SCENARIOS_H

#include <string>

#include "cluster.h"

// What a scenario works with: a fresh directory, and the clusters it made, whose logs are shown
// when it fails.
class Stage {
 public:
  explicit Stage(std::string directory) : directory_(std::move(directory)) {}
  Cluster &cluster(const Shape &shape = Shape());
  std::string log_tails() const;
  const std::string &directory() const { return directory_; }

 private:
  std::string directory_;
  std::vector<std::unique_ptr<Cluster>> clusters_;
};

namespace life {
void steady(Stage &stage);
void two_shards(Stage &stage);
void any_start_order(Stage &stage);
void one_replica_missing(Stage &stage);
void early_submissions_are_kept(Stage &stage);
void action_1_leaves_the_first_campaign_to_others(Stage &stage);
void learner(Stage &stage);
void second_life(Stage &stage);
void shutdown_in_any_order(Stage &stage);
void shutdown_without_peers(Stage &stage);
void shutdown_without_setup(Stage &stage);
void simple_callbacks(Stage &stage);
void par_id_callbacks(Stage &stage);
}  // namespace life

namespace failover {
void kill_the_leader_under_load(Stage &stage);
void stop_and_continue_the_leader(Stage &stage);
void killed_process_returns_and_leads_again(Stage &stage);
void killed_follower_returns(Stage &stage);
void upgrade_moves_leadership(Stage &stage);
void preferred_leader_moves_and_stays(Stage &stage);
void aborted_transfer_resumes(Stage &stage);
void data_directory_from_a_backup(Stage &stage);
void data_directory_without_its_segments(Stage &stage);
}  // namespace failover

namespace delivery {
void mako_model(Stage &stage);
void big_logs_beside_small_ones(Stage &stage);
void huge_log(Stage &stage);
void longest_log(Stage &stage);
void submission_inside_callbacks(Stage &stage);
void blocking_callback_delays_nobody_else(Stage &stage);
void throwing_callback_ends_the_process(Stage &stage);
void throwing_election_and_leader_callbacks_end_the_process(Stage &stage);
void calls_inside_callbacks_are_refused(Stage &stage);
void thread_local_destructor_and_late_submissions(Stage &stage);
void stuck_callback_is_left_alone(Stage &stage);
void full_queue_waits_then_refuses(Stage &stage);
void several_submitters_of_one_partition(Stage &stage);
}  // namespace delivery

namespace hostile {
void bad_input(Stage &stage);
void bad_files(Stage &stage);
void garbage_on_the_peer_port(Stage &stage);
void occupied_port(Stage &stage);
}  // namespace hostile

namespace demo {
void run(Stage &stage);
}

#endif
