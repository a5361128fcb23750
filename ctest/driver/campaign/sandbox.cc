#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <fstream>

#include "../replica.h"

namespace {

std::string reason(const char *what) { return std::string(what) + ": " + strerror(errno); }

bool write_file(const char *file, const std::string &text) {
  std::ofstream output(file);
  output << text;
  output.flush();
  return output.good();
}

// Without root, a user namespace gives the rights over the others.
bool unshare_as_user() {
  const std::string user = std::to_string(geteuid()), group = std::to_string(getegid());
  return unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS) == 0 && write_file("/proc/self/setgroups", "deny") &&
         write_file("/proc/self/uid_map", "0 " + user + " 1") && write_file("/proc/self/gid_map", "0 " + group + " 1");
}

bool raise_loopback() {
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  const bool raised = socket >= 0 && ioctl(socket, SIOCSIFFLAGS, &request) == 0;
  if (socket >= 0) close(socket);
  return raised;
}

std::string filler(const std::string &directory) { return directory + "/filler"; }

}  // namespace

std::string enter_sandbox() {
  const bool entered = (geteuid() == 0 && unshare(CLONE_NEWNET | CLONE_NEWNS) == 0) || unshare_as_user();
  if (!entered) {
    return reason("no namespaces of its own") +
           " (it takes root, or a kernel that lets users have them: see kernel.unprivileged_userns_clone, "
           "kernel.apparmor_restrict_unprivileged_userns and user.max_user_namespaces)";
  }
  // What is mounted here must not show elsewhere.
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return reason("mounts stay shared");
  if (!raise_loopback()) return reason("no loopback device");
  return "";
}

void mount_small_disk(const std::string &directory, size_t bytes) {
  const std::string size = "size=" + std::to_string(bytes);
  require(mount("campaign", directory.c_str(), "tmpfs", 0, size.c_str()) == 0,
          reason(("can't mount a file system at " + directory).c_str()));
}

void unmount_small_disk(const std::string &directory) { umount2(directory.c_str(), MNT_DETACH); }

void fill_disk(const std::string &directory) {
  const int file = open(filler(directory).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  require(file >= 0, reason("can't write the file that fills the disk"));
  off_t size = 0;
  // The replica is writing meanwhile, so what is free may be gone already.
  for (off_t step = 64 << 20; step >= 4096;) {
    if (posix_fallocate(file, size, step) == 0) {
      size += step;
    } else {
      step /= 2;
    }
  }
  close(file);
}

void empty_disk(const std::string &directory) { unlink(filler(directory).c_str()); }
