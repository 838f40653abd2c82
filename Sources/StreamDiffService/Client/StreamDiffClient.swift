import NIOCore
public import StreamDiffCore
import StreamDiffWire

/// What a client program asks of a server, over one connection. Every method throws `ClientFailure`.
public final class StreamDiffClient: Sendable {
  private let rpc: RPCClient
  private let pool: ReadPool

  private init(_ rpc: RPCClient, pool: ReadPool) { (self.rpc, self.pool) = (rpc, pool) }

  /// Connects to the first server of the list that can be reached.
  public static func connect(_ servers: [ServerAddress]) async throws(ClientFailure) -> StreamDiffClient {
    var reasons: [String] = []
    for server in servers {
      do {
        let rpc = try await RPCClient.connect(host: server.host, port: server.port)
        return StreamDiffClient(rpc, pool: ReadPool(threads: 2, queued: 64))
      } catch {
        reasons.append("\(error)")
      }
    }
    throw ClientFailure(.unreachable, reasons.joined(separator: "; "), isTransient: true)
  }

  /// Socket bytes so far.
  public var bytesSent: UInt64 { rpc.bytesSent }
  public var bytesReceived: UInt64 { rpc.bytesReceived }

  public func close() async {
    await rpc.close()
    await AdapterThreads.run { self.pool.stop() }
  }

  // MARK: Single keys

  public struct Entry: Sendable {
    /// nil: the key is absent.
    public let value: [UInt8]?
    /// Of the keyspace; nil: there is none.
    public let kind: KeyspaceKind?
    /// The applied index it was read at.
    public let index: LogIndex
  }

  public func get(_ key: [UInt8], in keyspace: KeyspaceName) async throws(ClientFailure) -> Entry {
    let request = GetRequest(keyspace: keyspace.description, key: key)
    let answer: GetResponse = try await call("KeyValue/Get", request)
    return Entry(value: answer.value, kind: answer.kind, index: answer.index)
  }

  /// - Returns: the log index that applied it.
  public func put(
    _ key: [UInt8], _ value: [UInt8], in keyspace: KeyspaceName
  ) async throws(ClientFailure) -> LogIndex {
    let request = PutRequest(keyspace: keyspace.description, key: key, value: value)
    let answer: PutResponse = try await call("KeyValue/Put", request)
    return answer.index
  }

  /// - Returns: the log index that applied it.
  public func delete(_ key: [UInt8], in keyspace: KeyspaceName) async throws(ClientFailure) -> LogIndex {
    let answer: DeleteResponse = try await call(
      "KeyValue/Delete", DeleteRequest(keyspace: keyspace.description, key: key))
    return answer.index
  }

  /// A page of a scan: entries in key order.
  public struct Page: Sendable {
    public let entries: [(key: [UInt8], value: [UInt8])]
    public let kind: KeyspaceKind?
    /// The applied index of the view, the same on every page.
    public let index: LogIndex
  }

  /// Lends page after page to `visit`.
  public func scan(
    prefix: [UInt8], keysOnly: Bool = false, in keyspace: KeyspaceName, _ visit: (Page) throws -> Void
  ) async throws(ClientFailure) {
    do {
      let stream = try await rpc.open(Self.path("KeyValue/Scan"))
      let request = ScanRequest(keyspace: keyspace.description, prefix: prefix, keysOnly: keysOnly)
      try await stream.send(request.encode())
      stream.halfClose()
      while let bytes = try await stream.next() {
        let answer = try ScanResponse(decoding: bytes)
        let entries = answer.entries.map { (key: $0.key, value: $0.value) }
        try visit(Page(entries: entries, kind: answer.kind, index: answer.index))
      }
    } catch {
      throw ClientFailure(error)
    }
  }

  // MARK: Whole keyspaces

  /// Makes the server's keyspace equal to `source`, or only compares (`SyncOptions.isCompareOnly`).
  public func push(
    _ source: some SyncSource, options: SyncOptions
  ) async throws(ClientFailure) -> SyncReport {
    do {
      return try await SyncClient(rpc, pool: pool).push(source, options: options)
    } catch {
      throw ClientFailure(error)
    }
  }

  /// Makes `sink` equal to the server's keyspace.
  public func pull(into sink: some SyncSink, options: SyncOptions) async throws(ClientFailure) -> SyncReport {
    do {
      return try await SyncClient(rpc, pool: pool).pull(into: sink, options: options)
    } catch {
      throw ClientFailure(error)
    }
  }

  // MARK: The server

  /// - Parameter roots: whether the server is to bring its trees up to date for it.
  public func status(roots: Bool = true) async throws(ClientFailure) -> ServerStatus {
    let answer: StatusResponse = try await call("Group/Status", StatusRequest(skipRoots: !roots))
    return ServerStatus(answer)
  }

  private func call<Answer: WireMessage>(
    _ method: String, _ request: some WireMessage
  ) async throws(ClientFailure) -> Answer {
    do {
      return try Answer(decoding: try await rpc.unary(Self.path(method), request.encode()))
    } catch {
      throw ClientFailure(error)
    }
  }

  private static func path(_ method: String) -> String { "/streamdiff.v1.\(method)" }
}
