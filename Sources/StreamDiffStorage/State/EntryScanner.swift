import StreamDiffCore

/// Walks the entries of a keyspace; each value lent was checked against its digest.
struct EntryScanner: ~Copyable {
  private let iterator: any EngineIterator
  private let keyspace: KeyspaceRecord
  private let path: String
  private var buffer: StoreKeyBuffer
  private var hash = SHA256()
  private var isPlaced = false

  /// Steps worth taking before a search: a search costs about as much as ten.
  private static let stepsBeforeSeek = 6

  init(_ iterator: any EngineIterator, keyspace: KeyspaceRecord, path: String) {
    self.iterator = iterator
    self.keyspace = keyspace
    self.path = path
    buffer = StoreKeyBuffer(.entries, keyspace.id)
  }

  /// The entry's key; `nil` at the end. Void after the next move.
  var key: UnsafeRawBufferPointer? {
    iterator.isValid ? iterator.key.withinArea(.entries, keyspace.id) : nil
  }

  /// Of the entry's value.
  var valueBytes: Int { max(0, iterator.value.count - StoredEntry.checkBytes) }

  /// The value of the entry, void after the next move.
  mutating func value() throws(StorageError) -> UnsafeRawBufferPointer {
    guard let key else { preconditionFailure("no entry here") }
    guard let value = StoredEntry.value(in: iterator.value, of: key, using: &hash) else {
      throw .mismatch(key, in: keyspace, path: path)
    }
    return value
  }

  /// Moves to the first entry at or behind `key`.
  mutating func seek(_ key: [UInt8]) throws(StorageError) {
    key.withBytes { buffer.with($0) { iterator.seek($0) } }
    isPlaced = true
    try checkEnd()
  }

  mutating func next() throws(StorageError) {
    iterator.next()
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
    if !iterator.isValid { try iterator.check() }
  }
}
