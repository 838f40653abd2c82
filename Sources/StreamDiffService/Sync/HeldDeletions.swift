public import StreamDiffCore

/// Deletions that wait for the end of a round, encoded: in memory up to a bound, beyond it in a file without
/// a name.
public struct HeldDeletions: Sendable {
  private static let memoryBytes = 4 << 20
  /// Of one batch when they are taken.
  private static let batchBytes = 1 << 20

  private var buffer: [UInt8] = []
  private var spill: (file: SpillFile, bytes: UInt64)?
  public private(set) var count = 0

  public init() {}

  public mutating func append(_ key: [UInt8], expecting expectation: Expectation) throws(OperationError) {
    try OperationEncoding.append(deleting: key.span, expecting: expectation, to: &buffer)
    count += 1
  }

  /// Moves what is held out of memory when it is much.
  public mutating func spillIfFull(on pool: ReadPool) async throws {
    guard buffer.count >= Self.memoryBytes else { return }
    let bytes = exchange(&buffer, with: [])
    let (file, start) = (spill?.file, spill?.bytes ?? 0)
    let spilled = try await pool.run {
      let file = try file ?? SpillFile()
      try bytes.withUnsafeBytes { try file.file.write($0, at: start, path: file.path) }
      return file
    }
    spill = (spilled, start + UInt64(bytes.count))
  }

  /// Hands everything out in the order it came, and holds nothing then.
  public mutating func takeAll(
    on pool: ReadPool, _ body: (EncodedOperations) async throws -> Void
  ) async throws {
    let (rest, spilled) = (buffer, spill)
    self = HeldDeletions()
    if let (file, end) = spilled {
      var place: UInt64 = 0
      while place < end {
        let start = place
        let batch = try await pool.run { try Self.read(file, from: start, to: end) }
        place += UInt64(batch.bytes.count)
        try await body(batch)
      }
    }
    var start = 0
    while let batch = try Self.batch(rest.span.extracting(droppingFirst: start)) {
      start += batch.bytes.count
      try await body(batch)
    }
  }

  private static func read(_ spill: SpillFile, from start: UInt64, to end: UInt64) throws -> EncodedOperations
  {
    let most = Int(min(end - start, UInt64(batchBytes + OperationEncoding.maximumBytes)))
    var bytes = [UInt8](repeating: 0, count: most)
    let count = try bytes.withUnsafeMutableBytes {
      try spill.file.read(into: $0, at: start, path: spill.path)
    }
    guard count == most, let batch = try batch(bytes.span) else {
      throw AdapterError(.changed, path: spill.path, "a file of waiting deletions was cut short")
    }
    return batch
  }

  /// Whole operations from the front, about a batch of them.
  private static func batch(_ bytes: Span<UInt8>) throws -> EncodedOperations? {
    var end = 0
    while end < batchBytes, let operation = try OperationLayout(parsing: bytes, at: end) {
      end = operation.end
    }
    guard end > 0 else { return nil }
    return try EncodedOperations(bytes.extracting(first: end).withUnsafeBufferPointer { Array($0) })
  }
}
