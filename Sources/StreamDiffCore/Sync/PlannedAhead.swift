private import DequeModule

/// Counts what is planned and not yet taken by the edge, so that planning waits for sending.
struct PlannedAhead: Sendable {
  private var batches: Deque<(entries: Int, keyBytes: Int)> = []
  private(set) var entries = 0
  private(set) var keyBytes = 0
  private(set) var totalTaken: UInt64 = 0

  /// Whether another window may be planned on top.
  var hasRoom: Bool { entries <= SyncLimits.plannedRoom && keyBytes <= SyncLimits.windowKeyBytes }

  mutating func planned(_ operations: [PlannedOperation]) {
    let bytes = operations.reduce(0) { $0 + $1.key.count }
    batches.append((operations.count, bytes))
    entries += operations.count
    keyBytes += bytes
  }

  mutating func taken(_ count: Int) {
    precondition(count <= entries, "\(count) operations taken of \(entries) planned")
    totalTaken += UInt64(count)
    entries -= count
    var rest = count
    while rest > 0 {
      let portion = min(rest, batches[0].entries)
      batches[0].entries -= portion
      rest -= portion
      if batches[0].entries == 0 { keyBytes -= batches.removeFirst().keyBytes }
    }
  }

  /// Operations that were never planned: a session without comparison.
  mutating func takenUnplanned(_ count: Int) { totalTaken += UInt64(count) }
}
