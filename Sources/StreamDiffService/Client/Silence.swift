import StreamDiffWire
import Synchronization

/// Ends a call to a server that keeps the connection alive and says nothing: one whose disk hangs, or no server
/// of ours at all. Keepalive does not see it.
enum Silence {
  /// Longer than a server takes over anything but a disk that does not answer.
  static let limit = Duration.seconds(60)

  /// Runs `body`, which uses `stream`, until nothing has happened for `limit`.
  ///
  /// - Parameters:
  ///   - activity: any number that changes while there is progress.
  ///   - isBusy: this side is at work: the server waits for it.
  /// - Throws: what `body` throws, or DEADLINE_EXCEEDED.
  static func limited<Value>(
    _ stream: ClientStream, activity: @escaping @Sendable () -> UInt64,
    isBusy: @escaping @Sendable () -> Bool,
    _ body: () async throws -> Value
  ) async throws -> Value {
    let shared = Shared()
    let watcher = Task {
      let clock = ContinuousClock()
      var (last, since) = (activity(), clock.now)
      while !Task.isCancelled {
        try await Task.sleep(for: limit / 60)
        let now = activity()
        if now != last || isBusy() { (last, since) = (now, clock.now) }
        if clock.now - since >= limit {
          shared.isOver.store(true, ordering: .relaxed)
          return stream.cancel()
        }
      }
    }
    defer { watcher.cancel() }
    do {
      return try await body()
    } catch {
      guard shared.isOver.load(ordering: .relaxed) else { throw error }
      throw RPCError(.deadlineExceeded, "the server accepts connections and has said nothing for \(limit)")
    }
  }

  private final class Shared: Sendable {
    let isOver = Atomic(false)
  }
}
