import CLinux
import Glibc
import NIOPosix

/// Gives memory back to the system when a burst is over: the heap keeps what was freed, for every thread apart,
/// and would look as large as its largest moment for ever.
public enum MemoryKeeper {
  /// Free bytes that may gather in the heap before they are given back: less would cost more page faults than it
  /// saves memory.
  static let kept = 4 << 20
  private static let interval = Duration.seconds(2)

  /// Runs until its task is cancelled.
  public static func run() async {
    // What no giving back frees: parts of pages, and what others map.
    var rest = 0
    while true {
      do {
        try await Task.sleep(for: interval)
        let before = rest
        rest = try await NIOThreadPool.singleton.runIfActive { giveBack(beyond: before) }
      } catch {
        return  // cancelled, or the process ends
      }
    }
  }

  /// - Returns: anonymous bytes that are not in use, after giving back those that have gathered `beyond` what was
  ///   left the last time.
  private static func giveBack(beyond rest: Int) -> Int {
    guard let free = freeBytes() else { return rest }
    guard free > rest + kept else { return min(rest, free) }
    streamdiff_give_back_heap()
    return freeBytes() ?? rest
  }

  private static func freeBytes() -> Int? {
    residentBytes().map { max(0, $0 - streamdiff_heap_in_use()) }
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
