import NIOCore
import StreamDiffCore
import StreamDiffStorage
import StreamDiffWire

/// `streamdiff.v1.KeyValue`: single keys and ranges.
public struct KeyValueService: Sendable {
  static let name = "streamdiff.v1.KeyValue"

  let replica: Replica
  let counters: ServiceCounters

  public init(replica: Replica, counters: ServiceCounters) {
    (self.replica, self.counters) = (replica, counters)
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
      call.fail(GRPCStatus(mapping: error))
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
      call.fail(GRPCStatus(mapping: error))
    }
  }

  /// Proposes one operation as an entry of its own.
  private func write(
    _ operation: Operation, _ keyspace: String, _ session: SessionID?, _ ordinal: Ordinal,
    _ call: UnaryCall, answer: @escaping @Sendable (LogIndex) -> ByteBuffer
  ) throws {
    let name = try Self.keyspace(keyspace)
    let batch = OperationBatch(
      keyspace: name, kind: .plain, session: session, firstOrdinal: max(ordinal, Ordinal(1)),
      operations: try EncodedOperations([operation]))
    try replica.submit(.operations(batch)) { result in
      switch result {
      case .success(let applied):
        switch applied.outcome {
        case .applied(_, let conflicts) where conflicts.isEmpty: call.respond(answer(applied.index))
        case .applied:
          call.fail(
            GRPCStatus(.aborted, "the key does not hold what was expected at entry \(applied.index.rawValue)")
          )
        case .refused(let refusal): call.fail(GRPCStatus(.failedPrecondition, "\(refusal)"))
        case .none, .sealed: preconditionFailure("operations were applied as \(applied.outcome)")
        }
      case .failure(let error): call.fail(GRPCStatus(error))
      }
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
