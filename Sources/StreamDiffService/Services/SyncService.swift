public import StreamDiffCore
import StreamDiffStorage
import StreamDiffWire

/// `streamdiff.v1.StreamDiff`: the server's end of a session, in either role.
struct SyncService: Sendable {
  static let name = "streamdiff.v1.StreamDiff"

  let replica: Replica
  let counters: ServiceCounters
  let registry: SyncRegistry
  let tuning: ServerTuning
  let traces: TraceDirectory?
  let governor: SendGovernor

  var router: RPCRouter { RPCRouter(["/\(Self.name)/Sync": .stream(sync)]) }

  @Sendable private func sync(_ stream: ServerStream) async throws {
    do {
      let opening = try await Self.hello(stream)
      let meter = SyncMeter()
      let activity = CallActivity()
      let number = try registry.add(
        peer: stream.peer, keyspace: opening.keyspace, isSending: opening.role == .receiver, meter: meter,
        activity: activity)
      defer { registry.remove(number) }
      let (tuning, place) = tuning.enter(peer: stream.peer, isSending: opening.role == .receiver)
      defer { self.tuning.leave(place) }
      if let session = opening.session, !opening.isCompareOnly { registry.begin(session, number) }
      if let failure = replica.failure { throw failure }
      let transport = ServerSyncTransport(stream, activity: activity)
      let tooLong = GRPCStatus(.deadlineExceeded, "no message for \(SessionLimits.idle)")
      try await activity.run(limit: SessionLimits.idle, tooLong: tooLong) {
        switch opening.role {
        case .sender: try await receive(opening, transport, meter, tuning)
        case .receiver: try await send(opening, transport, meter, tuning, traces?.begin(peer: stream.peer))
        }
      }
    } catch {
      if error is StorageError { replica.noteDamage(error) }
      throw RPCError(mapping: error)
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
  private func receive(
    _ hello: Hello, _ transport: ServerSyncTransport, _ meter: SyncMeter, _ tuning: SessionTuning
  ) async throws {
    let kind = replica.store.keyspace(named: hello.keyspace)?.kind ?? hello.kind ?? .plain
    var options = SyncOptions(keyspace: hello.keyspace, kind: kind, session: hello.session ?? .random())
    (options.meter, options.tuning) = (meter, tuning)
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
  private func send(
    _ hello: Hello, _ transport: ServerSyncTransport, _ meter: SyncMeter, _ tuning: SessionTuning,
    _ trace: TraceFile?
  ) async throws {
    let view = try await replica.refreshedView(of: hello.keyspace)
    let source = try ReplicaContent(view, keyspace: hello.keyspace)
    var options = SyncOptions(keyspace: hello.keyspace, kind: source.keyspace?.kind, session: .random())
    options.deletions = .allowed  // a client that wants less than this content does not pull
    options.order = .byKey
    (options.meter, options.tuning) = (meter, tuning)
    options.trace = trace?.trace
    (options.governor, options.refusals) = (governor, self.tuning.refusals)
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
