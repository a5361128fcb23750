// What a campaign counts, and the summary that it prints.
#ifndef CAMPAIGN_FIGURES_H
#define CAMPAIGN_FIGURES_H

#include <stdint.h>

#include <map>
#include <string>
#include <vector>

#include "shard.h"

struct Figures {
  int rounds_in_memory = 0, rounds_durable = 0, histories = 0;
  uint64_t logs = 0, lives = 0, lost = 0, refused = 0;
  std::map<std::string, int> faults;
  // Milliseconds, by what took the leader away.
  std::map<std::string, std::vector<double>> failovers;
  std::vector<double> settled_ms;
  // By fault: in how many rounds accepted logs were lost, how many, and how far from the fault.
  struct Losses {
    int rounds = 0;
    size_t logs = 0, most = 0;
    long long before_fault_us = INT64_MIN, after_fault_us = INT64_MIN;  // the farthest
  };
  std::map<std::string, Losses> losses;
  void note_losses(const std::string &fault, const std::vector<Lost> &logs_lost);

  std::string summary(double minutes) const;
};

#endif
