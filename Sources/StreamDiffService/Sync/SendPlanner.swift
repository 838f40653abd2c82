import StreamDiffCore

/// What a sending machine wants done behind one another.
enum SendWork: Sendable {
  case plan([PlannedOperation], round: Int)
  case seal
}

/// Operations ready to be cut into chunks.
enum SendBatch: Sendable {
  /// - Parameter taken: how many planned operations leave the queue with these.
  case operations(EncodedOperations, taken: Int)
  case seal
}

/// Turns planned operations into encoded ones: applies the caller's wishes about deletions, fetches the
/// values batch by batch on the pool, always one batch ahead of whoever sends them.
struct SendPlanner<Source: SyncSource>: Sendable {
  /// Planned operations that will not come as a batch, or come later.
  struct Taken: Sendable {
    var count: Int
    /// Of these, what the caller does not want at all.
    var withheld: Int
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
    var held = HeldDeletions()
    for await item in work {
      switch item {
      case .plan(let operations, let round):
        let wanted = try sort(operations, into: &held, of: entries())
        report(wanted.all, round: round)
        if options.isCompareOnly {
          taken(Taken(count: operations.count, withheld: 0))
          continue
        }
        let elsewhere = operations.count - wanted.now.count
        if elsewhere > 0 { taken(Taken(count: elsewhere, withheld: operations.count - wanted.all.count)) }
        try await send(wanted.now, areTaken: true)
      case .seal:
        try await send(held.takeAll(), areTaken: false)
        await batches.put(.seal)
      }
    }
    batches.finish()
    try Task.checkCancellation()
  }

  /// - Returns: the operations to report, and those of them to send before the held ones.
  private func sort(
    _ operations: [PlannedOperation], into held: inout HeldDeletions, of entries: Int
  ) throws(SyncFailure) -> (all: [PlannedOperation], now: [PlannedOperation]) {
    if options.isCompareOnly { return (operations, []) }
    switch options.deletions {
    case .allowed: return (operations, operations)
    case .none:
      let puts = operations.filter { $0.change != .delete }
      return (puts, puts)
    case .guarded:
      var puts: [PlannedOperation] = []
      puts.reserveCapacity(operations.count)
      for operation in operations {
        if operation.change == .delete {
          try held.append(operation, of: entries)
        } else {
          puts.append(operation)
        }
      }
      return (operations, puts)
    }
  }

  private func report(_ operations: [PlannedOperation], round: Int) {
    options.meter.plannedOperations.add(operations.count)
    options.meter.plannedBytes.add(operations.reduce(0) { $0 + $1.bytes })
    if !operations.isEmpty { options.onPlan?(round, operations) }
  }

  private func send(_ operations: [PlannedOperation], areTaken: Bool) async throws {
    var start = 0
    while start < operations.count {
      let end = Self.batchEnd(operations, from: start)
      let batch = Array(operations[start..<end])
      let (source, overwrites) = (source, options.overwrites)
      let encoded = try await pool.run {
        try EncodedOperations(reading: batch, from: source, overwrites: overwrites)
      }
      await batches.put(.operations(encoded, taken: areTaken ? batch.count : 0))
      start = end
    }
  }

  /// About 1 MiB of keys and values, or one larger operation, and at most 4096 operations.
  private static func batchEnd(_ operations: [PlannedOperation], from start: Int) -> Int {
    var (end, bytes) = (start, 0)
    while end < operations.count, end - start < 4096 {
      bytes += operations[end].bytes
      if end > start, bytes > 1 << 20 { break }
      end += 1
    }
    return end
  }
}

/// Deletions that wait for the end of a round: by then their number is known.
private struct HeldDeletions {
  /// Keys in memory; a push that deletes more than this has to say so.
  private static let maximumBytes = 64 << 20

  private var operations: [PlannedOperation] = []
  private var bytes = 0

  mutating func append(_ operation: PlannedOperation, of entries: Int) throws(SyncFailure) {
    operations.append(operation)
    bytes += operation.bytes + 64
    guard operations.count <= entries / 2, bytes <= Self.maximumBytes else {
      throw SyncFailure(
        .tooManyDeletions(count: operations.count, of: entries),
        "this would delete over half of the \(entries) entries there; nothing has been deleted yet")
    }
  }

  mutating func takeAll() -> [PlannedOperation] {
    defer { (operations, bytes) = ([], 0) }
    return operations
  }
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
