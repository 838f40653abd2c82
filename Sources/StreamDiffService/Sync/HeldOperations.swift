public import StreamDiffCore

/// Operations that wait for the end of a round, encoded: in memory up to a bound, beyond it in a file without
/// a name. Of a put it keeps what was planned, not the value.
public struct HeldOperations: Sendable {
  private static let memoryBytes = 4 << 20
  /// Of one batch when they are taken.
  private static let batchBytes = 1 << 20

  private var buffer: [UInt8] = []
  private var spill: (file: SpillFile, bytes: UInt64)?
  public private(set) var count = 0

  public init() {}

  public mutating func append(_ operation: PlannedOperation) throws(OperationError) {
    switch operation.change {
    case .delete:
      try OperationEncoding.append(
        deleting: operation.key.span, expecting: operation.expectation, to: &buffer)
    case .put(let valueBytes):
      let size = withUnsafeBytes(of: UInt64(valueBytes).littleEndian) { Array($0) }
      try OperationEncoding.append(
        put: operation.key.span, expecting: operation.expectation, value: size.span, to: &buffer)
    }
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
    on pool: ReadPool, _ body: ([PlannedOperation]) async throws -> Void
  ) async throws {
    let (rest, spilled) = (buffer, spill)
    self = HeldOperations()
    if let (file, end) = spilled {
      var place: UInt64 = 0
      while place < end {
        let start = place
        let (batch, bytes) = try await pool.run { try Self.read(file, from: start, to: end) }
        place += UInt64(bytes)
        try await body(batch)
      }
    }
    var start = 0
    while start < rest.count {
      let (batch, bytes) = try Self.batch(rest.span.extracting(droppingFirst: start))
      start += bytes
      try await body(batch)
    }
  }

  private static func read(
    _ spill: SpillFile, from start: UInt64, to end: UInt64
  ) throws -> (batch: [PlannedOperation], bytes: Int) {
    let most = Int(min(end - start, UInt64(batchBytes + OperationEncoding.maximumBytes)))
    var bytes = [UInt8](repeating: 0, count: most)
    let count = try bytes.withUnsafeMutableBytes {
      try spill.file.read(into: $0, at: start, path: spill.path)
    }
    let read = try batch(bytes.span)
    guard count == most, read.bytes > 0 else {
      throw AdapterError(.changed, path: spill.path, "a file of waiting operations was cut short")
    }
    return read
  }

  /// Whole operations from the front, about a batch of them.
  private static func batch(_ bytes: Span<UInt8>) throws -> (batch: [PlannedOperation], bytes: Int) {
    var (operations, end) = ([PlannedOperation](), 0)
    while end < batchBytes, let operation = try OperationLayout(parsing: bytes, at: end) {
      let key = bytes.extracting(operation.key).withUnsafeBufferPointer { Array($0) }
      let change: PlannedOperation.Change
      switch operation.kind {
      case .delete: change = .delete
      case .put:
        let size = bytes.extracting(operation.value).withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
        change = .put(valueBytes: Int(UInt64(littleEndian: size)))
      }
      operations.append(PlannedOperation(key: key, change: change, expectation: operation.expectation))
      end = operation.end
    }
    return (operations, end)
  }
}
