import StreamDiffCore

/// Walks entries and their digest records side by side; each value lent was checked.
struct EntryScanner: ~Copyable {
  private let entries: DatabaseIterator
  private let digests: DatabaseIterator
  private let keyspace: KeyspaceRecord
  private let path: String
  private var entryKey: StoreKeyBuffer
  private var digestKey: StoreKeyBuffer
  private var hash = SHA256()
  private var isPlaced = false

  /// Steps worth taking before a search: a search costs about as much as ten.
  private static let stepsBeforeSeek = 6

  init(entries: DatabaseIterator, digests: DatabaseIterator, keyspace: KeyspaceRecord, path: String) {
    (self.entries, self.digests) = (entries, digests)
    (self.keyspace, self.path) = (keyspace, path)
    entryKey = StoreKeyBuffer(.entries, keyspace.id)
    digestKey = StoreKeyBuffer(.digests, keyspace.id)
  }

  /// The entry's key; `nil` at the end. Void after the next move.
  var key: UnsafeRawBufferPointer? {
    entries.isValid ? entries.key.withinArea(.entries, keyspace.id) : nil
  }

  var valueBytes: Int { entries.value.count }

  /// The value of the entry, void after the next move.
  mutating func value() throws(StorageError) -> UnsafeRawBufferPointer {
    guard let key else { preconditionFailure("no entry here") }
    guard digests.isValid, let other = digests.key.withinArea(.digests, keyspace.id),
      KeyComparison.isEqual(key, other), let record = StoredDigest(digests.value),
      record.matches(key: key.bytes, value: entries.value.bytes, using: &hash)
    else {
      try digests.check()
      throw .mismatch(key, in: keyspace, path: path)
    }
    return entries.value
  }

  /// Moves to the first entry at or behind `key`.
  mutating func seek(_ key: [UInt8]) throws(StorageError) {
    key.withBytes { key in
      entryKey.with(key) { entries.seek($0) }
      digestKey.with(key) { digests.seek($0) }
    }
    isPlaced = true
    try checkEnd()
  }

  mutating func next() throws(StorageError) {
    entries.next()
    if digests.isValid { digests.next() }
    try checkEnd()
  }

  /// - Parameter key: behind every key asked for before.
  /// - Returns: whether it is there; then the scanner stands on it.
  mutating func move(to key: [UInt8]) throws(StorageError) -> Bool {
    if isPlaced {
      for _ in 0..<Self.stepsBeforeSeek {
        let order = order(to: key)
        if order >= 0 { return order == 0 }
        try next()
      }
    }
    if !isPlaced || order(to: key) < 0 { try seek(key) }
    return order(to: key) == 0
  }

  /// How the current key compares; the end comes after all.
  private func order(to wanted: [UInt8]) -> Int {
    guard let key else { return 1 }
    return wanted.withBytes { KeyComparison.compare(key, $0) }
  }

  /// An end may be a failed read.
  private func checkEnd() throws(StorageError) {
    if !entries.isValid { try entries.check() }
  }
}
