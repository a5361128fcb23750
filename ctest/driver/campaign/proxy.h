// Forwards TCP connections, and holds them up on demand. One thread.
#ifndef CAMPAIGN_PROXY_H
#define CAMPAIGN_PROXY_H

#include <deque>
#include <list>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

class Proxy {
 public:
  struct Line {
    std::string listen_address, target_address;
    int port;  // on both
  };
  // Of a line's two directions, the one that begins at who dialled.
  enum Direction { kFromDialler = 0, kToDialler = 1 };

  // Listens on all of them. Throws Failure.
  explicit Proxy(const std::vector<Line> &lines);
  ~Proxy();
  Proxy(const Proxy &) = delete;
  Proxy &operator=(const Proxy &) = delete;

  // What arrives in this direction leaves so much later.
  void delay(size_t line, Direction direction, int ms);
  // Nothing leaves in this direction until it is released.
  void hold(size_t line, Direction direction, bool held);
  // Every connection of the line ends with a reset on both sides; the next ones are welcome.
  void reset(size_t line);
  // No delay and no hold anywhere.
  void clear();

 private:
  struct Chunk {
    long long due_us;
    std::string bytes;
  };
  // One direction of a connection: read from socket d, written to socket 1 - d.
  struct Flow {
    std::deque<Chunk> waiting;
    size_t bytes = 0, sent_of_first = 0;
    bool ended = false, passed_on = false;
  };
  struct Connection {
    size_t line;
    int sockets[2];
    Flow flows[2];
    bool connecting = true;
  };
  struct Faults {
    int delay_ms[2] = {0, 0};
    bool held[2] = {false, false};
  };

  void run();
  void wake();
  void accept_on(size_t line);
  short wanted(const Connection &connection, int side, long long now, long long *next_us) const;
  // False when the connection is over.
  bool serve(Connection &connection, const short ready[2], long long now);
  bool read_into(Connection &connection, int direction, long long now);
  bool write_out(Connection &connection, int direction, long long now);
  static void close_with_reset(Connection &connection);

  std::vector<Line> lines_;
  std::vector<int> listeners_;
  std::vector<Faults> faults_;
  std::list<Connection> connections_;
  std::mutex mutex_;  // of the two above, which callers change
  int wake_[2];
  bool ending_ = false;
  std::thread thread_;
};

#endif
