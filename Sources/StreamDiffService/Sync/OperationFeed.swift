public import StreamDiffCore

/// Operations that a sender brings as they are, without comparison: a range of a log, for instance. They
/// can be read again from any point, so that a session goes on where its receiver says that it is.
public protocol OperationSource: Sendable {
  /// The operations from `first` on, some of them: about a MiB, or one larger. Each ordinal names the same
  /// operation for ever.
  /// - Returns: `nil` at the end.
  func operations(from first: Ordinal) async throws -> EncodedOperations?
}

/// Hands the source's operations to whoever sends them, from the first that the receiver lacks.
struct OperationFeed<Source: OperationSource>: Sendable {
  let source: Source
  let batches: Handoff<SendBatch>

  /// - Parameter ended: called when the source has no more.
  func run(_ work: AsyncStream<SendWork>, ended: @Sendable () -> Void) async throws {
    for await item in work {
      switch item {
      case .bring(var next):
        while let operations = try await source.operations(from: next) {
          guard operations.count > 0 else { throw SyncFailure(.sourceFailed, "the source gave nothing") }
          next = next + UInt64(operations.count)
          await batches.put(.operations(operations, taken: operations.count))
          try Task.checkCancellation()
        }
        ended()
      case .seal: await batches.put(.seal)
      case .plan: preconditionFailure("operations that are brought are not planned")
      }
    }
    batches.finish()
    try Task.checkCancellation()
  }
}
