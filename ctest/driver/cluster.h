// The processes of one shard, with the YAML files that Mako would give them.
#ifndef CLUSTER_H
#define CLUSTER_H

#include <memory>
#include <string>
#include <vector>

#include "history.h"
#include "replica.h"

struct Shape {
  int voters = 3;
  int partitions = 3;
  bool learner = false;   // one more process, of Mako's name for it
  int shard = 0;
  std::string settings;   // lines of the `raft` section, indented by two
  std::string mode = "raft";
  std::string data;       // a directory for durable logs, one folder per process; in memory without
  std::string form = "return";  // of the callbacks: simple, par_id, return, model
  bool named = false;     // hosts are written as names, which the replicas' environment resolves
};

// Milliseconds on a steady clock.
long long now_ms();

class Cluster {
 public:
  // Writes the files into `directory`. Every process gets a loopback address of its own that no other
  // driver on this machine uses, so ports need no probing.
  Cluster(Shape shape, const std::string &directory);

  int size() const { return static_cast<int>(replicas_.size()); }
  Replica &operator[](int i) { return *replicas_.at(static_cast<size_t>(i)); }
  const Shape &shape() const { return shape_; }

  // The process of locale 0 is 0; the learner, where there is one, is last.
  std::string setup_command(int i) const;
  std::string address(int i) const;
  // What the topology file has as its host: the address, or a name.
  std::string host(int i) const { return shape_.named ? process_name(i) + ".test" : address(i); }
  // The port on which process i listens: that of its first site.
  int port(int i) const;
  int site_id(int process, int partition) const;
  std::string topology_file() const;
  std::string process_name(int i) const;
  std::string data_directory(int i) const { return shape_.data + "/" + process_name(i); }

  // Starts process i and takes it through setup, registration and setup2, recording a new life.
  void launch(int i, int action = 0);
  void launch_all();
  // Within a running process: setup to setup2 once more.
  void begin_life(int i, int action = 0);

  // Waits until process i has been told `times` times in all what `codes` lists, e.g. "[1 0]".
  void await_elections(int i, int times, const std::string &codes, int timeout_ms = 15000);
  // Waits until exactly one of `candidates` has been told 1 (and no other), and returns it.
  int await_new_leader(const std::vector<int> &candidates, int timeout_ms = 15000);

  // Submits `count` logs of `size` bytes on every partition of process i, all partitions at once.
  void submit_all(int i, int count, size_t size, int threads = 1);
  // Waits until every one of `processes` has had `calls` calls in each partition.
  void await_calls(const std::vector<int> &processes, uint64_t calls, int timeout_ms = 30000);
  // Waits until all of `processes` have equally many calls in each partition, and at least those
  // that the first of them has now.
  void await_equal(const std::vector<int> &processes, int timeout_ms = 30000);

  // pre_shutdown_step and shutdown_paxos on all of `processes` at once; each must return 0 in time.
  void shut_down(const std::vector<int> &processes, int bound_ms = 12000);

  History history(int i) const;  // of its present life
  History history(int i, int life) const;
  int life(int i) const { return lives_.at(static_cast<size_t>(i)); }
  std::vector<History> histories(const std::vector<int> &processes) const;
  std::vector<int> everyone() const;

  // The last lines of every replica's log, for a failure report.
  std::string log_tails() const;

 private:
  void write_files() const;

  Shape shape_;
  std::string directory_;
  std::vector<std::unique_ptr<Replica>> replicas_;
  std::vector<int> lives_;
};

#endif
