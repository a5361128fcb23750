#include "proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "../replica.h"

namespace {

// What a direction may hold before its sender has to wait, about what a socket's own buffers take.
constexpr size_t kFlowBytesMax = 1 << 20;
constexpr size_t kReadBytes = 64 << 10;

long long now_us() {
  using namespace std::chrono;
  return duration_cast<microseconds>(steady_clock::now().time_since_epoch()).count();
}

sockaddr_in socket_address(const std::string &address, int port) {
  sockaddr_in made{};
  made.sin_family = AF_INET;
  made.sin_port = htons(static_cast<uint16_t>(port));
  inet_pton(AF_INET, address.c_str(), &made.sin_addr);
  return made;
}

int new_socket() { return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

void without_delay(int socket) {
  const int on = 1;
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

bool would_block() { return errno == EAGAIN || errno == EINTR; }

}  // namespace

Proxy::Proxy(const std::vector<Line> &lines) : lines_(lines), faults_(lines.size()) {
  for (const Line &line : lines_) {
    const int listener = new_socket(), on = 1;
    const sockaddr_in address = socket_address(line.listen_address, line.port);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    require(bind(listener, reinterpret_cast<const sockaddr *>(&address), sizeof address) == 0 &&
                listen(listener, 16) == 0,
            "the proxy can't listen on " + line.listen_address + ":" + std::to_string(line.port) + ": " +
                strerror(errno));
    listeners_.push_back(listener);
  }
  require(pipe2(wake_, O_CLOEXEC | O_NONBLOCK) == 0, "no pipe");
  thread_ = std::thread([this] { run(); });
}

Proxy::~Proxy() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    ending_ = true;
  }
  wake();
  thread_.join();
  for (Connection &connection : connections_) close_with_reset(connection);
  for (const int listener : listeners_) close(listener);
  close(wake_[0]);
  close(wake_[1]);
}

void Proxy::wake() {
  const char byte = 0;
  // A full pipe wakes as well.
  if (write(wake_[1], &byte, 1) < 0) return;
}

void Proxy::delay(size_t line, Direction direction, int ms) {
  std::lock_guard<std::mutex> lock(mutex_);
  faults_.at(line).delay_ms[direction] = ms;
}

void Proxy::hold(size_t line, Direction direction, bool held) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    faults_.at(line).held[direction] = held;
  }
  wake();
}

void Proxy::reset(size_t line) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (auto connection = connections_.begin(); connection != connections_.end();) {
    if (connection->line == line) {
      close_with_reset(*connection);
      connection = connections_.erase(connection);
    } else {
      ++connection;
    }
  }
}

void Proxy::clear() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    faults_.assign(lines_.size(), Faults());
  }
  wake();
}

void Proxy::run() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!ending_) {
    std::vector<pollfd> polled{{wake_[0], POLLIN, 0}};
    for (const int listener : listeners_) polled.push_back({listener, POLLIN, 0});
    long long next_us = -1;
    const long long before = now_us();
    std::vector<Connection *> in_order;
    for (Connection &connection : connections_) {
      in_order.push_back(&connection);
      for (int side = 0; side < 2; ++side) {
        const short events = wanted(connection, side, before, &next_us);
        // A socket of which nothing is wanted must not wake the thread again and again with its end.
        polled.push_back({events == 0 ? -1 : connection.sockets[side], events, 0});
      }
    }
    const int timeout_ms = next_us < 0 ? -1 : static_cast<int>(std::max(0ll, next_us - before) / 1000 + 1);
    lock.unlock();
    poll(polled.data(), polled.size(), timeout_ms);
    lock.lock();
    char drained[64];
    while (read(wake_[0], drained, sizeof drained) > 0) {
    }
    const long long now = now_us();
    size_t at = 1 + listeners_.size();
    // A reset may have removed some meanwhile: those that are left stand in the same order.
    auto connection = connections_.begin();
    for (size_t i = 0; i < in_order.size() && connection != connections_.end(); ++i, at += 2) {
      if (in_order[i] != &*connection) continue;
      const short ready[2] = {polled[at].revents, polled[at + 1].revents};
      if (serve(*connection, ready, now)) {
        ++connection;
      } else {
        close_with_reset(*connection);
        connection = connections_.erase(connection);
      }
    }
    for (size_t line = 0; line < listeners_.size(); ++line) {
      if (polled[1 + line].revents != 0) accept_on(line);
    }
  }
}

