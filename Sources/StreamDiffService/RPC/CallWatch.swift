public import NIOCore

/// Decides when a call's peer has stopped to take part: its message dribbles, or the answer is not read. Pure:
/// time is an argument, and is told now and then.
public struct CallWatch: Sendable {
  public enum Verdict: Hashable, Sendable {
    case fine
    /// A message comes, or fails to come, more slowly than any link that works.
    case slowMessage
    /// Something waits, and not a byte of it could leave for too long.
    case unread
  }

  /// What a call is doing when it is looked at.
  public struct Activity: Hashable, Sendable {
    /// Bytes of the message that is awaited or has begun; `nil` when none is due. A message that waits for
    /// credit of ours is not due.
    public var dueMessageBytes: Int?
    /// Messages that came whole before it.
    public var messages: UInt64
    public var unsentBytes: Int
    public var sentBytes: UInt64

    public init(dueMessageBytes: Int?, messages: UInt64 = 0, unsentBytes: Int = 0, sentBytes: UInt64 = 0) {
      (self.dueMessageBytes, self.messages) = (dueMessageBytes, messages)
      (self.unsentBytes, self.sentBytes) = (unsentBytes, sentBytes)
    }
  }

  private var messageSince: NIODeadline?
  private var messages: UInt64 = 0
  private var unreadSince: NIODeadline?
  private var sentBytes: UInt64 = 0

  /// - Parameter now: when the call was opened; its first message is due from then on.
  public init(now: NIODeadline) { messageSince = now }

  public mutating func look(at activity: Activity, limits: RPCLimits, now: NIODeadline) -> Verdict {
    if activity.messages != messages || activity.dueMessageBytes == nil { messageSince = nil }
    messages = activity.messages
    if let bytes = activity.dueMessageBytes {
      let since = messageSince ?? now
      messageSince = since
      let earned = TimeAmount.milliseconds(Int64(bytes) * 1000 / Int64(max(limits.messageBytesPerSecond, 1)))
      if now - since >= limits.messageTimeout + earned { return .slowMessage }
    }
    if activity.unsentBytes == 0 || activity.sentBytes != sentBytes { unreadSince = nil }
    sentBytes = activity.sentBytes
    if activity.unsentBytes > 0 {
      let since = unreadSince ?? now
      unreadSince = since
      if now - since >= limits.unreadTimeout { return .unread }
    }
    return .fine
  }
}
