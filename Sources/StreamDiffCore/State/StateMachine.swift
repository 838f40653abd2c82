/// Applies commands in log order. The same commands give the same state on every replica: it reads
/// nothing but the transaction.
public struct StateMachine: ~Copyable {
  private var hasher = SHA256()

  public init() {}

  /// What a command did. It is an answer to whoever proposed it, not state.
  public enum Outcome: Hashable, Sendable {
    case none
    /// All operations but the conflicting ones took effect.
    case applied(operations: Int, conflicts: [Ordinal])
    /// The same within a session.
    case advanced(SessionAdvance)
    /// The session as it now stands; its fence is the command's own index.
    case opened(SessionRecord)
    /// - Parameter forgotten: records removed.
    case expired(forgotten: Int)
    /// Nothing took effect.
    case refused(Refusal)
    /// The position at the seal's own index; the empty one where there is no such keyspace.
    case sealed(KeyspacePosition)
  }

  /// What a batch did that belongs to a session.
  public struct SessionAdvance: Hashable, Sendable {
    /// As it now stands.
    public var record: SessionRecord
    /// Operations decided now: the last of the batch.
    public var operations: Int
    /// Of these.
    public var conflicts: [Ordinal]
    /// Operations that had been decided before: the first of the batch.
    public var skipped: Int
  }

  /// Why a whole command took no effect.
  public enum Refusal: Hashable, Sendable, CustomStringConvertible {
    case wrongKind(KeyspaceName, is: KeyspaceKind)
    /// Not opened, or expired so long ago that it is forgotten.
    case sessionUnknown
    case sessionExpired
    /// It was opened again since, or is one of Sync where a unary call asks, or the reverse.
    case superseded
    case gap(expected: Ordinal, found: Ordinal)
    case tooManySessions

    public var description: String {
      switch self {
      case .wrongKind(let name, is: .plain):
        "keyspace \(name) holds plain keys and values, not a directory"
      case .wrongKind(let name, is: .directory):
        "keyspace \(name) holds a directory; it is written by push alone"
      case .sessionUnknown:
        "the session is not known here: it has expired, or has never begun with ordinal 1"
      case .sessionExpired: "the session has expired: it was not used for too long"
      case .superseded: "the session has been superseded by a newer connection"
      case .gap(let expected, let found):
        "ordinal \(found.rawValue) where \(expected.rawValue) is the next of the session"
      case .tooManySessions:
        "\(Limits.sessionRecords) sessions are remembered, which is the most; they expire with time"
      }
    }
  }

  /// - Throws: the store's error alone; the transaction is then to be dropped.
  public mutating func apply<T: StateTransaction>(
    _ command: Command, at index: LogIndex, to transaction: inout T
  ) throws(T.StoreError) -> Outcome {
    switch command {
    case .noop:
      return .none
    case .createKeyspace(let name, let kind):
      let record = try keyspace(name, kind, &transaction)
      return record.kind == kind ? .none : .refused(.wrongKind(name, is: record.kind))
    case .operations(let batch):
      if let session = batch.session { return try apply(batch, of: session, at: index, to: &transaction) }
      switch try apply(batch, skipping: 0, to: &transaction) {
      case .refused(let refusal): return .refused(refusal)
      case .decided(let conflicts):
        return .applied(operations: batch.operations.count, conflicts: conflicts)
      }
    case .openSession(let opening): return try open(opening, at: index, &transaction)
    case .expireSessions(let expiry): return try expire(expiry, at: index, &transaction)
    case .seal(let name):
      guard let record = try transaction.keyspace(named: name) else { return .sealed(.empty) }
      return .sealed(try transaction.position(of: record))
    }
  }

  private func keyspace<T: StateTransaction>(
    _ name: KeyspaceName, _ kind: KeyspaceKind, _ transaction: inout T
  ) throws(T.StoreError) -> KeyspaceRecord {
    if let record = try transaction.keyspace(named: name) { return record }
    return try transaction.createKeyspace(name, kind: kind)
  }

  enum Decision {
    case refused(Refusal)
    case decided(conflicts: [Ordinal])
  }

  /// - Parameter skipping: so many operations are left out, the first ones.
  mutating func apply<T: StateTransaction>(
    _ batch: OperationBatch, skipping skipped: Int, to transaction: inout T
  ) throws(T.StoreError) -> Decision {
    let known = try transaction.keyspace(named: batch.keyspace)
    if known == nil, !batch.operations.dropFirst(skipped).contains(where: { $0.kind == .put }) {
      return .decided(conflicts: Self.deletedFromNothing(batch, skipping: skipped))
    }
    let keyspace = try keyspace(batch.keyspace, batch.kind, &transaction)
    guard keyspace.kind == batch.kind else { return .refused(.wrongKind(batch.keyspace, is: keyspace.kind)) }
    let bytes = batch.operations.bytes.span
    var ordinal = batch.firstOrdinal + UInt64(skipped)
    var conflicts: [Ordinal] = []
    for operation in batch.operations.dropFirst(skipped) {
      let key = bytes.extracting(operation.key)
      if try Self.holds(operation.expectation, of: key, in: keyspace, &transaction) {
        switch operation.kind {
        case .put:
          let value = bytes.extracting(operation.value)
          let digest = unsafe EntryDigest.of(key: key.bytes, value: value.bytes, using: &hasher)
          try transaction.put(key: key, value: value, digest: digest, in: keyspace)
        case .delete:
          try transaction.delete(key: key, in: keyspace)
        }
      } else {
        conflicts.append(ordinal)
      }
      ordinal = ordinal + 1
    }
    return .decided(conflicts: conflicts)
  }

  /// Deletions make no keyspace: those that expect a digest conflict, the others have nothing to do.
  private static func deletedFromNothing(_ batch: OperationBatch, skipping skipped: Int) -> [Ordinal] {
    var ordinal = batch.firstOrdinal + UInt64(skipped)
    var conflicts: [Ordinal] = []
    for operation in batch.operations.dropFirst(skipped) {
      if case .digest = operation.expectation { conflicts.append(ordinal) }
      ordinal = ordinal + 1
    }
    return conflicts
  }

  /// An operation that expects nothing costs no read.
  private static func holds<T: StateTransaction>(
    _ expectation: Expectation, of key: Span<UInt8>, in keyspace: KeyspaceRecord, _ transaction: inout T
  ) throws(T.StoreError) -> Bool {
    switch expectation {
    case .any: true
    case .absent: try transaction.digest(of: key, in: keyspace) == nil
    case .digest(let digest): try transaction.digest(of: key, in: keyspace) == digest
    }
  }
}
