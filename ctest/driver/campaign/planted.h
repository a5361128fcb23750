// Bugs planted in the library (src/replica/planted.rs), and the check that has to find each: a campaign that nothing
// fails is worth what it would have found.
#ifndef CAMPAIGN_PLANTED_H
#define CAMPAIGN_PLANTED_H

#include <string>
#include <vector>

struct Planted {
  const char *bug;    // as the library calls it
  const char *fault;  // faults whose name contains this are drawn
  bool preferred;     // the designated process gets leadership back
  int rounds;         // within which it must be found
  const char *check;  // what the report of the broken check says
};

const std::vector<Planted> &planted_bugs();

#endif
