// What goes wrong in a round.
#ifndef CAMPAIGN_FAULTS_H
#define CAMPAIGN_FAULTS_H

#include <random>
#include <string>
#include <vector>

#include "shard.h"

class Round {
 public:
  // Only faults whose name contains `only`.
  Round(Shard &shard, std::mt19937_64 &random, const std::string &only) : shard_(shard), random_(random), only_(only) {}

  // Whether the shard can still have such a fault: a disk can't be filled for ever.
  static bool possible(const Shard &shard, const std::string &only);

  // Draws a fault that this shard can have, carries it out under load, and ends it.
  void run();

  // For the record: the fault, and the leader that it took away, if it did.
  const std::string &fault() const { return fault_; }
  // Empty where no leader was taken away, or nobody had to follow it.
  const std::string &leader_lost_by() const { return leader_lost_by_; }
  long long leader_lost_us() const { return leader_lost_us_; }

  struct Kind {
    const char *name;
    int weight;
    bool (*possible)(const Shard &);
    void (Round::*run)();
  };
  static const std::vector<Kind> &kinds();

 private:
  int between(int low, int high);
  bool one_in(int n) { return between(1, n) == 1; }
  int follower();
  int one_of(const std::vector<int> &some) { return some[static_cast<size_t>(between(0, static_cast<int>(some.size()) - 1))]; }
  // From now on, the next election callback ends a fail-over.
  void leader_goes();
  void await_next();
  void take_down(std::vector<int> victims);

  void kill_leader();
  void kill_follower();
  void kill_twice();
  void kill_two();
  void kill_majority();
  void kill_all();
  void stop_leader();
  void stop_leader_briefly();
  void stop_follower();
  void stop_target_of_hand_over();
  void goodbye_leader();
  void goodbye_follower();
  void cut_off_leader();
  void cut_off_follower();
  void leader_hears_nothing();
  void leader_is_not_heard();
  void follower_half_cut();
  void kill_leader_with_follower_cut_off();
  void lose_everywhere();
  void lose_around_leader();
  void reject_everywhere();
  void reject_around_leader();
  void kill_leader_under_loss();
  void delay_everywhere();
  void delay_leader();
  void resets();
  void resets_in_a_row();
  void kill_leader_under_delay();
  void fill_disk_of_one();
  void lose_disk_of_one();
  void lose_majority_for_good();
  void storm();
  void strike(const std::vector<int> &mortals);

  template <class Hit>
  void every_pair(Hit hit);
  template <class Hit>
  void around(int one, Hit hit);

  Shard &shard_;
  std::mt19937_64 &random_;
  const std::string only_;
  int leader_ = 0;
  std::string fault_, leader_lost_by_;
  long long leader_lost_us_ = 0;
};

#endif
