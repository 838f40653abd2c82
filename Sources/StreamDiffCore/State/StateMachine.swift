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
    /// Nothing took effect.
    case refused(Refusal)
    /// The position at the seal's own index; the empty one where there is no such keyspace.
    case sealed(KeyspacePosition)
  }

  /// Why a whole command took no effect.
  public enum Refusal: Hashable, Sendable, CustomStringConvertible {
    case wrongKind(KeyspaceName, is: KeyspaceKind)

    public var description: String {
      switch self {
      case .wrongKind(let name, is: .plain):
        "keyspace \(name) holds plain keys and values, not a directory"
      case .wrongKind(let name, is: .directory):
        "keyspace \(name) holds a directory; it is written by push alone"
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
      let known = try transaction.keyspace(named: batch.keyspace)
      if known == nil, !batch.operations.contains(where: { $0.kind == .put }) {
        return Self.deletedFromNothing(batch)
      }
      let record = try keyspace(batch.keyspace, batch.kind, &transaction)
      guard record.kind == batch.kind else { return .refused(.wrongKind(batch.keyspace, is: record.kind)) }
      return try apply(batch, in: record, to: &transaction)
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

  private mutating func apply<T: StateTransaction>(
    _ batch: OperationBatch, in keyspace: KeyspaceRecord, to transaction: inout T
  ) throws(T.StoreError) -> Outcome {
    let bytes = batch.operations.bytes.span
    var ordinal = batch.firstOrdinal
    var conflicts: [Ordinal] = []
    for operation in batch.operations {
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
    return .applied(operations: batch.operations.count, conflicts: conflicts)
  }

  /// Deletions make no keyspace: those that expect a digest conflict, the others have nothing to do.
  private static func deletedFromNothing(_ batch: OperationBatch) -> Outcome {
    var ordinal = batch.firstOrdinal
    var conflicts: [Ordinal] = []
    for operation in batch.operations {
      if case .digest = operation.expectation { conflicts.append(ordinal) }
      ordinal = ordinal + 1
    }
    return .applied(operations: batch.operations.count, conflicts: conflicts)
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
