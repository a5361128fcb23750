// What a replica's status endpoint says.
#ifndef CAMPAIGN_STATUS_H
#define CAMPAIGN_STATUS_H

#include <stdint.h>

#include <string>
#include <vector>

struct ReplicaStatus {
  bool answered = false;
  std::string stopped;  // why the replica stopped itself, where it did
  // What all groups say; else what they say, in their order with commas, what equals the one before left out.
  std::string role, leader, waits_for;
  std::vector<std::string> formations;  // of each group
  bool leads_any = false;
  // Summed over the groups.
  uint64_t term = 0, commit = 0, last = 0;
  // Those who are it in every group, and in any.
  std::vector<std::string> voters, learners;
  // Summed over the partitions.
  uint64_t submitted = 0, refused = 0, lost = 0, outstanding = 0;
};

ReplicaStatus parse_status(const std::string &text);

// Connects and reads to the end; not `answered` where that does not work in time.
ReplicaStatus read_status(const std::string &address, int port, int timeout_ms = 2000);

#endif
