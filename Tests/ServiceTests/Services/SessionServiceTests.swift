import NIOCore
import StreamDiffCore
import StreamDiffService
import StreamDiffWire
import Synchronization
import Testing

/// Sessions with a server: taken up again, superseded, expired.
@Suite struct SessionServiceTests {
  private static let path = "/streamdiff.v1.StreamDiff/Sync"
  private static let settings = ChunkSettings(bytes: 64, encoding: ChunkEncoding(codec: .zstd, level: 1))

  /// A sender without comparison, by hand.
  private struct Sender: ~Copyable {
    let stream: ClientStream
    let hello: Hello
    var writer: ChunkWriter

    static func connect(
      _ client: RPCClient, _ id: SessionID, resumes: Bool = false, lastSequence: UInt64 = 0
    ) async throws -> Sender {
      let stream = try await client.open(SessionServiceTests.path)
      var hello = Hello(role: .sender, keyspace: .default)
      (hello.session, hello.kind, hello.resumes) = (id, .plain, resumes)
      try await stream.send(SyncMessage.hello(hello).encode())
      guard let first = try await stream.next(), case .hello(let answer) = try SyncMessage(decoding: first)
      else { throw SyncFailure(.endedEarly, "no hello") }
      return Sender(
        stream: stream, hello: answer,
        writer: ChunkWriter(firstOrdinal: answer.lastOrdinal + 1, lastSequence: lastSequence))
    }

    /// Puts keys that must be absent, and waits until they are acknowledged.
    mutating func put(_ keys: ClosedRange<UInt8>, ending: Bool = false) async throws -> SyncMessage {
      for key in keys { try writer.append(put: [key], expecting: .absent, value: [key]) }
      while let chunk = try writer.nextChunk(
        settings: SessionServiceTests.settings, flush: true, ending: ending)
      {
        try await stream.send(SyncMessage.chunk(chunk).encode())
        if chunk.isLast { break }
      }
      while let bytes = try await stream.next() {
        let message = try SyncMessage(decoding: bytes)
        switch message {
        case .ack(let ack) where !ending && ack.ordinal == writer.lastOrdinal: return message
        case .sealResult: return message
        default: continue
        }
      }
      throw SyncFailure(.endedEarly, "the stream ended")
    }
  }

  private static func end(of body: () async throws -> Void) async -> (GRPCStatusCode?, String?) {
    do {
      try await body()
      return (nil, nil)
    } catch let error as RPCError {
      return (error.status.code, error.trailers["streamdiff-session"])
    } catch {
      return (.unknown, "\(error)")
    }
  }

  @Test("a session goes on over a second connection where its receiver says that it is")
  func resume() async throws {
    try await withServer { server, client in
      let id = SessionID.random()
      var first = try await Sender.connect(client, id)
      #expect(first.hello.lastOrdinal == .zero)
      _ = try await first.put(1...9)
      first.stream.cancel()

      let sequence = first.writer.lastSequence
      var second = try await Sender.connect(client, id, resumes: true, lastSequence: sequence)
      #expect(second.hello.lastOrdinal == Ordinal(9))
      guard case .sealResult(let sealed) = try await second.put(10...12, ending: true) else { return }
      #expect(sealed.entries == 12 && sealed.conflicts == 0)
      #expect(second.writer.lastSequence > sequence)
      second.stream.halfClose()
      #expect(try await second.stream.next() == nil)
      let status = try await client.status()
      #expect(status["operations_applied"] == 12 && status["sessions_remembered"] == 1)
    }
  }

  @Test("conflicts are counted over all connections of a session")
  func conflicts() async throws {
    try await withServer { _, client in
      _ = try await client.call("KeyValue/Put", PutRequest(key: [2], value: [0]), as: PutResponse.self)
      let id = SessionID.random()
      var first = try await Sender.connect(client, id)
      guard case .ack(let ack) = try await first.put(1...3) else { return }
      #expect(ack.conflicts == 1)
      first.stream.cancel()
      var second = try await Sender.connect(client, id, resumes: true)
      guard case .sealResult(let sealed) = try await second.put(4...5, ending: true) else { return }
      #expect(sealed.conflicts == 1 && sealed.entries == 5)
    }
  }

  @Test("a newer connection of a session ends the older one, which is told so")
  func superseded() async throws {
    try await withServer { _, client in
      let id = SessionID.random()
      var older = try await Sender.connect(client, id)
      _ = try await older.put(1...2)
      var newer = try await Sender.connect(client, id, resumes: true)
      let stream = older.stream
      let end = await Self.end { while try await stream.next() != nil {} }
      #expect(end == (.aborted, "superseded"))
      _ = try await newer.put(3...4)
      #expect(try await client.status()["operations_applied"] == 4)
    }
  }

  @Test("a session that its receiver does not know is not begun anew by a sender that had begun it")
  func unknown() async throws {
    try await withServer { _, client in
      let end = await Self.end { _ = try await Sender.connect(client, .random(), resumes: true) }
      let status = try await client.status()
      #expect(end == (.aborted, "expired"))
      #expect(status["sessions_remembered"] == 0)
    }
  }

