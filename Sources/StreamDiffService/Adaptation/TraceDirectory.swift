import Glibc
public import Logging
public import StreamDiffCore
import StreamDiffStorage
import Synchronization

/// Where a server traces the sessions in which it sends: a file each, `streamdiff-trace-MS-NUMBER-PEER.ndjson`, of
/// which the newest stay (`TraceShelf`). Those of the server's earlier runs are among them; files of any other name
/// are nobody's business here.
public final class TraceDirectory: Sendable {
  /// A session makes some 12 kB a second, and tells all there is to know in much less than an hour and a half.
  public static let limits = TraceShelf.Limits(bytes: 1 << 30, traceBytes: 64 << 20, leastBytes: 64 << 10)
  private static let prefix = "streamdiff-trace-"
  private static let suffix = ".ndjson"

  private struct State {
    var shelf: TraceShelf
    var count: UInt64 = 0
  }

  private struct WeakFile: Sendable { weak let file: TraceFile? }

  private let path: String
  private let limits: TraceShelf.Limits
  private let logger: Logger
  /// Locked: two servers would remove each other's.
  private let directory: OpenFile
  private let state: Mutex<State>
  /// Those of which lines may still have to be written: who writes one keeps it. Apart from `state`, which the end of
  /// a file changes, and a look here may be what ends one.
  private let open = Mutex<[WeakFile]>([])

  /// Makes the directory if there is none.
  /// - Throws: `.failed` naming it and why it cannot be used.
  public init(
    _ path: String, limits: TraceShelf.Limits = limits, logger: Logger
  ) throws(ClientFailure) {
    func failure(_ reason: String) -> ClientFailure { ClientFailure(.failed, "--trace \(path): \(reason)") }
    func systemFailure() -> ClientFailure { failure(String(cString: strerror(errno))) }
    guard mkdir(path, 0o755) == 0 || errno == EEXIST, access(path, W_OK | X_OK) == 0 else {
      throw systemFailure()
    }
    let descriptor = Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw systemFailure() }
    directory = OpenFile(owning: descriptor)
    // File systems that cannot lock a directory are no reason not to trace.
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK else {
      throw failure("another server traces into it; give each a directory of its own")
    }
    var shelf = TraceShelf(limits)
    do {
      for (name, bytes) in try Self.traces(in: path) { shelf.adopt(name, bytes: bytes) }
    } catch {
      throw failure("\(error)")
    }
    (self.path, self.limits, self.logger) = (path, limits, logger)
    state = Mutex(State(shelf: shelf))
  }

  /// - Returns: `nil` where the session is not traced: why is logged.
  public func begin(peer: String) -> TraceFile? {
    let who = String(peer.map { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == ".") ? $0 : "_" })
    let (name, removed) = state.withLock { state in
      state.count += 1
      let name = "\(Self.prefix)\(Self.milliseconds)-\(state.count)-\(who)\(Self.suffix)"
      return (name, state.shelf.begin(name))
    }
    remove(removed)
    do {
      let file = try TraceFile("\(path)/\(name)") { [self] in
        refusal($0, to: name)
      } onFailure: { [logger] reason in
        logger.warning("a trace ended before its session", metadata: ["reason": "\(reason)"])
      } onEnd: { [self] in
        state.withLock { $0.shelf.end(name) }
      }
      open.withLock { open in
        open.removeAll { $0.file == nil }
        open.append(WeakFile(file: file))
      }
      return file
    } catch {
      state.withLock { $0.shelf.end(name) }
      logger.error("no trace", metadata: ["reason": "\(error.detail)"])
      return nil
    }
  }

  /// Returns when all that sessions traced is written, or cannot be. They are over.
  func close() async {
    for each in open.withLock({ $0 }) { await each.file?.close() }
  }

  private func refusal(_ bytes: Int, to name: String) -> String? {
    switch state.withLock({ $0.shelf.write(bytes, to: name) }) {
    case .granted(let removed):
      remove(removed)
      return nil
    case .full: return "one has at most \(ByteSize(UInt64(limits.traceBytes)))"
    case .removed: return "it was removed to make room for newer ones"
    }
  }

  private func remove(_ names: [String]) {
    for name in names where unlink("\(path)/\(name)") != 0 && errno != ENOENT {
      logger.error(
        "an old trace stays",
        metadata: ["file": "\(path)/\(name)", "reason": "\(String(cString: strerror(errno)))"])
    }
  }

  // MARK: Names

  /// Since 1970: names in their order are traces in theirs.
  private static var milliseconds: Int {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
  }

  private static func isTrace(_ name: String) -> Bool {
    guard name.hasPrefix(prefix), name.hasSuffix(suffix) else { return false }
    let parts = name.dropFirst(prefix.count).split(separator: "-", maxSplits: 2)
    return parts.count == 3 && parts[..<2].allSatisfy { $0.allSatisfy { ("0"..."9").contains($0) } }
  }

  /// Files of this user with the names that `begin` gives, the oldest first.
  private static func traces(in path: String) throws(StorageError) -> [(name: String, bytes: Int)] {
    try PosixFileSystem().list(path).filter(isTrace).sorted().compactMap { name in
      var status = stat()
      guard lstat("\(path)/\(name)", &status) == 0, status.st_mode & S_IFMT == S_IFREG,
        status.st_uid == geteuid()
      else { return nil }
      return (name, Int(status.st_size))
    }
  }
}
