import StreamDiffCore

/// A directory's entries as a keyspace: what its tree and its digest records are made of. Holds no file
/// bytes.
struct DirectoryContent: SyncContent {
  /// What belongs to a path beside what its entry says.
  private struct Extra {
    let path: [UInt8]
    /// What is there of unfinished files: it need not be sent again.
    var leftovers: [Leftover] = []
    /// Pieces and parts that no record lists.
    var strays: [DigestRecord] = []
  }

  /// In key order, each path once.
  private(set) var entries: [DirectoryEntry]
  /// In key order, each path once.
  private let extras: [Extra]
  private(set) var tree = MerkleTree()
  var index: LogIndex { .zero }

  /// - Parameters:
  ///   - entries: in key order.
  ///   - strays: what the other side has under keys that no record lists; they count, and are nowhere on disk.
  init(_ entries: [DirectoryEntry], leftovers: [Leftover] = [], strays: [DigestRecord] = []) {
    self.entries = entries
    var extras: [[UInt8]: Extra] = [:]
    for leftover in leftovers {
      extras[leftover.path, default: Extra(path: leftover.path)].leftovers.append(leftover)
    }
    for stray in strays {
      let path = Array(DirectoryKey.path(of: stray.key))
      extras[path, default: Extra(path: path)].strays.append(stray)
    }
    self.extras = extras.values.sorted { precedes($0.path, $1.path) }
    var builder = MerkleTreeBuilder()
    var hash = SHA256()
    forEachPath(from: []) { entry, extra in
      Self.forEachRecord(of: entry, extra, using: &hash) {
        builder.append(key: $0.key, digest: $0.digest, valueBytes: $0.valueBytes)
      }
      return true
    }
    tree = builder.finish()
  }

  /// Files and links: what a user counts.
  var files: Int { entries.count { !DirectoryKey.isDirectory($0.path) } }

  func entry(_ path: some Collection<UInt8>) -> DirectoryEntry? {
    let path = Array(path)
    let place = entries.partitioningIndex { !precedes($0.path, path) }
    guard place < entries.count, entries[place].path == path else { return nil }
    return entries[place]
  }

  func readRecords(
    from lower: [UInt8], to upper: [UInt8]?, limit: Int, into records: inout [DigestRecord]
  ) throws {
    var room = limit
    var hash = SHA256()
    forEachPath(from: Array(DirectoryKey.path(of: lower))) { entry, extra in
      if let upper, let path = entry?.path ?? extra?.path, !precedes(DirectoryKey.record(path), upper) {
        return false
      }
      Self.forEachRecord(of: entry, extra, using: &hash) { record in
        guard room > 0, !precedes(record.key, lower) else { return }
        if let upper, !precedes(record.key, upper) { return }
        records.append(record)
        room -= 1
      }
      return room > 0
    }
  }

  /// Visits paths in order until `body` returns false.
  private func forEachPath(from first: [UInt8], _ body: (DirectoryEntry?, Extra?) -> Bool) {
    var entry = entries.partitioningIndex { !precedes($0.path, first) }
    var extra = extras.partitioningIndex { !precedes($0.path, first) }
    while entry < entries.count || extra < extras.count {
      var (isEntry, isExtra) = (entry < entries.count, extra < extras.count)
      if isEntry, isExtra {
        isEntry = !precedes(extras[extra].path, entries[entry].path)
        isExtra = !precedes(entries[entry].path, extras[extra].path)
      }
      guard body(isEntry ? entries[entry] : nil, isExtra ? extras[extra] : nil) else { return }
      entry += isEntry ? 1 : 0
      extra += isExtra ? 1 : 0
    }
  }

  /// The records of a path in key order: of what is there, of unfinished files, and strays.
  private static func forEachRecord(
    of entry: DirectoryEntry?, _ extra: Extra?, using hash: inout SHA256, _ body: (DigestRecord) -> Void
  ) {
    guard let extra else {
      entry?.forEachRecord(using: &hash, body)
      return
    }
    var records = extra.strays
    entry?.forEachRecord(using: &hash) { records.append($0) }
    for leftover in extra.leftovers { leftover.forEachRecord(using: &hash) { records.append($0) } }
    records.sort { precedes($0.key, $1.key) }
    for (place, record) in records.enumerated() where place == 0 || records[place - 1].key != record.key {
      body(record)
    }
  }
}

extension DirectoryEntry {
  /// The entry's digest records in key order: its record, its parts, its pieces.
  func forEachRecord(using hash: inout SHA256, _ body: (DigestRecord) -> Void) {
    func visit(_ key: [UInt8], _ value: [UInt8]) {
      let digest = EntryDigest.of(key: key, value: value, using: &hash)
      body(DigestRecord(key: key, digest: digest, valueBytes: value.count))
    }
    visit(DirectoryKey.record(path), record.encode())
    guard let file else { return }
    for part in file.partsInKeyOrder { visit(DirectoryKey.part(path, part.digest), file.bytes(of: part)) }
    for place in file.order {
      let piece = file.pieces[Int(place)]
      let key = DirectoryKey.piece(path, piece.digest)
      let digest = EntryDigest.of(
        key: key.span.bytes, valueDigest: piece.digest, valueBytes: piece.length, using: &hash)
      body(DigestRecord(key: key, digest: digest, valueBytes: piece.length))
    }
  }
}
