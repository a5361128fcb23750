// One replica, told what to do line by line on standard input.
//
// It knows Mako's declarations only. A line is "ID VERB ARGUMENTS..."; the answer on standard output is
// "ID WORDS...". Verbs that may block run on a thread of their own, so that a driver can go on
// talking meanwhile. What the callbacks saw is written to the file named by "record" (recorder.h).

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <condition_variable>
#include <iostream>
#include <memory>
#include <random>
#include <set>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "mako_declarations.h"
#include "mako_model.h"
#include "recorder.h"
#include "test_log.h"

namespace {

constexpr int kMaxPartitions = 64;
constexpr int kMaxThreads = 4;

// What a callback does beside recording, once, at a given slot.
struct Behaviour {
  int partition;
  uint64_t slot;
  std::string what;
  int argument;
};

class Node {
 public:
  void run() {
    std::string line;
    while (std::getline(std::cin, line)) {
      std::istringstream words(line);
      std::string id, verb;
      words >> id >> verb;
      std::vector<std::string> arguments;
      for (std::string word; words >> word;) arguments.push_back(word);
      if (verb == "exit") break;
      static const std::set<std::string> blocking = {"submit", "wait", "await", "await_blocked", "await_elections",
                                                     "await_first_end", "pre_shutdown", "shutdown",
                                                     "microbench", "tls_submit", "stop_load"};
      if (blocking.count(verb) != 0) {
        std::thread([=] { answer(id, act(verb, arguments)); }).detach();
      } else {
        answer(id, act(verb, arguments));
      }
    }
  }

 private:
  typedef std::vector<std::string> Words;

  static void answer(const std::string &id, const std::string &text) {
    const std::string line = id + " " + text + "\n";
    static std::mutex mutex;
    std::lock_guard<std::mutex> lock(mutex);
    if (write(1, line.data(), line.size()) < 0) _exit(3);
  }

  std::string act(const std::string &verb, const Words &words) {
    try {
      return act_or_throw(verb, words);
    } catch (const std::exception &error) {
      return std::string("error ") + verb + ": " + error.what();
    }
  }

  static int number(const Words &words, size_t at) { return std::stoi(words.at(at)); }

  std::string act_or_throw(const std::string &verb, const Words &words) {
    if (verb == "setup") return set_up(words);
    if (verb == "elections_on") {
      register_leader_election_callback([this](int code) { on_election(code); });
      return "ok";
    }
    if (verb == "register") return register_callbacks(words.at(0), words.at(1), number(words, 2));
    if (verb == "setup2") return std::to_string(setup2(number(words, 0), number(words, 1)));
    if (verb == "submit") return submit_logs(words);
    if (verb == "submit_raw") return submit_raw(words);
    if (verb == "load") return start_load(words);
    if (verb == "stop_load") return stop_load();
    if (verb == "tls_submit") return submit_in_thread_local_destructor(number(words, 0));
    if (verb == "bad_submits") return submit_nonsense();
    if (verb == "noops_mark") return (send_no_ops_for_mark(number(words, 0)), "ok");
    if (verb == "noops_all") return (send_no_ops_to_all_workers(number(words, 0)), "ok");
    if (verb == "wait") return (wait_for_submit(static_cast<uint32_t>(number(words, 0))), "ok");
    if (verb == "outstanding") {
      return std::to_string(get_outstanding_logs(static_cast<uint32_t>(number(words, 0))));
    }
    if (verb == "calls") return std::to_string(recorder_.calls(number(words, 0)));
    if (verb == "own_calls") return std::to_string(recorder_.own_calls());
    if (verb == "await") {
      return recorder_.await_calls(number(words, 0), std::stoull(words.at(1)), std::stoull(words.at(2)))
                 ? "ok"
                 : "late " + std::to_string(recorder_.calls(number(words, 0)));
    }
    if (verb == "await_blocked") return await_blocked(std::stoull(words.at(0))) ? "ok" : "late";
    if (verb == "await_elections") {
      return recorder_.await_elections(std::stoull(words.at(0)), std::stoull(words.at(1))) ? "ok" : "late";
    }
    if (verb == "elections") return "[" + recorder_.elections() + "]";
    if (verb == "behave") {
      std::lock_guard<std::mutex> lock(behaviours_mutex_);
      behaviours_.push_back(
          Behaviour{number(words, 0), std::stoull(words.at(1)), words.at(2), number(words, 3)});
      return "ok";
    }
    if (verb == "inside_result") return inside_result();
    if (verb == "timestamp") return (timestamp_ = static_cast<uint32_t>(std::stoul(words.at(0))), "ok");
    if (verb == "epoch") return std::to_string(get_epoch());
    if (verb == "set_epoch") return (words.empty() ? set_epoch() : set_epoch(number(words, 0)), "ok");
    if (verb == "preferred") return (set_preferred_leader(number(words, 0)), "ok");
    if (verb == "upgrade") return (upgrade_p1_to_leader(), "ok");
    if (verb == "stats") return (worker_info_stats(static_cast<size_t>(number(words, 0))), "ok");
    if (verb == "microbench") return (microbench_paxos(), microbench_paxos_queue(), "ok");
    if (verb == "hosts") return hosts(words.at(0));
    if (verb == "nc") return client_server();
    if (verb == "pre_shutdown") return timed([] { pre_shutdown_step(); return 0; });
    if (verb == "shutdown") return timed([] { return shutdown_paxos(); });
    if (verb == "await_first_end") return model_->await_first_end(std::stoull(words.at(0))) ? "ok" : "late";
    if (verb == "model") return model_->summary();
    if (verb == "record") return recorder_.record_to(words.at(0)) ? "ok" : "error cannot write " + words.at(0);
    throw std::runtime_error("unknown verb");
  }

