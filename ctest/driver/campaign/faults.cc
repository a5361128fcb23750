#include "faults.h"

#include <algorithm>
#include <chrono>
#include <thread>

namespace {

constexpr int kLeaderBoundMs = 20000;
// `TRIED_MS` of runtime/together.rs.
constexpr int kTriedAgainMs = 30000;
// A leader looks once per election timeout (300 ms) whether it was in touch with a majority since the last look: two
// of them, and what a busy machine takes.
constexpr int kQuorumLostMs = 1500;
// More than two segments of the log on disk, of which one may be prepared ahead.
constexpr int kFullDiskBatches = 40;

bool always(const Shard &) { return true; }
bool of_five(const Shard &shard) { return shard.setting().voters == 5; }
bool durable(const Shard &shard) { return shard.setting().durable; }
bool firewall(const Shard &shard) { return shard.setting().firewall; }
bool proxy(const Shard &shard) { return !shard.setting().firewall; }
bool hands_over(const Shard &shard) { return shard.setting().preferred; }
bool small_disk(const Shard &shard) { return shard.disk_may_fill(); }

long long now_us() {
  using namespace std::chrono;
  return duration_cast<microseconds>(steady_clock::now().time_since_epoch()).count();
}

}  // namespace

const std::vector<Round::Kind> &Round::kinds() {
  static const std::vector<Kind> all = {
      {"kill -9 of the leader", 6, always, &Round::kill_leader},
      {"kill -9 of a follower", 3, always, &Round::kill_follower},
      {"kill -9, again while it returns", 3, always, &Round::kill_twice},
      {"kill -9 of two of five", 5, of_five, &Round::kill_two},
      {"kill -9 of a majority", 3, durable, &Round::kill_majority},
      {"kill -9 of all", 3, durable, &Round::kill_all},
      {"SIGSTOP of the leader", 4, always, &Round::stop_leader},
      {"SIGSTOP of the leader, short", 2, always, &Round::stop_leader_briefly},
      {"SIGSTOP of a follower", 2, always, &Round::stop_follower},
      {"SIGSTOP of a hand-over's target", 2, hands_over, &Round::stop_target_of_hand_over},
      {"goodbye of the leader", 2, always, &Round::goodbye_leader},
      {"goodbye of a follower", 1, always, &Round::goodbye_follower},
      {"leader cut off", 3, always, &Round::cut_off_leader},
      {"follower cut off", 2, always, &Round::cut_off_follower},
      {"leader hears nothing", 2, always, &Round::leader_hears_nothing},
      {"leader is not heard", 2, always, &Round::leader_is_not_heard},
      {"follower half cut off", 2, always, &Round::follower_half_cut},
      {"kill -9 of the leader, one cut off", 2, always, &Round::kill_leader_with_follower_cut_off},
      {"packet loss everywhere", 4, firewall, &Round::lose_everywhere},
      {"packet loss around the leader", 3, firewall, &Round::lose_around_leader},
      {"resets by rule, everywhere", 2, firewall, &Round::reject_everywhere},
      {"resets by rule, around the leader", 2, firewall, &Round::reject_around_leader},
      {"kill -9 of the leader, packet loss", 2, firewall, &Round::kill_leader_under_loss},
      {"delay everywhere", 3, proxy, &Round::delay_everywhere},
      {"delay around the leader", 3, proxy, &Round::delay_leader},
      {"resets by the proxy", 2, proxy, &Round::resets},
      {"resets by the proxy, in a row", 2, proxy, &Round::resets_in_a_row},
      {"kill -9 of the leader, delay", 2, proxy, &Round::kill_leader_under_delay},
      {"many at once", 10, always, &Round::storm},
      {"full disk", 5, small_disk, &Round::fill_disk_of_one},
      {"kill -9 and its disk lost", 4, durable, &Round::lose_disk_of_one},
      {"majority lost, the operator's act", 4, always, &Round::lose_majority_for_good},
  };
  return all;
}

namespace {

bool eligible(const Round::Kind &kind, const Shard &shard, const std::string &only) {
  return kind.possible(shard) && std::string(kind.name).find(only) != std::string::npos;
}

}  // namespace

bool Round::possible(const Shard &shard, const std::string &only) {
  return std::any_of(kinds().begin(), kinds().end(), [&](const Kind &kind) { return eligible(kind, shard, only); });
}

