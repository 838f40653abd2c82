import NIOCore
import StreamDiffCore
import StreamDiffStorage
import StreamDiffWire

/// `streamdiff.v1.KeyValue`: single keys and ranges.
public struct KeyValueService: Sendable {
  static let name = "streamdiff.v1.KeyValue"

  let replica: Replica
  let counters: ServiceCounters
  /// Told how long writes take: transfers make way for them.
  let governor: SendGovernor

  public init(replica: Replica, counters: ServiceCounters, governor: SendGovernor) {
    (self.replica, self.counters, self.governor) = (replica, counters, governor)
  }

  /// Watch is not among them: a method that is not registered is UNIMPLEMENTED.
  public var router: RPCRouter {
    RPCRouter([
      "/\(Self.name)/Get": .lookup(get),
      "/\(Self.name)/Put": .unary(put),
      "/\(Self.name)/Delete": .unary(delete),
      "/\(Self.name)/Scan": .stream(scan),
    ])
  }

  // MARK: Get

  /// Answers on the event loop when the value is in memory, on a reading thread otherwise.
  @Sendable private func get(_ call: UnaryCall) {
    do {
      let request = try GetRequest(decoding: call.request)
      let keyspace = try Self.keyspace(request.keyspace)
      try Self.check(key: request.key)
      if let failure = replica.failure { throw failure }
      if answer(call, try replica.store.get(request.key, in: keyspace, blocking: false), keyspace) { return }
      let isTaken = replica.pool.submit {
        do {
          let read = try replica.store.get(request.key, in: keyspace, blocking: true)
          guard answer(call, read, keyspace) else { preconditionFailure("a blocking read would block") }
        } catch {
          replica.noteDamage(error)
          call.fail(GRPCStatus(mapping: error))
        }
      }
      guard isTaken else {
        throw GRPCStatus(.resourceExhausted, "too many reads wait for the disk: try again later")
      }
    } catch {
      call.fail(GRPCStatus(mapping: error))
    }
  }

  /// - Returns: `false` when the read would have to wait for the disk.
  private func answer(_ call: UnaryCall, _ read: ReadResult, _ keyspace: KeyspaceName) -> Bool {
    let response: GetResponse
    let kind = replica.store.keyspace(named: keyspace)?.kind
    switch read {
    case .found(let value, let index): response = GetResponse(value: value, index: index, kind: kind)
    case .absent(let index): response = GetResponse(value: nil, index: index, kind: kind)
    case .wouldBlock: return false
    }
    counters.get.add(1)
    call.respond(response.encode())
    return true
  }

  // MARK: Put and Delete

  @Sendable private func put(_ call: UnaryCall) {
    do {
      let request = try PutRequest(decoding: call.request)
      let operation = Operation(
        key: request.key, expectation: request.expectation, change: .put(value: request.value))
      try write(operation, request.keyspace, request.session, request.ordinal, call) { index in
        counters.put.add(1)
        return PutResponse(index: index).encode()
      }
    } catch {
      Self.fail(call, error)
    }
  }

  @Sendable private func delete(_ call: UnaryCall) {
    do {
      let request = try DeleteRequest(decoding: call.request)
      let operation = Operation(key: request.key, expectation: request.expectation, change: .delete)
      try write(operation, request.keyspace, request.session, request.ordinal, call) { index in
        counters.delete.add(1)
        return DeleteResponse(index: index).encode()
      }
    } catch {
      Self.fail(call, error)
    }
  }

  /// Proposes one operation as an entry of its own.
  private func write(
    _ operation: Operation, _ keyspace: String, _ session: SessionID?, _ ordinal: Ordinal,
    _ call: UnaryCall, answer: @escaping @Sendable (LogIndex) -> ByteBuffer
  ) throws {
    let name = try Self.keyspace(keyspace)
    guard (session == nil) == (ordinal == .zero) else {
      throw GRPCStatus(
        .invalidArgument, session == nil ? "an ordinal without a session" : "a session without an ordinal")
    }
    let batch = OperationBatch(
      keyspace: name, kind: .plain, session: session, firstOrdinal: session == nil ? Ordinal(1) : ordinal,
      operations: try EncodedOperations([operation]))
    let start = ContinuousClock.now
    try replica.submit(.operations(batch)) { result in
      do {
        let applied = try result.get()
        governor.committed(in: start.duration(to: .now))
        call.respond(answer(try Self.index(of: applied, ordinal)))
      } catch {
        Self.fail(call, error)
      }
    }
  }

  private static func fail(_ call: UnaryCall, _ error: any Error) {
    let failure = RPCError(mapping: error)
    call.fail(failure.status, trailers: failure.trailers)
  }

  /// - Returns: the log index that applied the operation.
  /// - Throws: why it took no effect, or that nobody knows any more.
  private static func index(of applied: Applied, _ ordinal: Ordinal) throws -> LogIndex {
    func conflict(_ index: LogIndex) -> GRPCStatus {
      GRPCStatus(.aborted, "the key does not hold what was expected at entry \(index.rawValue)")
    }
    switch applied.outcome {
    case .applied(_, let conflicts):
      guard conflicts.isEmpty else { throw conflict(applied.index) }
      return applied.index
    case .advanced(let advance):
      switch advance.record.answer(for: ordinal) {
      case .applied(let index): return index
      case .conflict(let index): throw conflict(index)
      case .forgotten:
        throw GRPCStatus(
          .aborted,
          "operation \(ordinal.rawValue) was decided; its outcome is no longer kept: the session is at "
            + "\(advance.record.lastOrdinal.rawValue)")
      case .unknown: preconditionFailure("operation \(ordinal.rawValue) was not decided")
      }
    case .refused(let refusal): throw SyncError(refusal)
    case .none, .opened, .expired, .sealed:
      preconditionFailure("operations were applied as \(applied.outcome)")
    }
  }

  // MARK: Limits

  static func keyspace(_ text: String) throws(GRPCStatus) -> KeyspaceName {
    guard let name = KeyspaceName(text) else {
      throw GRPCStatus(
        .invalidArgument,
        "keyspace \(text.prefix(160).debugDescription): a name is 1 to \(KeyspaceName.maximumBytes) of "
          + "A-Z a-z 0-9 . _ -")
    }
    return name
  }

  static func check(key: [UInt8]) throws(GRPCStatus) {
    guard !key.isEmpty, key.count <= Limits.keyBytes else {
      throw GRPCStatus(.invalidArgument, "a key of \(key.count) bytes: it takes 1 to \(Limits.keyBytes)")
    }
  }
}
