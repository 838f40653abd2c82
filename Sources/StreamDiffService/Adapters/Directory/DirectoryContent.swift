import StreamDiffCore

/// A directory's entries as a keyspace: what its tree and its digest records are made of. Holds no file
/// bytes.
struct DirectoryContent: SyncContent {
  /// In key order, each path once.
  private(set) var entries: [DirectoryEntry]
  private(set) var tree: MerkleTree
  var index: LogIndex { .zero }

  /// - Parameter entries: in key order.
  init(_ entries: [DirectoryEntry]) {
    self.entries = entries
    var builder = MerkleTreeBuilder()
    var hash = SHA256()
    for entry in entries {
      entry.forEachRecord(using: &hash) {
        builder.append(key: $0.key, digest: $0.digest, valueBytes: $0.valueBytes)
      }
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
    let first = Array(DirectoryKey.path(of: lower))
    var room = limit
    var hash = SHA256()
    for entry in entries[entries.partitioningIndex { !precedes($0.path, first) }...] {
      if let upper, !precedes(DirectoryKey.record(entry.path), upper) { return }
      entry.forEachRecord(using: &hash) { record in
        guard room > 0, !precedes(record.key, lower) else { return }
        if let upper, !precedes(record.key, upper) { return }
        records.append(record)
        room -= 1
      }
      if room == 0 { return }
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
