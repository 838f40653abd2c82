import StreamDiffCore

/// What a state must remember of sessions, by the rules of Core.docc/Sessions.
struct ModelSessions: Equatable {
  private(set) var table = SessionTable()
  private(set) var records: [SessionID: SessionRecord] = [:]

  enum Admission {
    case refused(StateMachine.Refusal)
    case admitted(SessionRecord, skipping: Int)
  }

  mutating func admit(_ batch: OperationBatch, of id: SessionID, at index: LogIndex) -> Admission {
    table.clock = max(table.clock, batch.time)
    guard let record = records[id] else {
      guard batch.fence == .zero, batch.firstOrdinal == Ordinal(1) else { return .refused(.sessionUnknown) }
      return .admitted(
        SessionRecord(id: id, used: SessionUse(index: index, time: table.clock)), skipping: 0)
    }
    if isExpired(record) { return .refused(.sessionExpired) }
    if batch.fence != record.fence { return .refused(.superseded) }
    let expected = record.lastOrdinal + 1
    if batch.firstOrdinal > expected {
      return .refused(.gap(expected: expected, found: batch.firstOrdinal))
    }
    return .admitted(record, skipping: min(Int(expected - batch.firstOrdinal), batch.operations.count))
  }

  /// The record after so many operations more, some of them conflicts.
  mutating func decided(
    _ record: SessionRecord, count: Int, conflicts: [Ordinal], at index: LogIndex
  ) -> SessionRecord {
    var record = record
    for _ in 0..<count {
      record.lastOrdinal = record.lastOrdinal + 1
      let isConflict = conflicts.contains(record.lastOrdinal)
      record.conflictMask = record.conflictMask << 1 | (isConflict ? 1 : 0)
      record.conflicts += isConflict ? 1 : 0
      record.appliedIndex = index
    }
    // A use is noted when the one noted is 50 ms old.
    if table.clock >= record.used.time + .milliseconds(50) {
      record.used = SessionUse(index: index, time: table.clock)
    }
    store(record)
    return record
  }

  mutating func open(_ opening: SessionOpening, at index: LogIndex) -> StateMachine.Outcome {
    table.clock = max(table.clock, opening.time)
    let known = records[opening.id]
    if let known, isExpired(known) { return .refused(.sessionExpired) }
    if known == nil && opening.resumes { return .refused(.sessionUnknown) }
    let use = SessionUse(index: index, time: table.clock)
    var record = known ?? SessionRecord(id: opening.id, used: use)
    (record.fence, record.used) = (index, use)
    store(record)
    return .opened(record)
  }

  mutating func expire(_ expiry: SessionExpiry, at index: LogIndex) -> StateMachine.Outcome {
    table.clock = max(table.clock, expiry.now)
    table.idleSince = max(table.idleSince, min(expiry.idleSince, table.clock))
    table.usedBefore = max(table.usedBefore, min(expiry.usedBefore, index))
    let limit = min(expiry.forgetBefore, table.idleSince)
    let old = records.values.filter { $0.used.time < limit && isExpired($0) }
    for record in old { records[record.id] = nil }
    table.records = records.count
    return .expired(forgotten: old.count)
  }

  private mutating func store(_ record: SessionRecord) {
    records[record.id] = record
    table.records = records.count
  }

  private func isExpired(_ record: SessionRecord) -> Bool {
    record.used.time < table.idleSince && record.used.index < table.usedBefore
  }
}
