// Makes the n-th matching call of a process fail, or take its time, from then on if told so: loaded with LD_PRELOAD.
//
//   BREAK_CALL     fdatasync, fsync, write (and pwrite), fallocate, rename or open
//   BREAK_PATH     a part of the file's path
//   BREAK_AFTER    matching calls that succeed first
//   BREAK_ERRNO    what the others fail with, as a number
//   BREAK_TIMES    how many fail; 0: all from then on
//   BREAK_DELAY    milliseconds: these do not fail, and take so long
//   BREAK_WHILE    a file: calls match only while it is there
//   BREAK_LOG      a file that gets a line for each matching call: "ok CALL PATH" or "failed CALL PATH"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long calls, failures;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static const char *setting(const char *name, const char *otherwise) {
  const char *value = getenv(name);
  return value ? value : otherwise;
}

// Whether this call is to fail; then errno is set.
static int breaks(const char *call, const char *path) {
  if (strcmp(call, setting("BREAK_CALL", "")) != 0) return 0;
  if (path == NULL || strstr(path, setting("BREAK_PATH", "")) == NULL) return 0;
  const char *marker = getenv("BREAK_WHILE");
  if (marker != NULL && access(marker, F_OK) != 0) return 0;
  pthread_mutex_lock(&mutex);
  long times = atol(setting("BREAK_TIMES", "0"));
  int fails = calls++ >= atol(setting("BREAK_AFTER", "0")) && (times == 0 || failures < times);
  failures += fails;
  const char *log = getenv("BREAK_LOG");
  if (log != NULL) {
    char line[4200];
    int length = snprintf(line, sizeof line, "%s %s %s\n", fails ? "failed" : "ok", call, path);
    int file = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (file >= 0) {
      syscall(SYS_write, file, line, (size_t)length);
      syscall(SYS_close, file);
    }
  }
  pthread_mutex_unlock(&mutex);
  long delay = atol(setting("BREAK_DELAY", "0"));
  if (fails && delay > 0) {
    usleep((useconds_t)delay * 1000);
    return 0;
  }
  if (fails) errno = atoi(setting("BREAK_ERRNO", "5"));
  return fails;
}

static int breaks_file(const char *call, int file) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return breaks(call, path);
}

int fdatasync(int file) { return breaks_file("fdatasync", file) ? -1 : REAL(fdatasync)(file); }
int fsync(int file) { return breaks_file("fsync", file) ? -1 : REAL(fsync)(file); }

ssize_t write(int file, const void *bytes, size_t count) {
  return breaks_file("write", file) ? -1 : REAL(write)(file, bytes, count);
}
ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset) {
  return breaks_file("write", file) ? -1 : REAL(pwrite)(file, bytes, count, offset);
}
ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t offset) {
  return breaks_file("write", file) ? -1 : REAL(pwrite64)(file, bytes, count, offset);
}

int posix_fallocate(int file, off_t offset, off_t length) {
  return breaks_file("fallocate", file) ? errno : REAL(posix_fallocate)(file, offset, length);
}
int posix_fallocate64(int file, off64_t offset, off64_t length) {
  return breaks_file("fallocate", file) ? errno : REAL(posix_fallocate64)(file, offset, length);
}
int fallocate(int file, int mode, off_t offset, off_t length) {
  return breaks_file("fallocate", file) ? -1 : REAL(fallocate)(file, mode, offset, length);
}

int rename(const char *old, const char *new) { return breaks("rename", new) ? -1 : REAL(rename)(old, new); }

static int mode_of(int flags, va_list rest) { return flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, int) : 0; }

int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  int mode = mode_of(flags, rest);
  va_end(rest);
  return breaks("open", path) ? -1 : REAL(open)(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  int mode = mode_of(flags, rest);
  va_end(rest);
  return breaks("open", path) ? -1 : REAL(open64)(path, flags, mode);
}
