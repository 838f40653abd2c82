public import NIOCore

/// Decides when a quiet connection is asked whether it lives, and when it is given up. Pure: time
/// is an argument and never moves back.
public struct ConnectionWatch: Sendable {
  public enum Action: Hashable, Sendable {
    case ping
    case close(Reason)
  }
  public enum Reason: String, Hashable, Sendable {
    case noPreface = "no HTTP/2 preface in time"
    case idle = "idle for too long"
    case unanswered = "no answer to a keepalive PING"
    case blocked = "it sends and does not read"
  }

  private let limits: RPCLimits
  /// Whether a connection without calls is pinged as well: servers do, to find dead peers.
  private let pingsWithoutCalls: Bool
  private let opened: NIODeadline
  private var isEstablished = false
  private var lastReceived: NIODeadline
  private var pingSent: NIODeadline?
  /// Since when the socket has taken nothing, and what waits for it.
  private var blocked: (since: NIODeadline, bytes: Int)?
  /// When the last call ended, while there is none.
  private var idleSince: NIODeadline?

  public init(limits: RPCLimits, pingsWithoutCalls: Bool, now: NIODeadline) {
    self.limits = limits
    self.pingsWithoutCalls = pingsWithoutCalls
    opened = now
    lastReceived = now
    idleSince = now
  }

  /// The peer has shown that it speaks HTTP/2.
  public mutating func established() { isEstablished = true }

  public mutating func received(now: NIODeadline) {
    lastReceived = now
    pingSent = nil
  }

  public mutating func callsOpen(_ isAnyOpen: Bool, now: NIODeadline) {
    if isAnyOpen {
      if idleSince != nil, !pingsWithoutCalls { lastReceived = max(lastReceived, now) }
      idleSince = nil
    } else if idleSince == nil {
      idleSince = now
    }
  }

  /// - Parameter unwritten: bytes that wait for the socket; 0 while it takes what it is given.
  public mutating func output(unwritten: Int, now: NIODeadline) {
    if unwritten == 0 {
      blocked = nil
    } else if blocked?.bytes != unwritten {
      blocked = (now, unwritten)
    }
  }

  /// When `tick` has something to say, if nothing arrives before.
  public var due: NIODeadline {
    var due = NIODeadline.distantFuture
    if !isEstablished { due = min(due, opened + limits.prefaceTimeout) }
    if let idleSince { due = min(due, idleSince + limits.idleTimeout) }
    if let blocked { due = min(due, blocked.since + limits.blockedTimeout) }
    if let pingSent {
      due = min(due, pingSent + limits.keepaliveTimeout)
    } else if isEstablished, pingsWithoutCalls || idleSince == nil {
      due = min(due, lastReceived + limits.keepaliveInterval)
    }
    return due
  }

  public mutating func tick(now: NIODeadline) -> Action? {
    if !isEstablished, now >= opened + limits.prefaceTimeout { return .close(.noPreface) }
    if let idleSince, now >= idleSince + limits.idleTimeout { return .close(.idle) }
    if let blocked, now >= blocked.since + limits.blockedTimeout { return .close(.blocked) }
    if let pingSent {
      return now >= pingSent + limits.keepaliveTimeout ? .close(.unanswered) : nil
    }
    guard isEstablished, pingsWithoutCalls || idleSince == nil else { return nil }
    guard now >= lastReceived + limits.keepaliveInterval else { return nil }
    pingSent = now
    return .ping
  }
}
