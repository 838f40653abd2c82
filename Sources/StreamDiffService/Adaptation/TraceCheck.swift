import Glibc
import StreamDiffCore

/// `streamdiff check --trace`: what replaying a trace file came to.
public struct TraceCheck: Sendable {
  public struct Fault: Hashable, Sendable {
    /// From 1 on.
    public var line: Int
    public var reason: String
  }

  /// As far as it is sound.
  public private(set) var replay = TraceReplay()
  /// The first line that is no line of a trace, or whose decision is another.
  public private(set) var fault: Fault?

  /// - Throws: `.failed` where it cannot be read, or there is nothing to replay.
  public static func run(_ path: String) async throws(ClientFailure) -> TraceCheck {
    try await AdapterThreads.run { () throws(ClientFailure) in
      var check = TraceCheck()
      var number = 0
      try forEachLine(of: path) { line, isWhole in
        number += 1
        check.receive(line, number, isWhole: isWhole)
        return check.fault == nil
      }
      guard check.replay.decisions > 0 || check.fault != nil else {
        throw ClientFailure(.failed, "\(path): there is no decision in it")
      }
      return check
    }
  }

  private mutating func receive(_ bytes: UnsafeRawBufferPointer, _ number: Int, isWhole: Bool) {
    do {
      let line: TraceLine
      do {
        line = try TraceLine(bytes)
      } catch {
        guard isWhole else { return fault = Fault(line: number, reason: Self.cut) }
        throw error
      }
      try replay.receive(line)
    } catch {
      fault = Fault(line: number, reason: "\(error)")
    }
  }

  private static let cut = """
    the file ends within this line: it was cut, by a kill or in copying, or is still being written; \
    all before it is as it was decided
    """

  /// - Parameter body: takes a line without its end, and whether it had one; returns whether it wants more.
  private static func forEachLine(
    of path: String, _ body: (UnsafeRawBufferPointer, Bool) -> Bool
  ) throws(ClientFailure) {
    func failure() -> ClientFailure { ClientFailure(.failed, "\(path): \(String(cString: strerror(errno)))") }
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure() }
    let file = OpenFile(owning: descriptor)
    // A line that is too long is handed out as far as it shows that.
    var buffer = [UInt8](repeating: 0, count: 2 * ObjectReader.lineBytes)
    var have = 0
    func lend(_ range: Range<Int>, _ isWhole: Bool) -> Bool {
      buffer.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[range]), isWhole) }
    }
    while true {
      let count = buffer.withUnsafeMutableBytes {
        read(file.descriptor, $0.baseAddress! + have, $0.count - have)
      }
      guard count >= 0 else {
        if errno == EINTR { continue }
        throw failure()
      }
      have += count
      var start = 0
      while let end = buffer[start..<have].firstIndex(of: UInt8(ascii: "\n")) {
        guard lend(start..<end, true) else { return }
        start = end + 1
      }
      let isTooLong = have - start > ObjectReader.lineBytes
      if count == 0 || isTooLong {
        if start < have { _ = lend(start..<have, isTooLong) }
        return
      }
      buffer.withUnsafeMutableBytes { _ = memmove($0.baseAddress!, $0.baseAddress! + start, have - start) }
      have -= start
    }
  }
}
