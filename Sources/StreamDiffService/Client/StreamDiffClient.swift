import NIOCore
public import StreamDiffCore
import StreamDiffWire
import Synchronization

/// What a client program asks of a server. Every method throws `ClientFailure`.
public final class StreamDiffClient: Sendable {
  /// A write is given up as *unknown* after so long: while a session that expired is remembered, and a write in
  /// it is refused and not taken for a new one (`SessionExpiryPolicy.remembered`).
  static let writePatience = Duration.seconds(30)
  /// An attempt to write that is not answered for so long is made again elsewhere.
  static let writeTimeout = Duration.seconds(5)

  /// A read that is not answered for so long is made elsewhere, or fails.
  static let readTimeout = Duration.seconds(30)
  /// Trees of large keyspaces are brought up to date first.
  static let rootsTimeout = Duration.seconds(120)

  /// The server in use, and what those before it have sent and received.
  private struct Connection {
    var rpc: RPCClient
    /// Its place in `servers`.
    var place: Int
    var sent: UInt64 = 0
    var received: UInt64 = 0
  }

  private let servers: [ServerAddress]
  private let connection: Mutex<Connection>
  private let pool: ReadPool
  private let writes = WriteSessions()

  private var rpc: RPCClient { connection.withLock { $0.rpc } }

  private init(_ servers: [ServerAddress], _ connection: Connection, pool: ReadPool) {
    (self.servers, self.pool) = (servers, pool)
    self.connection = Mutex(connection)
  }

  /// Connects to the first server of the list that can be reached, the list begun at `first` and gone round.
  public static func connect(
    _ servers: [ServerAddress], from first: Int = 0
  ) async throws(ClientFailure) -> StreamDiffClient {
    do {
      let connection = try await connect(servers, place: first)
      return StreamDiffClient(servers, connection, pool: ReadPool(threads: 2, queued: 64))
    } catch {
      throw ClientFailure(error)
    }
  }

  /// Where in the list the server in use stands.
  public var place: Int { connection.withLock { $0.place } }

  private static func connect(
    _ servers: [ServerAddress], place first: Int
  ) async throws(RPCError) -> Connection {
    // A person waits: a server that is gone without a word is noticed sooner than by another server.
    var limits = RPCLimits()
    (limits.keepaliveInterval, limits.keepaliveTimeout) = (.seconds(5), .seconds(10))
    var reasons: [String] = []
    for step in servers.indices {
      let place = (first + step) % servers.count
      do {
        let rpc = try await RPCClient.connect(
          host: servers[place].host, port: servers[place].port, limits: limits)
        return Connection(rpc: rpc, place: place)
      } catch {
        if case .unreachable(let reason) = error {
          reasons.append(reason)
        } else {
          reasons.append("\(error)")
        }
      }
    }
    throw .unreachable(reasons.joined(separator: "; "))
  }

  /// Leaves a connection that failed, and connects to the next server that can be reached.
  private func replace(_ failed: RPCClient) async throws(RPCError) {
    let place: Int? = connection.withLock { $0.rpc === failed ? $0.place : nil }
    guard let place else { return }  // another call did it
    var fresh = try await Self.connect(servers, place: place + 1)
    let old: RPCClient = connection.withLock { connection in
      fresh.sent = connection.sent + connection.rpc.bytesSent
      fresh.received = connection.received + connection.rpc.bytesReceived
      let old = connection.rpc
      connection = fresh
      return old
    }
    Task { await old.close() }
  }

  /// Socket bytes so far.
  public var bytesSent: UInt64 { connection.withLock { $0.sent + $0.rpc.bytesSent } }
  public var bytesReceived: UInt64 { connection.withLock { $0.received + $0.rpc.bytesReceived } }

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

  /// Writes once, however often it has to be sent: over a lost connection, or to another server.
  /// - Returns: the log index that applied it.
  /// - Throws: `.unknown` where nobody could tell in time whether it was applied.
  public func put(
    _ key: [UInt8], _ value: [UInt8], in keyspace: KeyspaceName
  ) async throws(ClientFailure) -> LogIndex {
    let answer: PutResponse = try await write("KeyValue/Put") { place in
      PutRequest(
        keyspace: keyspace.description, key: key, value: value, session: place.session,
        ordinal: place.ordinal)
    }
    return answer.index
  }

  /// As `put`.
  public func delete(_ key: [UInt8], in keyspace: KeyspaceName) async throws(ClientFailure) -> LogIndex {
    let answer: DeleteResponse = try await write("KeyValue/Delete") { place in
      DeleteRequest(
        keyspace: keyspace.description, key: key, session: place.session, ordinal: place.ordinal)
    }
    return answer.index
  }

