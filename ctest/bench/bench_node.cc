// A replica process for mako-raft-bench on the C++ surface: what Mako's own calls cost.
//
//   mako-raft-bench run --node BUILD_DIR/ctest/bench_node [OPTION]...
//
// It speaks the lines that src/bin/mako-raft-bench/node/mod.rs describes, so settings, checks and output
// are those of the Rust program; only the calls go through raft_main_helper.h. `standby`, `timeline` and
// `intervals` are not offered: fail-over and creep do not depend on the surface.

#include <linux/futex.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "mako_raft/raft_main_helper.h"

namespace {

using Queue = std::queue<std::tuple<int, int, int, int, const char *>>;

constexpr uint64_t kNobody = UINT64_MAX;
constexpr uint64_t kDoneWithinNs = 45000000000;  // As load.rs.
constexpr uint64_t kTimedSparselyFrom = 256;     // As load.rs: then every seventh log is timed.
constexpr size_t kHeaderBytes = 16;
constexpr size_t kBytesWithTail = 24;
constexpr size_t kWordEveryBytes = 4 << 10;
// What a log's length may be beside a fixed one: both are too short for any of ours.
constexpr uint64_t kUnknown = 0;
constexpr uint64_t kMix = 1;

uint64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return uint64_t(now.tv_sec) * 1000000000 + uint64_t(now.tv_nsec);
}

void sleep_until(uint64_t at) {
  uint64_t now = now_ns();
  if (at > now) std::this_thread::sleep_for(std::chrono::nanoseconds(at - now));
}

void say(const std::string &line) {
  static std::mutex one_at_a_time;
  std::lock_guard<std::mutex> hold(one_at_a_time);
  printf("%s\n", line.c_str());
  fflush(stdout);
}

// The values of a line of key=value words.
class Words {
 public:
  explicit Words(const std::string &line) {
    std::istringstream words(line);
    words >> kind;
    for (std::string word; words >> word;) {
      size_t equals = word.find('=');
      if (equals != std::string::npos) values_[word.substr(0, equals)] = word.substr(equals + 1);
    }
  }
  bool has(const std::string &key) const { return values_.count(key) > 0; }
  std::string text(const std::string &key) const {
    auto found = values_.find(key);
    return found == values_.end() ? std::string() : found->second;
  }
  uint64_t number(const std::string &key) const { return strtoull(text(key).c_str(), nullptr, 10); }

  std::string kind;

 private:
  std::map<std::string, std::string> values_;
};

uint64_t read_sizes(const std::string &text) { return text == "mix" ? kMix : strtoull(text.c_str(), nullptr, 10); }

// The length of a log; the mix is that of payload.rs.
size_t size_of(uint64_t sizes, uint64_t sequence) {
  if (sizes != kMix) return sizes;
  if (sequence % 4000 == 2000) return 25000000;
  if (sequence % 10 == 9) return 286208;
  return sequence % 10 == 3 || sequence % 10 == 6 ? 16 << 10 : 1 << 10;
}

// Whether the words in the filling are the log's own, as payload.rs writes them.
bool filling_is_own(const char *log, size_t length, uint64_t sequence) {
  for (size_t at = kWordEveryBytes; at + 16 <= length; at += kWordEveryBytes) {
    uint64_t word;
    memcpy(&word, log + at, 8);
    if (word != (sequence ^ at)) return false;
  }
  return true;
}

// Counts of nanoseconds in buckets of at most 1.6 % of the value. As histogram.rs; read when all is done.
class Histogram {
 public:
  void record(uint64_t ns) {
    ns = std::min(ns, (uint64_t(1) << kTopBits) - 1);
    unsigned octave = 0;
    while (ns >> octave >= 2 * kPerOctave) ++octave;
    ++buckets_[octave * kPerOctave + (ns >> octave)];
    longest_ = std::max(longest_, ns);
  }
  void merge(const Histogram &other) {
    for (size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
    longest_ = std::max(longest_, other.longest_);
  }
  uint64_t count() const { return std::accumulate(buckets_.begin(), buckets_.end(), uint64_t(0)); }
  uint64_t longest() const { return longest_; }
  uint64_t percentile(uint64_t per_mille) const {
    uint64_t wanted = std::max<uint64_t>((count() * per_mille + 999) / 1000, 1), seen = 0;
    for (size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (seen >= wanted) return std::min(upper_edge(i), longest_);
    }
    return 0;
  }

 private:
  static constexpr uint64_t kPerOctave = 64;
  static constexpr unsigned kTopBits = 40;
  static uint64_t upper_edge(uint64_t bucket) {
    if (bucket < 2 * kPerOctave) return bucket;
    uint64_t octave = bucket / kPerOctave - 1;
    return ((bucket - octave * kPerOctave + 1) << octave) - 1;
  }
  std::vector<uint64_t> buckets_ = std::vector<uint64_t>((kTopBits - 5) * kPerOctave);
  uint64_t longest_ = 0;
};

// One partition: checks what is delivered, counts it, wakes its submitter. As node/stream.rs.
class Stream {
 public:
  explicit Stream(uint32_t id) : partition(id) {}

