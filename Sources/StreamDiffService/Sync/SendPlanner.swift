import StreamDiffCore

/// What a sending machine wants done behind one another.
enum SendWork: Sendable {
  case plan([PlannedOperation], round: Int)
  /// Operations of the edge's own, from this one on.
  case bring(from: Ordinal)
  case seal
}

/// Operations ready to be cut into chunks.
enum SendBatch: Sendable {
  /// - Parameter taken: how many planned operations leave the queue with these.
  case operations(EncodedOperations, taken: Int)
  case seal
}

/// Turns planned operations into encoded ones: sorts out what the caller wants, fetches the values batch by
/// batch on the pool, always one batch ahead of whoever sends them.
struct SendPlanner<Source: SyncSource>: Sendable {
  /// Planned operations that will not come as a batch, or come later.
  struct Taken: Sendable {
    var count: Int
    /// Decided since the last call: what the caller does not want at all, and what is to be done.
    var withheld: Int
    var wanted: Int
  }

  let source: Source
  let options: SyncOptions
  let pool: ReadPool
  let batches: Handoff<SendBatch>

  /// - Parameters:
  ///   - entries: what the receiver holds now.
  ///   - taken: called for operations that leave the queue without a batch.
  func run(
    _ work: AsyncStream<SendWork>, entries: @Sendable () -> Int, taken: @Sendable (Taken) -> Void
  ) async throws {
    var sorter = OperationSorter(source, options)
    var held = Held()
    var current = 1
    for await item in work {
      switch item {
      case .plan(let operations, let round):
        current = round
        let sorted = try sorter.sort(operations)
        try options.deletionGuard.check(sorter.tally, entries: entries())
        report(sorted, round: round)
        let waits = options.isCompareOnly || mustWait(entries())
        let due = waits ? 0 : sorted.now.count { $0.isDue }
        taken(Taken(count: operations.count - due, withheld: sorted.withheld, wanted: sorted.wanted))
        try await take(sorted, waits: waits, &held)
      case .bring: preconditionFailure("a comparison plans what is brought")
      case .seal:
        try await finish(&sorter, &held, round: current, entries(), taken)
        for var operations in [held.others, held.deletions] {
          try await operations.takeAll(on: pool) { try await send($0.map { ($0, false) }) }
        }
        await batches.put(.seal)
        (sorter, held) = (OperationSorter(source, options), Held())
      }
    }
    // A session that only compares ends without a seal.
    if options.isCompareOnly { try await finish(&sorter, &held, round: current, entries(), taken) }
    batches.finish()
    try Task.checkCancellation()
  }

  /// What the end of a round lets go.
  private struct Held {
    var others = HeldOperations()
    var deletions = HeldOperations()
  }

  /// Until it is known that not too much would be deleted, nothing is changed at all.
  private func mustWait(_ entries: Int) -> Bool {
    options.deletions == .guarded && options.order == .contentFirst
      && !options.deletionGuard.isDecided(entries: entries)
  }

  private func take(
    _ sorted: OperationSorter<Source>.Sorted, waits: Bool, _ held: inout Held
  ) async throws {
    guard !options.isCompareOnly else { return }
    if waits {
      for (operation, _) in sorted.now { try held.others.append(operation) }
      try await held.others.spillIfFull(on: pool)
    } else {
      try await send(sorted.now)
    }
    for operation in sorted.deletions { try held.deletions.append(operation) }
    try await held.deletions.spillIfFull(on: pool)
  }

  /// The end of a round: everything of the source that it needs has been read.
  private func finish(
    _ sorter: inout OperationSorter<Source>, _ held: inout Held, round: Int, _ entries: Int,
    _ taken: @Sendable (Taken) -> Void
  ) async throws {
    let rest = sorter.finish()
    report(rest, round: round)
    taken(Taken(count: 0, withheld: rest.withheld, wanted: rest.wanted))
    try await take(rest, waits: mustWait(entries), &held)
    try options.deletionGuard.pass(
      sorter.tally, entries: entries, source: (source.tree.count, source.countedEntries))
  }

  private func report(_ sorted: OperationSorter<Source>.Sorted, round: Int) {
    let operations = sorted.now.map(\.operation) + sorted.deletions
    options.meter.plannedOperations.add(operations.count)
    options.meter.plannedBytes.add(operations.reduce(0) { $0 + $1.bytes })
    if !operations.isEmpty { options.onPlan?(round, operations) }
  }

  private func send(_ operations: [(operation: PlannedOperation, isDue: Bool)]) async throws {
    var start = 0
    while start < operations.count {
      let end = Self.batchEnd(operations, from: start)
      let batch = operations[start..<end].map(\.operation)
      let due = operations[start..<end].count { $0.isDue }
      await batches.waitForRoom()
      let (source, overwrites) = (source, options.overwrites)
      let encoded = try await pool.run {
        try EncodedOperations(reading: batch, from: source, overwrites: overwrites)
      }
      await batches.put(.operations(encoded, taken: due))
      start = end
    }
  }

  /// - Returns: the end of the next batch, of one operation at least.
  private static func batchEnd(
    _ operations: [(operation: PlannedOperation, isDue: Bool)], from start: Int
  ) -> Int {
    var (end, bytes) = (start, 0)
    while end < operations.count, end - start < SessionLimits.batchOperations {
      bytes += operations[end].operation.bytes
      if end > start, bytes > SessionLimits.batchBytes { break }
      end += 1
    }
    return end
  }
}

extension OperationSorter.Sorted {
  /// Operations that are to be done.
  fileprivate var wanted: Int { now.count + deletions.count }
}

extension PlannedOperation {
  /// Of key and value.
  var bytes: Int {
    if case .put(let valueBytes) = change { key.count + valueBytes } else { key.count }
  }
}

extension EncodedOperations {
  /// Blocks while the values are read.
  fileprivate init(
    reading batch: [PlannedOperation], from source: some SyncSource, overwrites: Bool
  ) throws {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(batch.reduce(0) { $0 + $1.bytes + 48 })
    var next = 0
    func expectation(_ operation: PlannedOperation) -> Expectation {
      overwrites ? .any : operation.expectation
    }
    func deleteUpToPut() throws {
      while next < batch.count, batch[next].change == .delete {
        try OperationEncoding.append(
          deleting: batch[next].key, expecting: expectation(batch[next]), to: &bytes)
        next += 1
      }
    }
    let keys = batch.filter { $0.change != .delete }.map(\.key)
    if !keys.isEmpty {
      try source.readValues(of: keys) { _, value in
        try deleteUpToPut()
        guard next < batch.count else { throw SyncFailure(.sourceFailed, "the source gave a value too many") }
        let operation = batch[next]
        try value.withUnsafeBytes { value in
          try OperationEncoding.append(
            put: operation.key.span, expecting: expectation(operation),
            value: value.bindMemory(to: UInt8.self).span, to: &bytes)
        }
        next += 1
      }
    }
    try deleteUpToPut()
    guard next == batch.count else {
      throw SyncFailure(.sourceFailed, "the source lacks values that it announced")
    }
    try self.init(bytes)
  }
}
