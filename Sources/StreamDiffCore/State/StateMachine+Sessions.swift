/// Sessions: each operation is decided once, however often and by however many connections it comes.
extension StateMachine {
  mutating func apply<T: StateTransaction>(
    _ batch: OperationBatch, of session: SessionID, at index: LogIndex, to transaction: inout T
  ) throws(T.StoreError) -> Outcome {
    var table = try transaction.sessionTable()
    table.advance(to: batch.time)
    let known = try transaction.session(session)
    let admission = table.admit(
      session, first: batch.firstOrdinal, count: batch.operations.count, fence: batch.fence, record: known,
      at: index)
    guard case .admitted(var record, let skipped) = admission else {
      try transaction.setSessionTable(table)
      if case .refused(let refusal) = admission { return .refused(refusal) }
      preconditionFailure("neither admitted nor refused")
    }
    let count = batch.operations.count - skipped
    var conflicts: [Ordinal] = []
    if count > 0 {
      switch try apply(batch, skipping: skipped, to: &transaction) {
      case .refused(let refusal):
        try transaction.setSessionTable(table)
        return .refused(refusal)
      case .decided(let found):
        conflicts = found
        record.advance(by: count, conflicts: found, at: index)
      }
    }
    record.use(SessionUse(index: index, time: table.clock))
    if known == nil { table.records += 1 }
    try transaction.put(record)
    try transaction.setSessionTable(table)
    return .advanced(
      SessionAdvance(record: record, operations: count, conflicts: conflicts, skipped: skipped))
  }

  func open<T: StateTransaction>(
    _ opening: SessionOpening, at index: LogIndex, _ transaction: inout T
  ) throws(T.StoreError) -> Outcome {
    var table = try transaction.sessionTable()
    table.advance(to: opening.time)
    let known = try transaction.session(opening.id)
    if let refusal = table.refusal(of: opening, record: known) {
      try transaction.setSessionTable(table)
      return .refused(refusal)
    }
    let use = SessionUse(index: index, time: table.clock)
    var record = known ?? SessionRecord(id: opening.id, used: use)
    (record.fence, record.used) = (index, use)
    if known == nil { table.records += 1 }
    try transaction.put(record)
    try transaction.setSessionTable(table)
    return .opened(record)
  }

  /// Neither a time nor an index beyond this entry's own expires anything: what is yet to come is safe.
  func expire<T: StateTransaction>(
    _ expiry: SessionExpiry, at index: LogIndex, _ transaction: inout T
  ) throws(T.StoreError) -> Outcome {
    var table = try transaction.sessionTable()
    table.advance(to: expiry.now)
    table.idleSince = max(table.idleSince, min(expiry.idleSince, table.clock))
    table.usedBefore = max(table.usedBefore, min(expiry.usedBefore, index))
    let old = try transaction.sessions(
      usedBefore: min(expiry.forgetBefore, table.idleSince), limit: SessionExpiry.forgottenAtOnce)
    var forgotten = 0
    for record in old where table.isExpired(record.used) {
      try transaction.remove(record)
      forgotten += 1
    }
    table.records -= forgotten
    try transaction.setSessionTable(table)
    return .expired(forgotten: forgotten)
  }
}

extension SyncError {
  /// What a command of a session was refused for.
  public init(_ refusal: StateMachine.Refusal) {
    let code: Code =
      switch refusal {
      case .wrongKind: .refused
      case .sessionUnknown, .sessionExpired: .sessionExpired
      case .superseded, .gap: .sessionSuperseded
      case .tooManySessions: .limit
      }
    self.init(code, "\(refusal)")
  }
}
