/// Why a replica did not do what it was asked.
public struct ReplicaError: Error, Hashable, Sendable, CustomStringConvertible {
  public enum Code: Hashable, Sendable {
    /// The queue of proposals is full: nothing happened, try again later.
    case overloaded
    /// The replica is going down or is no leader: nothing happened, try elsewhere.
    case unavailable
    /// It was accepted, and the replica failed before it was applied: it may have happened.
    case uncertain
    /// A command larger than the log takes.
    case tooLarge
  }

  public let code: Code
  public let detail: String

  public init(_ code: Code, _ detail: String) { (self.code, self.detail) = (code, detail) }

  public var description: String { detail }
}
