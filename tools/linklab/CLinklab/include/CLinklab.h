#pragma once
// Linux calls that Swift cannot reach: variadic ones, those behind _GNU_SOURCE, and structures with unions. Each does
// one thing, and fails as the call does: -1 and errno.
#include <stdint.h>
#include <sys/types.h>

// Network namespaces. A new one becomes the thread's own: unshare(2); `linklab_enter` changes to another: setns(2).
int linklab_new_namespace(void);
int linklab_enter(int namespace_fd);

// Mounts, for names under /run/netns as ip-netns(8) has them. `linklab_share` makes `directory` a mount of its own that
// passes on what happens under it, so that a name that goes away goes away in every mount namespace.
int linklab_share(const char *directory);
int linklab_bind(const char *from, const char *onto);
int linklab_unbind(const char *path);

// A TUN interface `name` in the thread's namespace, without packet information or offloads: one read, one packet as on
// the wire. Non-blocking. It lives as long as the descriptor.
int linklab_tun(const char *name);
// Its address (host byte order), MTU and ring in packets; then it goes up.
int linklab_configure(const char *name, uint32_t address, int prefix, int mtu, int ring);
int linklab_up(const char *name);

// SCHED_FIFO for this process, not for what it starts: sched_setscheduler(2).
int linklab_realtime(int priority);

// Readable when process `pid` has ended: pidfd_open(2).
int linklab_process(pid_t pid);

// A timer on CLOCK_MONOTONIC: timerfd_create(2). It rings once at `nanoseconds`, or never for 0.
int linklab_timer(void);
int linklab_ring(int timer, int64_t nanoseconds);

// SIGINT, SIGTERM, SIGHUP and SIGCHLD as reads: signalfd(2). 0 when there is none; `typed` tells one from a terminal.
int linklab_signals(void);
int linklab_next_signal(int signals, int *typed);

// Readiness: epoll(7), level-triggered. `linklab_wait` writes the descriptors that are readable, at most `most`.
int linklab_poll(void);
int linklab_watch(int poll, int fd);
int linklab_wait(int poll, int *ready, int most);

// A stream socket at `path`, for this user alone, non-blocking; and the other end, blocking for at most five seconds.
int linklab_listen(const char *path);
int linklab_accept(int listener);
int linklab_connect(const char *path);

// Starts argv[0], found in PATH, in the thread's namespace. It is ended when this process is killed. What keeps it from
// starting is told here: -1 and errno.
pid_t linklab_start(char *const argv[], char *const environment[]);
// The same apart from this process: in a session of its own, without its terminal and its streams, the signals of
// `linklab_signals` blocked as here. It outlives this process.
pid_t linklab_start_apart(char *const argv[], char *const environment[]);
