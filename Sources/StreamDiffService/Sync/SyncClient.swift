import StreamDiffCore
import StreamDiffWire

/// Runs sessions with a server: opens the call, drives it, and checks how it ended.
public struct SyncClient: Sendable {
  /// Attempts without progress on one connection, where bytes were damaged on the way or a session is no
  /// longer known. What is missing travels again, nothing else.
  public static let attempts = 3

  private static let path = "/streamdiff.v1.StreamDiff/Sync"
  private let client: RPCClient
  private let pool: ReadPool

  /// - Parameter pool: reads the source, off the event loops.
  public init(_ client: RPCClient, pool: ReadPool) { (self.client, self.pool) = (client, pool) }

  /// Makes the server's keyspace equal to `source`, or compares.
  /// - Throws: `RPCError`, `SyncError`, `SyncFailure`, or what the source throws.
  public func push(_ source: some SyncSource, options: SyncOptions) async throws -> SyncReport {
    try await retrying(options, mayBeginAnew: true) { options, stream in
      try await SyncSession.runSender(
        source: source, over: ClientSyncTransport(stream, meter: options.meter), options: options, pool: pool)
    }
  }

  /// Brings operations without comparison, each once: a session that the server no longer knows ends it.
  /// - Throws: `RPCError`, `SyncError`, `SyncFailure`, or what the source throws.
  public func bring(_ operations: some OperationSource, options: SyncOptions) async throws -> SyncReport {
    try await retrying(options, mayBeginAnew: false) { options, stream in
      try await SyncSession.runSender(
        operations: operations, over: ClientSyncTransport(stream, meter: options.meter), options: options,
        pool: pool)
    }
  }

  /// Makes `sink` equal to the server's keyspace.
  /// - Throws: `RPCError`, `SyncError`, `SyncFailure`, or what the sink throws.
  public func pull(into sink: some SyncSink, options: SyncOptions) async throws -> SyncReport {
    try await retrying(options, mayBeginAnew: true) { options, stream in
      try await SyncSession.runReceiver(
        sink: sink, over: ClientSyncTransport(stream, meter: options.meter), options: options, pool: pool)
    }
  }

  /// - Parameter mayBeginAnew: a comparison finds what is missing, whatever was applied before.
  private func retrying(
    _ options: SyncOptions, mayBeginAnew: Bool, _ run: (SyncOptions, ClientStream) async throws -> SyncReport
  ) async throws -> SyncReport {
    var (failures, progress) = (0, options.course.progress)
    while true {
      do {
        return try await once(options, run)
      } catch {
        let isExpired = (error as? RPCError)?.sessionEnd == .expired
        guard isExpired ? mayBeginAnew : Self.isDamage(error) else { throw error }
        if options.course.progress > progress { (failures, progress) = (0, options.course.progress) }
        failures += 1
        guard failures < Self.attempts else { throw error }
        if isExpired { options.course.startAnew(as: .random()) }
      }
    }
  }

  private func once(
    _ options: SyncOptions, _ run: (SyncOptions, ClientStream) async throws -> SyncReport
  ) async throws -> SyncReport {
    let stream = try await client.open(Self.path)
    do {
      let (meter, pool) = (options.meter, pool)
      return try await Silence.limited(
        stream, activity: { meter.activity }, isBusy: { pool.isBusy || AdapterThreads.isBusy }
      ) { try await run(options, stream) }
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
