#include "figures.h"

#include <stdio.h>

#include <algorithm>

namespace {

// How many, the middle, the slow tenth and the worst, in milliseconds.
std::string spread(std::vector<double> values) {
  if (values.empty()) return "none";
  std::sort(values.begin(), values.end());
  const auto at = [&](double part) { return values[static_cast<size_t>(part * static_cast<double>(values.size() - 1) + 0.5)]; };
  char text[128];
  snprintf(text, sizeof text, "%4zu times, median %.0f, p90 %.0f, worst %.0f ms", values.size(), at(0.5), at(0.9),
           values.back());
  return text;
}

}  // namespace

void Figures::note_losses(const std::string &fault, const std::vector<Lost> &logs_lost) {
  if (logs_lost.empty()) return;
  Losses &sum = losses[fault];
  ++sum.rounds;
  sum.logs += logs_lost.size();
  sum.most = std::max(sum.most, logs_lost.size());
  for (const Lost &one : logs_lost) {
    sum.before_fault_us = std::max(sum.before_fault_us, one.before_fault_us);
    sum.after_fault_us = std::max(sum.after_fault_us, one.after_fault_us);
  }
}

std::string Figures::summary(double minutes) const {
  char head[384];
  snprintf(head, sizeof head,
           "%d rounds (%d in memory, %d durable) in %d histories and %.1f minutes; %llu logs checked on every replica, "
           "%llu lives of replicas; those that reached their history's end had lost %llu accepted logs and refused %llu\n",
           rounds_in_memory + rounds_durable, rounds_in_memory, rounds_durable, histories, minutes,
           static_cast<unsigned long long>(logs), static_cast<unsigned long long>(lives),
           static_cast<unsigned long long>(lost), static_cast<unsigned long long>(refused));
  std::string text = head;
  text += "faults:\n";
  for (const auto &fault : faults) {
    char line[96];
    snprintf(line, sizeof line, "  %-34s %5d\n", fault.first.c_str(), fault.second);
    text += line;
  }
  text += "accepted logs that were lost, by fault; accepted how long before it began, and after it ended:\n";
  for (const auto &kind : losses) {
    char line[192];
    const Losses &sum = kind.second;
    snprintf(line, sizeof line, "  %-34s in %d rounds: %zu, at most %zu; at most %.0f ms before, %.0f ms after\n",
             kind.first.c_str(), sum.rounds, sum.logs, sum.most, static_cast<double>(sum.before_fault_us) / 1000,
             static_cast<double>(sum.after_fault_us) / 1000);
    text += line;
  }
  text += "from a fault that takes the leader away to the new leader's election callback:\n";
  std::vector<double> all;
  for (const auto &kind : failovers) {
    char line[96];
    snprintf(line, sizeof line, "  %-34s ", kind.first.c_str());
    text += line + spread(kind.second) + "\n";
    all.insert(all.end(), kind.second.begin(), kind.second.end());
  }
  text += "  all                                " + spread(all) + "\n";
  text += "from the end of a fault until all are voters and level: " + spread(settled_ms) + "\n";
  return text;
}
