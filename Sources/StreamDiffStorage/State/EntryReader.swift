import StreamDiffCore

/// Point reads of one keyspace, each value checked against its digest.
struct EntryReader {
  private let reads: any EngineReads
  private let keyspace: KeyspaceRecord

  init(_ reads: any EngineReads, _ keyspace: KeyspaceRecord) {
    self.reads = reads
    self.keyspace = keyspace
  }

  func get(_ key: [UInt8]) throws(StorageError) -> [UInt8]? {
    var buffer = StoreKeyBuffer(.entries, keyspace.id)
    return try key.withBytes { (key) throws(StorageError) in
      let value = try buffer.with(key) { (stored) throws(StorageError) in
        try reads.get(stored) { (entry) throws(StorageError) in
          var hash = SHA256()
          guard let value = StoredEntry.value(in: entry, of: key, using: &hash) else {
            throw .mismatch(key, in: keyspace, path: reads.path)
          }
          return Array(value)
        }
      }
      if let value { return value }
      // Absence counts only when nothing says otherwise; the filters make it cheap to ask.
      buffer.set(.digests, keyspace.id)
      let isPresent = try buffer.with(key) { (stored) throws(StorageError) in
        try reads.get(stored) { _ in true } ?? false
      }
      guard !isPresent else { throw .mismatch(key, in: keyspace, path: reads.path) }
      return nil
    }
  }
}

extension StorageError {
  /// An entry is not what its digest says, or is gone while its digest record is there.
  static func mismatch(_ key: UnsafeRawBufferPointer, in keyspace: KeyspaceRecord, path: String)
    -> StorageError
  {
    let digits = Array("0123456789abcdef".utf8)
    let hex = key.prefix(64).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
    return StorageError(
      .damaged, path: path,
      "value of key \(String(decoding: hex, as: UTF8.self))\(key.count > 64 ? "…" : "") (hex) in keyspace "
        + "\(keyspace.name) is not what its digest says; do not use it, restore it from another copy")
  }
}