void Round::run() {
  int weights = 0;
  for (const Kind &kind : kinds()) weights += eligible(kind, shard_, only_) ? kind.weight : 0;
  require(weights > 0, "no fault is called \"" + only_ + "\" that this shard can have");
  int drawn = between(1, weights);
  const auto chosen = std::find_if(kinds().begin(), kinds().end(), [&](const Kind &kind) {
    if (eligible(kind, shard_, only_)) drawn -= kind.weight;
    return drawn <= 0;
  });
  fault_ = chosen->name;
  leader_ = shard_.await_leader(shard_.usable(), kLeaderBoundMs);
  shard_.load_for(between(100, 500));
  // It may have handed over meanwhile, to the preferred process.
  leader_ = shard_.await_leader(shard_.usable(), kLeaderBoundMs);
  (this->*chosen->run)();
  shard_.heal();
  shard_.calm();
}

int Round::between(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }

int Round::follower() { return one_of(shard_.others(leader_)); }

void Round::leader_goes() {
  leader_lost_by_ = fault_;
  leader_lost_us_ = now_us();
}

void Round::await_next() { shard_.await_leader(shard_.others(leader_), kLeaderBoundMs); }

template <class Hit>
void Round::every_pair(Hit hit) {
  for (int from = 0; from < shard_.setting().voters; ++from) {
    for (int to = 0; to < shard_.setting().voters; ++to) {
      if (from != to) hit(from, to);
    }
  }
}

template <class Hit>
void Round::around(int one, Hit hit) {
  every_pair([&](int from, int to) {
    if (from == one || to == one) hit(from, to);
  });
}

// --- processes ------------------------------------------------------------------------------------

void Round::kill_leader() {
  leader_goes();
  shard_.kill(leader_);
  await_next();
  shard_.load_for(between(0, 800));
  shard_.start(leader_);
}

void Round::kill_follower() {
  const int victim = follower();
  shard_.kill(victim);
  shard_.load_for(between(0, 1000));
  shard_.start(victim);
}

// Its former member is lost with the first kill, so that the second takes nothing more from the shard.
void Round::kill_twice() {
  const int victim = follower();
  shard_.kill(victim);
  shard_.load_for(between(0, 500));
  for (int again = between(1, 3); again > 0; --again) {
    shard_.start(victim);
    shard_.load_for(between(0, 400));
    shard_.kill(victim);
  }
  shard_.start(victim);
}

void Round::take_down(std::vector<int> victims) {
  for (const int victim : victims) shard_.kill(victim);
  shard_.load_for(between(0, 500));
  std::shuffle(victims.begin(), victims.end(), random_);
  for (const int victim : victims) shard_.start(victim);
}

void Round::kill_two() {
  const int second = follower();
  leader_goes();
  shard_.kill(leader_);
  shard_.kill(second);
  await_next();
  shard_.load_for(between(0, 800));
  shard_.start(second);
  shard_.start(leader_);
}

void Round::kill_majority() {
  std::vector<int> victims = shard_.others(leader_);
  std::shuffle(victims.begin(), victims.end(), random_);
  victims.resize(static_cast<size_t>(shard_.setting().voters / 2));
  victims.push_back(leader_);
  std::shuffle(victims.begin(), victims.end(), random_);
  take_down(victims);
}

void Round::kill_all() { take_down(shard_.usable()); }

void Round::stop_leader() {
  leader_goes();
  shard_.may_lose(leader_);
  shard_.pause(leader_);
  const long long until = now_ms() + between(1000, 5000);
  await_next();
  shard_.load_for(static_cast<int>(std::max(0ll, until - now_ms())));
  shard_.resume(leader_);
}

// Around the election timeout: whether another leads is open.
void Round::stop_leader_briefly() {
  shard_.may_lose(leader_);
  shard_.pause(leader_);
  shard_.load_for(between(200, 700));
  shard_.resume(leader_);
}

void Round::stop_follower() {
  const int victim = follower();
  shard_.pause(victim);
  shard_.load_for(between(200, 5000));
  shard_.resume(victim);
}

// It stands still when it is called to campaign, until the leader has taken the hand-over back and gone on. When it wakes, it
// may obey, and must not depose the leader by that. The call is sent a tick or two after the leader has said what it is about to do; where it was there
// already, or is not sent because the target had not acknowledged everything, the round is one of the others.
void Round::stop_target_of_hand_over() {
  const int target = 0;
  const std::string said = "handing leadership to ";
  if (leader_ == target) leader_goes();
  shard_.kill(target);
  leader_ = shard_.await_leader(shard_.others(target), kLeaderBoundMs);
  // Without load a long log is there the sooner, and the call goes out at once.
  shard_.stop_load();
  const int before = shard_.said(leader_, said);
  shard_.start(target);
  shard_.await_saying(leader_, said, before + 1, kLeaderBoundMs);
  std::this_thread::sleep_for(std::chrono::milliseconds(between(0, 9)));
  shard_.pause(target);
  shard_.load_for(between(800, 1800));
  shard_.resume(target);
  // The next hand-over comes in order; who was given the first of several groups and not the others is tried again later.
  shard_.await_leader({target}, shard_.setting().grouped ? kTriedAgainMs + kLeaderBoundMs : kLeaderBoundMs);
}

