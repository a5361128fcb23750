// What the test programs write into a log, and read back out of it.
//
// A log of at least kHeaderBytes begins with who submitted it (a random number per process start, and
// a thread number) and a sequence number per submitter; it ends as Mako's logs do, in a u32 timestamp
// and u32 milliseconds. Shorter logs (empty ones, markers, no-ops) say nothing about themselves.
#ifndef TEST_LOG_H
#define TEST_LOG_H

#include <stdint.h>
#include <string.h>

#include <string>

namespace test_log {

struct Header {
  uint32_t magic;
  uint32_t thread;
  uint64_t run;
  uint64_t sequence;
};

constexpr uint32_t kMagic = 0x6d616b6f;
constexpr size_t kTrailerBytes = 8;
constexpr size_t kHeaderBytes = sizeof(Header) + kTrailerBytes;

inline std::string make(uint64_t run, uint32_t thread, uint64_t sequence, uint32_t timestamp, size_t size) {
  if (size < kHeaderBytes) return std::string(size, 'm');
  std::string log(size, '\0');
  // Bytes that differ from log to log, from place to place and with the length, so that a mixed-up or missing
  // fragment shows.
  uint64_t state = run ^ (sequence * 0x9e3779b97f4a7c15ull) ^ size;
  for (size_t at = 0; at + 8 <= size; at += 8) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    memcpy(&log[at], &state, 8);
  }
  Header header{kMagic, thread, run, sequence};
  memcpy(&log[0], &header, sizeof header);
  uint32_t milliseconds = 0;
  memcpy(&log[size - 8], &timestamp, 4);
  memcpy(&log[size - 4], &milliseconds, 4);
  return log;
}

inline bool read_header(const char *log, size_t size, Header *header) {
  if (size < kHeaderBytes) return false;
  memcpy(header, log, sizeof *header);
  return header->magic == kMagic;
}

inline uint32_t timestamp_of(const char *log, size_t size) {
  uint32_t timestamp = 0;
  if (size >= kTrailerBytes) memcpy(&timestamp, log + size - kTrailerBytes, 4);
  return timestamp;
}

// The bytes are those that `make` wrote for this header, trailer and length.
inline bool is_intact(const char *log, size_t size, const Header &header) {
  const std::string made = make(header.run, header.thread, header.sequence, timestamp_of(log, size), size);
  return memcmp(made.data(), log, size) == 0;
}

inline uint64_t hash(const char *log, size_t size) {
  uint64_t state = 0xcbf29ce484222325ull ^ size;
  size_t at = 0;
  for (; at + 8 <= size; at += 8) {
    uint64_t word;
    memcpy(&word, log + at, 8);
    state = (state ^ word) * 0x100000001b3ull;
    state ^= state >> 29;
  }
  for (; at < size; ++at) state = (state ^ static_cast<unsigned char>(log[at])) * 0x100000001b3ull;
  return state;
}

}  // namespace test_log

#endif
