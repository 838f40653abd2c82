import StreamDiffCore

/// Content in memory: a source to read from, in key order.
struct MapContent: Sendable {
  private(set) var records: [DigestRecord] = []
  private(set) var values: [[UInt8]: [UInt8]] = [:]

  init(_ entries: [[UInt8]: [UInt8]] = [:]) {
    for (key, value) in entries { put(key, value) }
    settle()
  }

  /// Keys that share a beginning, values of different lengths.
  static func numbered(_ count: Int, step: Int = 1) -> MapContent {
    var entries: [[UInt8]: [UInt8]] = [:]
    for number in stride(from: 0, to: count, by: step) {
      entries[Array("key-\(100_000 + number)".utf8)] = Array(
        repeating: UInt8(truncatingIfNeeded: number), count: number % 50)
    }
    return MapContent(entries)
  }

  var bytes: Int { values.reduce(0) { $0 + $1.key.count + $1.value.count } }

  mutating func put(_ key: [UInt8], _ value: [UInt8]) { values[key] = value }
  mutating func delete(_ key: [UInt8]) { values[key] = nil }

  /// Brings what was put and deleted into `records`.
  mutating func settle() {
    var hash = SHA256()
    records = values.map { key, value in
      DigestRecord(
        key: key, digest: EntryDigest.of(key: key.span.bytes, value: value.span.bytes, using: &hash),
        valueBytes: value.count)
    }
    records.sort { $0.key.lexicographicallyPrecedes($1.key) }
  }

  var tree: MerkleTree {
    var builder = MerkleTreeBuilder()
    for record in records {
      builder.append(key: record.key, digest: record.digest, valueBytes: record.valueBytes)
    }
    return builder.finish()
  }

  /// The answer to a machine's question.
  func page(_ request: RecordRequest) -> (records: [DigestRecord], isEnd: Bool) {
    var page: [DigestRecord] = []
    for range in request.ranges {
      for record in records where range.contains(record.key) {
        guard page.count < SyncLimits.recordsPerRead else { return (page, false) }
        page.append(record)
      }
    }
    return (page, true)
  }
}

/// A state store that keeps every keyspace in memory and commits at once.
struct MapStore: StateTransaction {
  private(set) var keyspaces: [KeyspaceRecord] = []
  private(set) var contents: [UInt32: MapContent] = [:]
  private(set) var bytes = 0

  func keyspace(named name: KeyspaceName) throws(Never) -> KeyspaceRecord? {
    keyspaces.first { $0.name == name }
  }

  mutating func createKeyspace(_ name: KeyspaceName, kind: KeyspaceKind) throws(Never) -> KeyspaceRecord {
    let record = KeyspaceRecord(id: UInt32(keyspaces.count) + 1, name: name, kind: kind)
    keyspaces.append(record)
    contents[record.id] = MapContent()
    bytes += name.description.utf8.count
    return record
  }

  func digest(of key: Span<UInt8>, in keyspace: KeyspaceRecord) throws(Never) -> Digest? {
    let key = Array(copying: key)
    var hash = SHA256()
    return contents[keyspace.id]?.values[key].map { EntryDigest.of(key: key, value: $0, using: &hash) }
  }

  mutating func put(
    key: Span<UInt8>, value: Span<UInt8>, digest: Digest, in keyspace: KeyspaceRecord
  ) throws(Never) {
    let (key, value) = (Array(copying: key), Array(copying: value))
    bytes += value.count - (contents[keyspace.id]?.values[key]?.count ?? -key.count)
    contents[keyspace.id]?.put(key, value)
  }

  mutating func delete(key: Span<UInt8>, in keyspace: KeyspaceRecord) throws(Never) {
    let key = Array(copying: key)
    guard let old = contents[keyspace.id]?.values[key] else { return }
    bytes -= key.count + old.count
    contents[keyspace.id]?.delete(key)
  }

  private(set) var sessions: [SessionID: SessionRecord] = [:]
  private var table = SessionTable()

  func sessionTable() throws(Never) -> SessionTable { table }
  mutating func setSessionTable(_ table: SessionTable) throws(Never) { self.table = table }
  func session(_ id: SessionID) throws(Never) -> SessionRecord? { sessions[id] }
  mutating func put(_ record: SessionRecord) throws(Never) { sessions[record.id] = record }
  mutating func remove(_ record: SessionRecord) throws(Never) { sessions[record.id] = nil }

  func sessions(usedBefore time: GroupTime, limit: Int) throws(Never) -> [SessionRecord] {
    let old = sessions.values.filter { $0.used.time < time }.sorted { $0.used.index < $1.used.index }
    return Array(old.prefix(limit))
  }

  mutating func position(of keyspace: KeyspaceRecord) throws(Never) -> KeyspacePosition {
    contents[keyspace.id]?.settle()
    let tree = contents[keyspace.id]?.tree ?? MerkleTree()
    return KeyspacePosition(root: tree.root, entries: tree.count, bytes: tree.bytes)
  }
}

extension [UInt8] {
  init(copying span: Span<UInt8>) { self = span.withUnsafeBufferPointer { Array($0) } }
}
