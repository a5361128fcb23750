// campaign (--rounds N | --minutes M | --history H) [--seed S] [--memory | --durable] [--grouped] [--only FAULT] [--plain]
// campaign --planted
//
// Shards of real processes live through one fault after the other, each under load; after each, everything that
// every replica was told is checked. The seed decides the shards and the faults, not how the threads and packets
// of a run interleave. Ends with 0 and figures, or at the first broken check with 1, the round and the logs' ends.
// With --planted the replicas run a library with bugs in it, one after the other, and it ends with 0 if each is found.

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "faults.h"
#include "figures.h"
#include "planted.h"
#include "sandbox.h"

namespace {

constexpr int kImpossibleMax = 16;
constexpr int kSettleMs = 60000;
// A planted bug may keep a shard from settling for good.
constexpr int kPlantedSettleMs = 10000;
// A history's records are read whole after each round, which bounds its length.
constexpr long long kRoundsOfHistoryMax = 12;

struct Options {
  long long rounds = 0;
  double minutes = 0;
  long long history = -1;  // this one only
  uint64_t seed = 1;
  bool memory = true, durable = true;
  bool grouped = false;  // only shards with a group per partition
  std::string only;    // faults whose name contains this
  bool plain = false;  // nothing that asks for rights: no firewall, no full disk
  const Planted *planted = nullptr;
};

bool takes_value(const std::string &option) {
  return option == "--rounds" || option == "--minutes" || option == "--history" || option == "--seed" || option == "--only";
}

bool read_options(int argc, char **argv, Options *options) {
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    const char *value = i + 1 < argc ? argv[i + 1] : nullptr;
    if (option == "--memory") {
      options->durable = false;
    } else if (option == "--durable") {
      options->memory = false;
    } else if (option == "--grouped") {
      options->grouped = true;
    } else if (option == "--plain") {
      options->plain = true;
    } else if (value != nullptr && takes_value(option)) {
      if (option == "--history") options->history = atoll(value);
      if (option == "--rounds") options->rounds = atoll(value);
      if (option == "--minutes") options->minutes = atof(value);
      if (option == "--only") options->only = value;
      if (option == "--seed") options->seed = strtoull(value, nullptr, 10);
      ++i;
    } else {
      return false;
    }
  }
  return (options->rounds > 0 || options->minutes > 0 || options->history >= 0) && (options->memory || options->durable);
}

class Campaign {
 public:
  Campaign(const Options &options, const std::string &directory) : options_(options), directory_(directory) {}

  // False after a broken check, which it has printed.
  bool run() {
    printf("campaign of seed %llu\n", static_cast<unsigned long long>(options_.seed));
    find_out_what_is_possible();
    if (options_.planted != nullptr) return find_planted();
    if (options_.history >= 0) {
      if (!live(static_cast<int>(options_.history))) return false;
    } else {
      for (int history = 0; !over(); ++history) {
        if (!live(history)) return false;
      }
    }
    printf("%s", figures_.summary(minutes()).c_str());
    return true;
  }

 private:
  bool find_planted() {
    const Planted &planted = *options_.planted;
    bool passed = true;
    for (int history = 0; passed && !over(); ++history) passed = live(history);
    const int rounds = figures_.rounds_in_memory + figures_.rounds_durable;
    const bool found = !passed && broken_.find(planted.check) != std::string::npos;
    printf("%s %s: %s\n", found ? "found" : "NOT FOUND:", planted.bug,
           passed ? ("no check broke in " + std::to_string(rounds) + " rounds").c_str()
                  : ("in round " + std::to_string(rounds + 1) + ": " + broken_).c_str());
    return found;
  }
  int settle_ms() const { return options_.planted == nullptr ? kSettleMs : kPlantedSettleMs; }

  double minutes() const { return static_cast<double>(now_ms() - start_) / 60000; }
  // Short campaigns see both kinds of shards, too.
  long long rounds_of_history() const {
    const bool both = options_.memory && options_.durable;
    return options_.rounds > 0 ? std::min(kRoundsOfHistoryMax, (options_.rounds + both) / (both ? 2 : 1)) : kRoundsOfHistoryMax;
  }
  bool over() const {
    const int rounds = figures_.rounds_in_memory + figures_.rounds_durable;
    return (options_.rounds > 0 && rounds >= options_.rounds) || (options_.minutes > 0 && minutes() >= options_.minutes);
  }

