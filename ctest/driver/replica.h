// One child process running ctest/node, spoken to line by line.
#ifndef REPLICA_H
#define REPLICA_H

#include <sys/types.h>

#include <map>
#include <stdexcept>
#include <string>
#include <vector>

// A scenario's expectation that did not hold. The text is for a person.
struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

void require(bool condition, const std::string &message);

class Replica {
 public:
  // `directory` receives <name>.log (the child's standard error) and its records.
  Replica(std::string name, std::string directory);
  ~Replica();
  Replica(const Replica &) = delete;
  Replica &operator=(const Replica &) = delete;

  // NAME=VALUE, added to what the driver's own environment gives every later start.
  void set_environment(std::vector<std::string> added) { environment_ = std::move(added); }

  // Starts the process; with no process running yet, or none any more.
  void start();

  // Sends a command and waits for its answer; a Failure when none comes in time.
  std::string ask(const std::string &command, int timeout_ms = 15000);
  // ask, and a Failure when the answer is another one.
  void expect(const std::string &command, const std::string &answer, int timeout_ms = 15000);
  // The two halves of ask, for commands that run for a while.
  int begin(const std::string &command);
  std::string finish(int id, int timeout_ms = 15000);

  void signal(int number);
  // kill -9, and the wait for its end.
  void kill();
  // Waits for the process to end by itself; its wait status.
  int await_exit(int timeout_ms);
  bool running() const { return pid_ > 0; }
  // How it ended, where it did so by itself; empty while it runs.
  std::string died();
  pid_t pid() const { return pid_; }

  const std::string &name() const { return name_; }
  std::string log_file() const { return directory_ + "/" + name_ + ".log"; }
  std::string log_text() const;
  // Polls the log file until it holds `text` so many times.
  void await_log(const std::string &text, int timeout_ms = 10000, int times = 1) const;
  // Where the `life`-th life of this replica is recorded.
  std::string record_file(int life) const;

 private:
  void read_answers(int timeout_ms);
  void reap();

  std::string name_, directory_;
  pid_t pid_ = -1;
  int to_child_ = -1, from_child_ = -1;
  int next_id_ = 1;
  std::string unread_;
  std::map<int, std::string> answers_;
  std::vector<std::string> environment_;
};

#endif
