import StreamDiffCore

/// What a replica must hold after some log entry: the same rules, written down once more in the simplest way.
struct ModelState: Equatable {
  struct Keyspace: Equatable {
    var id: UInt32
    var kind: KeyspaceKind
    var values: [[UInt8]: [UInt8]] = [:]
  }

  private(set) var keyspaces: [KeyspaceName: Keyspace] = [:]

  mutating func apply(_ command: Command) -> StateMachine.Outcome {
    switch command {
    case .noop: return .none
    case .openSession, .expireSessions: preconditionFailure("sessions have a model of their own")
    case .createKeyspace(let name, let kind):
      if let known = keyspaces[name] {
        return known.kind == kind ? .none : .refused(.wrongKind(name, is: known.kind))
      }
      create(name, kind)
      return .none
    case .seal(let name): return .sealed(position(of: name))
    case .operations(let batch):
      let operations = batch.operations.map { Self.read($0, in: batch.operations.bytes) }
      if let known = keyspaces[batch.keyspace] {
        guard known.kind == batch.kind else { return .refused(.wrongKind(batch.keyspace, is: known.kind)) }
      } else if operations.contains(where: { $0.value != nil }) {
        create(batch.keyspace, batch.kind)
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
          conflicts.append(batch.firstOrdinal + UInt64(place))
        }
      }
      return .applied(operations: operations.count, conflicts: conflicts)
    }
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
