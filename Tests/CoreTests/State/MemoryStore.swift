import StreamDiffCore

/// A state store in memory that commits at once: a dictionary per keyspace, roots built from nothing.
struct MemoryStore: StateTransaction {
  struct Failure: Error, Equatable {}

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

extension Span<UInt8> {
  var copied: [UInt8] { indices.map { self[$0] } }
}
