public import NIOCore

/// Decides when a PING measures the round trip to the peer, and what it came to. It goes the whole way, where the
/// kernel tells of the way to a proxy. Pure: time is an argument and never moves back.
public struct RoundTripMeter: Sendable {
  /// Between two PINGs. A peer counts frames that carry nothing (`ConductWatch`), and some servers count PINGs of which
  /// there are more than DATA: a sender asks only while chunks go.
  public static let interval = TimeAmount.seconds(1)

  public struct Measured: Hashable, Sendable {
    /// 1, 2, 3 …
    public var number: UInt64
    public var time: Duration
    /// Bytes that stood before the PING on this side.
    public var queued: Int
  }

  private var outstanding: (payload: UInt64, sent: NIODeadline, queued: Int)?
  private var next = NIODeadline.uptimeNanoseconds(0)
  /// A PING should leave as soon as the socket takes something.
  public private(set) var isDue = false
  /// The newest.
  public private(set) var latest: Measured?

  public init() {}

  /// A sender wants to know. Nothing comes of it while one is under way, or was sent just now.
  public mutating func ask(now: NIODeadline) {
    if outstanding == nil, now >= next { isDue = true }
  }

  /// - Parameter queued: bytes that go before it.
  public mutating func sent(_ payload: UInt64, behind queued: Int, now: NIODeadline) {
    isDue = false
    outstanding = (payload, now, queued)
    next = now + Self.interval
  }

  /// - Returns: whether this was the answer to its PING.
  public mutating func answered(_ payload: UInt64, now: NIODeadline) -> Bool {
    guard let outstanding, outstanding.payload == payload else { return false }
    self.outstanding = nil
    latest = Measured(
      number: (latest?.number ?? 0) + 1, time: .nanoseconds((now - outstanding.sent).nanoseconds),
      queued: outstanding.queued)
    return true
  }
}