  // The result and how many milliseconds it took.
  template <class Function>
  static std::string timed(Function function) {
    const auto start = std::chrono::steady_clock::now();
    const int result = function();
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    return std::to_string(result) + " " + std::to_string(static_cast<int>(took.count()));
  }

  // --- life ---------------------------------------------------------------------------------------

  std::string set_up(const Words &words) {
    Words copies = words;
    std::vector<char *> argv;
    std::string program;
    argv.push_back(&program[0]);
    for (std::string &word : copies) argv.push_back(&word[0]);
    argv.push_back(nullptr);
    const std::vector<std::string> sites = setup(static_cast<int>(argv.size()) - 1, argv.data());
    if (sites.empty()) return "refused";
    run_ = std::random_device()() | (static_cast<uint64_t>(std::random_device()()) << 32) | 1;
    recorder_.running_as(run_);
    std::string text = "sites";
    for (const std::string &site : sites) text += " " + site;
    return text;
  }

  std::string register_callbacks(const std::string &form, const std::string &roles, int partitions) {
    if (!model_) model_.reset(new MakoModel(partitions));
    for (int partition = 0; partition < partitions; ++partition) {
      const uint32_t id = static_cast<uint32_t>(partition);
      const bool leader = roles != "follower", follower = roles != "leader";
      if (form == "simple") {
        if (leader) register_for_leader(simple('L', partition), id);
        if (follower) register_for_follower(simple('F', partition), id);
      } else if (form == "par_id") {
        if (leader) register_for_leader_par_id(par_id('L'), id);
        if (follower) register_for_follower_par_id(par_id('F'), id);
      } else if (form == "return" || form == "model") {
        const bool model = form == "model";
        if (leader) register_for_leader_par_id_return(returning('L', model), id);
        if (follower) register_for_follower_par_id_return(returning('F', model), id);
      } else {
        throw std::runtime_error("unknown form");
      }
    }
    return "ok";
  }

  std::function<void(const char *, int)> simple(char role, int partition) {
    return [=](const char *log, int length) {
      const Call call = recorder_.begin(role, partition, 0, log, length);
      recorder_.end(partition, call);
    };
  }

  std::function<void(const char *&, int, int)> par_id(char role) {
    return [=](const char *&log, int length, int partition) {
      const Call call = recorder_.begin(role, partition, 0, log, length);
      recorder_.end(partition, call);
    };
  }

  std::function<int(const char *&, int, int, int, unreplayed_queue &)> returning(char role, bool model) {
    return [=](const char *&log, int length, int partition, int slot, unreplayed_queue &queue) {
      const Call call = recorder_.begin(role, partition, static_cast<uint64_t>(slot), log, length);
      misbehave(partition, static_cast<uint64_t>(slot));
      int result = 0;
      if (model) {
        result = role == 'L' ? model_->on_leader_log(log, length, partition)
                             : model_->on_follower_log(log, length, partition, slot, queue);
      }
      recorder_.end(partition, call);
      return result;
    };
  }

