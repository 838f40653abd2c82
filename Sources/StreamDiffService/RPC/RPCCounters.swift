import StreamDiffWire
import Synchronization

/// What a server has done since it began. Counted with relaxed atomics on every loop.
public final class RPCCounters: Sendable {
  /// Codes 0 to 16 of gRPC.
  static let codes = 17

  public struct Snapshot: Sendable {
    /// Calls that have ended, by status code (0 is OK).
    public internal(set) var callsByStatus: [UInt64] = []
    public internal(set) var connectionsOpen = 0
    public internal(set) var connectionsTotal: UInt64 = 0
    /// Connections turned away: too many, or not HTTP/2.
    public internal(set) var connectionsRefused: UInt64 = 0
    /// Connections that gave way to new ones.
    public internal(set) var connectionsEvicted: UInt64 = 0
    /// Calls ended because their client did not take part: messages too slow, answers unread.
    public internal(set) var callsCut: UInt64 = 0
    /// Socket bytes, both ways.
    public internal(set) var bytesReceived: UInt64 = 0
    public internal(set) var bytesSent: UInt64 = 0

    public var callsOK: UInt64 { callsByStatus[0] }
    public var callsTotal: UInt64 { callsByStatus.reduce(0, +) }
  }

  private let calls = InlineArray<17, Atomic<UInt64>> { _ in Atomic(0) }
  private let opened = Atomic<UInt64>(0)
  private let closed = Atomic<UInt64>(0)
  private let refused = Atomic<UInt64>(0)
  private let evicted = Atomic<UInt64>(0)
  private let cut = Atomic<UInt64>(0)
  let bytes = ByteCounters()

  init() {}

  func callEnded(_ code: GRPCStatusCode) {
    calls[min(Int(code.rawValue), Self.codes - 1)].add(1, ordering: .relaxed)
  }
  func connectionOpened() { opened.add(1, ordering: .relaxed) }
  func connectionClosed() { closed.add(1, ordering: .relaxed) }
  func connectionRefused() { refused.add(1, ordering: .relaxed) }
  func connectionEvicted() { evicted.add(1, ordering: .relaxed) }
  func callCut() { cut.add(1, ordering: .relaxed) }

  public func snapshot() -> Snapshot {
    var snapshot = Snapshot()
    snapshot.callsByStatus = (0..<Self.codes).map { calls[$0].load(ordering: .relaxed) }
    let closed = closed.load(ordering: .relaxed)
    snapshot.connectionsTotal = opened.load(ordering: .relaxed)
    snapshot.connectionsOpen = Int(snapshot.connectionsTotal - min(closed, snapshot.connectionsTotal))
    snapshot.connectionsRefused = refused.load(ordering: .relaxed)
    snapshot.connectionsEvicted = evicted.load(ordering: .relaxed)
    snapshot.callsCut = cut.load(ordering: .relaxed)
    snapshot.bytesReceived = bytes.received.load(ordering: .relaxed)
    snapshot.bytesSent = bytes.sent.load(ordering: .relaxed)
    return snapshot
  }
}

/// Bytes that went through sockets, as the channels read and wrote them.
final class ByteCounters: Sendable {
  let received = Atomic<UInt64>(0)
  let sent = Atomic<UInt64>(0)
}
