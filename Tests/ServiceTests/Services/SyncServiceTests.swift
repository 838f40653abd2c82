import NIOCore
import StreamDiffCore
import StreamDiffService
import StreamDiffWire
import Synchronization
import Testing

/// Sessions with a server, over sockets.
@Suite struct SyncServiceTests {
  private static let pool = ReadPool(threads: 2, queued: 64)
  private static let path = "/streamdiff.v1.StreamDiff/Sync"

  private static func options(_ keyspace: String = "", _ kind: KeyspaceKind? = .plain) throws -> SyncOptions {
    SyncOptions(keyspace: try #require(KeyspaceName(keyspace)), kind: kind, session: .random())
  }

  @Test("pushed, changed, pushed again and pulled: one root everywhere, and only changes travel")
  func pushAndPull() async throws {
    try await withServer { _, client in
      let sync = SyncClient(client, pool: Self.pool)
      var maker = EntryMaker(seed: 1)
      var entries = maker.entries(4000, valueBytes: 50...600)
      let first = try await sync.push(MapContent(entries), options: Self.options())
      #expect(first.operations == 4000 && first.conflicts == 0)
      #expect(try await client.status().keyspaces.first?.root == MapContent(entries).tree.root)

      maker.change(&entries, 10)
      let source = MapContent(entries)
      let second = try await sync.push(source, options: Self.options())
      #expect(second.operations <= 30)
      guard case .sealed(let position, rounds: 1, conflicts: 0) = second.outcome else {
        Issue.record("\(second.outcome)")
        return
      }
      #expect(position.content.root == source.tree.root && position.index > .zero)

      let (sent, received) = (client.bytesSent, client.bytesReceived)
      let third = try await sync.push(source, options: Self.options())
      guard case .equal = third.outcome else {
        Issue.record("\(third.outcome)")
        return
      }
      #expect(client.bytesSent - sent + client.bytesReceived - received < 4096)

      let sink = MapSink()
      _ = try await sync.pull(into: sink, options: Self.options())
      #expect(sink.entries == entries)
      let stale = MapSink(maker.entries(300, valueBytes: 1...9))
      _ = try await sync.pull(into: stale, options: Self.options("", nil))
      #expect(stale.entries == entries)
      let status = try await client.status()
      #expect(status["requests_ok_push"] == 3 && status["requests_ok_pull"] == 2 && status.sessions.isEmpty)
    }
  }

  @Test("an interrupted push leaves whole operations; the next brings what is missing")
  func interrupted() async throws {
    try await withServer { _, client in
      let sync = SyncClient(client, pool: Self.pool)
      var maker = EntryMaker(seed: 2)
      let entries = maker.entries(3000, valueBytes: 1000...2000)
      struct Stops: SyncSource {
        let real: MapContent
        let reads = Counter()
        final class Counter: Sendable {
          private let count = Mutex(0)
          func next() -> Int {
            count.withLock {
              $0 += 1
              return $0
            }
          }
        }
        var index: LogIndex { .zero }
        var tree: MerkleTree { real.tree }
        func readRecords(
          from lower: [UInt8], to upper: [UInt8]?, limit: Int, into records: inout [DigestRecord]
        ) throws {
          try real.readRecords(from: lower, to: upper, limit: limit, into: &records)
        }
        func readValues(of keys: [[UInt8]], _ visit: (Int, RawSpan) throws -> Void) throws {
          guard reads.next() < 4 else { throw SyncFailure(.sourceChanged, "changed") }
          try real.readValues(of: keys, visit)
        }
      }
      await expectFailure(SyncFailure.self) {
        try await sync.push(Stops(real: MapContent(entries)), options: Self.options())
      }
      let there = try await client.scan(ScanRequest()).flatMap(\.entries)
      let foreign = there.filter { entries[$0.key] != $0.value }
      #expect(foreign.isEmpty)
      let report = try await sync.push(MapContent(entries), options: Self.options())
      #expect(try await client.status().keyspaces.first?.root == MapContent(entries).tree.root)
      #expect(report.operations <= entries.count)
    }
  }

  @Test("another writer's change is a conflict, is compared again, and is not lost unseen")
  func conflict() async throws {
    try await withServer { server, client in
      let sync = SyncClient(client, pool: Self.pool)
      var maker = EntryMaker(seed: 3)
      var entries = maker.entries(500, valueBytes: 5...9)
      _ = try await sync.push(MapContent(entries), options: Self.options())
      let key = try #require(entries.keys.first)
      entries[key] = [1]
      // Somebody writes the key between the comparison and the operation.
      struct Meddled: SyncSource {
        let real: MapContent
        let meddle: @Sendable () throws -> Void
        var index: LogIndex { .zero }
        var tree: MerkleTree { real.tree }
        func readRecords(
          from lower: [UInt8], to upper: [UInt8]?, limit: Int, into records: inout [DigestRecord]
        ) throws {
          try real.readRecords(from: lower, to: upper, limit: limit, into: &records)
        }
        func readValues(of keys: [[UInt8]], _ visit: (Int, RawSpan) throws -> Void) throws {
          try meddle()
          try real.readValues(of: keys, visit)
        }
      }
      let times = Mutex(0)
      let replica = server.replica
      func source(_ limit: Int) -> Meddled {
        Meddled(real: MapContent(entries)) {
          let time = times.withLock {
            $0 += 1
            return $0
          }
          guard time <= limit else { return }
          let operation = Operation(key: key, change: .put(value: [UInt8(time), 7]))
          let operations = try EncodedOperations([operation])
          try replica.submit(
            .operations(OperationBatch(keyspace: .default, kind: .plain, operations: operations))
          ) { _ in }
        }
      }
      let report = try await sync.push(source(1), options: Self.options())
      guard case .sealed(_, rounds: 2, conflicts: 1) = report.outcome else {
        Issue.record("\(report.outcome)")
        return
      }
      #expect(try await client.get(String(decoding: key, as: UTF8.self)).value == [1])

      // Somebody who never stops: after three rounds the sender gives up and says so.
      times.withLock { $0 = 0 }
      entries[key] = [2]
      let planned = Mutex<[Int: [[UInt8]]]>([:])
      var options = try Self.options()
      options.onPlan = { round, operations in
        planned.withLock { $0[round, default: []] += operations.map(\.key) }
      }
      let lost = try await sync.push(source(.max), options: options)
      guard case .differs(_, rounds: 3, conflicts: 3) = lost.outcome else {
        Issue.record("\(lost.outcome)")
        return
      }
      let rounds = planned.withLock { $0 }
      #expect(rounds == [1: [key], 2: [key], 3: [key]])
      options.overwrites = true
      options.onPlan = nil
      options.session = .random()
      let forced = try await sync.push(source(0), options: options)
      #expect(forced.conflicts == 0)
    }
  }

  @Test("kinds that do not fit are refused, before anything is written")
  func kinds() async throws {
    try await withServer { server, client in
      let sync = SyncClient(client, pool: Self.pool)
      _ = try await server.replica.propose(.createKeyspace(try #require(KeyspaceName("files")), .directory))
      let content = MapContent([[1]: [2]])
      await expectFailure((any Error).self) { try await sync.push(content, options: Self.options("files")) }
      let files = try await client.status().keyspaces.first { $0.name == "files" }
      #expect(files?.entries == 0)
      _ = try await sync.push(content, options: Self.options("files", .directory))
      await expectFailure((any Error).self) {
        try await sync.pull(into: MapSink(), options: Self.options("files"))
      }
    }
  }

  @Test("what is no session is refused with the right status, and the server goes on")
  func foreign() async throws {
    try await withServer { _, client in
      func status(_ messages: [ByteBuffer]) async -> GRPCStatusCode? {
        await statusCode {
          let stream = try await client.open(Self.path)
          for message in messages { try await stream.send(message) }
          stream.halfClose()
          while try await stream.next() != nil {}
        }
      }
      var hello = Hello(role: .sender, keyspace: .default)
      hello.session = .random()
      let good = SyncMessage.hello(hello).encode()
      #expect(await status([]) == .invalidArgument)
      #expect(await status([ByteBuffer(bytes: [0xff, 0x01])]) == .invalidArgument)
      #expect(
        await status([SyncMessage.ack(Ack(ordinal: .zero, index: .zero, conflicts: 0)).encode()])
          == .invalidArgument)
      #expect(await status([good, ByteBuffer(bytes: [0xff, 0x01])]) == .dataLoss)
      #expect(await status([good, good]) == .invalidArgument)
      hello.version = 9
      #expect(await status([SyncMessage.hello(hello).encode()]) == .unimplemented)
      await expectStatus(nil) { try await client.put("still", "here") }
    }
  }

  @Test("with equal roots the server ends the session: its sender's end would take a round trip more")
  func ends() async throws {
    try await withServer { _, client in
      let stream = try await client.open(Self.path)
      var hello = Hello(role: .sender, keyspace: .default)
      hello.session = .random()
      hello.kind = .plain
      hello.root = MerkleTree().root
      try await stream.send(SyncMessage.hello(hello).encode())
      let answer = try await stream.next().map { try SyncMessage(decoding: $0) }
      guard case .hello = answer else {
        Issue.record("\(answer as Any)")
        return
      }
      #expect(try await stream.next() == nil)
      #expect(try await client.status().keyspaces.map(\.entries) == [0])
    }
  }

  @Test("a session without comparison brings operations and gets the sealed position")
  func withoutComparison() async throws {
    try await withServer { _, client in
      let stream = try await client.open(Self.path)
      var hello = Hello(role: .sender, keyspace: .default)
      hello.session = .random()
      hello.kind = .plain
      try await stream.send(SyncMessage.hello(hello).encode())
      var writer = ChunkWriter()
      try writer.append(put: [1], expecting: .any, value: [2])
      try writer.append(put: [3], expecting: .absent, value: [4])
      while let chunk = try writer.nextChunk(settings: TransferController().decision.settings, ending: true) {
        try await stream.send(SyncMessage.chunk(chunk).encode())
        if chunk.isLast { break }
      }
      var sealed: SealResult?
      while sealed == nil, let message = try await stream.next() {
        if case .sealResult(let result) = try SyncMessage(decoding: message) { sealed = result }
      }
      stream.halfClose()
      #expect(try await stream.next() == nil)
      #expect(sealed?.root == MapContent([[1]: [2], [3]: [4]]).tree.root && sealed?.entries == 2)
    }
  }

  @Test("a damaged chunk ends the session with DATA_LOSS and nothing of it is applied; a retry finishes")
  func damage() async throws {
    try await withServer { _, client in
      for place in [0, 1, 2] {
        let stream = try await client.open(Self.path)
        var hello = Hello(role: .sender, keyspace: .default)
        hello.session = .random()
        hello.kind = .plain
        try await stream.send(SyncMessage.hello(hello).encode())
        var writer = ChunkWriter()
        try writer.append(put: [9], expecting: .any, value: [UInt8](repeating: 5, count: 100))
        var chunk = try #require(
          try writer.nextChunk(settings: TransferController().decision.settings, ending: true))
        switch place {
        case 0: chunk.payload[chunk.payload.count / 2] ^= 0x10
        case 1: chunk.header.firstOrdinal = Ordinal(chunk.header.firstOrdinal.rawValue ^ 4)
        default: chunk.header.plainLength ^= 1
        }
        try await stream.send(SyncMessage.chunk(chunk).encode())
        await expectStatus(.dataLoss) { while try await stream.next() != nil {} }
      }
      #expect(try await client.status().keyspaces.isEmpty)
      let sync = SyncClient(client, pool: Self.pool)
      _ = try await sync.push(MapContent([[9]: [5]]), options: Self.options())
      #expect(try await client.status().keyspaces.first?.entries == 1)
    }
  }
}
