// Mako's C++ functions on top of the C ABI.
//
// This file only translates: std::function to function pointer + context, exceptions stopped at the
// boundary, std::queue and malloc for Mako's un-replayed logs. It is compiled by the program that
// uses it (CMake targets MakoRaft::helper and MakoRaft::raft_impl), never into the library, so that it has that
// program's C++ standard, standard library and allocator. C++11.
//
// The functions are written in namespace raft_impl. The global ones call them, and never the other way round: a tree
// of 2026 has global functions of its own, which choose between raft_impl and its other implementation. Such a tree
// links MakoRaft::raft_impl, which compiles this file with MAKO_RAFT_IMPL_ONLY and so without the global ones.

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

#include "mako_raft.h"
#include "mako_raft/raft_impl.h"
#ifndef MAKO_RAFT_IMPL_ONLY
#include "mako_raft/raft_main_helper.h"
#endif

extern "C" {
// Both targets make every link ask for this symbol (-u): where a second provider of the same functions
// is linked, ours is bound, or the link fails with "multiple definition".
extern const int mako_raft_cpp_surface;
const int mako_raft_cpp_surface = 1;
}

namespace {

enum LogLevel { kError = 1, kWarning = 2 };

// --- errors -------------------------------------------------------------------------------------

// For functions that have no other way to say what went wrong. True when there was nothing to say.
bool ok_or_logged(const char* function, mako_raft_status status) {
  if (status == MAKO_RAFT_OK) return true;
  char line[4352];
  const char* error = mako_raft_last_error();
  // Some errors begin with the name of the call: it is the same for both surfaces, mostly.
  const size_t length = std::strlen(function);
  const bool is_named = std::strncmp(error, function, length) == 0 && error[length] == ':';
  std::snprintf(line, sizeof line, "%s%s%s", is_named ? "" : function, is_named ? "" : ": ", error);
  mako_raft_log(kError, line);
  return false;
}

// The end of a process whose callback threw. Called inside a catch block, so that a terminate handler
// of the host finds the exception.
[[noreturn]] void terminate_after(const char* where, const char* what) {
  char line[1024];
  std::snprintf(line, sizeof line,
                "%s threw an exception: %s. This replica can't go on; terminating the process", where,
                what);
  mako_raft_log(kError, line);
  std::terminate();
}

// Calls `call`; an exception ends the process with a message that begins with what `name` writes.
template <class Call, class Name>
auto or_terminate(const Call& call, const Name& name) noexcept -> decltype(call()) {
  char where[128];
  try {
    return call();
  } catch (const std::exception& error) {
    name(where, sizeof where);
    terminate_after(where, error.what());
  } catch (...) {
    name(where, sizeof where);
    terminate_after(where, "not a std::exception");
  }
}

// --- un-replayed logs ---------------------------------------------------------------------------

// What the callbacks of a vintage return and what their queue holds in its place: the one thing in
// which Mako's vintages differ here.
template <class Returned>
struct ReturnValue;

template <>
struct ReturnValue<int> {
  static uint32_t encoded(int returned) { return static_cast<uint32_t>(returned); }
  static int queued(int, uint32_t timestamp) { return static_cast<int>(timestamp); }
};

// August 2025: element 0 carries the value, and in the queue the timestamp. An empty vector says 0.
template <>
struct ReturnValue<std::vector<uint32_t>> {
  static uint32_t encoded(const std::vector<uint32_t>& returned) { return returned.empty() ? 0 : returned[0]; }
  static std::vector<uint32_t> queued(std::vector<uint32_t> returned, uint32_t timestamp) {
    returned[0] = timestamp;  // its status is 3, so it is not empty
    return returned;
  }
};

// A partition's logs that its callbacks returned with status 3. Touched only on the partition's
// thread, where both of its callbacks run, and destroyed with the last of these callbacks, which
// the library forgets at shutdown.
template <class Returned>
class Unreplayed {
 public:
  // (timestamp, slot, status, length, copy made with malloc)
  typedef std::queue<std::tuple<Returned, int, int, int, const char*>> Queue;

  Unreplayed() = default;
  Unreplayed(const Unreplayed&) = delete;
  Unreplayed& operator=(const Unreplayed&) = delete;
  ~Unreplayed() {
    for (; !logs_.empty(); logs_.pop()) std::free(const_cast<char*>(std::get<4>(logs_.front())));
  }

  Queue& logs() { return logs_; }

