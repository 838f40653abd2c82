import NIOCore
import StreamDiffWire
import Synchronization

/// When something last went either way on a streaming call that holds a view or buffers: without anything for
/// too long it ends, or sooner where another needs its place.
final class CallActivity: Sendable {
  private let last: Atomic<UInt64>
  private let endings: AsyncStream<any Error>
  private let input: AsyncStream<any Error>.Continuation

  init() {
    last = Atomic(NIODeadline.now().uptimeNanoseconds)
    (endings, input) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(1))
  }

  /// A message went, or came.
  func touch() { last.store(NIODeadline.now().uptimeNanoseconds, ordering: .relaxed) }

  /// Time since the last message.
  var idle: Duration {
    let now = NIODeadline.now().uptimeNanoseconds
    return .nanoseconds(now - min(now, last.load(ordering: .relaxed)))
  }

  /// Ends what `run` runs.
  func end(_ reason: any Error) { input.yield(reason) }

  /// Runs `body`, cancelled and over when nothing was touched for `limit`, or when it is ended.
  /// - Throws: why it was cut, or what `body` throws.
  func run(
    limit: Duration, tooLong: GRPCStatus, _ body: @escaping @Sendable () async throws -> Void
  ) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      defer { group.cancelAll() }
      group.addTask { try await body() }
      group.addTask {
        while self.idle < limit { try await Task.sleep(for: limit - self.idle) }
        throw tooLong
      }
      group.addTask {
        for await reason in self.endings { throw reason }
        throw CancellationError()
      }
      try await group.next()
    }
  }
}
