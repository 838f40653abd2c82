import CLinux
import Glibc
import NIOPosix
import StreamDiffCore

/// Gives memory back to the system when a burst is over: the heap keeps what was freed, for every thread apart,
/// and would look as large as its largest moment for ever.
public enum MemoryKeeper {
  /// Free bytes that may gather in the heap before they are given back: less would cost more page faults than it
  /// saves memory, but in a process that has nothing to do.
  static let kept = 4 << 20
  static let keptWhenQuiet = 512 << 10
  /// Of the processor, over an interval: less is quiet.
  private static let quietShare = 0.02
  private static let interval = Duration.seconds(2)

  /// What the heap has lent out: what it keeps free for the next burst, which the system counts as used, is not in it.
  static var heapBytesInUse: Int { streamdiff_heap_in_use() }

  /// How the heap keeps memory: to be called first of all, before another thread starts. A message of 1 MiB costs a
  /// fifth when its buffer is not mapped anew each time. Four heaps: with one for every thread a server that had
  /// passed 4 GiB on kept 100 MiB free in them.
  public static func setHeap() { streamdiff_set_heap(8 << 20, 32 << 20, 4) }

  /// Runs until its task is cancelled.
  public static func run() async {
    // What no giving back frees: parts of pages, and what others map.
    var rest = 0
    let clock = ContinuousClock()
    var (used, since) = (processorTime(), clock.now)
    while true {
      do {
        try await Task.sleep(for: interval)
        let (nowUsed, now) = (processorTime(), clock.now)
        let isQuiet = nowUsed - used < (now - since) * quietShare
        (used, since) = (nowUsed, now)
        CodecPool.node.giveBackIdle()
        let (before, allowed) = (rest, isQuiet ? keptWhenQuiet : kept)
        rest = try await NIOThreadPool.singleton.runIfActive {
          giveBack(beyond: before + allowed, rest: before)
        }
      } catch {
        return  // cancelled, or the process ends
      }
    }
  }

  /// Of this process, by all its threads.
  private static func processorTime() -> Duration {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
  }

  /// - Parameter rest: what was left the last time.
  /// - Returns: anonymous bytes that are not in use, after giving them back when they are too many.
  private static func giveBack(beyond most: Int, rest: Int) -> Int {
    guard let free = freeBytes() else { return rest }
    guard free > most else { return min(rest, free) }
    streamdiff_give_back_heap()
    return freeBytes() ?? rest
  }

  private static func freeBytes() -> Int? {
    residentBytes().map { max(0, $0 - heapBytesInUse) }
  }

  /// Anonymous memory of the process; `nil` where /proc cannot be read.
  private static func residentBytes() -> Int? {
    guard let file = fopen("/proc/self/statm", "re") else { return nil }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    guard fgets(&line, Int32(line.count), file) != nil else { return nil }
    let fields = line.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }.split(separator: " ")
    guard fields.count >= 3, let resident = Int(fields[1]), let shared = Int(fields[2]) else { return nil }
    return (resident - shared) * sysconf(Int32(_SC_PAGESIZE))
  }
}
