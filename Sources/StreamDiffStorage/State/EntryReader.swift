import StreamDiffCore

/// Point reads of one keyspace, each value checked against its digest record.
struct EntryReader {
  private let database: Database
  private let options: OpaquePointer
  private let keyspace: KeyspaceRecord

  init(_ database: Database, _ options: OpaquePointer, _ keyspace: KeyspaceRecord) {
    self.database = database
    self.options = options
    self.keyspace = keyspace
  }

  func get(_ key: [UInt8]) throws(StorageError) -> [UInt8]? {
    var stored = StoreKeyBuffer(.entries, keyspace.id)
    return try key.withBytes { (key) throws(StorageError) in
      let value = try stored.with(key) { (stored) throws(StorageError) in
        try database.get(stored, options) { Array($0) }
      }
      stored.set(.digests, keyspace.id)
      let record = try stored.with(key) { (stored) throws(StorageError) in
        try database.get(stored, options) { StoredDigest($0) } ?? nil
      }
      guard let value else {
        guard record == nil else { throw .mismatch(key, in: keyspace, path: database.path) }
        return nil
      }
      var hash = SHA256()
      guard record?.matches(key: key.bytes, value: value.span.bytes, using: &hash) == true else {
        throw .mismatch(key, in: keyspace, path: database.path)
      }
      return value
    }
  }
}

extension StorageError {
  /// An entry and its digest record disagree.
  static func mismatch(_ key: UnsafeRawBufferPointer, in keyspace: KeyspaceRecord, path: String) -> StorageError {
    let digits = Array("0123456789abcdef".utf8)
    let hex = key.prefix(64).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
    return StorageError(
      .damaged, path: path,
      "value of key \(String(decoding: hex, as: UTF8.self))\(key.count > 64 ? "…" : "") (hex) in keyspace "
        + "\(keyspace.name) is not what its digest says; do not use it, restore it from another copy")
  }
}
