#pragma once
// System calls that Swift cannot reach. Nothing else is here.

// glibc declares it only under _GNU_SOURCE, which the Swift importer does not set.
int syncfs(int fd);

// Writes what is dirty on the file system of `fd` to disk: syncfs(2). A write-back error since `fd` was opened is told.
static inline int streamdiff_syncfs(int fd) { return syncfs(fd); }

#include <sys/prctl.h>

// Names the calling thread, in at most 15 bytes: prctl(2), which Swift cannot call because it is variadic.
static inline int streamdiff_set_thread_name(const char *name) { return prctl(PR_SET_NAME, name, 0, 0, 0); }

#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

// The beginning of `struct tcp_info` as the kernel's ABI has it (include/uapi/linux/tcp.h; fields are only added):
// glibc's own has the first 104 bytes alone.
struct streamdiff_tcp_info {
  uint8_t state, ca_state, retransmits, probes, backoff, options, window_scales, app_limited_and_fastopen;
  uint32_t rto, ato, snd_mss, rcv_mss, unacked, sacked, lost, retrans, fackets;
  uint32_t last_data_sent, last_ack_sent, last_data_recv, last_ack_recv;
  uint32_t pmtu, rcv_ssthresh, rtt, rttvar, snd_ssthresh, snd_cwnd, advmss, reordering, rcv_rtt, rcv_space;
  uint32_t total_retrans;
  uint64_t pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
  uint32_t segs_out, segs_in, notsent_bytes, min_rtt, data_segs_in, data_segs_out;
  uint64_t delivery_rate, busy_time, rwnd_limited, sndbuf_limited;
  uint32_t delivered, delivered_ce;
  uint64_t bytes_sent, bytes_retrans;
};

// TCP_INFO of a socket: tcp(7). 0, or -1 where it is no TCP socket or the kernel tells less than this (before 4.19).
static inline int streamdiff_tcp_info(int fd, struct streamdiff_tcp_info *info) {
  socklen_t length = sizeof *info;
  memset(info, 0, sizeof *info);
  if (getsockopt(fd, 6 /* IPPROTO_TCP */, 11 /* TCP_INFO */, info, &length) != 0) return -1;
  return length >= sizeof *info ? 0 : -1;
}

// TCP_CONGESTION: the algorithm's name, at most 15 bytes.
static inline int streamdiff_get_congestion(int fd, char name[16]) {
  socklen_t length = 15;
  memset(name, 0, 16);
  return getsockopt(fd, 6, 13 /* TCP_CONGESTION */, name, &length);
}

static inline int streamdiff_set_congestion(int fd, const char *name) {
  return setsockopt(fd, 6, 13, name, (socklen_t)strlen(name));
}

// TCP_NOTSENT_LOWAT: with so many bytes unsent the socket is writable no more.
static inline int streamdiff_set_notsent_lowat(int fd, int bytes) {
  return setsockopt(fd, 6, 25, &bytes, sizeof bytes);
}

#include <malloc.h>

// Bytes that the heap has lent out: mallinfo2(3).
static inline size_t streamdiff_heap_in_use(void) {
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

// Gives whole free pages of the heap back to the system, wherever they lie: malloc_trim(3).
static inline void streamdiff_give_back_heap(void) { malloc_trim(0); }

// How malloc keeps memory, before the first thread starts: mallopt(3). Buffers below `largest` bytes stay in the heap
// instead of being mapped, zeroed by the kernel and unmapped each time; at most `keep` free bytes at the end of each
// of `arenas` heaps are kept. What is free in one heap is of no use to the threads of another, hence few.
static inline void streamdiff_set_heap(int largest, int keep, int arenas) {
  mallopt(M_MMAP_THRESHOLD, largest);
  mallopt(M_TRIM_THRESHOLD, keep);
  mallopt(M_ARENA_MAX, arenas);
}
