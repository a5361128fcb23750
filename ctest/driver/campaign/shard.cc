#include "shard.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "sandbox.h"

namespace {

// A log per partition and millisecond, and now and then one that is cut into three fragments.
constexpr char kLoad[] = " 300 1000 1200000 1500";
// Room for the log of a whole history, and for what kSmallDiskFills full disks add to it.
constexpr size_t kSmallDiskBytes = 800 << 20;
constexpr int kSmallDiskFills = 2;
constexpr int kStatusPortOffset = 10000;
constexpr int kPollMs = 5;
// A log is committed within milliseconds, on a busy machine and disk within this. What a process accepted earlier than
// so long before a fault must survive it.
constexpr long long kUnderWayUs = 500000;
// A process that is in touch again hears within this who has followed it as leader: lines that were cut are dialled
// anew, and a connection that held has what the others sent meanwhile.
constexpr long long kUnawareUs = 2000000;
constexpr long long kNotYet = INT64_MAX;
constexpr int kAnyLife = -1;

void pause_ms(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

long long now_us() {
  using namespace std::chrono;
  return duration_cast<microseconds>(steady_clock::now().time_since_epoch()).count();
}

bool leads(const std::string &elections) {
  return elections.size() >= 3 && elections.compare(elections.size() - 2, 2, "1]") == 0;
}

}  // namespace

std::string Setting::describe() const {
  return std::string(durable ? "durable" : "in memory") + ", " + std::to_string(voters) + " voters, " +
         (firewall ? "firewall" : "proxy") + (preferred ? "" : ", nobody preferred") +
         (grouped ? ", a group per partition" : "") + (small_disk >= 0 ? ", small disk" : "");
}

Shard::Shard(const Setting &setting, const std::string &directory)
    : setting_(setting), processes_(static_cast<size_t>(setting.voters)) {
  Shape shape;
  shape.voters = setting.voters;
  shape.named = true;
  if (!setting.preferred) shape.settings = "  preferred_leader: none\n";
  if (setting.grouped) shape.settings += "  grouping: partition\n";
  if (setting.durable) shape.data = directory + "/data";
  cluster_.reset(new Cluster(shape, directory));
  // LD_PRELOAD knows no path with a space or a colon, which that of a checkout may have.
  names_library_ = directory + "/own_names.so";
  require(symlink(OWN_NAMES_LIBRARY, names_library_.c_str()) == 0 || errno == EEXIST, "can't make " + names_library_);
  if (setting.durable) {
    require(mkdir(shape.data.c_str(), 0755) == 0, "can't make " + shape.data);
    for (int i = 0; i < setting.voters; ++i) {
      require(mkdir(cluster_->data_directory(i).c_str(), 0755) == 0, "can't make " + cluster_->data_directory(i));
    }
  }
  if (setting.small_disk >= 0) {
    small_disk_ = cluster_->data_directory(setting.small_disk);
    mount_small_disk(small_disk_, kSmallDiskBytes);
    fills_left_ = kSmallDiskFills;
  }
  if (!setting.firewall) make_lines();
  for (int i = 0; i < setting.voters; ++i) {
    start(i);
  }
}

Shard::~Shard() {
  cluster_.reset();
  if (!small_disk_.empty()) unmount_small_disk(small_disk_);
  try {
    if (!rules_.empty()) Firewall::clear();
  } catch (const Failure &) {
    // They end with the network namespace.
  }
}

void Shard::fill_small_disk() {
  --fills_left_;
  disk_is_full_ = true;
  fill_disk(small_disk_);
}

void Shard::free_small_disk() {
  empty_disk(small_disk_);
  disk_is_full_ = false;
}

// --- lines ----------------------------------------------------------------------------------------

// The processes' own addresses end in 10, 11, ...; each line has one more, so that it can be told from the
// others by its address alone.
std::string Shard::line_address(int dialler, int target) const {
  const std::string own = cluster_->address(0);
  return own.substr(0, own.rfind('.') + 1) + std::to_string(100 + 10 * dialler + target);
}

size_t Shard::line(int dialler, int target) const {
  return static_cast<size_t>(dialler * (setting_.voters - 1) + target - (target > dialler ? 1 : 0));
}

void Shard::make_lines() {
  std::vector<Proxy::Line> lines;
  for (int dialler = 0; dialler < setting_.voters; ++dialler) {
    for (int target = 0; target < setting_.voters; ++target) {
      if (dialler == target) continue;
      lines.push_back({line_address(dialler, target), cluster_->address(target), cluster_->port(target)});
    }
  }
  proxy_.reset(new Proxy(lines));
}

// Behind a firewall a process listens on every address, so that the lines' addresses lead to it directly.
std::vector<std::string> Shard::environment(int i) const {
  std::string names = "MAKO_RAFT_TEST_NAMES=" + cluster_->host(i) + "=" +
                      (setting_.firewall ? std::string("0.0.0.0") : cluster_->address(i));
  for (int peer = 0; peer < setting_.voters; ++peer) {
    if (peer != i) names += " " + cluster_->host(peer) + "=" + line_address(i, peer);
  }
  return {names, "LD_PRELOAD=" + names_library_};
}

std::vector<std::string> Shard::matches(int from, int to) const {
  return {"ip daddr " + line_address(from, to), "ip saddr " + line_address(to, from)};
}

void Shard::add_rules(std::vector<std::string> rules) {
  rules_.insert(rules_.end(), rules.begin(), rules.end());
  Firewall::set(rules_);
}

void Shard::cut(int from, int to) {
  if (proxy_) {
    proxy_->hold(line(from, to), Proxy::kFromDialler, true);
    proxy_->hold(line(to, from), Proxy::kToDialler, true);
    return;
  }
  std::vector<std::string> rules;
  for (const std::string &match : matches(from, to)) rules.push_back(Firewall::drop(match));
  add_rules(rules);
}

void Shard::lose(int from, int to, int per_mille) {
  std::vector<std::string> rules;
  for (const std::string &match : matches(from, to)) rules.push_back(Firewall::lose(match, per_mille));
  add_rules(rules);
}

void Shard::reject(int from, int to) {
  std::vector<std::string> rules;
  for (const std::string &match : matches(from, to)) rules.push_back(Firewall::reset(match));
  add_rules(rules);
}

void Shard::delay(int from, int to, int ms) {
  proxy_->delay(line(from, to), Proxy::kFromDialler, ms);
  proxy_->delay(line(to, from), Proxy::kToDialler, ms);
}

void Shard::reset(int one, int other) {
  proxy_->reset(line(one, other));
  proxy_->reset(line(other, one));
}

void Shard::heal() {
  if (proxy_) proxy_->clear();
  if (!rules_.empty()) Firewall::clear();
  rules_.clear();
}

// --- processes ------------------------------------------------------------------------------------

void Shard::start(int i, const std::vector<std::string> &added) {
  std::vector<std::string> variables = environment(i);
  variables.insert(variables.end(), added.begin(), added.end());
  cluster()[i].set_environment(variables);
  cluster_->launch(i);
  process(i) = Process();
  process(i).running = true;
  ++lives_;
}

void Shard::end_life(int i) {
  ended_.push_back({i, cluster_->life(i)});
  process(i) = Process();
}

void Shard::kill(int i) {
  may_lose(i);
  cluster()[i].kill();
  end_life(i);
}

void Shard::kill_for_good(int i) {
  kill(i);
  // Its content only: the directory itself may be a file system.
  if (setting_.durable) {
    const std::string empty = "find " + cluster_->data_directory(i) + " -mindepth 1 -delete";
    require(system(empty.c_str()) == 0, "can't empty " + cluster_->data_directory(i));
  }
}

void Shard::pause(int i) {
  cluster()[i].signal(SIGSTOP);
  process(i).paused = true;
}

void Shard::resume(int i) {
  cluster()[i].signal(SIGCONT);
  process(i).paused = false;
}

void Shard::say_goodbye(int i, bool same_process) {
  cluster_->shut_down({i}, 20000);
  stop_load(i);
  end_life(i);
  if (same_process) {
    cluster_->begin_life(i);
    process(i).running = true;
    ++lives_;
  } else {
    cluster()[i].kill();
    start(i);
  }
}

std::vector<int> Shard::usable() const {
  std::vector<int> found;
  for (int i = 0; i < setting_.voters; ++i) {
    if (process(i).running && !process(i).paused) found.push_back(i);
  }
  return found;
}

std::vector<int> Shard::others(int i) const {
  std::vector<int> found = usable();
  found.erase(std::remove(found.begin(), found.end(), i), found.end());
  return found;
}

// --- losses ---------------------------------------------------------------------------------------

void Shard::may_lose(int i) { windows_.push_back({i, cluster_->life(i), now_us(), kNotYet}); }

void Shard::everyone_may_lose() {
  for (int i = 0; i < setting_.voters; ++i) windows_.push_back({i, kAnyLife, now_us(), kNotYet});
}

void Shard::calm() {
  for (Window &window : windows_) window.calm_us = std::min(window.calm_us, now_us());
}

// --- load -----------------------------------------------------------------------------------------

void Shard::feed() {
  for (const int i : usable()) {
    Replica &replica = cluster()[i];
    const std::string end = replica.died();
    require(end.empty(), replica.name() + " " + end + ", and nobody asked it to");
    if (process(i).loading || !leads(replica.ask("elections"))) continue;
    replica.expect("load " + std::to_string(cluster_->shape().partitions) + kLoad, "ok");
    process(i).loading = true;
  }
}

void Shard::load_for(int ms) {
  const long long end = now_ms() + ms;
  for (feed(); now_ms() < end; feed()) pause_ms(static_cast<int>(std::min(20ll, end - now_ms())));
}

void Shard::stop_load(int i) {
  if (process(i).loading) cluster()[i].expect("stop_load", "ok", 60000);
  process(i).loading = false;
}

void Shard::stop_load() {
  for (const int i : usable()) stop_load(i);
}

// --- waiting --------------------------------------------------------------------------------------

ReplicaStatus Shard::status(int i) const {
  return read_status(cluster_->address(i), cluster_->port(i) + kStatusPortOffset);
}

// Its status; throws where it has stopped itself, and nobody had it do so.
ReplicaStatus Shard::going_on(int i) const {
  const ReplicaStatus seen = status(i);
  const bool may_stop = disk_is_full_ && i == setting_.small_disk;
  require(seen.stopped.empty() || may_stop, cluster_->process_name(i) + " stopped itself: " + seen.stopped);
  return seen;
}

int Shard::await_leader(const std::vector<int> &among, int timeout_ms) {
  const long long deadline = now_ms() + timeout_ms;
  for (;;) {
    feed();
    int leader = -1;
    uint64_t term = 0;
    std::string silent;
    for (const int i : among) {
      const ReplicaStatus seen = going_on(i);
      if (!seen.answered) silent += ", " + cluster_->process_name(i) + "'s status endpoint is silent";
      if (seen.role != "leader" || seen.term <= term || !process(i).loading) continue;
      leader = i;
      term = seen.term;
    }
    if (leader >= 0) return leader;
    require(now_ms() < deadline, "nobody leads within " + std::to_string(timeout_ms) + " ms" + silent);
    pause_ms(kPollMs);
  }
}

void Shard::await_log_of(int leader, int follower, int timeout_ms) {
  const long long deadline = now_ms() + timeout_ms;
  while (status(follower).last != status(leader).last) {
    require(now_ms() < deadline, cluster()[follower].name() + " has not what " + cluster()[leader].name() + " has");
    load_for(kPollMs);
  }
}

void Shard::await_waiting(int i, const std::string &what, int timeout_ms) {
  const long long deadline = now_ms() + timeout_ms;
  for (;;) {
    const std::string seen = status(i).waits_for;
    if (seen == what) return;
    require(now_ms() < deadline, cluster()[i].name() + " should wait for " + what + ", and waits for " + seen);
    pause_ms(kPollMs);
  }
}

int Shard::said(int i, const std::string &text) const {
  const std::string log = (*cluster_)[i].log_text();
  int count = 0;
  for (size_t at = 0; (at = log.find(text, at)) != std::string::npos; at += text.size()) ++count;
  return count;
}

void Shard::await_saying(int i, const std::string &text, int times, int timeout_ms) {
  for (const long long deadline = now_ms() + timeout_ms; said(i, text) < times; pause_ms(1)) {
    require(now_ms() < deadline, (*cluster_)[i].name() + "'s log does not say \"" + text + "\"");
  }
}

void Shard::await_not_leading(int i, int timeout_ms) {
  const long long deadline = now_ms() + timeout_ms;
  while (status(i).leads_any) {
    require(now_ms() < deadline, cluster()[i].name() + " has been out of touch with a majority for " +
                                     std::to_string(timeout_ms) + " ms and still leads");
    pause_ms(kPollMs);
  }
}

void Shard::await_decided(int i, int unless, int timeout_ms) {
  const long long deadline = now_ms() + timeout_ms;
  while (status(unless).stopped.empty()) {
    const ReplicaStatus seen = status(i);
    if (seen.outstanding == 0) return;
    require(now_ms() < deadline, cluster()[i].name() + " still has " + std::to_string(seen.outstanding) +
                                     " logs outstanding after " + std::to_string(timeout_ms) + " ms");
    pause_ms(kPollMs);
  }
}

// Whether all processes say the same of members and leader and, with `level`, of the log.
bool Shard::agree(bool level, std::string *why) {
  std::vector<std::string> wanted;
  for (int i = 0; i < setting_.voters; ++i) wanted.push_back(cluster_->process_name(i));
  std::sort(wanted.begin(), wanted.end());
  std::vector<ReplicaStatus> all;
  for (int i = 0; i < setting_.voters; ++i) all.push_back(going_on(i));
  const ReplicaStatus &first = all[0];
  int leaders = 0;
  for (int i = 0; i < setting_.voters; ++i) {
    const ReplicaStatus &seen = all[static_cast<size_t>(i)];
    const std::string name = cluster_->process_name(i);
    leaders += seen.role == "leader";
    std::vector<std::string> voters = seen.voters;
    std::sort(voters.begin(), voters.end());
    *why = name + " is " + (seen.answered ? seen.role : "silent") + " in term " + std::to_string(seen.term) + ", follows " +
           seen.leader + ", commit " + std::to_string(seen.commit) + ", last " + std::to_string(seen.last) + ", " +
           std::to_string(seen.voters.size()) + " voters, " + std::to_string(seen.learners.size()) + " learners";
    if (voters != wanted || !seen.learners.empty() || seen.leader != first.leader || seen.term != first.term) return false;
    if (level && (seen.commit != seen.last || seen.last != first.last || seen.outstanding != 0)) return false;
  }
  *why = std::to_string(leaders) + " leaders in term " + std::to_string(first.term);
  return leaders == 1;
}

void Shard::await_members(int timeout_ms) {
  const long long deadline = now_ms() + timeout_ms;
  std::string why;
  while (!agree(false, &why)) {
    require(now_ms() < deadline, "not all are voters again within " + std::to_string(timeout_ms) + " ms: " + why);
    load_for(20);
  }
}

void Shard::await_level(int timeout_ms) {
  const long long deadline = now_ms() + timeout_ms;
  std::string why;
  // Twice in a row: between two looks nothing was under way, no change of members either.
  for (int seen = 0; seen < 2; pause_ms(20)) {
    seen = agree(true, &why) ? seen + 1 : 0;
    require(now_ms() < deadline, "not level within " + std::to_string(timeout_ms) + " ms: " + why);
  }
  cluster_->await_equal(cluster_->everyone());
}

// --- checks ---------------------------------------------------------------------------------------

// Each log that a life submitted was refused, lost, or given to its leader callback. Returns how many it says it lost.
uint64_t Shard::check_fates(int i, const History &history) {
  const ReplicaStatus seen = status(i);
  uint64_t own = 0;
  for (const auto &partition : history.calls) {
    for (const RecordedCall &call : partition.second) own += call.role == 'L';
  }
  require(seen.submitted == own + seen.refused + seen.lost + seen.outstanding,
          history.replica + " submitted " + std::to_string(seen.submitted) + " logs: " + std::to_string(own) +
              " came back, " + std::to_string(seen.refused) + " were refused, " + std::to_string(seen.lost) +
              " lost, and " + std::to_string(seen.outstanding) + " are outstanding");
  lost_ += seen.lost;
  refused_ += seen.refused;
  return seen.lost;
}

long long Shard::Window::distance_us(long long us) const { return std::max({fault_us - us, us - calm_us, 0ll}); }

// What a life accepted and nobody has must be explained by what happened to it.
void Shard::check_losses(int i, int life, const History &history, const History &now, Checked *checked) {
  for (const Submission &lost : lost_logs(history, now)) {
    const Window *nearest = nullptr;
    for (const Window &window : windows_) {
      const bool its = window.process == i && (window.life == life || window.life == kAnyLife);
      if (its && (nearest == nullptr || window.distance_us(lost.us) < nearest->distance_us(lost.us))) nearest = &window;
    }
    const bool explained = nearest != nullptr && lost.us >= nearest->fault_us - kUnderWayUs &&
                           lost.us - kUnawareUs <= nearest->calm_us;
    require(explained, history.replica + " accepted log " + std::to_string(lost.sequence) + " of submitter " +
                           std::to_string(lost.submitter) + ", which is lost, and nothing that happened to this process " +
                           "explains it");
    if (lost.us < checked_us_) continue;
    checked->lost.push_back({nearest->fault_us - lost.us, lost.us - nearest->calm_us});
  }
}

Checked Shard::check() {
  const std::vector<History> living = cluster_->histories(cluster_->everyone());
  check_complete(living);
  Checked checked;
  checked.logs = living[0].total();
  lost_ = refused_ = 0;
  const auto look_at = [&](const History &history) {
    check_no_hole(history, living[0]);
    for (size_t i = 0; i < history.elections.size(); ++i) {
      if (history.elections[i] == 1) checked.became_us.push_back(history.election_us[i]);
    }
  };
  for (size_t i = 0; i < living.size(); ++i) {
    look_at(living[i]);
    const int process = static_cast<int>(i);
    check_losses(process, cluster_->life(process), living[i], living[0], &checked);
    const uint64_t told = check_fates(process, living[i]), missing = lost_logs(living[i], living[0]).size();
    require(missing <= told, living[i].replica + " says that it lost " + std::to_string(told) + " logs, and " +
                                 std::to_string(missing) + " that it accepted are nowhere");
  }
  for (const auto &life : ended_) {
    const History ended = cluster_->history(life.first, life.second);
    check_history(ended);
    check_survival(ended, living[0]);
    look_at(ended);
    check_losses(life.first, life.second, ended, living[0], &checked);
    // The living keep all of it, and are looked at again; a long campaign must not fill the disk.
    unlink(cluster()[life.first].record_file(life.second).c_str());
  }
  ended_.clear();
  checked_us_ = now_us();
  return checked;
}

std::string Shard::broken_record() const {
  std::vector<std::pair<int, int>> lives = ended_;
  for (int i = 0; i < setting_.voters; ++i) lives.push_back({i, cluster_->life(i)});
  for (const auto &life : lives) {
    try {
      check_history(cluster_->history(life.first, life.second));
    } catch (const Failure &broken) {
      return broken.what();
    }
  }
  return "";
}
