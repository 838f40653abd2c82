/// Walks own records and the peer's keys side by side and says what makes the peer's entries ours.
struct EntryMerge: Sendable {
  /// Rising; those before `next` are dealt with.
  private let keys: [KeyDigest]
  private var next = 0

  init(against keys: [KeyDigest]) { self.keys = keys }

  /// - Parameters:
  ///   - records: own, in key order, beyond those of the call before.
  ///   - isEnd: no own record follows.
  /// - Returns: operations in key order. Entries with equal digests need none.
  mutating func plan(_ records: [DigestRecord], isEnd: Bool) -> [PlannedOperation] {
    var plan: [PlannedOperation] = []
    plan.reserveCapacity(records.count)
    for record in records {
      while next < keys.count, KeyOrder.precedes(keys[next].key, record.key) { delete(into: &plan) }
      var expectation = Expectation.absent
      if next < keys.count, keys[next].key == record.key {
        let held = keys[next].digest
        next += 1
        if held == record.digest { continue }
        expectation = .digest(held)
      }
      plan.append(
        PlannedOperation(
          key: record.key, change: .put(valueBytes: record.valueBytes), expectation: expectation))
    }
    while isEnd, next < keys.count { delete(into: &plan) }
    return plan
  }

  private mutating func delete(into plan: inout [PlannedOperation]) {
    plan.append(
      PlannedOperation(key: keys[next].key, change: .delete, expectation: .digest(keys[next].digest)))
    next += 1
  }
}
