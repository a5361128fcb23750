#include "status.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>

namespace {

// What stands between `key` and the next comma, or the end of the line.
std::string value(const std::string &line, const std::string &key) {
  const size_t found = line.find(key + " ");
  if (found == std::string::npos) return "";
  const size_t begin = found + key.size() + 1;
  return line.substr(begin, line.find(',', begin) - begin);
}

uint64_t number(const std::string &line, const std::string &key) {
  const std::string text = value(line, key);
  return text.empty() ? 0 : std::stoull(text);
}

std::vector<std::string> list(const std::string &line, const std::string &key) {
  std::string text = value(line, key);
  if (text.size() < 2) return {};
  std::istringstream words(text.substr(1, text.size() - 2));
  std::vector<std::string> names;
  for (std::string word; words >> word;) names.push_back(word);
  return names;
}

// Takes in what one more group says.
void join(std::string *all, const std::string &one, bool is_first) {
  if (is_first) {
    *all = one;
  } else if (*all != one && (all->size() <= one.size() || all->compare(all->size() - one.size() - 1, std::string::npos, "," + one) != 0)) {
    *all += "," + one;
  }
}

void read_group(const std::string &line, bool is_first, ReplicaStatus *status) {
  join(&status->role, value(line, "role"), is_first);
  join(&status->leader, value(line, "leader"), is_first);
  status->formations.push_back(value(line, "formation"));
  join(&status->waits_for, value(line, "waits for"), is_first);
  status->leads_any |= value(line, "role") == "leader";
  status->term += number(line, "term");
  status->commit += number(line, "commit");
  status->last += number(line, "last");
  const std::vector<std::string> voters = list(line, "voters"), learners = list(line, "learners");
  if (is_first) status->voters = voters;
  const auto is_none_here = [&](const std::string &name) { return std::find(voters.begin(), voters.end(), name) == voters.end(); };
  status->voters.erase(std::remove_if(status->voters.begin(), status->voters.end(), is_none_here), status->voters.end());
  status->learners.insert(status->learners.end(), learners.begin(), learners.end());
}

}  // namespace

ReplicaStatus parse_status(const std::string &text) {
  const std::string stopped = "stopped itself: ";
  ReplicaStatus status;
  int groups = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    status.answered = true;
    if (line.compare(0, stopped.size(), stopped) == 0) {
      status.stopped = line.substr(stopped.size());
    } else if (line.compare(0, 10, "partition ") == 0) {
      status.submitted += number(line, "submitted");
      status.refused += number(line, "refused");
      status.lost += number(line, "lost");
      status.outstanding += number(line, "outstanding");
    } else if (line.find(": role ") != std::string::npos) {
      read_group(line, groups++ == 0, &status);
    }
  }
  return status;
}

ReplicaStatus read_status(const std::string &address, int port, int timeout_ms) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return {};
  timeval limit{timeout_ms / 1000, timeout_ms % 1000 * 1000};
  setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);  // of connect, too
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  inet_pton(AF_INET, address.c_str(), &to.sin_addr);
  std::string text;
  if (connect(socket, reinterpret_cast<sockaddr *>(&to), sizeof to) == 0) {
    char buffer[4096];
    ssize_t count;
    while ((count = read(socket, buffer, sizeof buffer)) > 0) text.append(buffer, static_cast<size_t>(count));
    if (count < 0) text.clear();
  }
  close(socket);
  return parse_status(text);
}