void Proxy::accept_on(size_t line) {
  const int dialled = accept4(listeners_[line], nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (dialled < 0) return;
  const int onward = new_socket();
  const sockaddr_in target = socket_address(lines_[line].target_address, lines_[line].port);
  without_delay(dialled);
  without_delay(onward);
  connections_.emplace_back();
  Connection &made = connections_.back();
  made.line = line;
  made.sockets[0] = dialled;
  made.sockets[1] = onward;
  if (connect(onward, reinterpret_cast<const sockaddr *>(&target), sizeof target) != 0 && errno != EINPROGRESS) {
    close_with_reset(made);
    connections_.pop_back();
  }
}

short Proxy::wanted(const Connection &connection, int side, long long now, long long *next_us) const {
  if (connection.connecting) return side == 1 ? POLLOUT : 0;
  short events = 0;
  const Flow &in = connection.flows[side], &out = connection.flows[1 - side];
  if (!in.ended && in.bytes < kFlowBytesMax) events |= POLLIN;
  if (!out.waiting.empty() && !faults_[connection.line].held[1 - side]) {
    const long long due_us = out.waiting.front().due_us;
    if (due_us <= now) {
      events |= POLLOUT;
    } else if (*next_us < 0 || due_us < *next_us) {
      *next_us = due_us;
    }
  }
  return events;
}

bool Proxy::serve(Connection &connection, const short ready[2], long long now) {
  if (connection.connecting) {
    if (ready[1] == 0) return true;
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(connection.sockets[1], SOL_SOCKET, SO_ERROR, &error, &size);
    connection.connecting = false;
    return error == 0;
  }
  for (int direction = 0; direction < 2; ++direction) {
    if ((ready[direction] & (POLLIN | POLLHUP | POLLERR)) != 0 && !read_into(connection, direction, now)) return false;
  }
  for (int direction = 0; direction < 2; ++direction) {
    if (!write_out(connection, direction, now)) return false;
  }
  return !(connection.flows[0].passed_on && connection.flows[1].passed_on);
}

bool Proxy::read_into(Connection &connection, int direction, long long now) {
  Flow &flow = connection.flows[direction];
  if (flow.ended || flow.bytes >= kFlowBytesMax) return true;
  char buffer[kReadBytes];
  const ssize_t count = read(connection.sockets[direction], buffer, sizeof buffer);
  if (count < 0) return would_block();
  if (count == 0) {
    flow.ended = true;
    return true;
  }
  const long long due_us = now + 1000ll * faults_[connection.line].delay_ms[direction];
  flow.waiting.push_back({due_us, std::string(buffer, static_cast<size_t>(count))});
  flow.bytes += static_cast<size_t>(count);
  return true;
}

bool Proxy::write_out(Connection &connection, int direction, long long now) {
  Flow &flow = connection.flows[direction];
  if (faults_[connection.line].held[direction]) return true;
  const int to = connection.sockets[1 - direction];
  while (!flow.waiting.empty() && flow.waiting.front().due_us <= now) {
    const std::string &bytes = flow.waiting.front().bytes;
    const size_t left = bytes.size() - flow.sent_of_first;
    const ssize_t count = send(to, bytes.data() + flow.sent_of_first, left, MSG_NOSIGNAL);
    if (count < 0) return would_block();
    flow.bytes -= static_cast<size_t>(count);
    flow.sent_of_first += static_cast<size_t>(count);
    if (flow.sent_of_first < bytes.size()) return true;
    flow.waiting.pop_front();
    flow.sent_of_first = 0;
  }
  if (flow.ended && flow.waiting.empty() && !flow.passed_on) {
    shutdown(to, SHUT_WR);
    flow.passed_on = true;
  }
  return true;
}

void Proxy::close_with_reset(Connection &connection) {
  const linger at_once{1, 0};
  const bool orderly = connection.flows[0].passed_on && connection.flows[1].passed_on;
  for (const int socket : connection.sockets) {
    if (!orderly) setsockopt(socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(socket);
  }
}
