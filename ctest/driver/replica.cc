#include "replica.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

namespace {

typedef std::chrono::steady_clock Clock;

int millis_left(Clock::time_point deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return left > 0 ? static_cast<int>(left) : 0;
}

Clock::time_point in_millis(int timeout_ms) { return Clock::now() + std::chrono::milliseconds(timeout_ms); }

void in_child(const std::string &log_file, int input, int output, char **environment) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // never outlive the driver
  const int log = open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  dup2(input, 0);
  dup2(output, 1);
  dup2(log, 2);
  char program[] = NODE_PROGRAM;
  char *arguments[] = {program, nullptr};
  execve(program, arguments, environment);
  _exit(127);
}

}  // namespace

void require(bool condition, const std::string &message) {
  if (!condition) throw Failure(message);
}

Replica::Replica(std::string name, std::string directory)
    : name_(std::move(name)), directory_(std::move(directory)) {}

Replica::~Replica() {
  if (running()) kill();
}

std::string Replica::record_file(int life) const {
  return directory_ + "/" + name_ + "." + std::to_string(life) + ".record";
}

void Replica::start() {
  require(!running(), name_ + " is already running");
  int input[2], output[2];
  require(pipe2(input, O_CLOEXEC) == 0 && pipe2(output, O_CLOEXEC) == 0, "no pipes");
  const std::string log = log_file();
  // Prepared before the fork: a driver may have threads, and their locks.
  std::vector<char *> variables;
  for (char **variable = environ; *variable != nullptr; ++variable) variables.push_back(*variable);
  for (std::string &variable : environment_) variables.push_back(&variable[0]);
  variables.push_back(nullptr);
  const pid_t pid = fork();
  require(pid >= 0, "no process");
  if (pid == 0) in_child(log, input[0], output[1], variables.data());
  close(input[0]);
  close(output[1]);
  pid_ = pid;
  to_child_ = input[1];
  from_child_ = output[0];
  unread_.clear();
  answers_.clear();
}

std::string Replica::ask(const std::string &command, int timeout_ms) {
  return finish(begin(command), timeout_ms);
}

void Replica::expect(const std::string &command, const std::string &answer, int timeout_ms) {
  const std::string got = ask(command, timeout_ms);
  require(got == answer, name_ + ": \"" + command + "\" answered \"" + got + "\", expected \"" + answer + "\"");
}

int Replica::begin(const std::string &command) {
  require(running(), name_ + " is not running, asked for \"" + command + "\"");
  const int id = next_id_++;
  const std::string line = std::to_string(id) + " " + command + "\n";
  const ssize_t written = write(to_child_, line.data(), line.size());
  require(written == static_cast<ssize_t>(line.size()), name_ + " has ended, asked for \"" + command + "\"");
  return id;
}

std::string Replica::finish(int id, int timeout_ms) {
  const auto deadline = in_millis(timeout_ms);
  while (answers_.count(id) == 0) {
    require(millis_left(deadline) > 0,
            name_ + " did not answer command " + std::to_string(id) + " within " + std::to_string(timeout_ms) + " ms");
    read_answers(millis_left(deadline));
  }
  const std::string answer = answers_[id];
  answers_.erase(id);
  return answer;
}

void Replica::read_answers(int timeout_ms) {
  pollfd ready{from_child_, POLLIN, 0};
  if (poll(&ready, 1, timeout_ms) <= 0) return;
  char buffer[4096];
  const ssize_t count = read(from_child_, buffer, sizeof buffer);
  require(count > 0, name_ + " has ended unexpectedly");
  unread_.append(buffer, static_cast<size_t>(count));
  for (size_t end; (end = unread_.find('\n')) != std::string::npos; unread_.erase(0, end + 1)) {
    const std::string line = unread_.substr(0, end);
    const size_t space = line.find(' ');
    answers_[std::stoi(line.substr(0, space))] = space == std::string::npos ? "" : line.substr(space + 1);
  }
}

void Replica::signal(int number) {
  require(running(), name_ + " is not running");
  ::kill(pid_, number);
}

void Replica::kill() {
  signal(SIGKILL);
  waitpid(pid_, nullptr, 0);
  reap();
}

std::string Replica::died() {
  int status = 0;
  if (!running() || waitpid(pid_, &status, WNOHANG) == 0) return "";
  reap();
  return WIFSIGNALED(status) ? "killed by signal " + std::to_string(WTERMSIG(status))
                             : "ended with status " + std::to_string(WEXITSTATUS(status));
}

int Replica::await_exit(int timeout_ms) {
  const auto deadline = in_millis(timeout_ms);
  int status = 0;
  // There is no wait with a time limit; a child that ends closes its pipe, which poll can wait for.
  while (waitpid(pid_, &status, WNOHANG) == 0) {
    require(millis_left(deadline) > 0, name_ + " did not end within " + std::to_string(timeout_ms) + " ms");
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  reap();
  return status;
}

void Replica::reap() {
  close(to_child_);
  close(from_child_);
  pid_ = to_child_ = from_child_ = -1;
}

std::string Replica::log_text() const {
  std::ifstream file(log_file());
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void Replica::await_log(const std::string &text, int timeout_ms, int times) const {
  const auto deadline = in_millis(timeout_ms);
  const auto found = [&] {
    const std::string log = log_text();
    int count = 0;
    for (size_t at = 0; (at = log.find(text, at)) != std::string::npos; at += text.size()) ++count;
    return count;
  };
  while (found() < times) {
    require(millis_left(deadline) > 0, name_ + "'s log does not say \"" + text + "\"" +
                                           (times > 1 ? " " + std::to_string(times) + " times" : ""));
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}