  @Test("comparing, and pushing what is there already, begins no session")
  func noSession() async throws {
    try await withServer { _, client in
      let pool = ReadPool(threads: 1, queued: 8)
      let sync = SyncClient(client, pool: pool)
      let content = MapContent([[1]: [1]])
      var options = SyncOptions(keyspace: .default, kind: .plain, session: .random())
      options.isCompareOnly = true
      _ = try await sync.push(content, options: options)
      #expect(try await client.status()["sessions_remembered"] == 0)
      options.isCompareOnly = false
      _ = try await sync.push(content, options: options)
      options.session = .random()
      _ = try await sync.push(content, options: options)
      #expect(try await client.status()["sessions_remembered"] == 1)
    }
  }

  // MARK: Unary calls

  private static func put(
    _ client: RPCClient, _ id: SessionID?, _ ordinal: UInt64, _ value: UInt8,
    expecting expectation: StreamDiffCore.Expectation = .any
  ) async throws -> LogIndex {
    let request = PutRequest(
      key: [7], value: [value], expectation: expectation, session: id, ordinal: Ordinal(ordinal))
    return try await client.call("KeyValue/Put", request, as: PutResponse.self).index
  }

  @Test("the same ordinal again gets the same answer, and is not applied again")
  func replay() async throws {
    try await withServer { _, client in
      let id = SessionID.random()
      let first = try await Self.put(client, id, 1, 1)
      #expect(try await Self.put(client, id, 1, 1) == first)
      let conflict = await Self.end { _ = try await Self.put(client, id, 2, 2, expecting: .absent) }
      #expect(conflict == (.aborted, nil))
      // Another write in between makes the expectation hold: the answer stays what it was.
      _ = try await client.call("KeyValue/Delete", DeleteRequest(key: [7]), as: DeleteResponse.self)
      let again = await Self.end { _ = try await Self.put(client, id, 2, 2, expecting: .absent) }
      #expect(again == (.aborted, nil))
      let gap = await Self.end { _ = try await Self.put(client, id, 4, 4) }
      #expect(gap == (.aborted, "superseded"))
      _ = try await Self.put(client, id, 3, 3)
      #expect(try await client.call("KeyValue/Get", GetRequest(key: [7]), as: GetResponse.self).value == [3])
      let status = try await client.status()
      #expect(status["operations_skipped"] == 2 && status["operations_conflicting"] == 1)
      let late = await Self.end { _ = try await Self.put(client, .random(), 2, 2) }
      #expect(late == (.aborted, "expired"))
    }
  }

  @Test("a session without an ordinal, and the reverse, are invalid")
  func incomplete() async throws {
    try await withServer { _, client in
      await expectStatus(.invalidArgument) { try await Self.put(client, .random(), 0, 1) }
      await expectStatus(.invalidArgument) { try await Self.put(client, nil, 1, 1) }
    }
  }

  @Test("a session that is not used expires and is forgotten, and the server says so")
  func expiry() async throws {
    try await withServer {
      $0.replica.sessions = SessionExpiryPolicy(lifetime: .milliseconds(200), remembered: .milliseconds(200))
    } _: {
      _, client in
      let id = SessionID.random()
      _ = try await Self.put(client, id, 1, 1)
      try await eventually("a session that is forgotten") {
        try await client.status()["sessions_forgotten"] == 1
      }
      let end = await Self.end { _ = try await Self.put(client, id, 2, 2) }
      #expect(end == (.aborted, "expired"))
      let status = try await client.status()
      #expect(status["sessions_remembered"] == 0 && status["sessions_refused_expired"] == 1)
    }
  }

  // MARK: Operations without comparison

  /// Numbered puts; breaks off when asked for `failing`, once.
  private final class Numbers: OperationSource {
    private let state: Mutex<(failing: UInt64?, asked: [UInt64])>
    let count: UInt64

    init(_ count: UInt64, failing: UInt64) {
      self.count = count
      state = Mutex((failing, []))
    }

    var asked: [UInt64] { state.withLock { $0.asked } }

    func operations(from first: Ordinal) throws -> EncodedOperations? {
      let fails = state.withLock { state in
        state.asked.append(first.rawValue)
        guard let failing = state.failing, first.rawValue >= failing else { return false }
        state.failing = nil
        return true
      }
      if fails { throw SyncFailure(.sourceFailed, "broken off") }
      guard first.rawValue <= count else { return nil }
      let last = min(first.rawValue + 99, count)
      return try EncodedOperations(
        (first.rawValue...last).map {
          Operation(key: Array("\($0)".utf8), expectation: .absent, change: .put(value: [1]))
        })
    }
  }

  @Test("operations that are brought uncompared go on where they stopped, each applied once")
  func bringing() async throws {
    try await withServer { _, client in
      let sync = SyncClient(client, pool: ReadPool(threads: 1, queued: 8))
      let source = Numbers(1500, failing: 701)
      let options = SyncOptions(keyspace: .default, kind: .plain, session: .random())
      await expectFailure(SyncFailure.self) { try await sync.bring(source, options: options) }
      let before = source.asked.count
      let report = try await sync.bring(source, options: options)
      guard case .sealed(let position, _, conflicts: 0) = report.outcome else {
        Issue.record("\(report.outcome)")
        return
      }
      #expect(position.content.entries == 1500)
      #expect(try await client.status()["operations_applied"] == 1500)
      #expect(source.asked[before] <= 701)
      // Another session brings its operations all the same: they conflict.
      let other = SyncOptions(keyspace: .default, kind: .plain, session: .random())
      let again = try await sync.bring(Numbers(10, failing: .max), options: other)
      guard case .sealed(_, _, conflicts: 10) = again.outcome else {
        Issue.record("\(again.outcome)")
        return
      }
    }
  }
}
