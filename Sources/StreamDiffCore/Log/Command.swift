/// What a log entry tells the state machine to do.
public enum Command: Hashable, Sendable {
  /// A leader's first entry of its term (Raft §5.4.2).
  case noop
  case createKeyspace(KeyspaceName, KeyspaceKind)
  case operations(OperationBatch)
  case openSession(SessionOpening)
  case expireSessions(SessionExpiry)
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
  /// The index of the `openSession` that they came after; zero without one.
  public var fence: LogIndex
  /// When they were proposed; counts for sessions alone.
  public var time = GroupTime.zero
  public var operations: EncodedOperations

  public init(
    keyspace: KeyspaceName, kind: KeyspaceKind, session: SessionID? = nil,
    firstOrdinal: Ordinal = Ordinal(1), fence: LogIndex = .zero, operations: EncodedOperations
  ) {
    self.keyspace = keyspace
    self.kind = kind
    self.session = session
    self.firstOrdinal = firstOrdinal
    self.fence = fence
    self.operations = operations
  }
}

extension Command {
  /// The same command as proposed at `time`, where it depends on time.
  public func stamped(at time: GroupTime) -> Command {
    switch self {
    case .openSession(var opening):
      opening.time = time
      return .openSession(opening)
    case .operations(var batch) where batch.session != nil:
      batch.time = time
      return .operations(batch)
    case .noop, .createKeyspace, .operations, .expireSessions, .seal: return self
    }
  }
}

/// A sender connects: its session begins, or goes on, and what its older connections still have under way
/// is refused from here on.
public struct SessionOpening: Hashable, Sendable {
  public var id: SessionID
  /// The sender has been connected before and may have brought operations: where its session is no longer
  /// known, it does not begin anew.
  public var resumes: Bool
  /// When it was proposed.
  public var time = GroupTime.zero

  public init(_ id: SessionID, resumes: Bool = false) { (self.id, self.resumes) = (id, resumes) }
}

/// Which sessions end, as a leader proposed it.
public struct SessionExpiry: Hashable, Sendable {
  /// Records that one command removes at most, some milliseconds of work; the next removes more.
  public static let forgottenAtOnce = 4096

  /// When it was proposed.
  public var now: GroupTime
  /// Sessions last used before this time and before this index are expired.
  public var idleSince: GroupTime
  public var usedBefore: LogIndex
  /// Of those, records last used before this are removed.
  public var forgetBefore: GroupTime

  public init(now: GroupTime, idleSince: GroupTime, usedBefore: LogIndex, forgetBefore: GroupTime) {
    (self.now, self.idleSince) = (now, idleSince)
    (self.usedBefore, self.forgetBefore) = (usedBefore, forgetBefore)
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