  void keep_if_unreplayed(const Returned& returned, const char* log, size_t length, uint32_t partition,
                          uint64_t slot) {
    uint32_t timestamp = 0;
    uint32_t status = 0;
    const uint32_t encoded = ReturnValue<Returned>::encoded(returned);
    ok_or_logged("mako_raft_decode_value",
                 mako_raft_decode_value(encoded, log, length, &timestamp, &status));
    if (status == kSafetyFail && length > 0) {
      char* copy = static_cast<char*>(std::malloc(length + 1));
      if (copy == nullptr) throw std::bad_alloc();
      std::memcpy(copy, log, length + 1);  // with the NUL behind it
      logs_.emplace(ReturnValue<Returned>::queued(returned, timestamp), static_cast<int>(slot),
                    static_cast<int>(status), static_cast<int>(length), copy);
    }
    if (logs_.size() != reported_) {
      reported_ = logs_.size();
      mako_raft_set_unreplayed(partition, reported_);
    }
  }

 private:
  static const uint32_t kSafetyFail = 3;

  Queue logs_;
  size_t reported_ = 0;
};

// The one queue of a partition, shared by its callbacks of both roles. It lives as long as one of
// them does.
template <class Returned>
std::shared_ptr<Unreplayed<Returned>> unreplayed_of(uint32_t partition) {
  // Leaked on purpose: a thread of the library may outlive the statics of this program.
  static std::mutex& mutex = *new std::mutex;
  static auto& queues = *new std::map<uint32_t, std::weak_ptr<Unreplayed<Returned>>>;
  std::lock_guard<std::mutex> lock(mutex);
  std::weak_ptr<Unreplayed<Returned>>& known = queues[partition];
  std::shared_ptr<Unreplayed<Returned>> queue = known.lock();
  if (!queue) {
    queue = std::make_shared<Unreplayed<Returned>>();
    known = queue;
  }
  return queue;
}

// --- callbacks ----------------------------------------------------------------------------------

// Each of the three forms of Mako's log callbacks is a type with
//   uint32_t operator()(const char* log, size_t length, uint32_t partition, uint64_t slot).

struct SimpleForm {
  std::function<void(const char*, int)> callback;

  uint32_t operator()(const char* log, size_t length, uint32_t, uint64_t) const {
    callback(log, static_cast<int>(length));
    return 0;
  }
};

struct ParIdForm {
  std::function<void(const char*&, int, int)> callback;

  uint32_t operator()(const char* log, size_t length, uint32_t partition, uint64_t) const {
    callback(log, static_cast<int>(length), static_cast<int>(partition));
    return 0;
  }
};

template <class Returned>
struct ReturnForm {
  std::function<Returned(const char*&, int, int, int, typename Unreplayed<Returned>::Queue&)> callback;
  std::shared_ptr<Unreplayed<Returned>> unreplayed;

  uint32_t operator()(const char* log, size_t length, uint32_t partition, uint64_t slot) const {
    const char* shown = log;  // the callback may move it
    const Returned returned = callback(shown, static_cast<int>(length), static_cast<int>(partition),
                                       static_cast<int>(slot), unreplayed->logs());
    unreplayed->keep_if_unreplayed(returned, log, length, partition, slot);
    return ReturnValue<Returned>::encoded(returned);
  }
};

enum Role { kLeader, kFollower };

const char* name_of(Role role) { return role == kLeader ? "leader" : "follower"; }

template <class Form>
struct Registered {
  Form form;
  Role role;
};

template <class Form>
uint32_t deliver(void* context, const char* log, size_t length, uint32_t partition,
                 uint64_t slot) noexcept {
  const Registered<Form>& registered = *static_cast<const Registered<Form>*>(context);
  return or_terminate([&] { return registered.form(log, length, partition, slot); },
                      [&](char* text, size_t size) {
                        std::snprintf(text, size, "the %s callback of partition %u at slot %llu",
                                      name_of(registered.role), partition,
                                      static_cast<unsigned long long>(slot));
                      });
}

void announce(void* context, int32_t code) noexcept {
  typedef std::function<void(int)> Callback;
  or_terminate([&] { (*static_cast<const Callback*>(context))(code); },
               [&](char* text, size_t size) {
                 std::snprintf(text, size, "the leader election callback with code %d",
                               static_cast<int>(code));
               });
}

// The destructor of a callback's context. What a std::function captured must not throw when it is
// destroyed; where it does, this ends the process.
template <class T>
void destroy(void* context) noexcept {
  delete static_cast<T*>(context);
}

// Hands a callback over to the library. Registering happens a few times in a process's life: an
// exception here is memory running out, and is reported as such.
template <class Form>
void register_log(const char* function, Role role, Form form, uint32_t partition) {
  if (!form.callback) {
    char line[128];
    std::snprintf(line, sizeof line, "%s: the callback for partition %u is empty; ignored", function,
                  partition);
    mako_raft_log(kError, line);
    return;
  }
  typedef Registered<Form> Context;
  std::unique_ptr<Context> context(new Context{std::move(form), role});
  const auto register_for =
      role == kLeader ? mako_raft_register_for_leader : mako_raft_register_for_follower;
  ok_or_logged(function,
               register_for(&deliver<Form>, context.release(), &destroy<Context>, partition));
}

// --- submission ---------------------------------------------------------------------------------

// Must work in a thread_local destructor: no static with a destructor, no allocation. True when the log was
// accepted; a refusal is counted and warned about by the library, at a bounded rate.
bool submit_log(const char* log, int length, uint32_t partition, uint16_t* leader_site = nullptr) {
  if (leader_site != nullptr) *leader_site = MAKO_RAFT_UNKNOWN_SITE;
  if (length < 0) {
    char reason[128];
    std::snprintf(reason, sizeof reason, "partition %u: the length of a log is %d; expected 0 or more",
                  partition, length);
    mako_raft_refuse(partition, reason);
    return false;
  }
  const size_t bytes = static_cast<size_t>(length);
  return mako_raft_submit(log, bytes, partition, nullptr, leader_site) == MAKO_RAFT_OK;
}

std::vector<std::vector<int>>* no_requests() {
  static auto* const empty = new std::vector<std::vector<int>>;
  return empty;
}

}  // namespace

