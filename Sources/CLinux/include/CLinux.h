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

// Buffers of a message or a batch stay in the heap instead of being mapped, zeroed by the kernel and unmapped each time:
// mallopt(3). At most `keep` free bytes at the heap's end are kept.
static inline void streamdiff_keep_large_buffers(int largest, int keep) {
  mallopt(M_MMAP_THRESHOLD, largest);
  mallopt(M_TRIM_THRESHOLD, keep);
}
