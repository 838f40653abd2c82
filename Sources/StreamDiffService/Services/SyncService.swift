public import StreamDiffCore
import StreamDiffStorage
import StreamDiffWire

/// `streamdiff.v1.StreamDiff`: the server's end of a session, in either role.
public struct SyncService: Sendable {
  static let name = "streamdiff.v1.StreamDiff"

  let replica: Replica
  let counters: ServiceCounters
  let registry: SyncRegistry

  public init(replica: Replica, counters: ServiceCounters, registry: SyncRegistry) {
    (self.replica, self.counters, self.registry) = (replica, counters, registry)
  }

  public var router: RPCRouter { RPCRouter(["/\(Self.name)/Sync": .stream(sync)]) }

  @Sendable private func sync(_ stream: ServerStream) async throws {
    do {
      let opening = try await Self.hello(stream)
      let meter = SyncMeter()
      let number = try registry.add(
        peer: stream.peer, keyspace: opening.keyspace, isSending: opening.role == .receiver, meter: meter)
      defer { registry.remove(number) }
      let newer = opening.isCompareOnly ? nil : opening.session.map { registry.begin($0, number) }
      if let failure = replica.failure { throw failure }
      let transport = ServerSyncTransport(stream)
      try await Self.whileActive(transport, until: newer) {
        switch opening.role {
        case .sender: try await receive(opening, transport, meter)
        case .receiver: try await send(opening, transport, meter)
        }
      }
    } catch {
      throw RPCError(mapping: error)
    }
  }

  /// Ends a session in which no message went either way for so long: it holds buffers and a view.
  private static let idleLimit = Duration.seconds(600)

  /// - Parameter newer: ends when the session goes on over another connection.
  private static func whileActive(
    _ transport: ServerSyncTransport, until newer: AsyncStream<Never>?,
    _ run: @escaping @Sendable () async throws -> Void
  ) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await run() }
      if let newer {
        group.addTask {
          for await _ in newer {}
          try Task.checkCancellation()
          throw SyncError(StateMachine.Refusal.superseded)
        }
      }
      group.addTask {
        var seen = UInt64.max
        while transport.messages.value != seen {
          seen = transport.messages.value
          try await Task.sleep(for: idleLimit)
        }
        throw GRPCStatus(.deadlineExceeded, "no message for \(idleLimit)")
      }
      defer { group.cancelAll() }
      try await group.next()
    }
  }

  /// What cannot be read before a session has begun is a foreign client's mistake, not damage.
  private static func hello(_ stream: ServerStream) async throws -> Hello {
    guard let bytes = try await stream.next() else {
      throw GRPCStatus(.invalidArgument, "a session begins with a hello; the stream ended without one")
    }
    guard case .hello(let hello) = try SyncMessage(decoding: bytes) else {
      throw GRPCStatus(.invalidArgument, "the first message is not a hello")
    }
    return hello
  }

  /// A push, or a client that only compares.
  private func receive(_ hello: Hello, _ transport: ServerSyncTransport, _ meter: SyncMeter) async throws {
    let kind = replica.store.keyspace(named: hello.keyspace)?.kind ?? hello.kind ?? .plain
    var options = SyncOptions(keyspace: hello.keyspace, kind: kind, session: hello.session ?? .random())
    options.meter = meter
    let sink = ReplicaSink(replica: replica, keyspace: hello.keyspace, kind: kind, session: hello.session)
    _ = try await SyncSession.runReceiver(
      sink: sink, over: transport, options: options, pool: replica.pool, opening: .hello(hello))
    // Nothing was pushed: the keyspace is there all the same, and empty.
    if !hello.isCompareOnly, hello.root == MerkleTree().root,
      replica.store.keyspace(named: hello.keyspace) == nil
    {
      _ = try await replica.propose(.createKeyspace(hello.keyspace, kind))
    }
    counters.push.add(1)
  }

  /// A pull.
  private func send(_ hello: Hello, _ transport: ServerSyncTransport, _ meter: SyncMeter) async throws {
    let view = try await replica.refreshedView(of: hello.keyspace)
    let source = try ReplicaContent(view, keyspace: hello.keyspace)
    var options = SyncOptions(keyspace: hello.keyspace, kind: source.keyspace?.kind, session: .random())
    options.deletions = .allowed  // a client that wants less than this content does not pull
    options.order = .byKey
    options.meter = meter
    _ = try await SyncSession.runSender(
      source: source, over: transport, options: options, pool: replica.pool, opening: .hello(hello))
    counters.pull.add(1)
  }
}

extension SessionID {
  /// A new session's name.
  public static func random() -> SessionID {
    var random = SystemRandomNumberGenerator()
    return SessionID(using: &random)
  }
}
