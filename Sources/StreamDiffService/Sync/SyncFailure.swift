/// Why a session ended early for reasons of this side: its source, its sink, or the caller's limits.
public struct SyncFailure: Error, Hashable, Sendable, CustomStringConvertible {
  public enum Code: Hashable, Sendable {
    /// A value is gone or is no longer what was announced: scan again.
    case sourceChanged
    /// The source cannot be read.
    case sourceFailed
    /// What arrived cannot be written.
    case sinkFailed
    /// More deletions than the caller allows without being asked.
    case tooManyDeletions(count: Int, of: Int)
    /// What is to stay at the receiver and what the source has cannot both be there.
    case inTheWay
    /// The peer went away before the session was over.
    case endedEarly
  }

  public let code: Code
  public let detail: String

  public init(_ code: Code, _ detail: String) { (self.code, self.detail) = (code, detail) }

  public var description: String { detail }
}