  // Called on the partition's own thread.
  void take(const char *log, int len, int slot, bool own) {
    uint64_t expected = delivered_.load(std::memory_order_relaxed) + 1;
    uint64_t sequence = 0, stamp = 0, tail = 0;
    size_t length = len < 0 ? 0 : size_t(len);
    if (length >= kHeaderBytes) {
      memcpy(&sequence, log, 8);
      memcpy(&stamp, log + 8, 8);
    }
    if (length >= kBytesWithTail) memcpy(&tail, log + length - 8, 8);
    bool right = sequence == expected && uint32_t(slot) == uint32_t(expected) &&
                 (length < kBytesWithTail || tail == sequence);
    bool whole = (sizes == kUnknown || length == size_of(sizes, sequence)) && filling_is_own(log, length, sequence);
    if (!(right && whole) && !failed.exchange(true)) {
      say("failed partition " + std::to_string(partition) + ": expected log " + std::to_string(expected) +
          ", got log " + std::to_string(sequence) + " in slot " + std::to_string(slot) + " with " +
          std::to_string(length) + " bytes, " + (whole ? "its own" : "not all its own"));
    }
    if (own && stamp > 0 && stamp >= time_from) latencies.record(now_ns() - stamp);
    bytes.store(bytes.load(std::memory_order_relaxed) + length, std::memory_order_relaxed);
    delivered_.store(expected, std::memory_order_release);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    uint64_t wake_at = wake_at_.load(std::memory_order_relaxed);
    // Unless the submitter saw by itself that it is delivered, and waits for another one by now.
    if (expected >= wake_at && wake_at_.compare_exchange_strong(wake_at, kNobody)) {
      woken_.store(1, std::memory_order_release);
      syscall(SYS_futex, &woken_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    }
  }

  uint64_t delivered() const { return delivered_.load(std::memory_order_acquire); }

  // The submitter waits until so many are delivered, or until the deadline.
  bool wait_delivered(uint64_t count, uint64_t deadline) {
    for (;;) {
      wake_at_.store(count, std::memory_order_relaxed);
      std::atomic_thread_fence(std::memory_order_seq_cst);
      if (delivered() >= count || failed || now_ns() >= deadline) {
        wake_at_.store(kNobody, std::memory_order_relaxed);
        return delivered() >= count;
      }
      const timespec look_again = {0, 200000000};
      if (woken_.exchange(0, std::memory_order_acquire) == 0) {
        syscall(SYS_futex, &woken_, FUTEX_WAIT_PRIVATE, 0, &look_again, nullptr, 0);
      }
    }
  }

  const uint32_t partition;
  std::atomic<bool> failed{false};
  std::atomic<bool> counted{true};
  // How long its logs are, once an order has said so.
  std::atomic<uint64_t> sizes{kUnknown};
  std::atomic<uint64_t> bytes{0};
  std::atomic<uint64_t> time_from{UINT64_MAX};
  // Written by the lane, read when all logs are delivered.
  Histogram latencies;

 private:
  std::atomic<uint64_t> delivered_{0};
  std::atomic<uint64_t> wake_at_{kNobody};
  // As a parked thread of Rust's, so that the two surfaces differ in what they call only.
  std::atomic<uint32_t> woken_{0};
};

using Streams = std::vector<std::unique_ptr<Stream>>;

// One submitting thread's work.
struct Submitter {
  Stream &stream;
  uint64_t sizes;
  uint64_t end;
  uint64_t last = 0;
  std::vector<char> buffer = {};

  void submit_one(uint64_t stamp) {
    uint64_t sequence = ++last;
    size_t length = size_of(sizes, sequence);
    if (buffer.size() < length) buffer.resize(length, 0x5a);
    memcpy(buffer.data(), &sequence, 8);
    memcpy(buffer.data() + 8, &stamp, 8);
    if (length >= kBytesWithTail) memcpy(buffer.data() + length - 8, &sequence, 8);
    for (size_t at = kWordEveryBytes; at + 16 <= length; at += kWordEveryBytes) {
      uint64_t word = sequence ^ at;
      memcpy(buffer.data() + at, &word, 8);
    }
    add_log_to_nc(buffer.data(), int(length), stream.partition, 0);
  }