namespace raft_impl {

// --- life cycle ---------------------------------------------------------------------------------

std::vector<std::string> setup(int argc, char* argv[]) {
  mako_raft_names* names = nullptr;
  if (!ok_or_logged("setup", mako_raft_setup(argc, argv, &names))) return {};
  std::unique_ptr<mako_raft_names, void (*)(mako_raft_names*)> owned(names, mako_raft_names_free);
  std::vector<std::string> sites;
  for (size_t i = 0; i < mako_raft_names_count(names); ++i) {
    sites.push_back(mako_raft_names_get(names, i));
  }
  return sites;
}

int setup2(int action, int shardIndex) {
  return ok_or_logged("setup2", mako_raft_setup2(action, shardIndex)) ? 0 : 1;
}

std::map<std::string, std::string> getHosts(std::string file) {
  mako_raft_hosts* hosts = nullptr;
  if (!ok_or_logged("getHosts", mako_raft_get_hosts(file.c_str(), &hosts))) return {};
  std::unique_ptr<mako_raft_hosts, void (*)(mako_raft_hosts*)> owned(hosts, mako_raft_hosts_free);
  std::map<std::string, std::string> addresses;
  for (size_t i = 0; i < mako_raft_hosts_count(hosts); ++i) {
    addresses[mako_raft_hosts_name(hosts, i)] = mako_raft_hosts_address(hosts, i);
  }
  return addresses;
}

void pre_shutdown_step() { ok_or_logged("pre_shutdown_step", mako_raft_pre_shutdown_step()); }

int shutdown_paxos() { return ok_or_logged("shutdown_paxos", mako_raft_shutdown()) ? 0 : 1; }

// --- callbacks ----------------------------------------------------------------------------------

void register_for_leader(std::function<void(const char*, int)> callback, uint32_t par_id) {
  register_log("register_for_leader", kLeader, SimpleForm{std::move(callback)}, par_id);
}

void register_for_follower(std::function<void(const char*, int)> callback, uint32_t par_id) {
  register_log("register_for_follower", kFollower, SimpleForm{std::move(callback)}, par_id);
}

void register_for_leader_par_id(std::function<void(const char*&, int, int)> callback, uint32_t par_id) {
  register_log("register_for_leader_par_id", kLeader, ParIdForm{std::move(callback)}, par_id);
}

void register_for_follower_par_id(std::function<void(const char*&, int, int)> callback,
                                  uint32_t par_id) {
  register_log("register_for_follower_par_id", kFollower, ParIdForm{std::move(callback)}, par_id);
}

void register_for_leader_par_id_return(
    std::function<int(const char*&, int, int, int,
                      std::queue<std::tuple<int, int, int, int, const char*>>&)>
        callback,
    uint32_t par_id) {
  register_log("register_for_leader_par_id_return", kLeader,
               ReturnForm<int>{std::move(callback), unreplayed_of<int>(par_id)}, par_id);
}

void register_for_follower_par_id_return(
    std::function<int(const char*&, int, int, int,
                      std::queue<std::tuple<int, int, int, int, const char*>>&)>
        callback,
    uint32_t par_id) {
  register_log("register_for_follower_par_id_return", kFollower,
               ReturnForm<int>{std::move(callback), unreplayed_of<int>(par_id)}, par_id);
}

void register_leader_election_callback(std::function<void(int)> callback) {
  typedef std::function<void(int)> Callback;
  const char* const function = "register_leader_election_callback";
  if (!callback) {
    ok_or_logged(function, mako_raft_register_leader_election_callback(nullptr, nullptr, nullptr));
    return;
  }
  std::unique_ptr<Callback> context(new Callback(std::move(callback)));
  ok_or_logged(function, mako_raft_register_leader_election_callback(&announce, context.release(),
                                                                    &destroy<Callback>));
}

// --- logs ---------------------------------------------------------------------------------------

void submit(const char* log, int len, uint32_t par_id) { submit_log(log, len, par_id); }

void add_log(const char* log, int len, uint32_t par_id) { submit_log(log, len, par_id); }

void add_log_without_queue(const char* log, int len, uint32_t par_id) { submit_log(log, len, par_id); }

bool add_log_to_nc(const char* log, int len, uint32_t par_id, int /* batch_size */, uint16_t* leader_hint_out) {
  return submit_log(log, len, par_id, leader_hint_out);
}

bool is_replication_leader(uint32_t par_id) { return mako_raft_is_leader(par_id); }

void wait_for_submit(uint32_t par_id) {
  ok_or_logged("wait_for_submit", mako_raft_wait_for_submit(par_id));
}

int get_outstanding_logs(uint32_t par_id) {
  uint64_t logs = 0;
  if (mako_raft_get_outstanding_logs(par_id, &logs) != MAKO_RAFT_OK) return -1;
  return logs > INT_MAX ? INT_MAX : static_cast<int>(logs);
}

void send_no_ops_for_mark(int epoch) {
  ok_or_logged("send_no_ops_for_mark", mako_raft_send_no_ops_for_mark(epoch));
}

void send_no_ops_to_all_workers(int epoch) {
  ok_or_logged("send_no_ops_to_all_workers", mako_raft_send_no_ops_to_all_workers(epoch));
}

// --- leadership and epochs ----------------------------------------------------------------------

void set_preferred_leader(int site_id) {
  ok_or_logged("set_preferred_leader", mako_raft_set_preferred_leader(site_id));
}

void upgrade_p1_to_leader() { ok_or_logged("upgrade_p1_to_leader", mako_raft_upgrade_to_leader()); }

int get_epoch() { return mako_raft_get_epoch(); }

void set_epoch(int epoch) { mako_raft_set_epoch(epoch); }

// --- figures ------------------------------------------------------------------------------------

void worker_info_stats(size_t partitions) { mako_raft_worker_info_stats(partitions); }

void microbench_paxos() { ok_or_logged("microbench_paxos", mako_raft_microbench()); }

void microbench_paxos_queue() { ok_or_logged("microbench_paxos_queue", mako_raft_microbench_queue()); }

// --- the client server of Mako's micro-benchmarks -----------------------------------------------

void nc_setup_server(int, std::string host) {
  char line[512];
  std::snprintf(line, sizeof line,
                "nc_setup_server: this version of mako-raft offers no client server; nothing listens on "
                "\"%s\" and the nc_get_ functions return an empty list",
                host.c_str());
  mako_raft_log(kWarning, line);
}

std::vector<std::vector<int>>* nc_get_new_order_requests(int) { return no_requests(); }
std::vector<std::vector<int>>* nc_get_payment_requests(int) { return no_requests(); }
std::vector<std::vector<int>>* nc_get_delivery_requests(int) { return no_requests(); }
std::vector<std::vector<int>>* nc_get_order_status_requests(int) { return no_requests(); }
std::vector<std::vector<int>>* nc_get_stock_level_requests(int) { return no_requests(); }
std::vector<std::vector<int>>* nc_get_read_requests(int) { return no_requests(); }
std::vector<std::vector<int>>* nc_get_rmw_requests(int) { return no_requests(); }

}  // namespace raft_impl

