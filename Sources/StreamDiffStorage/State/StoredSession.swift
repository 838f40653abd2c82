import StreamDiffCore

/// Session records in the state, beside everything else that a batch changes (`StoreKey`).
enum StoredSession {
  static func value(_ record: SessionRecord) -> [UInt8] {
    StoredInteger.bytes(record.lastOrdinal.rawValue) + StoredInteger.bytes(record.appliedIndex.rawValue)
      + StoredInteger.bytes(record.conflicts) + StoredInteger.bytes(record.conflictMask)
      + StoredInteger.bytes(record.fence.rawValue) + StoredInteger.bytes(record.used.index.rawValue)
      + StoredInteger.bytes(record.used.time.milliseconds)
  }

  /// - Returns: `nil` if these bytes are no record, or have numbers that none of ours gets to.
  static func record(_ id: SessionID, _ value: UnsafeRawBufferPointer) -> SessionRecord? {
    guard value.count == 56 else { return nil }
    let fields = (0..<7).compactMap { StoredInteger.read(value, at: 8 * $0) as UInt64? }
    var record = SessionRecord(
      id: id, used: SessionUse(index: LogIndex(fields[5]), time: GroupTime(milliseconds: fields[6])))
    (record.lastOrdinal, record.appliedIndex) = (Ordinal(fields[0]), LogIndex(fields[1]))
    (record.conflicts, record.conflictMask) = (fields[2], fields[3])
    record.fence = LogIndex(fields[4])
    let lastIndex = max(record.appliedIndex, record.fence, record.used.index)
    guard record.lastOrdinal <= .maximum, record.conflicts <= fields[0], lastIndex <= .maximum else {
      return nil
    }
    return record
  }

  static func use(_ record: SessionRecord) -> (key: [UInt8], value: [UInt8]) {
    (
      StoreKey.sessionUse(record.used.index),
      record.id.bytes + StoredInteger.bytes(record.used.time.milliseconds)
    )
  }

  /// - Returns: `nil` if these bytes are no use.
  static func use(
    _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer
  ) -> (SessionID, SessionUse)? {
    guard key.count == StoreKey.sessionUses.count + 8, value.count == SessionID.byteCount + 8,
      let id = SessionID(bytes: Array(value[..<SessionID.byteCount])),
      let time: UInt64 = StoredInteger.read(value, at: SessionID.byteCount)
    else { return nil }
    let index = UInt64(
      bigEndian: key.loadUnaligned(fromByteOffset: StoreKey.sessionUses.count, as: UInt64.self))
    guard LogIndex(index) <= .maximum else { return nil }
    return (id, SessionUse(index: LogIndex(index), time: GroupTime(milliseconds: time)))
  }

  static func value(_ table: SessionTable) -> [UInt8] {
    StoredInteger.bytes(table.clock.milliseconds) + StoredInteger.bytes(table.idleSince.milliseconds)
      + StoredInteger.bytes(table.usedBefore.rawValue) + StoredInteger.bytes(UInt64(table.records))
  }

  /// - Returns: `nil` if these bytes are no table.
  static func table(_ value: UnsafeRawBufferPointer) -> SessionTable? {
    guard value.count == 32 else { return nil }
    let fields = (0..<4).compactMap { StoredInteger.read(value, at: 8 * $0) as UInt64? }
    var table = SessionTable()
    (table.clock, table.idleSince) = (
      GroupTime(milliseconds: fields[0]), GroupTime(milliseconds: fields[1])
    )
    (table.usedBefore, table.records) = (LogIndex(fields[2]), Int(clamping: fields[3]))
    guard table.usedBefore <= .maximum, table.records <= Limits.sessionRecords else { return nil }
    return table
  }
}

extension EngineReads {
  func session(_ id: SessionID) throws(StorageError) -> SessionRecord? {
    try StoreKey.session(id).withBytes { (key) throws(StorageError) in
      try get(key) { (value) throws(StorageError) in
        guard let record = StoredSession.record(id, value) else {
          throw StorageError(.damaged, path: path, "the record of session \(id)")
        }
        return record
      }
    }
  }

  func sessionTable() throws(StorageError) -> SessionTable {
    let table = try StoreKey.sessionTable.withBytes { (key) throws(StorageError) in
      try get(key) { (value) throws(StorageError) in
        guard let table = StoredSession.table(value) else {
          throw StorageError(.damaged, path: path, "the record of all sessions")
        }
        return table
      }
    }
    return table ?? SessionTable()
  }
}

/// Walks noted uses of sessions in their order.
struct SessionUses {
  private let iterator: any EngineIterator
  private let path: String

  init(_ reads: any EngineReads) {
    iterator = reads.iterator()
    path = reads.path
  }

  /// - Returns: the first use at or behind `index`.
  func first(from index: LogIndex) throws(StorageError) -> (SessionID, SessionUse)? {
    StoreKey.sessionUse(index).withBytes { iterator.seek($0) }
    return try current()
  }

  func next() throws(StorageError) -> (SessionID, SessionUse)? {
    iterator.next()
    return try current()
  }

  private func current() throws(StorageError) -> (SessionID, SessionUse)? {
    guard iterator.isValid else {
      try iterator.check()
      return nil
    }
    guard iterator.key.starts(with: StoreKey.sessionUses) else { return nil }
    guard let use = StoredSession.use(iterator.key, iterator.value) else {
      throw StorageError(.damaged, path: path, "the record of a session's use")
    }
    return use
  }
}
