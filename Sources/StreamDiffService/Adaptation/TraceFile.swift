import Glibc
import NIOPosix
import StreamDiffCore
import Synchronization

/// A trace on its way into a file. Lines are written by a thread that may wait for the disk, soon after they are made;
/// no transfer waits for them. What fails ends the trace behind its last whole line, is told once, and ends nothing else.
public final class TraceFile: Sendable {
  /// Bytes of lines that wait: over a minute of a session.
  private static let waitingBytes = 1 << 20

  private struct State {
    var waiting: [UInt8] = []
    var isWriting = false
    var isOver = false
    var closing: [CheckedContinuation<Void, Never>] = []
  }

  private let path: String
  private let file: OpenFile
  private let refusal: @Sendable (Int) -> String?
  private let onFailure: @Sendable (String) -> Void
  private let onEnd: @Sendable () -> Void
  private let state = Mutex(State())

  /// Makes the file, or empties the one that is there.
  /// - Parameters:
  ///   - refusal: why not so many bytes more may be written; `nil` where they may.
  ///   - onFailure: is told at most once why the trace ends before its session.
  ///   - onEnd: is called once nothing more is written.
  /// - Throws: `.failed` naming the file and why it cannot be written.
  public init(
    _ path: String, refusal: @escaping @Sendable (Int) -> String? = { _ in nil },
    onFailure: @escaping @Sendable (String) -> Void, onEnd: @escaping @Sendable () -> Void = {}
  ) throws(ClientFailure) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      throw ClientFailure(.failed, "--trace \(path): \(String(cString: strerror(errno)))")
    }
    (self.path, file) = (path, OpenFile(owning: descriptor))
    (self.refusal, self.onFailure, self.onEnd) = (refusal, onFailure, onEnd)
  }

  deinit { onEnd() }

  public var trace: AdaptationTrace { AdaptationTrace { [self] in append($0) } }

  /// Returns when all that was traced is written, or nothing more will be.
  public func close() async {
    await withCheckedContinuation { continuation in
      let isDone = state.withLock { state in
        guard state.isWriting else { return true }
        state.closing.append(continuation)
        return false
      }
      if isDone { continuation.resume() }
    }
  }

  private func append(_ line: String) {
    let (isFull, begins) = state.withLock { state in
      guard !state.isOver else { return (false, false) }
      guard state.waiting.count + line.utf8.count < Self.waitingBytes else { return (true, false) }
      state.waiting += line.utf8
      state.waiting.append(UInt8(ascii: "\n"))
      return (false, !exchange(&state.isWriting, with: true))
    }
    if isFull { fail("lines come faster than they are written") }
    if begins { NIOThreadPool.singleton.submit { _ in self.writeAll() } }
  }

  private func writeAll() {
    while true {
      let (bytes, closing) = state.withLock { state in
        let bytes = exchange(&state.waiting, with: [])
        guard bytes.isEmpty else { return (bytes, [CheckedContinuation<Void, Never>]()) }
        state.isWriting = false
        return (bytes, exchange(&state.closing, with: []))
      }
      for each in closing { each.resume() }
      guard !bytes.isEmpty else { return }
      if let reason = refusal(bytes.count) {
        fail(reason)
        continue
      }
      write(bytes)
    }
  }

  private func write(_ bytes: [UInt8]) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(file.descriptor, $0.baseAddress, $0.count) }
      if count < 0 {
        if errno == EINTR { continue }
        let reason = String(cString: strerror(errno))
        cut(bytes[..<rest.startIndex])
        return fail(reason)
      }
      rest = rest.dropFirst(count)
    }
  }

  /// Half a line is taken back, where that can be.
  private func cut(_ written: ArraySlice<UInt8>) {
    let half = written.reversed().prefix { $0 != UInt8(ascii: "\n") }.count
    let end = lseek(file.descriptor, 0, SEEK_CUR)
    if half > 0, end >= half { _ = ftruncate(file.descriptor, end - half) }
  }

  private func fail(_ reason: String) {
    let isFirst = state.withLock { state in
      state.waiting = []
      return !exchange(&state.isOver, with: true)
    }
    if isFirst { onFailure("the trace \(path) ends here: \(reason)") }
  }
}
