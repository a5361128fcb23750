// Packets between two processes that are dropped, lost at random, or answered with a reset.
#ifndef CAMPAIGN_FIREWALL_H
#define CAMPAIGN_FIREWALL_H

#include <string>
#include <vector>

class Firewall {
 public:
  // Empty where nft does what is needed here, in this process's network namespace; otherwise why not.
  static std::string probe();

  // Packets of one connection towards an address, or from it.
  static std::string drop(const std::string &match);
  static std::string lose(const std::string &match, int per_mille);
  static std::string reset(const std::string &match);

  // These rules, and no others, from now on. Throws Failure.
  static void set(const std::vector<std::string> &rules);
  static void clear() { set({}); }
};

#endif