  void closed(uint64_t outstanding) {
    uint64_t timed_every = outstanding >= kTimedSparselyFrom ? 7 : 1;
    while (outstanding > 0 && now_ns() < end && !stream.failed) {
      while (last - stream.delivered() < outstanding) {
        uint64_t now = last % timed_every == 0 ? now_ns() : 0;
        // As fast as they are delivered this loop alone never ends.
        if (now >= end || stream.failed) return;
        submit_one(now);
      }
      if (!stream.wait_delivered(last - outstanding / 2, now_ns() + kDoneWithinNs)) return;
    }
  }

  void open(double every_ns) {
    uint64_t start = now_ns();
    for (uint64_t number = 0; !stream.failed; ++number) {
      uint64_t due = start + uint64_t(double(number) * every_ns);
      if (due >= end) return;
      sleep_until(due);
      submit_one(due);
    }
  }

  // One at a time, and no sooner than so long behind the last.
  void spaced(uint64_t every_ns) {
    for (uint64_t due = now_ns(); due < end && !stream.failed; due = std::max(now_ns(), due + every_ns)) {
      sleep_until(due);
      submit_one(0);
      if (!stream.wait_delivered(last, now_ns() + kDoneWithinNs)) return;
    }
  }
};

std::string percentiles(const Streams &streams) {
  Histogram all;
  for (const auto &stream : streams)
    if (stream->counted) all.merge(stream->latencies);
  std::ostringstream out;
  out << " count=" << all.count() << " p50=" << all.percentile(500) << " p90=" << all.percentile(900)
      << " p99=" << all.percentile(990) << " p999=" << all.percentile(999) << " max=" << all.longest();
  return out.str();
}

void load(const Words &words, const Streams &streams) {
  size_t counted = streams.size() - (words.has("big") ? 1 : 0);
  std::vector<std::thread> threads;
  std::vector<std::unique_ptr<Submitter>> submitters;
  for (size_t i = 0; i < streams.size(); ++i) {
    bool big = i == counted;
    Stream &stream = *streams[i];
    uint64_t end = words.number("end");
    submitters.emplace_back(new Submitter{stream, read_sizes(words.text(big ? "big" : "size")), end, stream.delivered()});
    Submitter *submitter = submitters.back().get();
    bool apart = words.has("apart") && i == words.number("apart");
    if (big || apart) stream.counted = false;
    else stream.time_from = words.number("begin");
    double every = words.has("rate") ? 1e9 * double(counted) / strtod(words.text("rate").c_str(), nullptr) : 0;
    uint64_t outstanding = big ? 1 : words.number("outstanding");
    uint64_t spacing_ns = big ? words.number("big_every_ms") * 1000000 : 0;
    threads.emplace_back([submitter, big, every, outstanding, spacing_ns] {
      if (spacing_ns > 0) submitter->spaced(spacing_ns);
      else if (every > 0 && !big) submitter->open(every);
      else submitter->closed(outstanding);
      submitter->stream.wait_delivered(submitter->last, now_ns() + kDoneWithinNs);
    });
  }
  uint64_t submitted = 0, missing = 0;
  for (size_t i = 0; i < threads.size(); ++i) {
    threads[i].join();
    submitted += submitters[i]->last;
    missing += submitters[i]->last - streams[i]->delivered();
  }
  // The functions of this surface return nothing: a refused log shows as one that never comes.
  if (missing > 0) say("failed " + std::to_string(missing) + " logs were not delivered");
  else say("loaded submitted=" + std::to_string(submitted) + percentiles(streams));
}

// What the streams have delivered: those in the figures, logs of the others, bytes of all.
struct Done {
  explicit Done(const Streams &streams) {
    for (const auto &stream : streams) {
      uint64_t of_stream = stream->bytes.load();
      all_bytes += of_stream;
      (stream->counted ? logs : apart) += stream->delivered();
      if (stream->counted) bytes += of_stream;
    }
  }
  uint64_t logs = 0, bytes = 0, apart = 0, all_bytes = 0;
};

// The most memory of this process that was ever resident. Not getrusage's: that begins with what the starting process had.
uint64_t peak_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.compare(0, 6, "VmHWM:") == 0) return strtoull(line.c_str() + 6, nullptr, 10);
  }
  // A peak of 0 would meet every bound.
  fprintf(stderr, "bench_node: /proc/self/status has no VmHWM\n");
  abort();
}