  // --- what a callback does on demand ---------------------------------------------------------------

  void misbehave(int partition, uint64_t slot) {
    std::vector<Behaviour> due;
    {
      std::lock_guard<std::mutex> lock(behaviours_mutex_);
      for (const Behaviour &behaviour : behaviours_) {
        if (behaviour.partition == partition && behaviour.slot == slot) due.push_back(behaviour);
      }
    }
    for (const Behaviour &behaviour : due) carry_out(behaviour);
  }

  void carry_out(const Behaviour &behaviour) {
    if (behaviour.what == "block") {
      {
        std::lock_guard<std::mutex> lock(behaviours_mutex_);
        blocked_ = true;
      }
      behaves_.notify_all();
      std::this_thread::sleep_for(std::chrono::milliseconds(behaviour.argument));
    } else if (behaviour.what == "throw") {
      throw std::runtime_error("the test asked for this exception");
    } else if (behaviour.what == "throw_int") {
      throw behaviour.argument;
    } else if (behaviour.what == "submit") {
      for (int i = 0; i < behaviour.argument; ++i) submit_one(behaviour.partition, 3, 64);
    } else if (behaviour.what == "shutdown") {
      const int result = shutdown_paxos();
      pre_shutdown_step();
      wait_for_submit(static_cast<uint32_t>(behaviour.partition));
      std::lock_guard<std::mutex> lock(behaviours_mutex_);
      inside_result_ = std::to_string(result);
    }
  }

  // Waits until a callback blocks; false after `timeout_ms`.
  bool await_blocked(uint64_t timeout_ms) {
    std::unique_lock<std::mutex> lock(behaviours_mutex_);
    return behaves_.wait_for(lock, std::chrono::milliseconds(timeout_ms), [&] { return blocked_; });
  }

  std::string inside_result() {
    std::lock_guard<std::mutex> lock(behaviours_mutex_);
    return inside_result_;
  }

  void on_election(int code) {
    recorder_.elected(code);
    std::vector<Behaviour> due;
    {
      std::lock_guard<std::mutex> lock(behaviours_mutex_);
      for (const Behaviour &behaviour : behaviours_) {
        if (behaviour.partition == -1 && behaviour.slot == static_cast<uint64_t>(code)) due.push_back(behaviour);
      }
    }
    for (const Behaviour &behaviour : due) carry_out(behaviour);
  }

  // --- submission -----------------------------------------------------------------------------------

  void submit_one(int partition, int thread, size_t size) {
    const uint64_t sequence = ++sequences_[partition][thread];
    const uint32_t submitter = static_cast<uint32_t>(partition * kMaxThreads + thread);
    std::string log = test_log::make(run_, submitter, sequence, ++timestamp_, size);
    const uint32_t id = static_cast<uint32_t>(partition);
    const int length = static_cast<int>(log.size());
    switch (sequence % 4) {
      case 0: submit(log.data(), length, id); break;
      case 1: add_log(log.data(), length, id); break;
      case 2: add_log_without_queue(log.data(), length, id); break;
      default: add_log_to_nc(log.data(), length, id);
    }
    // The library must have copied: Mako uses its buffer again at once.
    memset(&log[0], 0x5a, log.size());
  }

  // The same, and what became of it is recorded.
  void submit_recorded(int partition, size_t size) {
    const uint64_t sequence = ++sequences_[partition][0];
    const uint32_t submitter = static_cast<uint32_t>(partition * kMaxThreads);
    std::string log = test_log::make(run_, submitter, sequence, ++timestamp_, size);
    const long long began = now_us();
    const bool accepted =
        raft_impl::add_log_to_nc(log.data(), static_cast<int>(log.size()), static_cast<uint32_t>(partition), 0);
    memset(&log[0], 0x5a, log.size());
    recorder_.submitted(run_, submitter, sequence, accepted, began);
  }

  // submit PARTITION COUNT SIZE [THREADS]
  std::string submit_logs(const Words &words) {
    const int partition = number(words, 0), count = number(words, 1);
    const size_t size = std::stoul(words.at(2));
    const int threads = words.size() > 3 ? number(words, 3) : 1;
    if (partition < 0 || partition >= kMaxPartitions || threads > kMaxThreads - 1) {
      throw std::runtime_error("partition or threads out of range");
    }
    std::vector<std::thread> workers;
    for (int thread = 0; thread < threads; ++thread) {
      workers.emplace_back([=] {
        for (int i = 0; i < count; ++i) submit_one(partition, thread, size);
      });
    }
    for (std::thread &worker : workers) worker.join();
    return "ok";
  }

