import StreamDiffCore

/// One keyspace in memory, kept in key order: a source to read from, and a store to apply to. After a
/// transaction, `settle`.
struct Content: RemembersSessions {
  static let name = KeyspaceName("content")!

  private(set) var records: [DigestRecord] = []
  private(set) var values: [[UInt8]: [UInt8]] = [:]
  /// Of a batch; `nil` deletes.
  private var changes: [[UInt8]: DigestRecord?] = [:]

  var sessions = MemorySessions()

  init() {}

  init(_ entries: [[UInt8]: [UInt8]]) {
    values = entries
    var hash = SHA256()
    records = entries.map { key, value in
      DigestRecord(
        key: key, digest: EntryDigest.of(key: key, value: value, using: &hash), valueBytes: value.count)
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

  /// A page as `RecordRequest` asks for it, of at most `limit` records.
  func page(_ ranges: [KeyRange], limit: Int) -> (records: [DigestRecord], isEnd: Bool) {
    var page: [DigestRecord] = []
    var keyBytes = 0
    for range in ranges {
      var place = firstPlace(atOrAfter: range.lower)
      while place < records.count, range.contains(records[place].key) {
        if !page.isEmpty, page.count >= limit || keyBytes >= SyncLimits.keyBytesPerRead {
          return (page, false)
        }
        page.append(records[place])
        keyBytes += records[place].key.count
        place += 1
      }
    }
    return (page, true)
  }

  private func firstPlace(atOrAfter key: [UInt8]) -> Int {
    var (low, high) = (0, records.count)
    while low < high {
      let middle = (low + high) / 2
      if records[middle].key.lexicographicallyPrecedes(key) { low = middle + 1 } else { high = middle }
    }
    return low
  }

  mutating func put(_ key: [UInt8], _ value: [UInt8]) {
    put(key, value, EntryDigest.of(key, value))
    settle()
  }

  mutating func delete(_ key: [UInt8]) {
    values[key] = nil
    changes[key] = .some(nil)
    settle()
  }

  /// Brings what a batch changed into `records`, in one pass.
  mutating func settle() {
    guard !changes.isEmpty else { return }
    if changes.count == 1, let (key, record) = changes.first {
      let place = firstPlace(atOrAfter: key)
      let isThere = place < records.count && records[place].key == key
      records.replaceSubrange(place..<place + (isThere ? 1 : 0), with: record.map { [$0] } ?? [])
    } else {
      var merged: [DigestRecord] = []
      merged.reserveCapacity(records.count + changes.count)
      var old = records[...]
      for (key, record) in changes.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
        let end = firstPlace(atOrAfter: key)
        merged += old[..<end]
        old = records[(end < records.count && records[end].key == key ? end + 1 : end)...]
        if let record { merged.append(record) }
      }
      records = merged + old
    }
    changes = [:]
  }

  private mutating func put(_ key: [UInt8], _ value: [UInt8], _ digest: Digest) {
    values[key] = value
    changes[key] = DigestRecord(key: key, digest: digest, valueBytes: value.count)
  }

  // MARK: StateTransaction

  private static let record = KeyspaceRecord(id: 1, name: name, kind: .plain)

  func keyspace(named: KeyspaceName) throws(Never) -> KeyspaceRecord? { Self.record }
  func createKeyspace(_: KeyspaceName, kind: KeyspaceKind) throws(Never) -> KeyspaceRecord { Self.record }

  func digest(of key: Span<UInt8>, in: KeyspaceRecord) throws(Never) -> Digest? {
    let key = key.copied
    return values[key].map { EntryDigest.of(key, $0) }
  }

  mutating func put(
    key: Span<UInt8>, value: Span<UInt8>, digest: Digest, in: KeyspaceRecord
  ) throws(Never) {
    put(key.copied, value.copied, digest)
  }

  mutating func delete(key: Span<UInt8>, in: KeyspaceRecord) throws(Never) {
    let key = key.copied
    if values.removeValue(forKey: key) != nil { changes[key] = .some(nil) }
  }

  func position(of: KeyspaceRecord) throws(Never) -> KeyspacePosition {
    KeyspacePosition(root: tree.root, entries: tree.count, bytes: tree.bytes)
  }
}

extension Content {
  /// What would have to change here to make it `other`.
  func differences(from other: Content) -> Set<[UInt8]> {
    var keys: Set<[UInt8]> = []
    for (key, value) in values where other.values[key] != value { keys.insert(key) }
    for key in other.values.keys where values[key] == nil { keys.insert(key) }
    return keys
  }

  static func numbered(_ numbers: some Sequence<Int>, value: (Int) -> [UInt8]) -> Content {
    Content(Dictionary(uniqueKeysWithValues: numbers.map { (key($0), value($0)) }))
  }

  static func key(_ number: Int) -> [UInt8] {
    let digits = String(number)
    return Array("key-".utf8) + Array(repeating: UInt8(ascii: "0"), count: 8 - digits.utf8.count)
      + digits.utf8
  }
}
