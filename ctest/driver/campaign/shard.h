// A shard that lives through many faults: its processes, the lines between them, its load, and the checks.
#ifndef CAMPAIGN_SHARD_H
#define CAMPAIGN_SHARD_H

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../cluster.h"
#include "firewall.h"
#include "proxy.h"
#include "status.h"

struct Setting {
  bool durable = false;
  int voters = 3;
  bool firewall = false;   // lines are hit by firewall rules; by a proxy otherwise
  bool preferred = true;   // the designated process gets leadership back
  bool grouped = false;    // a Raft group for each partition
  int small_disk = -1;     // the process whose data directory is a small file system
  std::string describe() const;
};

// A log that a process accepted and no replica has, and what explains it.
struct Lost {
  long long before_fault_us;  // accepted so long before the fault began; negative: since then
  long long after_fault_us;   // accepted so long after it had ended; negative: before
};

// What a round's checks found out.
struct Checked {
  uint64_t logs = 0;                  // delivered on every replica, since the shard began
  std::vector<long long> became_us;   // when a process was told that it leads, in the lives looked at
  std::vector<Lost> lost;             // in this round
};

class Shard {
 public:
  Shard(const Setting &setting, const std::string &directory);
  ~Shard();

  const Setting &setting() const { return setting_; }
  Cluster &cluster() { return *cluster_; }
  // Nothing is ever removed from a durable log, and each time costs it some segments, so the times are bounded.
  bool disk_may_fill() const { return fills_left_ > 0; }
  void fill_small_disk();
  void free_small_disk();
  std::string log_tails() const { return cluster_->log_tails(); }

  // --- processes
  // NAME=VALUE, for this start only.
  void start(int i, const std::vector<std::string> &added = {});
  void kill(int i);
  // kill, and whatever is in its data directory is gone.
  void kill_for_good(int i);
  void pause(int i);
  void resume(int i);
  // pre_shutdown_step and shutdown_paxos, and a new life in the same process or a new one.
  void say_goodbye(int i, bool same_process);
  bool running(int i) const { return process(i).running; }
  bool paused(int i) const { return process(i).paused; }
  // Running and not paused.
  std::vector<int> usable() const;
  std::vector<int> others(int i) const;  // of the usable ones

  // --- lines. What goes from one process to another, on whichever connection.
  void cut(int from, int to);
  void lose(int from, int to, int per_mille);  // with a firewall
  void reject(int from, int to);               // with a firewall: answered with resets, until healed
  void delay(int from, int to, int ms);        // with a proxy
  void reset(int one, int other);              // with a proxy: what is connected now
  void heal();

  // --- losses
  // From now until `calm`, this life of process i may be out of touch with a majority, so what it accepts may be lost; what it
  // accepted earlier only where it was under way. Whatever else a process accepts must arrive. A kill says so itself.
  void may_lose(int i);
  void everyone_may_lose();  // in lives that begin meanwhile, too
  // The fault is over.
  void calm();

  // --- load
  // Starts the load on every process that has been told that it leads; throws where a process has died.
  void feed();
  void load_for(int ms);
  void stop_load();

  // --- waiting, under load
  ReplicaStatus status(int i) const;
  int await_leader(const std::vector<int> &among, int timeout_ms);
  // Until process i says in its status that it waits for this.
  void await_waiting(int i, const std::string &what, int timeout_ms);
  // Until `follower` has all that `leader` has in its log.
  void await_log_of(int leader, int follower, int timeout_ms);
  // How often process i has said so in its log.
  int said(int i, const std::string &text) const;
  // Until it has said so so many times: noticed within a millisecond.
  void await_saying(int i, const std::string &text, int times, int timeout_ms);
  // Until process i has found out that it leads no more.
  void await_not_leading(int i, int timeout_ms);
  // Until all that process i accepted is delivered or lost, or process `unless` has stopped itself.
  void await_decided(int i, int unless, int timeout_ms);
  // Until every process is a voter, and all agree on who is and who leads.
  void await_members(int timeout_ms);
  // Until all have the same log, all of it is committed, and delivered everywhere. The load has stopped.
  void await_level(int timeout_ms);

  // All streams on all replicas, each life's callbacks, and that nothing that an ended life was told of is missing.
  Checked check();

  // What a replica's own record shows to be wrong, for a round that failed before its checks; empty where nothing is.
  std::string broken_record() const;

  uint64_t lives() const { return lives_; }
  // By the present lives, as of the last check.
  uint64_t lost() const { return lost_; }
  uint64_t refused() const { return refused_; }

 private:
  struct Process {
    bool running = false, paused = false, loading = false;
  };
  void make_lines();
  std::string line_address(int dialler, int target) const;
  size_t line(int dialler, int target) const;
  std::vector<std::string> matches(int from, int to) const;
  void add_rules(std::vector<std::string> rules);
  std::vector<std::string> environment(int i) const;
  void end_life(int i);
  void stop_load(int i);
  bool agree(bool level, std::string *why);
  ReplicaStatus going_on(int i) const;
  uint64_t check_fates(int i, const History &history);
  void check_losses(int i, int life, const History &history, const History &now, Checked *checked);
  Process &process(int i) { return processes_.at(static_cast<size_t>(i)); }
  const Process &process(int i) const { return processes_.at(static_cast<size_t>(i)); }

  Setting setting_;
  std::string names_library_;
  std::string small_disk_;
  int fills_left_ = 0;
  bool disk_is_full_ = false;
  std::unique_ptr<Cluster> cluster_;
  std::unique_ptr<Proxy> proxy_;
  std::vector<std::string> rules_;
  std::vector<Process> processes_;
  std::vector<std::pair<int, int>> ended_;  // process and life, not checked yet
  struct Window {
    int process, life;
    long long fault_us, calm_us;
    long long distance_us(long long us) const;
  };
  std::vector<Window> windows_;
  long long checked_us_ = 0;
  uint64_t lives_ = 0, lost_ = 0, refused_ = 0;
};

#endif