  // submit_raw PARTITION TEXT, or nothing for the end signal; "marker" is the two-byte one.
  std::string submit_raw(const Words &words) {
    const std::string log = words.size() > 1 ? words[1] : "";
    add_log_to_nc(log.data(), static_cast<int>(log.size()), static_cast<uint32_t>(number(words, 0)), 1);
    return "ok";
  }

  // load PARTITIONS SIZE PACE_US [BIG_SIZE EVERY]: one thread per partition, a log every PACE_US, of which each
  // EVERY-th is a big one, until stop_load.
  std::string start_load(const Words &words) {
    const int partitions = number(words, 0), pace_us = number(words, 2);
    const size_t size = std::stoul(words.at(1));
    const size_t big_size = words.size() > 3 ? std::stoul(words.at(3)) : size;
    const int every = words.size() > 4 ? number(words, 4) : 1;
    loading_ = true;
    for (int partition = 0; partition < partitions; ++partition) {
      loaders_.emplace_back([=] {
        for (int i = 1; loading_; ++i) {
          submit_recorded(partition, i % every == 0 ? big_size : size);
          std::this_thread::sleep_for(std::chrono::microseconds(pace_us));
        }
      });
    }
    return "ok";
  }

  std::string stop_load() {
    loading_ = false;
    for (std::thread &loader : loaders_) loader.join();
    loaders_.clear();
    return "ok";
  }

  // Mako's workers submit their last batch from the destructor of a thread_local object.
  struct LastBatch {
    Node *node = nullptr;
    int partition = 0;
    ~LastBatch() {
      if (node != nullptr) node->submit_one(partition, 2, 100);
    }
  };

  std::string submit_in_thread_local_destructor(int partition) {
    std::thread([=] {
      static thread_local LastBatch last_batch;
      last_batch.node = this;
      last_batch.partition = partition;
      submit_one(partition, 2, 100);
    }).join();
    return "ok";
  }

  static std::string submit_nonsense() {
    add_log_to_nc(nullptr, 10, 0);
    add_log_to_nc("abc", -1, 0);
    submit("abc", INT32_MIN, 0);
    add_log("abc", 3, 4000000000u);
    register_for_leader(std::function<void(const char *, int)>(), 0);
    register_for_leader([](const char *, int) {}, 4000000000u);
    wait_for_submit(4000000000u);
    send_no_ops_for_mark(10);
    send_no_ops_for_mark(-1);
    return std::to_string(get_outstanding_logs(4000000000u));
  }

  static std::string hosts(const std::string &file) {
    std::string text = "hosts";
    for (const auto &host : getHosts(file)) text += " " + host.first + "=" + host.second;
    return text;
  }

  static std::string client_server() {
    nc_setup_server(2, "127.0.0.1");
    size_t requests = 0;
    for (auto *list : {nc_get_new_order_requests(0), nc_get_payment_requests(0), nc_get_delivery_requests(0),
                       nc_get_order_status_requests(0), nc_get_stock_level_requests(0), nc_get_read_requests(0),
                       nc_get_rmw_requests(0)}) {
      if (list == nullptr) return "null";
      requests += list->size();
    }
    return std::to_string(requests);
  }

  Recorder recorder_;
  std::unique_ptr<MakoModel> model_;
  uint64_t run_ = 1;
  std::atomic<uint32_t> timestamp_{0};
  std::atomic<uint64_t> sequences_[kMaxPartitions][kMaxThreads] = {};
  std::mutex behaviours_mutex_;
  std::condition_variable behaves_;
  bool blocked_ = false;  // under the mutex, as are the next two
  std::vector<Behaviour> behaviours_;
  std::string inside_result_ = "none";
  std::atomic<bool> loading_{false};
  std::vector<std::thread> loaders_;
};

}  // namespace

int main() {
  setvbuf(stderr, nullptr, _IOLBF, 0);
  // Leaked: callbacks may still run when the driver ends us.
  Node *node = new Node;
  node->run();
  _exit(0);
}