  // The same shard, and the same faults as far as the same process leads.
  std::string command(int history) const {
    std::string text = "scripts/soak.sh --processes --history " + std::to_string(history) + " --seed " +
                       std::to_string(options_.seed);
    if (!options_.memory) text += " --durable";
    if (!options_.durable) text += " --memory";
    if (options_.grouped) text += " --grouped";
    if (options_.plain) text += " --plain";
    if (!options_.only.empty()) text += " --only \"" + options_.only + "\"";
    return text;
  }

  void find_out_what_is_possible() {
    std::string missing = options_.plain ? "not wanted (--plain)" : enter_sandbox();
    mounts_ = missing.empty();
    if (mounts_) missing = Firewall::probe();
    firewall_ = missing.empty();
    if (!mounts_) printf("without firewall rules and full disks: %s\n", missing.c_str());
    if (mounts_ && !firewall_) printf("without firewall rules: %s\n", missing.c_str());
  }

  Setting draw(int history, std::mt19937_64 &random) const {
    Setting setting;
    setting.durable = !options_.memory || (options_.durable && history % 2 == 1);
    setting.voters = random() % 4 == 0 ? 5 : 3;
    setting.preferred = random() % 3 != 0;
    setting.firewall = random() % 2 == 0 && firewall_;
    const int small_disk = static_cast<int>(random() % static_cast<uint64_t>(setting.voters));
    if (options_.planted != nullptr) setting.preferred = options_.planted->preferred;
    // From a copy, so that seeds of before keep their faults.
    std::mt19937_64 apart = random;
    setting.grouped = (apart() % 4 == 0 && options_.planted == nullptr) || options_.grouped;
    // Of several groups each fills segments of its own, so a full disk would take a multiple of the logs.
    if (setting.durable && mounts_ && !setting.grouped) setting.small_disk = small_disk;
    return setting;
  }

  bool live(int history) {
    std::seed_seq seeds{static_cast<uint32_t>(options_.seed), static_cast<uint32_t>(options_.seed >> 32),
                        static_cast<uint32_t>(history)};
    std::mt19937_64 random(seeds);
    const Setting setting = draw(history, random);
    const std::string directory = directory_ + "/" + std::to_string(history);
    std::unique_ptr<Shard> shard;
    std::string doing = "start";
    ++figures_.histories;
    try {
      require(system(("mkdir " + directory).c_str()) == 0, "can't make " + directory);
      shard.reset(new Shard(setting, directory));
      // Of shards that can't have the faults asked for, the last is asked for one all the same, and says so.
      bool goes_on = Round::possible(*shard, options_.only) || ++impossible_ >= kImpossibleMax;
      for (int round = 0; goes_on && round < rounds_of_history() && !over(); ++round) {
        go_round(*shard, random, history, round, &doing);
        goes_on = Round::possible(*shard, options_.only);
      }
      shard->cluster().shut_down(shard->cluster().everyone(), 20000);
    } catch (const std::exception &error) {
      const std::string record = shard ? shard->broken_record() : "";
      broken_ = error.what() + (record.empty() || record == error.what() ? "" : "; and " + record);
      // It was meant to.
      if (options_.planted != nullptr) return false;
      printf("FAILED in history %d (%s) of seed %llu, %s: %s\n%s(files are kept in %s)\n", history,
             setting.describe().c_str(), static_cast<unsigned long long>(options_.seed), doing.c_str(), broken_.c_str(),
             shard ? shard->log_tails().c_str() : "", directory.c_str());
      printf("again, up to how threads and packets interleave: %s\n", command(history).c_str());
      fflush(stdout);
      return false;
    }
    figures_.lives += shard->lives();
    figures_.lost += shard->lost();
    figures_.refused += shard->refused();
    figures_.logs += logs_;
    shard.reset();
    return system(("rm -rf " + directory).c_str()) == 0;
  }

