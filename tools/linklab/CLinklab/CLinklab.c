#define _GNU_SOURCE
#include "CLinklab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int failed_after(int fd) {
  int code = errno;
  close(fd);
  errno = code;
  return -1;
}

int linklab_new_namespace(void) { return unshare(CLONE_NEWNET); }

int linklab_enter(int namespace_fd) { return setns(namespace_fd, CLONE_NEWNET); }

int linklab_share(const char *directory) {
  if (mount("", directory, "none", MS_SHARED | MS_REC, NULL) == 0) return 0;
  if (errno != EINVAL) return -1;  // EINVAL: no mount of its own yet
  if (mount(directory, directory, "none", MS_BIND | MS_REC, NULL) != 0) return -1;
  return mount("", directory, "none", MS_SHARED | MS_REC, NULL);
}

int linklab_bind(const char *from, const char *onto) { return mount(from, onto, "none", MS_BIND, NULL); }

int linklab_unbind(const char *path) { return umount2(path, MNT_DETACH); }

int linklab_tun(const char *name) {
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return -1;
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  if (ioctl(fd, TUNSETIFF, &request) != 0) return failed_after(fd);
  return fd;
}

static void set_address(struct ifreq *request, uint32_t address) {
  struct sockaddr_in *place = (struct sockaddr_in *)&request->ifr_addr;
  memset(place, 0, sizeof *place);
  place->sin_family = AF_INET;
  place->sin_addr.s_addr = htonl(address);
}

int linklab_configure(const char *name, uint32_t address, int prefix, int mtu, int ring) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  struct ifreq request = {0};
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  request.ifr_mtu = mtu;
  if (ioctl(fd, SIOCSIFMTU, &request) != 0) return failed_after(fd);
  request.ifr_qlen = ring;
  if (ioctl(fd, SIOCSIFTXQLEN, &request) != 0) return failed_after(fd);
  set_address(&request, address);
  if (ioctl(fd, SIOCSIFADDR, &request) != 0) return failed_after(fd);
  set_address(&request, 0xffffffffu << (32 - prefix));
  if (ioctl(fd, SIOCSIFNETMASK, &request) != 0) return failed_after(fd);
  close(fd);
  return linklab_up(name);
}

int linklab_up(const char *name) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  struct ifreq request = {0};
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  if (ioctl(fd, SIOCGIFFLAGS, &request) != 0) return failed_after(fd);
  request.ifr_flags |= IFF_UP;
  if (ioctl(fd, SIOCSIFFLAGS, &request) != 0) return failed_after(fd);
  return close(fd);
}

int linklab_realtime(int priority) {
  struct sched_param parameters = {.sched_priority = priority};
  return sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &parameters);
}

int linklab_process(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

int linklab_timer(void) { return timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC); }

int linklab_ring(int timer, int64_t nanoseconds) {
  struct itimerspec time = {
      .it_value = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000}};
  return timerfd_settime(timer, TFD_TIMER_ABSTIME, &time, NULL);
}

int linklab_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGHUP);
  sigaddset(&set, SIGCHLD);
  signal(SIGPIPE, SIG_IGN);
  if (sigprocmask(SIG_BLOCK, &set, NULL) != 0) return -1;
  return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

int linklab_next_signal(int signals, int *typed) {
  struct signalfd_siginfo info;
  if (read(signals, &info, sizeof info) != sizeof info) return 0;
  *typed = info.ssi_code == SI_KERNEL;
  return (int)info.ssi_signo;
}

int linklab_poll(void) { return epoll_create1(EPOLL_CLOEXEC); }

int linklab_watch(int poll, int fd) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  return epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
}

int linklab_wait(int poll, int *ready, int most) {
  struct epoll_event events[16];
  int count = epoll_wait(poll, events, most < 16 ? most : 16, -1);
  for (int each = 0; each < count; each++) ready[each] = events[each].data.fd;
  return count;
}

static int address_of(const char *path, struct sockaddr_un *address) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  if (strlen(path) >= sizeof address->sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(address->sun_path, path);
  return 0;
}

int linklab_listen(const char *path) {
  struct sockaddr_un address;
  if (address_of(path, &address) != 0) return -1;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  mode_t mask = umask(0177);
  int bound = bind(fd, (struct sockaddr *)&address, sizeof address);
  umask(mask);
  if (bound != 0 || listen(fd, 8) != 0) return failed_after(fd);
  return fd;
}

int linklab_accept(int listener) { return accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC); }

int linklab_connect(const char *path) {
  struct sockaddr_un address;
  if (address_of(path, &address) != 0) return -1;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  struct timeval patience = {.tv_sec = 5};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) return failed_after(fd);
  return fd;
}

// Of the child: how it belongs to its parent, or does not.
static void begin_bound(pid_t parent) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // it was killed before prctl
}

static void begin_apart(pid_t parent) {
  (void)parent;
  setsid();
  int null = open("/dev/null", O_RDWR);
  for (int stream = 0; stream <= 2; stream++) dup2(null, stream);
  if (null > 2) close(null);
}

static pid_t start(char *const argv[], char *const environment[], void (*begin)(pid_t)) {
  int told[2];  // closed by a successful exec, else it carries errno
  if (pipe2(told, O_CLOEXEC) != 0) return -1;
  pid_t parent = getpid();
  pid_t child = fork();
  if (child < 0) {
    close(told[0]);
    return failed_after(told[1]);
  }
  if (child == 0) {
    begin(parent);
    execvpe(argv[0], argv, environment);
    int code = errno;
    ssize_t written = write(told[1], &code, sizeof code);
    _exit(written == sizeof code ? 127 : 126);
  }
  close(told[1]);
  int code = 0;
  ssize_t count = read(told[0], &code, sizeof code);
  close(told[0]);
  if (count == sizeof code) {
    waitpid(child, NULL, 0);
    errno = code;
    return -1;
  }
  return child;
}

pid_t linklab_start(char *const argv[], char *const environment[]) {
  return start(argv, environment, begin_bound);
}

pid_t linklab_start_apart(char *const argv[], char *const environment[]) {
  return start(argv, environment, begin_apart);
}
