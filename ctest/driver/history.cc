#include "history.h"

#include <inttypes.h>
#include <stdio.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "replica.h"

size_t History::total() const {
  size_t sum = 0;
  for (const auto &partition : calls) sum += partition.second.size();
  return sum;
}

namespace {

struct Checker {
  const History &history;
  std::map<uint64_t, int> partition_of_thread;

  [[noreturn]] void fail(const RecordedCall &call, const std::string &what) const {
    throw Failure(history.replica + ", partition " + std::to_string(call.partition) + ", slot " +
                  std::to_string(call.slot) + ": " + what);
  }

  void check_partition(const std::vector<RecordedCall> &calls) {
    std::map<std::pair<uint64_t, uint64_t>, uint64_t> last_sequence;
    uint64_t expected_slot = 1;
    for (const RecordedCall &call : calls) {
      // Callbacks without a slot in their signature record 0.
      if (call.slot != 0 && call.slot != expected_slot) {
        fail(call, "expected slot " + std::to_string(expected_slot));
      }
      ++expected_slot;
      if (!call.nul_behind) fail(call, "no NUL behind the log, or a null pointer");
      if (!call.intact) fail(call, "the log's bytes are not those that were submitted");
      if (call.overlapped) fail(call, "called while another call of the partition was running");
      check_thread(call, calls.front());
      if (call.run == 0) continue;
      uint64_t &last = last_sequence[{call.run, call.submitter}];
      if (call.sequence <= last) {
        fail(call, "log " + std::to_string(call.sequence) + " of a submitter came after its log " +
                       std::to_string(last));
      }
      last = call.sequence;
      const char right = history.own_runs.count(call.run) != 0 ? 'L' : 'F';
      if (call.role != right) fail(call, std::string("went to callback ") + call.role + ", expected " + right);
    }
  }

  void check_thread(const RecordedCall &call, const RecordedCall &first) {
    if (call.thread != first.thread) fail(call, "came from a second thread");
    const auto owner = partition_of_thread.insert({call.thread, call.partition}).first;
    if (owner->second != call.partition) {
      fail(call, "shares its thread with partition " + std::to_string(owner->second));
    }
  }
};

// A campaign reads millions of these: an input stream would take most of its time.
bool parse_call(const char *words, RecordedCall *call) {
  int nul_behind = 0, overlapped = 0, intact = 0;
  const int fields = sscanf(words, " %d %c %" SCNu64 " %d %" SCNx64 " %d %d %d %" SCNu64 " %" SCNx64 " %" SCNu64 " %" SCNu64,
                            &call->partition, &call->role, &call->slot, &call->length, &call->hash, &nul_behind,
                            &overlapped, &intact, &call->thread, &call->run, &call->submitter, &call->sequence);
  call->nul_behind = nul_behind != 0;
  call->overlapped = overlapped != 0;
  call->intact = intact != 0;
  return fields == 12;
}

bool parse_submission(const char *words, Submission *submission) {
  int accepted = 0;
  const int fields = sscanf(words, "%" SCNx64 " %" SCNu64 " %" SCNu64 " %d %lld", &submission->run, &submission->submitter,
                            &submission->sequence, &accepted, &submission->us);
  submission->accepted = accepted != 0;
  return fields == 5;
}

}  // namespace

History read_history(const std::string &replica, const std::string &file) {
  History history;
  history.replica = replica;
  std::ifstream input(file);
  require(input.good(), "no record of " + replica + " in " + file);
  bool leads = false;
  // Since it was told that it leads, by partition: a log of another process that it was given.
  std::map<int, uint64_t> replayed;
  for (std::string line; std::getline(input, line);) {
    if (line[0] == 'R') {
      std::istringstream words(line.substr(1));
      uint64_t run;
      words >> std::hex >> run;
      history.own_runs.insert(run);
    } else if (line[0] == 'E') {
      int code = 0;
      long long microseconds = 0;
      require(sscanf(line.c_str() + 1, "%d %lld", &code, &microseconds) >= 1,
              "a broken record of " + replica + ": " + line);
      history.elections.push_back(code);
      history.election_us.push_back(microseconds);
      leads = code == 1;
      replayed.clear();
    } else if (line[0] == 'S') {
      Submission submission{};
      require(parse_submission(line.c_str() + 1, &submission), "a broken record of " + replica + ": " + line);
      history.submissions.push_back(submission);
    } else {
      RecordedCall call{};
      require(parse_call(line.c_str() + 1, &call), "a broken record of " + replica + ": " + line);
      const bool own = history.own_runs.count(call.run) != 0;
      if (leads && !own && call.run != 0) replayed[call.partition] = call.slot;
      const auto earlier = replayed.find(call.partition);
      if (leads && own && earlier != replayed.end()) {
        throw Failure(replica + " was told that it leads before it had delivered slot " +
                      std::to_string(earlier->second) + " of partition " + std::to_string(call.partition) +
                      ", a log of another process");
      }
      history.calls[call.partition].push_back(call);
    }
  }
  return history;
}

