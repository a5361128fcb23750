/* Preloaded into a replica: gives each process of a shard its own address for each host name, while all of them
 * are configured with the same files. So every line between two processes has an address of its own, on which a
 * proxy can listen and by which a firewall rule can tell it from the others.
 *
 * MAKO_RAFT_TEST_NAMES is "name=address name=address ...". Other names are looked up as ever. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESS_CHARS 64

typedef int (*lookup)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

/* 1 and the address, where the environment has one for `name`. */
static int own_address(const char *name, char address[ADDRESS_CHARS]) {
  const char *names = getenv("MAKO_RAFT_TEST_NAMES");
  const size_t length = strlen(name);
  while (names != NULL && *names != '\0') {
    const size_t entry = strcspn(names, " ");
    if (entry > length + 1 && entry - length - 1 < ADDRESS_CHARS && strncmp(names, name, length) == 0 &&
        names[length] == '=') {
      memcpy(address, names + length + 1, entry - length - 1);
      address[entry - length - 1] = '\0';
      return 1;
    }
    names += entry;
    names += strspn(names, " ");
  }
  return 0;
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **result) {
  lookup next;
  void *found = dlsym(RTLD_NEXT, "getaddrinfo");
  char address[ADDRESS_CHARS];
  if (found == NULL) return EAI_SYSTEM;
  memcpy(&next, &found, sizeof next); /* ISO C has no conversion from object to function pointers */
  return next(name != NULL && own_address(name, address) ? address : name, service, hints, result);
}
