// A small model of what Mako's callbacks do: the leader's move a watermark, the follower's replay a log
// that the watermark has passed and leave the others (status 3) to be drained later.
#ifndef MAKO_MODEL_H
#define MAKO_MODEL_H

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "mako_declarations.h"

class MakoModel {
 public:
  explicit MakoModel(int partitions);

  // The two callbacks: timestamp * 10 + status.
  int on_leader_log(const char *log, int length, int partition);
  int on_follower_log(const char *log, int length, int partition, int slot, unreplayed_queue &queue);

  // Waits for the first end signal (an empty log) that a follower callback sees.
  bool await_first_end(uint64_t timeout_ms);

  // "replayed R queued Q drained D noops N markers M ends E errors X", summed over the partitions;
  // an error is a log replayed out of order, before its time, or with other bytes than were queued.
  std::string summary() const;

 private:
  struct Partition {
    std::atomic<uint32_t> latest{0};
    uint32_t last_replayed = 0;
  };
  uint32_t watermark() const;
  void drain(Partition &partition, unreplayed_queue &queue);
  void replay(Partition &partition, uint32_t timestamp);
  // The result for logs that are no transactions; -1 for transactions.
  int special(const char *log, int length, Partition &partition);

  std::vector<Partition> partitions_;
  std::atomic<uint64_t> replayed_{0}, queued_{0}, drained_{0}, no_ops_{0}, markers_{0}, ends_{0}, errors_{0};
  std::mutex mutex_;
  std::condition_variable ended_;
  bool end_seen_ = false;
};

#endif
