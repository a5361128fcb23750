// What a campaign counts, and the summary that it prints.
#ifndef CAMPAIGN_FIGURES_H
#define CAMPAIGN_FIGURES_H

#include <stdint.h>

#include <map>
#include <string>
#include <vector>

struct Figures {
  int rounds_in_memory = 0, rounds_durable = 0, histories = 0;
  uint64_t logs = 0, lives = 0, lost = 0, refused = 0;
  std::map<std::string, int> faults;
  // Milliseconds, by what took the leader away.
  std::map<std::string, std::vector<double>> failovers;
  std::vector<double> settled_ms;

  std::string summary(double minutes) const;
};

#endif