#ifndef MAKO_RAFT_IMPL_ONLY

// --- the same outside a namespace ---------------------------------------------------------------

std::vector<std::string> setup(int argc, char* argv[]) { return raft_impl::setup(argc, argv); }
int setup2(int action, int shardIndex) { return raft_impl::setup2(action, shardIndex); }
std::map<std::string, std::string> getHosts(std::string file) { return raft_impl::getHosts(std::move(file)); }
void pre_shutdown_step() { raft_impl::pre_shutdown_step(); }
int shutdown_paxos() { return raft_impl::shutdown_paxos(); }

void register_for_leader(std::function<void(const char*, int)> callback, uint32_t par_id) {
  raft_impl::register_for_leader(std::move(callback), par_id);
}
void register_for_follower(std::function<void(const char*, int)> callback, uint32_t par_id) {
  raft_impl::register_for_follower(std::move(callback), par_id);
}
void register_for_leader_par_id(std::function<void(const char*&, int, int)> callback, uint32_t par_id) {
  raft_impl::register_for_leader_par_id(std::move(callback), par_id);
}
void register_for_follower_par_id(std::function<void(const char*&, int, int)> callback, uint32_t par_id) {
  raft_impl::register_for_follower_par_id(std::move(callback), par_id);
}
void register_for_leader_par_id_return(
    std::function<int(const char*&, int, int, int,
                      std::queue<std::tuple<int, int, int, int, const char*>>&)>
        callback,
    uint32_t par_id) {
  raft_impl::register_for_leader_par_id_return(std::move(callback), par_id);
}
void register_for_follower_par_id_return(
    std::function<int(const char*&, int, int, int,
                      std::queue<std::tuple<int, int, int, int, const char*>>&)>
        callback,
    uint32_t par_id) {
  raft_impl::register_for_follower_par_id_return(std::move(callback), par_id);
}
void register_leader_election_callback(std::function<void(int)> callback) {
  raft_impl::register_leader_election_callback(std::move(callback));
}

