import StreamDiffCore

/// Session records as the batch being built leaves them.
struct SessionOverlay {
  private struct Known {
    /// `nil`: there is none, or it is removed.
    var record: SessionRecord?
    /// In the database.
    let stored: SessionRecord?
    var isChanged = false
  }

  /// Of the sessions that the batch has to do with: each is read once.
  private var known: [SessionID: Known] = [:]
  private(set) var table: SessionTable
  private var tableChanged = false

  init(_ table: SessionTable) { self.table = table }

  var count: Int { known.count }

  mutating func set(_ table: SessionTable) {
    tableChanged = tableChanged || table != self.table
    self.table = table
  }

  mutating func session(_ id: SessionID, in reads: any EngineReads) throws(StorageError) -> SessionRecord? {
    if let known = known[id] { return known.record }
    let stored = try reads.session(id)
    known[id] = Known(record: stored, stored: stored)
    return stored
  }

  mutating func set(_ id: SessionID, to record: SessionRecord?, in reads: any EngineReads)
    throws(StorageError)
  {
    _ = try session(id, in: reads)
    known[id]?.record = record
    known[id]?.isChanged = true
  }

  /// Records used before `time`, the oldest use first.
  func sessions(
    usedBefore time: GroupTime, limit: Int, in reads: any EngineReads
  ) throws(StorageError) -> [SessionRecord] {
    var found = known.values.compactMap(\.record).filter { $0.used.time < time }
    var untouched = 0
    let uses = SessionUses(reads)
    var next = try uses.first(from: .zero)
    while let (id, use) = next, use.time < time, untouched < limit {
      if known[id] == nil {
        guard let record = try reads.session(id) else {
          throw StorageError(.damaged, path: reads.path, "a session's use without its record")
        }
        found.append(record)
        untouched += 1
      }
      next = try uses.next()
    }
    found.sort { $0.used.index < $1.used.index }
    return Array(found.prefix(limit))
  }

  func write(to batch: any EngineBatch) {
    for (id, change) in known where change.isChanged {
      if let stored = change.stored, stored.used.index != change.record?.used.index {
        batch.delete(StoreKey.sessionUse(stored.used.index))
      }
      if let record = change.record {
        batch.put(StoreKey.session(id), StoredSession.value(record))
        let use = StoredSession.use(record)
        if change.stored?.used.index != record.used.index { batch.put(use.key, use.value) }
      } else if change.stored != nil {
        batch.delete(StoreKey.session(id))
      }
    }
    if tableChanged { batch.put(StoreKey.sessionTable, StoredSession.value(table)) }
  }
}
