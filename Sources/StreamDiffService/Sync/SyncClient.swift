import StreamDiffCore
import StreamDiffWire

/// Runs sessions with a server: opens the call, drives it, and checks how it ended.
public struct SyncClient: Sendable {
  /// Attempts of one session whose bytes were damaged on the way. Each compares anew, so that only what
  /// is missing travels again.
  public static let attempts = 3

  private static let path = "/streamdiff.v1.StreamDiff/Sync"
  private let client: RPCClient
  private let pool: ReadPool

  /// - Parameter pool: reads the source, off the event loops.
  public init(_ client: RPCClient, pool: ReadPool) { (self.client, self.pool) = (client, pool) }

  /// Makes the server's keyspace equal to `source`, or compares.
  /// - Throws: `RPCError`, `SyncError`, `SyncFailure`, or what the source throws.
  public func push(_ source: some SyncSource, options: SyncOptions) async throws -> SyncReport {
    try await retrying(options) { options, stream in
      try await SyncSession.runSender(
        source: source, over: ClientSyncTransport(stream), options: options, pool: pool)
    }
  }

  /// Makes `sink` equal to the server's keyspace.
  /// - Throws: `RPCError`, `SyncError`, `SyncFailure`, or what the sink throws.
  public func pull(into sink: some SyncSink, options: SyncOptions) async throws -> SyncReport {
    try await retrying(options) { options, stream in
      try await SyncSession.runReceiver(
        sink: sink, over: ClientSyncTransport(stream), options: options, pool: pool)
    }
  }

  private func retrying(
    _ options: SyncOptions, _ run: (SyncOptions, ClientStream) async throws -> SyncReport
  ) async throws -> SyncReport {
    var options = options
    for _ in 1..<Self.attempts {
      do {
        return try await once(options, run)
      } catch  where Self.isDamage(error) {
        options.session = .random()
      }
    }
    return try await once(options, run)
  }

  private func once(
    _ options: SyncOptions, _ run: (SyncOptions, ClientStream) async throws -> SyncReport
  ) async throws -> SyncReport {
    let stream = try await client.open(Self.path)
    do {
      return try await run(options, stream)
    } catch {
      stream.cancel()
      throw error
    }
  }

  private static func isDamage(_ error: any Error) -> Bool {
    switch error {
    case let error as SyncError: error.code == .dataLoss
    case let error as RPCError: error.status.code == .dataLoss
    default: false
    }
  }
}
