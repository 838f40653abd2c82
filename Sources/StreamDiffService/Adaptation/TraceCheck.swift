import Glibc
import StreamDiffCore

/// `streamdiff check --trace`: replays a trace file.
public enum TraceCheck {
  /// - Throws: `.failed` where it cannot be read; `.verification` with the first line that is no line of a trace or
  ///   whose decision is another.
  public static func run(_ path: String) async throws(ClientFailure) -> TraceReplay {
    try await AdapterThreads.run { () throws(ClientFailure) in
      var replay = TraceReplay()
      var number = 0
      try forEachLine(of: path) { line throws(ClientFailure) in
        number += 1
        do {
          try replay.receive(TraceLine(line))
        } catch {
          throw ClientFailure(.verification, "\(path):\(number): \(error)")
        }
      }
      guard replay.decisions > 0 else {
        throw ClientFailure(.failed, "\(path): there is no decision in it")
      }
      return replay
    }
  }

  private static func forEachLine(
    of path: String, _ body: (UnsafeRawBufferPointer) throws(ClientFailure) -> Void
  ) throws(ClientFailure) {
    func failure() -> ClientFailure { ClientFailure(.failed, "\(path): \(String(cString: strerror(errno)))") }
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure() }
    let file = OpenFile(owning: descriptor)
    // A line that is too long is handed out as far as it shows that.
    var buffer = [UInt8](repeating: 0, count: 2 * ObjectReader.lineBytes)
    var have = 0
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
        try lend(buffer, start..<end, body)
        start = end + 1
      }
      if count == 0 || have - start > ObjectReader.lineBytes {
        if start < have { try lend(buffer, start..<have, body) }
        return
      }
      buffer.withUnsafeMutableBytes { _ = memmove($0.baseAddress!, $0.baseAddress! + start, have - start) }
      have -= start
    }
  }

  private static func lend(
    _ buffer: [UInt8], _ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws(ClientFailure) -> Void
  ) throws(ClientFailure) {
    let result = buffer.withUnsafeBytes { bytes in
      Result { () throws(ClientFailure) in try body(UnsafeRawBufferPointer(rebasing: bytes[range])) }
    }
    try result.get()
  }
}
