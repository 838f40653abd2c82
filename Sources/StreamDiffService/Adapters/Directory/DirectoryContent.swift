import StreamDiffCore

/// A directory's entries as a keyspace: what its tree and its digest records are made of. Holds no file
/// bytes.
struct DirectoryContent: SyncContent {
  /// In key order, each path once.
  private(set) var entries: [DirectoryEntry]
  /// What is there of unfinished files, by path in order: it need not be sent again.
  private let leftovers: [(path: [UInt8], files: [Leftover])]
  private(set) var tree = MerkleTree()
  var index: LogIndex { .zero }

  /// - Parameter entries: in key order.
  init(_ entries: [DirectoryEntry], leftovers: [Leftover] = []) {
    self.entries = entries
    self.leftovers = Dictionary(grouping: leftovers, by: \.path).sorted { precedes($0.key, $1.key) }
      .map { (path: $0.key, files: $0.value) }
    var builder = MerkleTreeBuilder()
    var hash = SHA256()
    forEachPath(from: []) { entry, files in
      Self.forEachRecord(of: entry, files, using: &hash) {
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
    forEachPath(from: Array(DirectoryKey.path(of: lower))) { entry, files in
      if let upper, let path = entry?.path ?? files.first?.path, !precedes(DirectoryKey.record(path), upper) {
        return false
      }
      Self.forEachRecord(of: entry, files, using: &hash) { record in
        guard room > 0, !precedes(record.key, lower) else { return }
        if let upper, !precedes(record.key, upper) { return }
        records.append(record)
        room -= 1
      }
      return room > 0
    }
  }

  /// Visits paths in order until `body` returns false.
  private func forEachPath(from first: [UInt8], _ body: (DirectoryEntry?, [Leftover]) -> Bool) {
    var entry = entries.partitioningIndex { !precedes($0.path, first) }
    var leftover = leftovers.partitioningIndex { !precedes($0.path, first) }
    while entry < entries.count || leftover < leftovers.count {
      var (isEntry, isLeftover) = (entry < entries.count, leftover < leftovers.count)
      if isEntry, isLeftover {
        isEntry = !precedes(leftovers[leftover].path, entries[entry].path)
        isLeftover = !precedes(entries[entry].path, leftovers[leftover].path)
      }
      guard body(isEntry ? entries[entry] : nil, isLeftover ? leftovers[leftover].files : []) else { return }
      entry += isEntry ? 1 : 0
      leftover += isLeftover ? 1 : 0
    }
  }

  /// The records of a path in key order: of the file that is there, and of unfinished ones.
  private static func forEachRecord(
    of entry: DirectoryEntry?, _ leftovers: [Leftover], using hash: inout SHA256,
    _ body: (DigestRecord) -> Void
  ) {
    guard !leftovers.isEmpty else {
      entry?.forEachRecord(using: &hash, body)
      return
    }
    var records: [DigestRecord] = []
    entry?.forEachRecord(using: &hash) { records.append($0) }
    for leftover in leftovers { leftover.forEachRecord(using: &hash) { records.append($0) } }
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
