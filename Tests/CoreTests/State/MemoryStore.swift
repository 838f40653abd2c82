import StreamDiffCore

/// A state store in memory that commits at once: a dictionary per keyspace, roots built from nothing.
struct MemoryStore: StateTransaction, RemembersSessions {
  struct Failure: Error, Equatable {}
  typealias StoreError = Failure

  private(set) var records: [KeyspaceRecord] = []
  private(set) var contents: [UInt32: ReferenceKeyspace] = [:]
  private var digests: [UInt32: [[UInt8]: Digest]] = [:]
  private(set) var digestReads = 0
  /// Every call fails.
  var isBroken = false

  func keyspace(named name: KeyspaceName) throws(Failure) -> KeyspaceRecord? {
    if isBroken { throw Failure() }
    return records.first { $0.name == name }
  }

  mutating func createKeyspace(_ name: KeyspaceName, kind: KeyspaceKind) throws(Failure) -> KeyspaceRecord {
    let record = KeyspaceRecord(id: UInt32(records.count + 1), name: name, kind: kind)
    records.append(record)
    contents[record.id] = ReferenceKeyspace()
    digests[record.id] = [:]
    return record
  }

  mutating func digest(of key: Span<UInt8>, in keyspace: KeyspaceRecord) throws(Failure) -> Digest? {
    digestReads += 1
    return digests[keyspace.id]?[key.copied]
  }

  mutating func put(
    key: Span<UInt8>, value: Span<UInt8>, digest: Digest, in keyspace: KeyspaceRecord
  ) throws(Failure) {
    contents[keyspace.id]?.put(key.copied, value.copied)
    digests[keyspace.id]?[key.copied] = digest
  }

  mutating func delete(key: Span<UInt8>, in keyspace: KeyspaceRecord) throws(Failure) {
    contents[keyspace.id]?.delete(key.copied)
    digests[keyspace.id]?[key.copied] = nil
  }

  var sessions = MemorySessions()

  mutating func position(of keyspace: KeyspaceRecord) throws(Failure) -> KeyspacePosition {
    let tree = tree(of: keyspace.name)
    return KeyspacePosition(root: tree.root, entries: tree.count, bytes: tree.bytes)
  }

  mutating func tree(of name: KeyspaceName) -> MerkleTree {
    guard let record = records.first(where: { $0.name == name }) else { return MerkleTree() }
    return contents[record.id]?.rebuilt() ?? MerkleTree()
  }

  /// The entries of a keyspace; empty when there is none.
  func values(of name: KeyspaceName) -> [[UInt8]: [UInt8]] {
    records.first { $0.name == name }.flatMap { contents[$0.id]?.values } ?? [:]
  }
}

/// The sessions of a store in memory.
struct MemorySessions {
  var records: [SessionID: SessionRecord] = [:]
  var table = SessionTable()
}

protocol RemembersSessions: StateTransaction {
  var sessions: MemorySessions { get set }
}

extension RemembersSessions {
  func sessionTable() -> SessionTable { sessions.table }
  mutating func setSessionTable(_ table: SessionTable) { sessions.table = table }
  func session(_ id: SessionID) -> SessionRecord? { sessions.records[id] }
  mutating func put(_ record: SessionRecord) { sessions.records[record.id] = record }
  mutating func remove(_ record: SessionRecord) { sessions.records[record.id] = nil }

  func sessions(usedBefore time: GroupTime, limit: Int) -> [SessionRecord] {
    let old = sessions.records.values.filter { $0.used.time < time }
    return Array(old.sorted { $0.used.index < $1.used.index }.prefix(limit))
  }
}

extension Span<UInt8> {
  var copied: [UInt8] { indices.map { self[$0] } }
}
