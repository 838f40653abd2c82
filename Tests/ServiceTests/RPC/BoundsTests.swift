import NIOCore
import StreamDiffCore
import StreamDiffService
import StreamDiffWire
import Testing

/// Every queue, buffer and table on the way of a connection, a call or a session: what bounds it, and what that
/// comes to. A row without a bound would have no number to stand here.
@Suite struct BoundsTests {
  struct Row: Sendable, CustomTestStringConvertible {
    var what: String
    var count: Int
    /// Of each.
    var bytes: Int
    var total: Int { count * bytes }
    var testDescription: String { what }

    init(_ what: String, _ count: Int = 1, of bytes: Int) {
      (self.what, self.count, self.bytes) = (what, count, bytes)
    }
  }

  static let limits = RPCLimits()
  static let settings = HTTP2Settings()
  /// An output of a session, and the channel's high-water mark below which it is made.
  static let channel = 2 * (128 << 10)
  static let chunk = TransferController().decision.settings.bytes

  /// A stream that brings a keyspace of values much smaller than a chunk, and nobody reads.
  static let unreadSession = [
    Row("zstd's context at level 1: window, blocks, tables, output", of: 1_700 << 10),
    Row("plain history: the longest prefix", of: 512 << 10),
    Row("operations planned, with their keys", SyncLimits.plannedRoom + SyncLimits.recordsPerRead, of: 144),
    Row("batches: written, waiting", 1 + SessionLimits.waitingBatches, of: SessionLimits.batchBytes),
    Row("values on the way into a batch", of: SessionLimits.batchBytes),
    Row("messages of the task and of the session, and one more", of: limits.sendQueueBytes + chunk),
    Row("bytes in the channel", of: channel),
  ]

  @Test("a stream that nobody reads costs its sender at most 4 MiB")
  func session() {
    let bytes = Self.unreadSession.reduce(0) { $0 + $1.total }
    #expect(bytes <= 4 << 20, "\(bytes)")
    // What is planned beside a window that is compared comes on top where both sides have entries.
    #expect(SyncLimits.plannedEntries * 144 <= 3 << 19)
  }

  /// What one connection holds, whatever it does.
  static let connection = [
    Row("received and not taken, window", of: limits.connectionWindow),
    Row("received in messages that are not whole", of: limits.heldBytes),
    Row("queued for sending", of: limits.connectionSendBytes),
    Row("one message more for each session that has none queued", SessionLimits.sessions, of: 256 << 10),
    Row("pages of scans, made and being made", of: limits.connectionPageBytes),
    Row("lookups under way", limits.lookups, of: Limits.valueBytes),
    Row("calls", limits.concurrentCalls, of: 2 << 10),
    Row("control frames that wait", settings.outboundFrames, of: 200),
    Row("a header section while it arrives", of: limits.headerBytes * 8),
    Row("HPACK tables", 2, of: 4 << 10),
    Row("bytes in the channel", of: channel),
    Row("a read", of: 256 << 10),
    Row("preface that has not come whole", of: 24),
  ]

  /// What all connections hold together: each row is bounded for the server, beside a share for each connection.
  static let server = [
    Row(
      "received",
      of: limits.serverHeldBytes + limits.connections * (limits.serverHeldBytes / limits.connections)),
    Row(
      "unsent",
      of: limits.serverSendBytes + limits.connections * (limits.serverSendBytes / limits.connections)),
    Row("calls", 2 * limits.serverCalls, of: 2 << 10),
    Row("connections that are idle", limits.connections + limits.lingeringConnections, of: 64 << 10),
    Row("sessions", SessionLimits.sessions, of: 4 << 20),
  ]

  @Test("every bound is a bound", arguments: connection + server + unreadSession)
  func isBound(row: Row) {
    #expect(row.count > 0 && row.bytes > 0)
    #expect(row.total <= 1 << 30, "\(row)")
  }

  @Test(
    "no single connection takes a server's whole share, and 1 000 quick cancels cost no honest client its connection"
  )
  func shares() {
    let limits = Self.limits
    #expect(limits.heldBytes < limits.serverHeldBytes / 2)
    #expect(limits.connectionSendBytes < limits.serverSendBytes / 2)
    #expect(KeyValueService.longestPage <= limits.connectionFirstPageBytes)
    #expect(limits.connectionFirstPageBytes < limits.connectionPageBytes)
    #expect(limits.connectionPageBytes < limits.serverSendBytes / 2)
    #expect(limits.concurrentCalls < limits.serverCalls / 2)
    #expect(limits.resetBurst >= 1_500 && limits.resetsPerSecond >= 1_000)
    // Times that follow each other: a call is looked at in time, a ping answered before the peer is given up.
    #expect(
      limits.lookInterval * 2 <= limits.messageTimeout && limits.lookInterval * 2 <= limits.unreadTimeout)
    #expect(limits.lookInterval * 2 <= limits.scarceUnreadTimeout)
    #expect(limits.keepaliveInterval + limits.keepaliveTimeout < limits.blockedTimeout)
    #expect(limits.unreadTimeout < limits.blockedTimeout)
    // A stream's window takes what a sender may have under way, and a whole message.
    #expect(limits.streamWindow >= SyncLimits.credit && limits.connectionWindow >= limits.streamWindow)
  }

  @Test("who gives way among sessions: the longest idle, after a while")
  func sessions() {
    func victim(_ idle: [UInt64: Int]) -> UInt64? {
      SyncRegistry.victim(among: idle.map { (id: $0.key, idle: .seconds($0.value)) })
    }
    #expect(victim([1: 6, 2: 500, 3: 40]) == 2)
    #expect(victim([1: 4, 2: 3]) == nil)
    #expect(victim([:]) == nil)
  }
}