void Round::goodbye_leader() {
  leader_goes();
  shard_.say_goodbye(leader_, one_in(2));
}

void Round::goodbye_follower() { shard_.say_goodbye(follower(), one_in(2)); }

// --- lines ----------------------------------------------------------------------------------------

void Round::cut_off_leader() {
  leader_goes();
  shard_.may_lose(leader_);
  around(leader_, [&](int from, int to) { shard_.cut(from, to); });
  shard_.await_not_leading(leader_, kQuorumLostMs);
  await_next();
  shard_.load_for(between(0, 3000));
}

void Round::cut_off_follower() {
  around(follower(), [&](int from, int to) { shard_.cut(from, to); });
  shard_.load_for(between(200, 4000));
}

void Round::leader_hears_nothing() {
  leader_goes();
  shard_.may_lose(leader_);
  for (const int other : shard_.others(leader_)) shard_.cut(other, leader_);
  shard_.await_not_leading(leader_, kQuorumLostMs);
  await_next();
  shard_.load_for(between(0, 2000));
}

void Round::leader_is_not_heard() {
  leader_goes();
  shard_.may_lose(leader_);
  for (const int other : shard_.others(leader_)) shard_.cut(leader_, other);
  shard_.await_not_leading(leader_, kQuorumLostMs);
  await_next();
  shard_.load_for(between(0, 2000));
}

// With one other only, in one direction only.
void Round::follower_half_cut() {
  const int victim = follower();
  const int peer = one_of(shard_.others(victim));
  if (one_in(2)) {
    shard_.cut(victim, peer);
  } else {
    shard_.cut(peer, victim);
  }
  shard_.load_for(between(500, 4000));
}

// Of three, one is left: nothing commits until the line is healed or the killed one is back.
void Round::kill_leader_with_follower_cut_off() {
  around(follower(), [&](int from, int to) { shard_.cut(from, to); });
  shard_.load_for(between(0, 1000));
  shard_.kill(leader_);
  shard_.load_for(between(0, 1000));
  shard_.start(leader_);
  shard_.load_for(between(0, 1000));
}

void Round::lose_everywhere() {
  shard_.everyone_may_lose();
  const int per_mille = between(10, 250);
  every_pair([&](int from, int to) { shard_.lose(from, to, per_mille); });
  shard_.load_for(between(1000, 4000));
}

void Round::lose_around_leader() {
  shard_.everyone_may_lose();
  const int per_mille = between(100, 600);
  around(leader_, [&](int from, int to) { shard_.lose(from, to, per_mille); });
  shard_.load_for(between(1000, 4000));
}

void Round::reject_everywhere() {
  shard_.everyone_may_lose();
  every_pair([&](int from, int to) { shard_.reject(from, to); });
  shard_.load_for(between(50, 1500));
}

void Round::reject_around_leader() {
  shard_.everyone_may_lose();
  around(leader_, [&](int from, int to) { shard_.reject(from, to); });
  shard_.load_for(between(50, 2500));
}

void Round::kill_leader_under_loss() {
  shard_.everyone_may_lose();
  const int per_mille = between(10, 150);
  every_pair([&](int from, int to) { shard_.lose(from, to, per_mille); });
  kill_leader();
  shard_.load_for(between(0, 1000));
}

void Round::delay_everywhere() {
  shard_.everyone_may_lose();
  every_pair([&](int from, int to) { shard_.delay(from, to, between(1, 80)); });
  shard_.load_for(between(1000, 4000));
}

void Round::delay_leader() {
  shard_.everyone_may_lose();
  around(leader_, [&](int from, int to) { shard_.delay(from, to, between(50, 400)); });
  shard_.load_for(between(1000, 4000));
}

void Round::resets() {
  shard_.everyone_may_lose();
  every_pair([&](int from, int to) {
    if (from < to) shard_.reset(from, to);
  });
  shard_.load_for(between(200, 1000));
}

void Round::resets_in_a_row() {
  shard_.everyone_may_lose();
  for (int left = between(5, 30); left > 0; --left) {
    const int one = between(0, shard_.setting().voters - 1);
    const int other = (one + between(1, shard_.setting().voters - 1)) % shard_.setting().voters;
    shard_.reset(one, other);
    shard_.load_for(between(1, 150));
  }
}

void Round::kill_leader_under_delay() {
  shard_.everyone_may_lose();
  every_pair([&](int from, int to) { shard_.delay(from, to, between(1, 40)); });
  kill_leader();
  shard_.load_for(between(0, 1000));
}

// --- disks ----------------------------------------------------------------------------------------