void window(const Words &words, const Streams &streams) {
  auto cpu_ns = [](const rusage &used) {
    return uint64_t(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000000 +
           uint64_t(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1000;
  };
  rusage before = {}, after = {};
  sleep_until(words.number("begin"));
  getrusage(RUSAGE_SELF, &before);
  Done first(streams);
  uint64_t start = now_ns();
  sleep_until(words.number("end"));
  Done last(streams);
  uint64_t took = now_ns() - start;
  getrusage(RUSAGE_SELF, &after);
  std::ostringstream out;
  out << "window took_ns=" << took << " cpu_ns=" << cpu_ns(after) - cpu_ns(before) << " peak_kib=" << peak_kib()
      << " voluntary=" << after.ru_nvcsw - before.ru_nvcsw << " involuntary=" << after.ru_nivcsw - before.ru_nivcsw
      << " done=" << last.logs - first.logs << " bytes=" << last.bytes - first.bytes
      << " apart=" << last.apart - first.apart << " all_before=" << first.all_bytes
      << " all_bytes=" << last.all_bytes - first.all_bytes;
  say(out.str());
}

// Every order may say how long the logs are, so that a replica that submits none can check it.
void expect_sizes(const Words &words, const Streams &streams) {
  if (!words.has("size")) return;
  for (size_t i = 0; i < streams.size(); ++i) {
    bool big = words.has("big") && i + 1 == streams.size();
    streams[i]->sizes = read_sizes(words.text(big ? "big" : "size"));
  }
}

std::string state(const Streams &streams, bool leading) {
  uint64_t delivered = 0;
  bool failed = false;
  for (const auto &stream : streams) {
    delivered += stream->delivered();
    failed = failed || stream->failed;
  }
  std::ostringstream out;
  out << "state leading=" << leading << " delivered=" << delivered << " failed=" << failed
      << " peak_kib=" << peak_kib();
  return out.str();
}

std::atomic<bool> leading{false};

int start(int argc, char **argv, Streams *streams) {
  std::map<std::string, std::string> options;
  for (int i = 2; i + 1 < argc; i += 2) options[argv[i]] = argv[i + 1];
  std::vector<std::string> words = {"", "-f", options["--file"], "-P", options["--process"]};
  if (options.count("--data") > 0) words.insert(words.end(), {"-r", options["--data"]});
  std::vector<char *> arguments;
  for (auto &word : words) arguments.push_back(&word[0]);
  register_leader_election_callback([](int control) { leading = control == 1; });
  if (setup(int(arguments.size()), arguments.data()).empty()) return 1;
  unsigned slow_us = unsigned(strtoul(options["--slow-us"].c_str(), nullptr, 10));
  uint32_t partitions = uint32_t(strtoul(options["--partitions"].c_str(), nullptr, 10));
  for (uint32_t partition = 0; partition < partitions; ++partition) {
    streams->emplace_back(new Stream(partition));
    Stream *stream = streams->back().get();
    unsigned slow = partition == 0 ? slow_us : 0;
    auto callback = [stream, slow](bool own) {
      return [stream, slow, own](const char *&log, int len, int, int slot, Queue &) {
        stream->take(log, len, slot, own);
        if (slow > 0) usleep(slow);
        return 0;
      };
    };
    register_for_leader_par_id_return(callback(true), partition);
    register_for_follower_par_id_return(callback(false), partition);
  }
  return setup2(0, 0);
}

}  // namespace

int main(int argc, char **argv) {
  if (argc < 2 || strcmp(argv[1], "node") != 0) {
    fprintf(stderr, "%s is started by: mako-raft-bench run --node %s\n", argv[0], argv[0]);
    return 2;
  }
  // Never freed: a callback may run until the process ends.
  Streams &streams = *new Streams;
  if (start(argc, argv, &streams) != 0) return 1;
  say("ready version=1");
  for (std::string line; std::getline(std::cin, line);) {
    Words words(line);
    expect_sizes(words, streams);
    if (words.kind == "state") {
      say(state(streams, leading));
    } else if (words.kind == "window") {
      std::thread([words, &streams] { window(words, streams); }).detach();
    } else if (words.kind == "load") {
      std::thread([words, &streams] { load(words, streams); }).detach();
    } else if (words.kind == "quit") {
      pre_shutdown_step();
      shutdown_paxos();
      say("bye");
      return 0;
    } else {
      say("failed no such order: " + words.kind);
    }
  }
  // The controlling process is gone: so are we, without ceremony.
  _exit(1);
}
