#include "cluster.h"

#include <unistd.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

namespace {

constexpr int kFirstPort = 21000;
constexpr int kTailLines = 40;

std::string prefix(int shard) { return "shard" + std::to_string(shard) + "-"; }

}  // namespace

long long now_ms() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count();
}

Cluster::Cluster(Shape shape, const std::string &directory) : shape_(std::move(shape)), directory_(directory) {
  const int processes = shape_.voters + (shape_.learner ? 1 : 0);
  for (int i = 0; i < processes; ++i) {
    replicas_.emplace_back(new Replica(prefix(shape_.shard) + process_name(i), directory_));
    lives_.push_back(0);
  }
  write_files();
}

std::string Cluster::process_name(int i) const {
  if (i == 0) return "localhost";
  if (i == shape_.voters) return "learner";
  return "p" + std::to_string(i);
}

std::string Cluster::address(int i) const {
  const int driver = static_cast<int>(getpid());
  return "127." + std::to_string(16 + (driver >> 8) % 200) + "." + std::to_string(driver & 255) + "." +
         std::to_string(10 + shape_.shard * 20 + i);
}

int Cluster::port(int i) const { return kFirstPort + i * 100; }

int Cluster::site_id(int process, int partition) const { return partition * size() + process; }

std::string Cluster::topology_file() const { return directory_ + "/" + prefix(shape_.shard) + "topology.yml"; }

void Cluster::write_files() const {
  std::ofstream mode(directory_ + "/" + prefix(shape_.shard) + "mode.yml");
  mode << "mode:\n  cc: occ\n  ab: " << shape_.mode << "\n  read_only: occ\n  batch: false\n  retry: 20\n"
       << "  ongoing: 1\n";
  std::ofstream topology(topology_file());
  topology << "site:\n  server:\n";
  for (int partition = 0; partition < shape_.partitions; ++partition) {
    topology << "    - [";
    for (int i = 0; i < size(); ++i) {
      topology << (i ? ", " : "") << "\"s" << i + 1 << "0" << partition << ":" << port(i) + partition << "\"";
    }
    topology << "]\n";
  }
  topology << "process:\n";
  for (int i = 0; i < size(); ++i) {
    for (int partition = 0; partition < shape_.partitions; ++partition) {
      topology << "  s" << i + 1 << "0" << partition << ": " << process_name(i) << "\n";
    }
  }
  topology << "host:\n";
  for (int i = 0; i < size(); ++i) topology << "  " << process_name(i) << ": " << host(i) << "\n";
  if (!shape_.settings.empty()) topology << "raft:\n" << shape_.settings;
  require(mode.good() && topology.good(), "can't write into " + directory_);
}

std::string Cluster::setup_command(int i) const {
  const std::string files = directory_ + "/" + prefix(shape_.shard);
  return "setup -b -d 60 -f " + files + "mode.yml -f " + topology_file() + " -t 30 -T 100000 -n 32 -P " +
         process_name(i) + " -A 50000" + (shape_.data.empty() ? "" : " -r " + data_directory(i));
}

void Cluster::launch(int i, int action) {
  Replica &replica = (*this)[i];
  replica.start();
  replica.expect("elections_on", "ok");
  begin_life(i, action);
}

void Cluster::begin_life(int i, int action) {
  Replica &replica = (*this)[i];
  replica.expect("record " + replica.record_file(++lives_[static_cast<size_t>(i)]), "ok");
  std::string sites = "sites";
  for (int partition = shape_.partitions - 1; partition >= 0; --partition) {
    sites += " s" + std::to_string(i + 1) + "0" + std::to_string(partition);
  }
  replica.expect(setup_command(i), sites);
  replica.expect("register " + shape_.form + " both " + std::to_string(shape_.partitions), "ok");
  replica.expect("setup2 " + std::to_string(action) + " " + std::to_string(shape_.shard), "0");
}

void Cluster::launch_all() {
  for (int i = 0; i < size(); ++i) launch(i);
}

