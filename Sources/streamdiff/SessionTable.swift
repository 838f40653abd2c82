import StreamDiffCore
import StreamDiffService

/// Open sessions, one line each: `status --sessions`.
enum SessionTable {
  private static let heads = [
    "PEER", "KEYSPACE", "", "RTT", "MIN RTT", "LOSS", "WIRE", "PLAIN", "CHUNK", "CODEC", "IN FLIGHT",
    "CONGESTION",
    "REASON",
  ]
  private static let numbers: Set = [3, 4, 5, 6, 7, 8, 10]

  static func lines(_ sessions: [ServerStatus.Session]) -> [String] {
    TextTable.lines([heads] + sessions.map(row), right: numbers)
  }

  private static func row(_ session: ServerStatus.Session) -> [String] {
    let who = [
      printable(session.peer.utf8), printable(session.keyspace.utf8),
      session.isSending ? "sends" : "receives",
    ]
    // What a peer says of itself must not drive a terminal.
    guard let report = session.report else { return who + heads.dropFirst(3).map { _ in "-" } }
    let encoding = report.encoding
    let most = readable(binary: report.bytesInFlight)
    return who + [
      time(report.rtt), time(report.minRTT), "\(fixed(report.loss * 100, digits: 2)) %",
      "\(readable(bytes: report.wireRate))/s", "\(readable(bytes: report.plainRate))/s",
      "\(ByteSize(UInt64(report.chunk)))",
      encoding.codec == .none ? "none" : "\(encoding.codec) \(encoding.level)",
      session.isSending ? "\(readable(binary: session.inFlight)) of \(most)" : "of \(most)",
      report.congestion.isEmpty ? "-" : printable(report.congestion.utf8), printable(report.reason.utf8),
    ]
  }

  /// Zero is unknown.
  private static func time(_ time: Duration) -> String {
    time > .zero ? "\(fixed(time.seconds * 1000, digits: 1)) ms" : "-"
  }
}
