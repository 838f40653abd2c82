#pragma once
// System calls that Swift cannot reach. Nothing else is here.

// glibc declares it only under _GNU_SOURCE, which the Swift importer does not set.
int syncfs(int fd);

// Writes what is dirty on the file system of `fd` to disk: syncfs(2). A write-back error since `fd` was opened is told.
static inline int streamdiff_syncfs(int fd) { return syncfs(fd); }

#include <sys/prctl.h>

// Names the calling thread, in at most 15 bytes: prctl(2), which Swift cannot call because it is variadic.
static inline int streamdiff_set_thread_name(const char *name) { return prctl(PR_SET_NAME, name, 0, 0, 0); }

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
