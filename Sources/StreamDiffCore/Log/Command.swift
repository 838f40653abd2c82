/// What a log entry tells the state machine to do.
public enum Command: Hashable, Sendable {
  /// A leader's first entry of its term (Raft §5.4.2).
  case noop
  case createKeyspace(KeyspaceName, KeyspaceKind)
  case operations(OperationBatch)
  /// Take the keyspace's position at this entry's own index.
  case seal(KeyspaceName)
}

/// Operations on one keyspace that are applied at one index, in order.
public struct OperationBatch: Hashable, Sendable {
  public var keyspace: KeyspaceName
  /// The kind that the keyspace must have; it is created with it when new.
  public var kind: KeyspaceKind
  /// The session that brings them, if any, and the number of the first within it.
  public var session: SessionID?
  public var firstOrdinal: Ordinal
  public var operations: EncodedOperations

  public init(
    keyspace: KeyspaceName, kind: KeyspaceKind, session: SessionID? = nil,
    firstOrdinal: Ordinal = Ordinal(1), operations: EncodedOperations
  ) {
    self.keyspace = keyspace
    self.kind = kind
    self.session = session
    self.firstOrdinal = firstOrdinal
    self.operations = operations
  }
}

/// A log entry's payload that is no command of ours: written by a newer version, or damaged.
public struct CommandError: Error, Hashable, Sendable, CustomStringConvertible {
  public enum Code: Sendable {
    case malformed
    /// A version or kind that this program does not know.
    case unknown
  }

  public var code: Code
  public var detail: String

  init(_ code: Code, _ detail: String) {
    self.code = code
    self.detail = detail
  }

  public var description: String { "command: \(detail)" }
}
