// The checker itself: a record with one thing wrong in it must be refused, and a right one accepted.

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "history.h"
#include "replica.h"

namespace {

constexpr uint64_t kRun = 7, kOtherRun = 9;

// Five logs of partition 0, submitted by `kRun` and delivered where `own_run` runs.
History right(const char *name, uint64_t own_run) {
  History history;
  history.replica = name;
  history.own_runs.insert(own_run);
  if (own_run == kRun) history.elections = {1};
  for (uint64_t slot = 1; slot <= 5; ++slot) {
    history.calls[0].push_back(RecordedCall{0, own_run == kRun ? 'L' : 'F', slot, 300, 1000 + slot, true, false, true,
                                            own_run, kRun, 0, slot});
  }
  return history;
}

int failed = 0;

template <class Check>
void expect(bool accepted, const char *what, Check check) {
  bool was_accepted = true;
  try {
    check();
  } catch (const Failure &) {
    was_accepted = false;
  }
  if (was_accepted == accepted) return;
  printf("FAILED: %s was %s\n", what, was_accepted ? "accepted" : "refused");
  ++failed;
}

// One log too few at `at`; what follows moves up when `renumbered`.
History without(History history, size_t at, bool renumbered) {
  std::vector<RecordedCall> &calls = history.calls[0];
  calls.erase(calls.begin() + static_cast<std::ptrdiff_t>(at));
  for (size_t i = at; renumbered && i < calls.size(); ++i) calls[i].slot = i + 1;
  return history;
}

// Reads a record of run 7 with these lines: "E 1", or a role and a slot.
void read_back(const std::vector<std::string> &lines) {
  char name[] = "/tmp/mako-raft-history-XXXXXX";
  const int file = mkstemp(name);
  std::string text = "R 7\n";
  for (const std::string &line : lines) {
    const std::string slot = line.substr(2);
    const char *run = line[0] == 'L' ? "7" : "9";
    text += line[0] == 'E' ? line + " 1000\n" : "C 0 " + line.substr(0, 1) + " " + slot + " 300 abc 1 0 1 1 " + run + " 0 " + slot + "\n";
  }
  require(write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()), "no room for a record");
  close(file);
  try {
    read_history("reader", name);
  } catch (const Failure &) {
    unlink(name);
    throw;
  }
  unlink(name);
}

}  // namespace

int main() {
  const History leader = right("leader", kRun), follower = right("follower", kOtherRun);
  expect(true, "a right pair", [&] { check_complete({leader, follower}); });
  expect(true, "a life that all of it survived", [&] { check_survival(leader, follower); });
  expect(true, "a life without a hole", [&] { check_no_hole(leader, follower); });

  expect(false, "a gap in the slots", [&] { check_history(without(follower, 2, false)); });
  History doubled = follower;
  doubled.calls[0].push_back(doubled.calls[0].back());
  doubled.calls[0].back().slot = 6;
  expect(false, "a doubled log", [&] { check_history(doubled); });
  History wrong_callback = follower;
  wrong_callback.calls[0][3].role = 'L';
  expect(false, "a log of others at the leader callback", [&] { check_history(wrong_callback); });
  History wrong_own = leader;
  wrong_own.calls[0][3].role = 'F';
  expect(false, "an own log at the follower callback", [&] { check_history(wrong_own); });
  History broken = follower;
  broken.calls[0][1].intact = false;
  expect(false, "a log with other bytes than were submitted", [&] { check_history(broken); });
  History other_bytes = follower;
  other_bytes.calls[0][1].hash ^= 1;
  expect(false, "other bytes in a slot", [&] { check_agreement(leader, other_bytes); });
  expect(false, "a replica with fewer logs", [&] { check_complete({leader, without(follower, 4, false)}); });

  expect(false, "a lost last log", [&] { check_survival(leader, without(follower, 4, false)); });
  expect(false, "a lost log in the middle", [&] { check_survival(leader, without(follower, 2, true)); });
  expect(false, "a lost partition", [&] { check_survival(leader, History()); });
  expect(false, "a hole in what one leadership submitted",
         [&] { check_no_hole(leader, without(follower, 2, true)); });
  History deposed = leader;
  deposed.elections = {1, 0};
  expect(true, "a hole after a lost leadership", [&] { check_no_hole(deposed, without(follower, 2, true)); });

  History submitter = leader;
  for (uint64_t sequence = 1; sequence <= 6; ++sequence) submitter.submissions.push_back({kRun, 0, sequence, true, 0});
  submitter.submissions.push_back({kRun, 0, 7, false, 0});
  const std::vector<Submission> lost = lost_logs(submitter, without(follower, 2, true));
  expect(true, "the two accepted logs of seven that are missing, and no refused one",
         [&] { require(lost.size() == 2 && lost[0].sequence == 3 && lost[1].sequence == 6, "others"); });

  expect(true, "earlier logs before leadership, later ones after it",
         [&] { read_back({"F 1", "E 1", "L 2", "E 0", "F 3"}); });
  expect(true, "a later leader's log before the loss was told", [&] { read_back({"F 1", "E 1", "L 2", "F 3", "E 0"}); });
  expect(false, "an earlier leader's log after leadership was told", [&] { read_back({"E 1", "F 1", "L 2"}); });
  return failed == 0 ? 0 : 1;
}
