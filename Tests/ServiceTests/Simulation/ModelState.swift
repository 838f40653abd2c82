import StreamDiffCore

/// What a replica must hold after some log entry: the same rules, written down once more in the simplest way.
struct ModelState: Equatable {
  struct Keyspace: Equatable {
    var id: UInt32
    var kind: KeyspaceKind
    var values: [[UInt8]: [UInt8]] = [:]
  }

  private(set) var keyspaces: [KeyspaceName: Keyspace] = [:]

  /// What a command must answer.
  enum Answer: Equatable {
    case plain(StateMachine.Outcome)
    case advanced(SessionRecord, operations: Int, conflicts: [Ordinal], skipped: Int)

    func matches(_ outcome: StateMachine.Outcome) -> Bool {
      guard case .advanced(let advance) = outcome else { return self == .plain(outcome) }
      return self
        == .advanced(
          advance.record, operations: advance.operations, conflicts: advance.conflicts,
          skipped: advance.skipped)
    }
  }

  private enum Decision {
    case refused(StateMachine.Refusal)
    case decided(conflicts: [Ordinal])
  }

  private(set) var sessions = ModelSessions()

  mutating func apply(_ command: Command, at index: LogIndex) -> Answer {
    switch command {
    case .noop: return .plain(.none)
    case .createKeyspace(let name, let kind):
      if let known = keyspaces[name] {
        return .plain(known.kind == kind ? .none : .refused(.wrongKind(name, is: known.kind)))
      }
      create(name, kind)
      return .plain(.none)
    case .seal(let name): return .plain(.sealed(position(of: name)))
    case .openSession(let opening): return .plain(sessions.open(opening, at: index))
    case .expireSessions(let expiry): return .plain(sessions.expire(expiry, at: index))
    case .operations(let batch):
      guard let session = batch.session else {
        switch decide(batch, skipping: 0) {
        case .refused(let refusal): return .plain(.refused(refusal))
        case .decided(let conflicts):
          return .plain(.applied(operations: batch.operations.count, conflicts: conflicts))
        }
      }
      switch sessions.admit(batch, of: session, at: index) {
      case .refused(let refusal): return .plain(.refused(refusal))
      case .admitted(let record, let skipped):
        let count = batch.operations.count - skipped
        var conflicts: [Ordinal] = []
        if count > 0 {
          switch decide(batch, skipping: skipped) {
          case .refused(let refusal): return .plain(.refused(refusal))
          case .decided(let found): conflicts = found
          }
        }
        let after = sessions.decided(record, count: count, conflicts: conflicts, at: index)
        return .advanced(after, operations: count, conflicts: conflicts, skipped: skipped)
      }
    }
  }

  /// Applies all operations but the first ones.
  private mutating func decide(_ batch: OperationBatch, skipping skipped: Int) -> Decision {
    let operations = batch.operations.dropFirst(skipped).map { Self.read($0, in: batch.operations.bytes) }
    if keyspaces[batch.keyspace] == nil, operations.contains(where: { $0.value != nil }) {
      create(batch.keyspace, batch.kind)
    }
    if let known = keyspaces[batch.keyspace], known.kind != batch.kind {
      return .refused(.wrongKind(batch.keyspace, is: known.kind))
    }
    var conflicts: [Ordinal] = []
    for (place, operation) in operations.enumerated() {
      let stored = keyspaces[batch.keyspace]?.values[operation.key]
      let holds =
        switch operation.expectation {
        case .any: true
        case .absent: stored == nil
        case .digest(let digest): stored.map { Self.digest(operation.key, $0) } == digest
        }
      if holds {
        keyspaces[batch.keyspace]?.values[operation.key] = operation.value
      } else {
        conflicts.append(batch.firstOrdinal + UInt64(skipped + place))
      }
    }
    return .decided(conflicts: conflicts)
  }

  func position(of name: KeyspaceName) -> KeyspacePosition {
    var builder = MerkleTreeBuilder()
    var (count, bytes) = (0, 0)
    for (key, value) in sorted(name) {
      builder.append(key: key, digest: Self.digest(key, value), valueBytes: value.count)
      count += 1
      bytes += key.count + value.count
    }
    return KeyspacePosition(root: builder.finish().root, entries: count, bytes: bytes)
  }

  func sorted(_ name: KeyspaceName) -> [(key: [UInt8], value: [UInt8])] {
    (keyspaces[name]?.values ?? [:]).sorted { $0.key.lexicographicallyPrecedes($1.key) }
      .map { (key: $0.key, value: $0.value) }
  }

  static func digest(_ key: [UInt8], _ value: [UInt8]) -> Digest {
    var hash = SHA256()
    return EntryDigest.of(key: key, value: value, using: &hash)
  }

  private mutating func create(_ name: KeyspaceName, _ kind: KeyspaceKind) {
    keyspaces[name] = Keyspace(id: UInt32(keyspaces.count + 1), kind: kind)
  }

  private static func read(
    _ layout: OperationLayout, in bytes: [UInt8]
  ) -> (key: [UInt8], expectation: Expectation, value: [UInt8]?) {
    let value = layout.kind == .put ? Array(bytes[layout.value]) : nil
    return (Array(bytes[layout.key]), layout.expectation, value)
  }
}
