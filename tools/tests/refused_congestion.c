// LD_PRELOAD: a system that has no congestion control of the name in REFUSE_CONGESTION for this process.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int setsockopt(int socket, int level, int option, const void *value, socklen_t length) {
  static int (*next)(int, int, int, const void *, socklen_t);
  const char *refused = getenv("REFUSE_CONGESTION");
  if (level == IPPROTO_TCP && option == TCP_CONGESTION && refused && length >= strlen(refused) &&
      memcmp(value, refused, strlen(refused)) == 0) {
    errno = EPERM;
    return -1;
  }
  if (!next) next = (int (*)(int, int, int, const void *, socklen_t))dlsym(RTLD_NEXT, "setsockopt");
  return next(socket, level, option, value, length);
}
