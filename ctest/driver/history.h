// Reads what replicas recorded and checks it against the contract.
#ifndef HISTORY_H
#define HISTORY_H

#include <stdint.h>

#include <map>
#include <set>
#include <string>
#include <vector>

struct RecordedCall {
  int partition;
  char role;
  uint64_t slot;
  int length;
  uint64_t hash;
  bool nul_behind, overlapped, intact;
  uint64_t thread, run, submitter, sequence;
};

// A log that was handed over while the submitters' record was kept.
struct Submission {
  uint64_t run, submitter, sequence;
  bool accepted;
  long long us;  // when the call began, on the steady clock
};

// One life of one replica.
struct History {
  std::string replica;
  std::map<int, std::vector<RecordedCall>> calls;  // by partition, in order
  std::set<uint64_t> own_runs;
  std::vector<int> elections;
  std::vector<Submission> submissions;
  std::vector<long long> election_us;  // when each came, on the steady clock; 0 where the record does not say
  size_t total() const;
};

// Throws Failure where a record is broken, or where logs of others come between "became leader" and own logs: they
// were those of an earlier leader. (Those of a later one may come before "lost it": that is told on another thread.)
History read_history(const std::string &replica, const std::string &file);

// What holds for each replica alone: slots 1, 2, 3, ...; the bytes that were submitted, a NUL behind them; one thread per partition
// and no two partitions on one; no overlapping calls; each submitter's order kept; the leader callback for
// own logs and the follower callback for others.
// Throws Failure.
void check_history(const History &history);

// The same logs in the same slots, as far as both reach. Throws Failure.
void check_agreement(const History &one, const History &other);

// Every log that `earlier`, a life that has ended, was told of is still in `now`, in the same slots. Throws Failure.
void check_survival(const History &earlier, const History &now);

// What `life` submitted while it led without a break is in `now` without a hole: a log may be missing behind
// the last that arrived, never before it. Says nothing about a life that lost its leadership. Throws Failure.
void check_no_hole(const History &life, const History &now);

// What `life` accepted and `now`, in which all is decided, does not have.
std::vector<Submission> lost_logs(const History &life, const History &now);

// check_history on each, check_agreement between each two, and equally many logs on all.
void check_complete(const std::vector<History> &histories);

#endif
