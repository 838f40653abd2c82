/// Why a session cannot go on. The other side, or the line, is at fault, never this process.
public struct SyncError: Error, Hashable, Sendable, CustomStringConvertible {
  public enum Code: Sendable {
    /// The peer broke the rules of the session.
    case protocolViolation
    /// A checksum does not hold: bytes were damaged on the way. Another attempt may succeed.
    case dataLoss
    /// The peer wants more than a bound of `SyncLimits` allows.
    case limit
    /// A version or a feature that this program does not know.
    case unsupported
    /// Both sides are sound but do not fit, such as a directory pushed into a plain keyspace.
    case refused
    /// The session is over: not used for too long, and perhaps forgotten. A sender that compares begins
    /// another; without comparison nobody can tell here what was applied.
    case sessionExpired
    /// The session goes on over a newer connection.
    case sessionSuperseded
    /// This machine is out of memory for the codec.
    case resources
  }

  public var code: Code
  public var detail: String

  public init(_ code: Code, _ detail: String) {
    self.code = code
    self.detail = detail
  }

  public var description: String { detail }

  static func violation(_ detail: String) -> SyncError { SyncError(.protocolViolation, detail) }
}