// The two of August 2025, which only that tree's own headers declare.
typedef std::queue<std::tuple<std::vector<uint32_t>, int, int, int, const char*>> AugustQueue;
typedef std::function<std::vector<uint32_t>(const char*&, int, int, int, AugustQueue&)> AugustCallback;

void register_for_leader_par_id_return(AugustCallback callback, uint32_t par_id) {
  register_log("register_for_leader_par_id_return", kLeader,
               ReturnForm<std::vector<uint32_t>>{std::move(callback),
                                                 unreplayed_of<std::vector<uint32_t>>(par_id)},
               par_id);
}

void register_for_follower_par_id_return(AugustCallback callback, uint32_t par_id) {
  register_log("register_for_follower_par_id_return", kFollower,
               ReturnForm<std::vector<uint32_t>>{std::move(callback),
                                                 unreplayed_of<std::vector<uint32_t>>(par_id)},
               par_id);
}

void submit(const char* log, int len, uint32_t par_id) { submit_log(log, len, par_id); }
void add_log(const char* log, int len, uint32_t par_id) { submit_log(log, len, par_id); }
void add_log_without_queue(const char* log, int len, uint32_t par_id) { submit_log(log, len, par_id); }
void add_log_to_nc(const char* log, int len, uint32_t par_id, int /* batch_size */) {
  submit_log(log, len, par_id);
}

void wait_for_submit(uint32_t par_id) { raft_impl::wait_for_submit(par_id); }
int get_outstanding_logs(uint32_t par_id) { return raft_impl::get_outstanding_logs(par_id); }
void send_no_ops_for_mark(int epoch) { raft_impl::send_no_ops_for_mark(epoch); }
void send_no_ops_to_all_workers(int epoch) { raft_impl::send_no_ops_to_all_workers(epoch); }

void set_preferred_leader(int site_id) { raft_impl::set_preferred_leader(site_id); }
void upgrade_p1_to_leader() { raft_impl::upgrade_p1_to_leader(); }
int get_epoch() { return raft_impl::get_epoch(); }
void set_epoch(int epoch) { raft_impl::set_epoch(epoch); }

void worker_info_stats(size_t partitions) { raft_impl::worker_info_stats(partitions); }
void microbench_paxos() { raft_impl::microbench_paxos(); }
void microbench_paxos_queue() { raft_impl::microbench_paxos_queue(); }

void nc_setup_server(int nthreads, std::string host) { raft_impl::nc_setup_server(nthreads, std::move(host)); }
std::vector<std::vector<int>>* nc_get_new_order_requests(int) { return no_requests(); }
std::vector<std::vector<int>>* nc_get_payment_requests(int) { return no_requests(); }
std::vector<std::vector<int>>* nc_get_delivery_requests(int) { return no_requests(); }
std::vector<std::vector<int>>* nc_get_order_status_requests(int) { return no_requests(); }
std::vector<std::vector<int>>* nc_get_stock_level_requests(int) { return no_requests(); }
std::vector<std::vector<int>>* nc_get_read_requests(int) { return no_requests(); }
std::vector<std::vector<int>>* nc_get_rmw_requests(int) { return no_requests(); }

#endif  // MAKO_RAFT_IMPL_ONLY
