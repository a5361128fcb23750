#include "mako_model.h"

#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <chrono>

#include "test_log.h"

namespace {
enum Status { kNormal = 0, kEnding = 2, kSafetyFail = 3, kNoOps = 5 };

int encoded(uint32_t timestamp, Status status) { return static_cast<int>(timestamp * 10u + status); }
}  // namespace

MakoModel::MakoModel(int partitions) : partitions_(static_cast<size_t>(partitions)) {}

uint32_t MakoModel::watermark() const {
  uint32_t lowest = UINT32_MAX;
  for (const Partition &partition : partitions_) lowest = std::min(lowest, partition.latest.load());
  return lowest;
}

int MakoModel::special(const char *log, int length, Partition &partition) {
  if (length == 0) {
    ++ends_;
    partition.latest = UINT32_MAX;
    return kEnding;
  }
  if (length == 2) {  // the advancer marker: a bare status
    ++markers_;
    return kNormal;
  }
  if (length == 8 && memcmp(log, "no-ops:", 7) == 0) {
    ++no_ops_;
    return kNoOps;
  }
  return -1;
}

int MakoModel::on_leader_log(const char *log, int length, int index) {
  Partition &partition = partitions_[static_cast<size_t>(index)];
  const int result = special(log, length, partition);
  if (result >= 0) return result;
  const uint32_t timestamp = test_log::timestamp_of(log, static_cast<size_t>(length));
  partition.latest = timestamp;
  return encoded(timestamp, kNormal);
}

int MakoModel::on_follower_log(const char *log, int length, int index, int, unreplayed_queue &queue) {
  Partition &partition = partitions_[static_cast<size_t>(index)];
  const int result = special(log, length, partition);
  if (result >= 0) {
    drain(partition, queue);
    if (length == 0) {
      std::lock_guard<std::mutex> lock(mutex_);
      end_seen_ = true;
      ended_.notify_all();
    }
    return result;
  }
  const uint32_t timestamp = test_log::timestamp_of(log, static_cast<size_t>(length));
  partition.latest = timestamp;
  drain(partition, queue);
  if (timestamp <= watermark() && queue.empty()) {
    replay(partition, timestamp);
    return encoded(timestamp, kNormal);
  }
  ++queued_;
  return encoded(timestamp, kSafetyFail);
}

void MakoModel::drain(Partition &partition, unreplayed_queue &queue) {
  while (!queue.empty() && static_cast<uint32_t>(std::get<0>(queue.front())) <= watermark()) {
    const auto &waiting = queue.front();
    const char *copy = std::get<4>(waiting);
    const int length = std::get<3>(waiting);
    const uint32_t timestamp = static_cast<uint32_t>(std::get<0>(waiting));
    if (std::get<2>(waiting) != kSafetyFail || length <= 0 ||
        test_log::timestamp_of(copy, static_cast<size_t>(length)) != timestamp) {
      ++errors_;
    }
    replay(partition, timestamp);
    ++drained_;
    free(const_cast<char *>(copy));
    queue.pop();
  }
}

void MakoModel::replay(Partition &partition, uint32_t timestamp) {
  if (timestamp <= partition.last_replayed) ++errors_;
  partition.last_replayed = timestamp;
  ++replayed_;
}

bool MakoModel::await_first_end(uint64_t timeout_ms) {
  std::unique_lock<std::mutex> lock(mutex_);
  return ended_.wait_for(lock, std::chrono::milliseconds(timeout_ms), [&] { return end_seen_; });
}

std::string MakoModel::summary() const {
  const auto text = [](const char *name, const std::atomic<uint64_t> &value) {
    return std::string(name) + " " + std::to_string(value.load());
  };
  return text("replayed", replayed_) + text(" queued", queued_) + text(" drained", drained_) +
         text(" noops", no_ops_) + text(" markers", markers_) + text(" ends", ends_) +
         text(" errors", errors_);
}