void check_history(const History &history) {
  Checker checker{history, {}};
  for (const auto &partition : history.calls) checker.check_partition(partition.second);
}

void check_agreement(const History &one, const History &other) {
  for (const auto &partition : one.calls) {
    const auto found = other.calls.find(partition.first);
    if (found == other.calls.end()) continue;
    const size_t common = std::min(partition.second.size(), found->second.size());
    for (size_t i = 0; i < common; ++i) {
      const RecordedCall &left = partition.second[i], &right = found->second[i];
      require(left.length == right.length && left.hash == right.hash,
              one.replica + " and " + other.replica + " differ in partition " + std::to_string(partition.first) +
                  " at slot " + std::to_string(i + 1));
    }
  }
}

void check_survival(const History &earlier, const History &now) {
  check_agreement(earlier, now);
  for (const auto &partition : earlier.calls) {
    const auto found = now.calls.find(partition.first);
    const size_t kept = found == now.calls.end() ? 0 : found->second.size();
    require(kept >= partition.second.size(),
            now.replica + " has " + std::to_string(kept) + " logs of partition " + std::to_string(partition.first) +
                ", an earlier life of " + earlier.replica + " had been told of " +
                std::to_string(partition.second.size()));
  }
}

void check_no_hole(const History &life, const History &now) {
  if (life.elections != std::vector<int>{1}) return;
  std::map<std::pair<uint64_t, uint64_t>, uint64_t> last_sequence;
  for (const auto &partition : now.calls) {
    for (const RecordedCall &call : partition.second) {
      if (life.own_runs.count(call.run) == 0) continue;
      uint64_t &last = last_sequence[{call.run, call.submitter}];
      require(last == 0 || call.sequence == last + 1,
              life.replica + " led without a break, but between its logs " + std::to_string(last) + " and " +
                  std::to_string(call.sequence) + " in partition " + std::to_string(partition.first) +
                  " there are others missing");
      last = call.sequence;
    }
  }
}

std::vector<Submission> lost_logs(const History &life, const History &now) {
  // Ascending: check_history has seen that each submitter's order is kept.
  std::map<std::pair<uint64_t, uint64_t>, std::vector<uint64_t>> arrived;
  for (const auto &partition : now.calls) {
    for (const RecordedCall &call : partition.second) {
      if (life.own_runs.count(call.run) != 0) arrived[{call.run, call.submitter}].push_back(call.sequence);
    }
  }
  std::vector<Submission> lost;
  for (const Submission &submission : life.submissions) {
    const std::vector<uint64_t> &there = arrived[{submission.run, submission.submitter}];
    const bool found = std::binary_search(there.begin(), there.end(), submission.sequence);
    if (submission.accepted && !found) lost.push_back(submission);
  }
  return lost;
}

void check_complete(const std::vector<History> &histories) {
  for (const History &history : histories) {
    check_history(history);
    check_agreement(histories.front(), history);
    for (const auto &partition : histories.front().calls) {
      const auto found = history.calls.find(partition.first);
      const size_t count = found == history.calls.end() ? 0 : found->second.size();
      require(count == partition.second.size(),
              history.replica + " has " + std::to_string(count) + " logs of partition " +
                  std::to_string(partition.first) + ", " + histories.front().replica + " has " +
                  std::to_string(partition.second.size()));
    }
    require(history.total() == histories.front().total(), history.replica + " has logs of other partitions too");
  }
}
