import Glibc
import Logging
import StreamDiffCore
import Synchronization

/// Where a server traces the sessions in which it sends: a file each.
final class TraceDirectory: Sendable {
  /// Bytes that a server traces from its start to its end: over a day of one session.
  private static let bytes = 1 << 30
  /// What a file takes of that at least: peers that begin sessions without end make only so many.
  private static let leastBytes = 64 << 10

  private let path: String
  private let logger: Logger
  private let left = Atomic<Int>(bytes)
  private let count = Atomic<UInt64>(0)
  /// Those of which lines may still have to be written: who writes one keeps it.
  private let open = Mutex<[WeakFile]>([])

  private struct WeakFile: Sendable { weak let file: TraceFile? }

  /// Makes the directory if there is none.
  /// - Throws: `.failed` naming it and why it cannot be written.
  init(_ path: String, logger: Logger) throws(ClientFailure) {
    (self.path, self.logger) = (path, logger)
    guard mkdir(path, 0o755) == 0 || errno == EEXIST, access(path, W_OK | X_OK) == 0 else {
      throw ClientFailure(.failed, "--trace \(path): \(String(cString: strerror(errno)))")
    }
  }

  /// - Returns: `nil` where no more is traced: that is logged.
  func begin(peer: String) -> TraceFile? {
    guard take(Self.leastBytes) else { return nil }
    let number = count.add(1, ordering: .relaxed).newValue
    let name = String(peer.map { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == ".") ? $0 : "_" })
    do {
      let file = try TraceFile("\(path)/\(time(nil))-\(getpid())-\(number)-\(name).ndjson") { [self] in
        take($0)
      } onFailure: { [logger] reason in
        logger.error("a trace ended", metadata: ["reason": "\(reason)"])
      }
      open.withLock { open in
        open.removeAll { $0.file == nil }
        open.append(WeakFile(file: file))
      }
      return file
    } catch {
      logger.error("no trace", metadata: ["reason": "\(error.detail)"])
      return nil
    }
  }

  /// Returns when all that sessions traced is written, or cannot be. They are over.
  func close() async {
    for each in open.withLock({ $0 }) { await each.file?.close() }
  }

  private func take(_ bytes: Int) -> Bool {
    let (before, after) = left.subtract(bytes, ordering: .relaxed)
    if before > 0, after <= 0 {
      logger.error(
        "no session is traced any more", metadata: ["bytes": "\(Self.bytes)", "directory": "\(path)"])
    }
    return after > 0
  }
}
