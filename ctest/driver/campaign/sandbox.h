// Namespaces of the campaign's own: a loopback device, firewall tables and mounts that nobody else sees and
// that the kernel takes away when the last process of the campaign is gone, however it went.
#ifndef CAMPAIGN_SANDBOX_H
#define CAMPAIGN_SANDBOX_H

#include <string>

// Empty where this process, which has one thread yet, is now in them; otherwise why it is not.
std::string enter_sandbox();

// A file system in memory of so many bytes, over `directory`. Throws Failure.
void mount_small_disk(const std::string &directory, size_t bytes);
void unmount_small_disk(const std::string &directory);
// Takes all the room that is left, and gives it back.
void fill_disk(const std::string &directory);
void empty_disk(const std::string &directory);

#endif
