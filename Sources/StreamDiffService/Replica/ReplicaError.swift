/// Why a replica did not do what it was asked.
public struct ReplicaError: Error, Hashable, Sendable, CustomStringConvertible {
  public enum Code: Hashable, Sendable {
    /// The queue of proposals is full: nothing happened, try again later.
    case overloaded
    /// The replica is going down or is no leader: nothing happened, try elsewhere.
    case unavailable
    /// It was accepted, and the replica failed before it was applied: it may have happened.
    case uncertain
    /// The disk has too little free space: nothing happened, and reads go on.
    case readOnly
    /// What was to be read is damaged; nothing else is known to be.
    case damaged
    /// A command larger than the log takes.
    case tooLarge
  }

  public let code: Code
  public let detail: String
  /// Of a replica that stopped: because its data is damaged, so that starting again would not help.
  public var isDamage = false

  public init(_ code: Code, _ detail: String) { (self.code, self.detail) = (code, detail) }

  public var description: String { detail }
}
