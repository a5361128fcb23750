// Wrong arguments, files, pointers and peers (contract 8, "Bad input").

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <random>

#include "scenarios.h"

namespace {

// A connection to the peer port of process `i`; closed at the end.
class Intruder {
 public:
  Intruder(const Cluster &cluster, int i) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(cluster.port(i)));
    inet_pton(AF_INET, cluster.address(i).c_str(), &to.sin_addr);
    connected_ = connect(socket_, reinterpret_cast<sockaddr *>(&to), sizeof to) == 0;
  }
  ~Intruder() { close(socket_); }
  Intruder(const Intruder &) = delete;
  Intruder &operator=(const Intruder &) = delete;

  bool connected() const { return connected_; }
  void send(const std::string &bytes) { (void)!::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }

 private:
  int socket_;
  bool connected_;
};

std::string write_file(const Stage &stage, const std::string &name, const std::string &content) {
  const std::string path = stage.directory() + "/" + name;
  std::ofstream(path) << content;
  return path;
}

}  // namespace

void hostile::bad_input(Stage &stage) {
  Cluster &cluster = stage.cluster();
  cluster.launch_all();
  cluster.await_elections(0, 1, "[1]");
  cluster[0].expect("bad_submits", "-1");
  // A second setup changes nothing.
  cluster[0].expect(cluster.setup_command(0), "refused");
  require(cluster[0].ask("setup2 0 0") != "0", "a second setup2 was accepted");
  cluster.submit_all(0, 200, 300);
  cluster.await_calls(cluster.everyone(), 200);
  for (const char *said : {"length of a log is -1", "4000000000", "is empty; ignored", "send_no_ops_for_mark: "}) {
    cluster[0].await_log(said);
  }
  // Followers do not accept, and say so.
  cluster[1].expect("submit 0 50 300", "ok");
  cluster.shut_down(cluster.everyone());
  const std::vector<History> histories = cluster.histories(cluster.everyone());
  check_complete(histories);
  require(histories[0].total() == 3 * 200, "a refused log was delivered, or one was lost");
}

void hostile::bad_files(Stage &stage) {
  Cluster &cluster = stage.cluster();
  Replica &replica = cluster[0];
  replica.start();
  const std::string good = cluster.topology_file();
  const struct {
    std::string setup, said;
  } cases[] = {
      {"setup -f " + stage.directory() + "/missing.yml -P localhost", "missing.yml"},
      {"setup -f " + stage.directory() + " -P localhost", "yml"},
      {"setup -f " + write_file(stage, "broken.yml", "site: [unclosed\n") + " -P localhost", "broken.yml"},
      {"setup -f " + write_file(stage, "empty.yml", "") + " -P localhost", "site"},
      {"setup -f " + good + " -P nobody", "nobody"},
      {"setup -f " + good + " --unheard-of", "--unheard-of"},
      {"setup -f", "-f"},
      {"setup", "-f"},
      {"setup -f " + write_file(stage, "port.yml", "site:\n  server:\n    - [\"a:0\"]\nprocess:\n  a: localhost\n"),
       "port.yml"},
      {"setup -f " + good + " -f " + write_file(stage, "key.yml", "raft:\n  tick_mss: 10\n"), "tick_ms"},
      {"setup -f " + good + " -f " + write_file(stage, "value.yml", "raft:\n  tick_ms: soon\n"), "value.yml"},
  };
  for (const auto &one : cases) {
    const size_t before = replica.log_text().size();
    replica.expect(one.setup, "refused");
    const std::string said = replica.log_text().substr(before);
    require(said.find(one.said) != std::string::npos,
            "\"" + one.setup + "\" was refused without naming " + one.said + ": " + said);
  }
  replica.expect("hosts " + stage.directory() + "/missing.yml", "hosts");
  replica.expect("hosts " + write_file(stage, "nohosts.yml", "site: {}\n"), "hosts");
  // Nothing of this stays behind: the good files work afterwards.
  replica.expect(cluster.setup_command(0), "sites s102 s101 s100");
  replica.expect("elections_on", "ok");
  cluster.shut_down({0});
}

void hostile::garbage_on_the_peer_port(Stage &stage) {
  Cluster &cluster = stage.cluster();
  cluster.launch_all();
  cluster.await_elections(0, 1, "[1]");
  std::mt19937_64 random(20260101);
  std::vector<std::unique_ptr<Intruder>> silent;
  for (int round = 0; round < 100; ++round) {
    const int target = round % 3;
    std::string bytes(1 + random() % 5000, '\0');
    for (char &byte : bytes) byte = static_cast<char>(random());
    if (round % 4 == 0) memset(&bytes[0], 0xff, std::min<size_t>(bytes.size(), 64));  // huge lengths
    if (round % 4 == 1) bytes = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    Intruder(cluster, target).send(bytes);
    // And hundreds that say nothing, or a byte, and stay.
    for (int i = 0; i < 3; ++i) {
      silent.emplace_back(new Intruder(cluster, target));
      if (i == 0) silent.back()->send("M");
    }
  }
  // The shard goes on through all of it.
  cluster.submit_all(0, 300, 300);
  cluster.await_calls(cluster.everyone(), 300);
  cluster[0].expect("elections", "[1]");
  // A replica that has to connect anew gets in past the silent ones.
  cluster[2].kill();
  cluster.launch(2);
  cluster.await_calls({2}, 300);
  silent.clear();
  for (int i = 0; i < 3; ++i) {
    require(cluster[i].log_text().size() < 400 * 1024, cluster[i].name() + " logs without a bound");
  }
  cluster.shut_down(cluster.everyone());
  check_complete(cluster.histories(cluster.everyone()));
}

void hostile::occupied_port(Stage &stage) {
  Cluster &cluster = stage.cluster();
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);  // an earlier scenario used the port
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(static_cast<uint16_t>(cluster.port(0)));
  inet_pton(AF_INET, cluster.address(0).c_str(), &at.sin_addr);
  require(bind(listener, reinterpret_cast<sockaddr *>(&at), sizeof at) == 0 && listen(listener, 1) == 0,
          "the test can't occupy the port");
  Replica &replica = cluster[0];
  replica.start();
  replica.expect(cluster.setup_command(0), "sites s102 s101 s100");
  replica.expect("register return both 3", "ok");
  require(replica.ask("setup2 0 0") != "0", "setup2 returned 0 on an occupied port");
  replica.await_log(std::to_string(cluster.port(0)));
  cluster.shut_down({0});
  close(listener);
  // Free again: the next life takes it.
  cluster.begin_life(0);
  cluster.launch(1);
  cluster.launch(2);
  replica.expect("elections_on", "ok");
  cluster.await_elections(0, 1, "[1]");
  cluster.shut_down(cluster.everyone());
}