  void go_round(Shard &shard, std::mt19937_64 &random, int history, int round, std::string *doing) {
    const std::string number = "round " + std::to_string(figures_.rounds_in_memory + figures_.rounds_durable + 1);
    *doing = number;
    const long long start = now_ms();
    Round one(shard, random, options_.only);
    try {
      one.run();
    } catch (...) {
      *doing = number + ", \"" + one.fault() + "\"";
      throw;
    }
    *doing = number + ", after \"" + one.fault() + "\"";
    const long long healed = now_ms();
    shard.await_members(settle_ms());
    shard.load_for(50);
    shard.stop_load();
    shard.await_level(settle_ms());
    const long long settled = now_ms();
    const Checked checked = shard.check();
    logs_ = checked.logs;
    std::string failover = note_failover(one, checked);
    ++(shard.setting().durable ? figures_.rounds_durable : figures_.rounds_in_memory);
    ++figures_.faults[one.fault()];
    figures_.note_losses(one.fault(), checked.lost);
    figures_.settled_ms.push_back(static_cast<double>(settled - healed));
    const std::string lost = checked.lost.empty() ? "" : ", " + std::to_string(checked.lost.size()) + " lost";
    printf("%s (history %d.%d, %s): %s%s%s; settled after %lld ms; %llu logs; %.1f s\n", number.c_str(), history, round,
           shard.setting().describe().c_str(), one.fault().c_str(), failover.c_str(), lost.c_str(), settled - healed,
           static_cast<unsigned long long>(checked.logs), static_cast<double>(now_ms() - start) / 1000);
    fflush(stdout);
  }

  // The first that was told that it leads, after the fault.
  std::string note_failover(const Round &round, const Checked &checked) {
    if (round.leader_lost_by().empty()) return "";
    long long first = -1;
    for (const long long at : checked.became_us) {
      if (at > round.leader_lost_us() && (first < 0 || at < first)) first = at;
    }
    if (first < 0) return "";
    const double ms = static_cast<double>(first - round.leader_lost_us()) / 1000;
    figures_.failovers[round.leader_lost_by()].push_back(ms);
    char text[48];
    snprintf(text, sizeof text, ", next leader after %.0f ms", ms);
    return text;
  }

  const Options options_;
  const std::string directory_;
  const long long start_ = now_ms();
  bool mounts_ = false, firewall_ = false;
  uint64_t logs_ = 0;
  std::string broken_;
  int impossible_ = 0;
  Figures figures_;
};

pid_t campaign_process = -1;

// Its replicas, namespaces, rules and mounts go with it.
void end_campaign(int) {
  if (campaign_process > 0) kill(campaign_process, SIGKILL);
}

// The campaign runs in a process of its own: so its files are removed, however it ends.
int supervise(const Options &options, const std::string &directory) {
  struct sigaction action {};
  action.sa_handler = end_campaign;
  sigset_t ending, before;
  sigemptyset(&ending);
  sigaddset(&ending, SIGINT);
  sigaddset(&ending, SIGTERM);
  sigprocmask(SIG_BLOCK, &ending, &before);
  campaign_process = fork();
  if (campaign_process == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    // What a terminal sends to all is for the supervisor.
    signal(SIGINT, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_SETMASK, &before, nullptr);
    const bool passed = Campaign(options, directory).run();
    fflush(stdout);
    _exit(passed ? 0 : 1);
  }
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  sigprocmask(SIG_SETMASK, &before, nullptr);
  int status = 0;
  while (waitpid(campaign_process, &status, 0) < 0) {
  }
  const bool failed = WIFEXITED(status) && WEXITSTATUS(status) == 1;
  if (!failed && system(("rm -rf " + directory).c_str()) != 0) return 1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 130;
}

// A campaign and its directory; 0 where no check broke, or the planted bug was found.
int run(const Options &options) {
  char directory[] = "/tmp/mako-raft-campaign-XXXXXX";
  if (mkdtemp(directory) == nullptr) {
    perror("mkdtemp");
    return 1;
  }
  return supervise(options, directory);
}

int find_planted_bugs() {
  int failed = 0;
  for (const Planted &planted : planted_bugs()) {
    Options options;
    options.planted = &planted;
    options.only = planted.fault;
    options.rounds = planted.rounds;
    options.durable = false;
    options.plain = true;
    setenv("MAKO_RAFT_PLANTED", planted.bug, 1);
    fflush(stdout);
    failed |= run(options);
  }
  return failed;
}

}  // namespace

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--planted") == 0) return find_planted_bugs();
  Options options;
  if (!read_options(argc, argv, &options)) {
    fprintf(stderr, "campaign (--rounds N | --minutes M | --history H) [--seed S] [--memory | --durable] [--grouped] [--only FAULT] [--plain]\n");
    return 2;
  }
  return run(options);
}