  private func write<Answer: WireMessage>(
    _ method: String, _ request: (WriteSessions.Place) -> some WireMessage
  ) async throws(ClientFailure) -> Answer {
    let end = ContinuousClock.now + Self.writePatience
    var place = writes.take()
    var retries = RetryPolicy()
    /// Why an attempt that was sent may have been applied all the same.
    var doubt: RPCError?
    while true {
      let rpc = rpc
      let bytes: ByteBuffer?
      var failure = RPCError(.unknown, "")
      do throws(RPCError) {
        bytes = try await rpc.unary(
          Self.path(method), request(place).encode(), timeout: Self.writeTimeout)
      } catch {
        (bytes, failure) = (nil, error)
      }
      if let bytes {
        do {
          let answer = try Answer(decoding: bytes)
          writes.decided(place)
          return answer
        } catch {
          throw Self.unknown("the answer cannot be read: \(error)")
        }
      }
      switch WriteAttempt(failure) {
      case .refused where doubt == nil:
        writes.decided(place)
        throw ClientFailure(failure)
      case .refused: throw Self.unknown(failure)  // of this server; one before it may have applied it
      case .expired where doubt == nil: place = WriteSessions.new()
      case .expired: throw Self.unknown(failure)
      case .unsure: doubt = failure
      case .notSent: break
      }
      guard ContinuousClock.now < end, let wait = retries.failed(progress: 0) else {
        throw doubt.map(Self.unknown) ?? ClientFailure(failure)
      }
      do { try await Task.sleep(for: wait) } catch { throw doubt.map(Self.unknown) ?? ClientFailure(failure) }
      // What cannot be reached now shows at the next attempt.
      do { try await replace(rpc) } catch {}
    }
  }

  private static func unknown(_ error: RPCError) -> ClientFailure {
    let reason =
      switch error {
      case .unreachable(let reason), .lost(let reason): reason
      case .status(let status, _): status.message.isEmpty ? "\(status)" : status.message
      }
    return unknown(reason)
  }

  private static func unknown(_ reason: String) -> ClientFailure {
    ClientFailure(.unknown, "whether it was applied is unknown: \(reason)")
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
    let request = ScanRequest(keyspace: keyspace.description, prefix: prefix, keysOnly: keysOnly).encode()
    let pages = Count()
    do {
      // Until a first page has come another server does as well.
      let (stream, first) = try await reading { rpc in
        let stream = try await rpc.open(Self.path("KeyValue/Scan"))
        let first = try await Silence.limited(stream, activity: { 0 }, isBusy: { false }) {
          try await stream.send(request)
          stream.halfClose()
          return try await stream.next()
        }
        return (stream, first)
      }
      try await Silence.limited(stream, activity: { pages.value }, isBusy: { pages.value % 2 == 1 }) {
        var next = first
        while let bytes = next {
          pages.add(1)  // odd: `visit` has it
          let answer = try ScanResponse(decoding: bytes)
          let entries = answer.entries.map { (key: $0.key, value: $0.value) }
          try visit(Page(entries: entries, kind: answer.kind, index: answer.index))
          pages.add(1)
          next = try await stream.next()
        }
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
    let answer: StatusResponse = try await call(
      "Group/Status", StatusRequest(skipRoots: !roots), timeout: roots ? Self.rootsTimeout : Self.readTimeout)
    return ServerStatus(answer)
  }

  /// - Parameter isRefusedByRule: an argument that the server does not take is its rule and no mistake of this program.
  func call<Answer: WireMessage>(
    _ method: String, _ request: some WireMessage, timeout: Duration = readTimeout,
    isRefusedByRule: Bool = false
  ) async throws(ClientFailure) -> Answer {
    do {
      let bytes = try await reading { rpc in
        try await rpc.unary(Self.path(method), request.encode(), timeout: timeout)
      }
      return try Answer(decoding: bytes)
    } catch let error as RPCError where isRefusedByRule && error.status.code == .invalidArgument {
      throw ClientFailure(.refused, printable(error.status.message.utf8))
    } catch {
      throw ClientFailure(error)
    }
  }

  /// Reads from the server in use, and where it does not answer from each of the others in turn.
  private func reading<Value>(_ body: (RPCClient) async throws -> Value) async throws -> Value {
    var others = servers.count - 1
    while true {
      let rpc = rpc
      do {
        return try await body(rpc)
      } catch let error as RPCError where others > 0 && error.isOfServer {
        others -= 1
        try await replace(rpc)
      }
    }
  }

  private static func path(_ method: String) -> String { "/streamdiff.v1.\(method)" }
}