void Cluster::await_elections(int i, int times, const std::string &codes, int timeout_ms) {
  Replica &replica = (*this)[i];
  replica.expect("await_elections " + std::to_string(times) + " " + std::to_string(timeout_ms), "ok",
                 timeout_ms + 5000);
  replica.expect("elections", codes);
}

int Cluster::await_new_leader(const std::vector<int> &candidates, int timeout_ms) {
  const long long deadline = now_ms() + timeout_ms;
  for (;;) {
    std::vector<int> leaders;
    for (const int i : candidates) {
      const std::string told = (*this)[i].ask("elections");
      if (told.size() >= 3 && told.compare(told.size() - 2, 2, "1]") == 0) leaders.push_back(i);
    }
    require(leaders.size() <= 1, "two processes lead at once");
    if (!leaders.empty()) return leaders[0];
    require(now_ms() < deadline, "no new leader within " + std::to_string(timeout_ms) + " ms");
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void Cluster::submit_all(int i, int count, size_t size, int threads) {
  std::vector<int> running;
  for (int partition = 0; partition < shape_.partitions; ++partition) {
    running.push_back((*this)[i].begin("submit " + std::to_string(partition) + " " + std::to_string(count) + " " +
                                       std::to_string(size) + " " + std::to_string(threads)));
  }
  for (const int id : running) require((*this)[i].finish(id, 60000) == "ok", "submitting failed");
}

void Cluster::await_calls(const std::vector<int> &processes, uint64_t calls, int timeout_ms) {
  for (const int i : processes) {
    for (int partition = 0; partition < shape_.partitions; ++partition) {
      (*this)[i].expect("await " + std::to_string(partition) + " " + std::to_string(calls) + " " +
                            std::to_string(timeout_ms),
                        "ok", timeout_ms + 5000);
    }
  }
}

void Cluster::await_equal(const std::vector<int> &processes, int timeout_ms) {
  const long long deadline = now_ms() + timeout_ms;
  for (int partition = 0; partition < shape_.partitions; ++partition) {
    const std::string question = "calls " + std::to_string(partition);
    for (;;) {
      std::vector<std::string> counts;
      for (const int i : processes) counts.push_back((*this)[i].ask(question));
      bool equal = true;
      for (const std::string &count : counts) equal = equal && count == counts[0];
      if (equal) break;
      std::string text;
      for (const std::string &count : counts) text += " " + count;
      require(now_ms() < deadline, "partition " + std::to_string(partition) + " does not become equal:" + text);
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
}

void Cluster::shut_down(const std::vector<int> &processes, int bound_ms) {
  for (const char *step : {"pre_shutdown", "shutdown"}) {
    std::vector<std::pair<int, int>> running;
    for (const int i : processes) running.push_back({i, (*this)[i].begin(step)});
    for (const auto &one : running) {
      const std::string answer = (*this)[one.first].finish(one.second, bound_ms);
      require(answer.compare(0, 2, "0 ") == 0, (*this)[one.first].name() + ": " + step + " answered " + answer);
    }
  }
}

History Cluster::history(int i) const { return history(i, life(i)); }

History Cluster::history(int i, int life) const {
  const Replica &replica = *replicas_.at(static_cast<size_t>(i));
  return read_history(replica.name(), replica.record_file(life));
}

std::vector<History> Cluster::histories(const std::vector<int> &processes) const {
  std::vector<History> all;
  for (const int i : processes) all.push_back(history(i));
  return all;
}

std::vector<int> Cluster::everyone() const {
  std::vector<int> all;
  for (int i = 0; i < size(); ++i) all.push_back(i);
  return all;
}

std::string Cluster::log_tails() const {
  std::string text;
  for (const auto &replica : replicas_) {
    std::istringstream lines(replica->log_text());
    std::vector<std::string> kept;
    for (std::string line; std::getline(lines, line);) kept.push_back(line);
    text += "--- end of the log of " + replica->name() + "\n";
    for (size_t i = kept.size() > kTailLines ? kept.size() - kTailLines : 0; i < kept.size(); ++i) {
      text += kept[i] + "\n";
    }
  }
  return text;
}
