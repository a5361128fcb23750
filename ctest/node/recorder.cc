#include "recorder.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>

#include "test_log.h"

long long now_us() {
  using namespace std::chrono;
  return duration_cast<microseconds>(steady_clock::now().time_since_epoch()).count();
}

bool Recorder::record_to(const std::string &file) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (file_ >= 0) close(file_);
  file_ = open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
  calls_.clear();
  own_calls_ = 0;
  elections_.clear();
  return file_ >= 0;
}

void Recorder::write_line(const std::string &line) {
  if (file_ < 0) return;
  if (write(file_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    fprintf(stderr, "the record can't be written\n");
    _exit(3);
  }
}

void Recorder::running_as(uint64_t run) {
  char line[32];
  snprintf(line, sizeof line, "R %" PRIx64 "\n", run);
  std::lock_guard<std::mutex> lock(mutex_);
  write_line(line);
}

Call Recorder::begin(char role, int partition, uint64_t slot, const char *log, int length) {
  Call call{};
  call.role = role;
  call.slot = slot;
  call.length = length;
  call.thread = static_cast<uint64_t>(syscall(SYS_gettid));
  call.intact = true;
  if (log != nullptr && length >= 0) {
    const size_t size = static_cast<size_t>(length);
    call.hash = test_log::hash(log, size);
    call.nul_behind = log[size] == '\0';
    test_log::Header header;
    if (test_log::read_header(log, size, &header)) {
      call.run = header.run;
      call.submitter = header.thread;
      call.sequence = header.sequence;
      call.intact = test_log::is_intact(log, size, header);
    }
  }
  std::lock_guard<std::mutex> lock(mutex_);
  call.overlapped = running_[partition]++ > 0;
  return call;
}

void Recorder::end(int partition, const Call &call) {
  char line[256];
  snprintf(line, sizeof line,
           "C %d %c %" PRIu64 " %d %" PRIx64 " %d %d %d %" PRIu64 " %" PRIx64 " %u %" PRIu64 "\n", partition,
           call.role, call.slot, call.length, call.hash, call.nul_behind, call.overlapped, call.intact, call.thread,
           call.run, call.submitter, call.sequence);
  std::lock_guard<std::mutex> lock(mutex_);
  write_line(line);
  --running_[partition];
  ++calls_[partition];
  own_calls_ += call.role == 'L';
  changed_.notify_all();
}

void Recorder::elected(int code) {
  std::lock_guard<std::mutex> lock(mutex_);
  write_line("E " + std::to_string(code) + " " + std::to_string(now_us()) + "\n");
  elections_.push_back(code);
  changed_.notify_all();
}

void Recorder::submitted(uint64_t run, uint32_t submitter, uint64_t sequence, bool accepted, long long microseconds) {
  char line[128];
  snprintf(line, sizeof line, "S %" PRIx64 " %u %" PRIu64 " %d %lld\n", run, submitter, sequence, accepted, microseconds);
  std::lock_guard<std::mutex> lock(mutex_);
  write_line(line);
}

bool Recorder::await_calls(int partition, uint64_t calls, uint64_t timeout_ms) {
  std::unique_lock<std::mutex> lock(mutex_);
  return changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                           [&] { return calls_[partition] >= calls; });
}

bool Recorder::await_elections(uint64_t calls, uint64_t timeout_ms) {
  std::unique_lock<std::mutex> lock(mutex_);
  return changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                           [&] { return elections_.size() >= calls; });
}

uint64_t Recorder::calls(int partition) {
  std::lock_guard<std::mutex> lock(mutex_);
  return calls_[partition];
}

uint64_t Recorder::own_calls() {
  std::lock_guard<std::mutex> lock(mutex_);
  return own_calls_;
}

std::string Recorder::elections() {
  std::lock_guard<std::mutex> lock(mutex_);
  std::string codes;
  for (const int code : elections_) codes += (codes.empty() ? "" : " ") + std::to_string(code);
  return codes;
}