// The log's segments are reserved as a whole, so it takes a while until the missing room is noticed. Then the replica
// has to stop by itself, and to come back with everything that it had acknowledged.
void Round::fill_disk_of_one() {
  const int victim = shard_.setting().small_disk;
  const std::string name = shard_.cluster()[victim].name();
  shard_.may_lose(victim);
  shard_.fill_small_disk();
  shard_.stop_load();
  ReplicaStatus seen = shard_.status(victim);
  for (int batch = 0; seen.stopped.empty(); ++batch) {
    require(batch < kFullDiskBatches, name + " goes on although its disk has been full for long");
    const int leader = shard_.await_leader(shard_.usable(), kLeaderBoundMs);
    shard_.stop_load();
    shard_.cluster().submit_all(leader, 2, 1000000);
    shard_.await_decided(leader, victim, kLeaderBoundMs);
    seen = shard_.status(victim);
  }
  require(seen.stopped.find("No space") != std::string::npos, name + " stopped, but for another reason: " + seen.stopped);
  if (victim == leader_) await_next();
  shard_.kill(victim);
  shard_.load_for(between(0, 500));
  shard_.free_small_disk();
  shard_.start(victim);
}

// A minority of the machines: who comes back without its log is admitted anew.
void Round::lose_disk_of_one() {
  const int victim = one_of(shard_.usable());
  if (victim == leader_) leader_goes();
  shard_.kill_for_good(victim);
  if (victim == leader_) await_next();
  shard_.load_for(between(0, 1000));
  shard_.start(victim);
}

// More than the shard tolerates: all but one, with their disks. The others are started again with the operator's
// order. What only they knew would be lost with them, and may be; so first everything is everywhere, and then nothing
// may be missing.
void Round::lose_majority_for_good() {
  shard_.stop_load();
  shard_.await_level(kLeaderBoundMs);
  const int survivor = one_of(shard_.usable());
  const std::vector<int> victims = shard_.others(survivor);
  const std::vector<std::string> lost = shard_.status(survivor).formations;
  std::string order = "MAKO_RAFT_RESTORE=" + shard_.cluster().process_name(survivor) + ":";
  for (const std::string &formation : lost) order += (&formation == &lost.front() ? "" : ",") + formation;
  for (const int victim : victims) shard_.kill_for_good(victim);
  shard_.await_waiting(survivor, "a majority of the members", kLeaderBoundMs);
  if (shard_.setting().durable && one_in(2)) {
    shard_.kill(survivor);
    shard_.start(survivor, {order});
  }
  for (const int victim : victims) shard_.start(victim, {order});
  // Not the survivor: by the time that the last is started it may have handed over to the preferred process.
  shard_.await_leader(shard_.usable(), kLeaderBoundMs);
  const std::vector<std::string> formations = shard_.status(survivor).formations;
  require(formations.size() == lost.size(), "the survivor has other groups than before");
  for (const std::string &formation : formations) {
    require(std::find(lost.begin(), lost.end(), formation) == lost.end(), "the survivor did not go on alone in formation " + formation);
  }
}

// --- several of them ------------------------------------------------------------------------------

// Processes and lines, as it comes. Logs on disk let any number be killed; in memory only as many processes as the
// shard tolerates the loss of are killed at all, however often.
void Round::storm() {
  shard_.everyone_may_lose();
  std::vector<int> mortals = shard_.usable();
  std::shuffle(mortals.begin(), mortals.end(), random_);
  if (!shard_.setting().durable) mortals.resize(mortals.size() / 2);
  for (const long long until = now_ms() + between(2000, 6000); now_ms() < until;) {
    strike(mortals);
    shard_.load_for(between(10, 400));
  }
  shard_.heal();
  for (int i = 0; i < shard_.setting().voters; ++i) {
    if (shard_.paused(i)) shard_.resume(i);
    if (!shard_.running(i)) shard_.start(i);
  }
}

void Round::strike(const std::vector<int> &mortals) {
  const int one = between(0, shard_.setting().voters - 1);
  const int other = (one + between(1, shard_.setting().voters - 1)) % shard_.setting().voters;
  switch (between(1, 6)) {
    case 1: {
      const int victim = one_of(mortals);
      if (shard_.running(victim)) {
        shard_.kill(victim);
      } else {
        shard_.start(victim);
      }
      break;
    }
    case 2:
      if (shard_.paused(one)) {
        shard_.resume(one);
      } else if (shard_.running(one)) {
        shard_.pause(one);
      }
      break;
    case 3: shard_.cut(one, other); break;
    case 4:
      if (shard_.setting().firewall) {
        shard_.lose(one, other, between(50, 500));
      } else {
        shard_.delay(one, other, between(5, 200));
      }
      break;
    case 5:
      if (shard_.setting().firewall) {
        shard_.reject(one, other);
      } else {
        shard_.reset(one, other);
      }
      break;
    default: shard_.heal();
  }
}
