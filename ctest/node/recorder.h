// Writes down every callback of one process as it happens, for the driver to check and compare.
//
// One line per event, written with one system call each, so that nothing is missing after kill -9:
//   R <run>                       the run that submits from here on
//   E <code> <microseconds>       the election callback, and when it began, on the steady clock
//   C <partition> <role> <slot> <length> <hash> <nul> <overlap> <intact> <thread> <run> <submitter> <sequence>
//                                 a log callback, at its end; role L or F
//   S <run> <submitter> <sequence> <accepted> <microseconds>
//                                 a log was submitted, and when the call began
#ifndef RECORDER_H
#define RECORDER_H

#include <stdint.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <vector>

struct Call {
  char role;
  uint64_t slot;  // 0 where the form of the callback does not tell it
  int length;
  uint64_t hash;
  bool nul_behind;
  bool overlapped;  // another call of this partition was running
  bool intact;      // the bytes are those that were submitted; true where the log does not say
  uint64_t thread;
  uint64_t run;  // who submitted it; 0 where the log does not say
  uint32_t submitter;
  uint64_t sequence;
};

// On the steady clock, which is the machine's: a driver may subtract its own from it.
long long now_us();

class Recorder {
 public:
  // Counts start again, and lines go to `file` from here on.
  bool record_to(const std::string &file);
  void running_as(uint64_t run);

  Call begin(char role, int partition, uint64_t slot, const char *log, int length);
  void end(int partition, const Call &call);
  void elected(int code);
  void submitted(uint64_t run, uint32_t submitter, uint64_t sequence, bool accepted, long long microseconds);

  // Wait until there have been so many; false after `timeout_ms`.
  bool await_calls(int partition, uint64_t calls, uint64_t timeout_ms);
  bool await_elections(uint64_t calls, uint64_t timeout_ms);

  uint64_t calls(int partition);
  // Logs of this process's own, in all partitions: those that went to a leader callback.
  uint64_t own_calls();
  std::string elections();

 private:
  void write_line(const std::string &line);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<int, uint64_t> calls_;
  uint64_t own_calls_ = 0;
  std::map<int, int> running_;
  std::vector<int> elections_;
  int file_ = -1;
};

#endif
