// cluster_test SCENARIO | --list | --all
//
// Runs a scenario in a new temporary directory, which is removed when it passes. Every process that is
// started dies with this one.

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "scenarios.h"

namespace {

typedef void (*Scenario)(Stage &);

const std::vector<std::pair<const char *, Scenario>> kScenarios = {
    {"steady", life::steady},
    {"two_shards", life::two_shards},
    {"any_start_order", life::any_start_order},
    {"one_replica_missing", life::one_replica_missing},
    {"early_submissions_are_kept", life::early_submissions_are_kept},
    {"action_1_leaves_the_first_campaign_to_others", life::action_1_leaves_the_first_campaign_to_others},
    {"learner", life::learner},
    {"second_life", life::second_life},
    {"shutdown_in_any_order", life::shutdown_in_any_order},
    {"shutdown_without_peers", life::shutdown_without_peers},
    {"shutdown_without_setup", life::shutdown_without_setup},
    {"simple_callbacks", life::simple_callbacks},
    {"par_id_callbacks", life::par_id_callbacks},
    {"kill_the_leader_under_load", failover::kill_the_leader_under_load},
    {"stop_and_continue_the_leader", failover::stop_and_continue_the_leader},
    {"killed_process_returns_and_leads_again", failover::killed_process_returns_and_leads_again},
    {"killed_follower_returns", failover::killed_follower_returns},
    {"upgrade_moves_leadership", failover::upgrade_moves_leadership},
    {"preferred_leader_moves_and_stays", failover::preferred_leader_moves_and_stays},
    {"aborted_transfer_resumes", failover::aborted_transfer_resumes},
    {"data_directory_from_a_backup", failover::data_directory_from_a_backup},
    {"data_directory_without_its_segments", failover::data_directory_without_its_segments},
    {"mako_model", delivery::mako_model},
    {"big_logs_beside_small_ones", delivery::big_logs_beside_small_ones},
    {"huge_log", delivery::huge_log},
    {"longest_log", delivery::longest_log},
    {"submission_inside_callbacks", delivery::submission_inside_callbacks},
    {"blocking_callback_delays_nobody_else", delivery::blocking_callback_delays_nobody_else},
    {"throwing_callback_ends_the_process", delivery::throwing_callback_ends_the_process},
    {"throwing_election_and_leader_callbacks_end_the_process",
     delivery::throwing_election_and_leader_callbacks_end_the_process},
    {"calls_inside_callbacks_are_refused", delivery::calls_inside_callbacks_are_refused},
    {"thread_local_destructor_and_late_submissions", delivery::thread_local_destructor_and_late_submissions},
    {"stuck_callback_is_left_alone", delivery::stuck_callback_is_left_alone},
    {"full_queue_waits_then_refuses", delivery::full_queue_waits_then_refuses},
    {"several_submitters_of_one_partition", delivery::several_submitters_of_one_partition},
    {"bad_input", hostile::bad_input},
    {"bad_files", hostile::bad_files},
    {"garbage_on_the_peer_port", hostile::garbage_on_the_peer_port},
    {"occupied_port", hostile::occupied_port},
    {"demo", demo::run},
};

bool run(const char *name, Scenario scenario) {
  char directory[] = "/tmp/mako-raft-test-XXXXXX";
  if (mkdtemp(directory) == nullptr) {
    perror("mkdtemp");
    return false;
  }
  const long long start = now_ms();
  Stage stage(directory);
  try {
    scenario(stage);
  } catch (const std::exception &error) {
    printf("FAILED %s: %s\n%s(files are kept in %s)\n", name, error.what(), stage.log_tails().c_str(), directory);
    return false;
  }
  printf("passed %s in %lld ms\n", name, now_ms() - start);
  fflush(stdout);
  const std::string remove = std::string("rm -rf ") + directory;
  return system(remove.c_str()) == 0;
}

}  // namespace

Cluster &Stage::cluster(const Shape &shape) {
  clusters_.emplace_back(new Cluster(shape, directory_));
  return *clusters_.back();
}

std::string Stage::log_tails() const {
  std::string text;
  for (const auto &cluster : clusters_) text += cluster->log_tails();
  return text;
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  const char *wanted = argc == 2 ? argv[1] : "--list";
  int ran = 0, failed = 0;
  for (const auto &scenario : kScenarios) {
    if (strcmp(wanted, "--list") == 0) {
      puts(scenario.first);
      ++ran;
    } else if (strcmp(wanted, "--all") == 0 ? strcmp(scenario.first, "demo") != 0 && strcmp(scenario.first, "longest_log") != 0
                                            : strcmp(wanted, scenario.first) == 0) {
      ++ran;
      if (!run(scenario.first, scenario.second)) ++failed;
    }
  }
  if (ran == 0) fprintf(stderr, "no scenario is called %s; see --list\n", wanted);
  return failed == 0 && ran > 0 ? 0 : 1;
}
