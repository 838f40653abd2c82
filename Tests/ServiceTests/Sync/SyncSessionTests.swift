import StreamDiffCore
import StreamDiffService
import Synchronization
import Testing

/// Sessions between two contents in memory.
@Suite struct SyncSessionTests {
  private static let pool = ReadPool(threads: 2, queued: 64)

  private static func options() -> SyncOptions {
    SyncOptions(keyspace: .default, kind: .plain, session: .random())
  }

  /// A session whose sender is the client. Both ends close when they are over, well or not.
  private static func push(
    _ source: MapContent, to sink: some SyncSink, _ change: (inout SyncOptions) -> Void = { _ in }
  ) async throws -> SyncReport {
    let (client, server) = MemoryTransport.pair()
    var options = options()
    change(&options)
    let receiver = Task {
      defer { server.close() }
      return try await SyncSession.runReceiver(sink: sink, over: server, options: Self.options(), pool: pool)
    }
    do {
      defer { client.close() }
      let report = try await SyncSession.runSender(source: source, over: client, options: options, pool: pool)
      _ = try await receiver.value
      return report
    } catch {
      if case .failure(let cause) = await receiver.result, !(cause is SyncError) { throw cause }
      throw error
    }
  }

  private static func pull(_ source: MapContent, into sink: MapSink) async throws -> SyncReport {
    let (client, server) = MemoryTransport.pair()
    var sending = options()
    sending.deletions = .allowed
    let options = sending
    let sender = Task {
      defer { server.close() }
      return try await SyncSession.runSender(source: source, over: server, options: options, pool: pool)
    }
    let report = try await SyncSession.runReceiver(
      sink: sink, over: client, options: Self.options(), pool: pool)
    client.close()
    _ = try await sender.value
    return report
  }

  @Test(
    "whatever both sides hold, a push or a pull ends with the sender's content", arguments: UInt64(1)...12)
  func endsEqual(seed: UInt64) async throws {
    var maker = EntryMaker(seed: seed)
    let count = [0, 1, 63, 64, 65, 500, 3000][Int(seed % 7)]
    let old = maker.entries(count, valueBytes: 0...300)
    var new = old
    maker.change(&new, [1, 5, 40][Int(seed % 3)])
    if seed % 4 == 0 { new = maker.entries(700, valueBytes: 1...2000) }
    let source = MapContent(new)

    let sink = MapSink(old)
    let report = try await Self.push(source, to: sink) { $0.deletions = .allowed }
    #expect(sink.entries == new)
    switch report.outcome {
    case .equal(let position), .sealed(let position, _, _): #expect(position.content.root == source.tree.root)
    default: Issue.record("\(report.outcome)")
    }

    let pulled = MapSink(old)
    _ = try await Self.pull(source, into: pulled)
    #expect(pulled.entries == new)
  }

  @Test("equal contents end at once: no operation, no chunk")
  func equal() async throws {
    var maker = EntryMaker(seed: 5)
    let entries = maker.entries(1000, valueBytes: 10...20)
    let sink = MapSink(entries)
    let report = try await Self.push(MapContent(entries), to: sink)
    guard case .equal = report.outcome else {
      Issue.record("\(report.outcome)")
      return
    }
    #expect(report.operations == 0 && report.payloadBytes == 0 && sink.operations == 0)
  }

  @Test("only what differs travels")
  func differences() async throws {
    var maker = EntryMaker(seed: 6)
    let old = maker.entries(5000, valueBytes: 100...200)
    var new = old
    for (place, key) in old.keys.enumerated() where place < 10 { new[key] = maker.value(50) }
    let sink = MapSink(old)
    let report = try await Self.push(MapContent(new), to: sink)
    #expect(report.operations == 10 && sink.entries == new)
  }

  @Test("values of every size cross, far more than the credit in all")
  func largeValues() async throws {
    var maker = EntryMaker(seed: 7)
    var new: [[UInt8]: [UInt8]] = [:]
    for number in 0..<12 { new[Array("large \(number)".utf8)] = maker.value(Limits.valueBytes) }
    new[Array("empty".utf8)] = []
    let sink = MapSink()
    let report = try await Self.push(MapContent(new), to: sink)
    #expect(sink.entries == new)
    #expect(report.plainBytes > 2 * SyncLimits.credit)
    #expect(report.payloadBytes < report.plainBytes)
  }

  @Test("guarded deletions come last and stop before the first one when they are over half")
  func guardedDeletions() async throws {
    var maker = EntryMaker(seed: 8)
    let old = maker.entries(100, valueBytes: 1...9)
    let few = EntryMaker.part(of: old, 40)
    let sink = MapSink(old)
    let error = await expectFailure(SyncFailure.self) { try await Self.push(MapContent(few), to: sink) }
    guard case .tooManyDeletions(_, of: 100) = error?.code else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(sink.entries == old)
    _ = try await Self.push(MapContent(few), to: sink) { $0.deletions = .allowed }
    #expect(sink.entries == few)
    let most = EntryMaker.part(of: few, 21)
    _ = try await Self.push(MapContent(most), to: sink)
    #expect(sink.entries == most)
    // An empty source deletes everything.
    await expectFailure(SyncFailure.self) { try await Self.push(MapContent(), to: sink) }
    #expect(sink.entries == most)
  }

  @Test("without deletions the receiver keeps what only it has, and the session ends well")
  func noDeletions() async throws {
    var maker = EntryMaker(seed: 9)
    let old = maker.entries(300, valueBytes: 1...9)
    var new = EntryMaker.part(of: old, 200)
    new[Array("added".utf8)] = [1]
    let sink = MapSink(old)
    let report = try await Self.push(MapContent(new), to: sink) { $0.deletions = .none }
    let both = old.merging(new) { $1 }
    #expect(sink.entries == both)
    guard case .sealed(let position, _, _) = report.outcome else {
      Issue.record("\(report.outcome)")
      return
    }
    #expect(position.content.root == MapContent(sink.entries).tree.root)
    #expect(report.operations == 1)
  }

  @Test("a comparison tells every difference once and writes nothing")
  func compareOnly() async throws {
    var maker = EntryMaker(seed: 10)
    let old = maker.entries(2000, valueBytes: 1...40)
    var new = old
    maker.change(&new, 30)
    let told = Mutex<[PlannedOperation]>([])
    let sink = MapSink(old)
    let report = try await Self.push(MapContent(new), to: sink) { options in
      options.isCompareOnly = true
      options.onPlan = { round, operations in
        #expect(round == 1)
        told.withLock { $0 += operations }
      }
    }
    let differing = Set(old.keys).union(new.keys).filter { old[$0] != new[$0] }
    let keys = told.withLock { $0.map(\.key) }
    #expect(Set(keys) == differing && keys.count == differing.count)
    guard case .compared(_, let differences) = report.outcome else {
      Issue.record("\(report.outcome)")
      return
    }
    #expect(differences == differing.count && sink.operations == 0)
  }

  @Test("a source whose values are gone, and a sink that fails, end the session with their reason")
  func failures() async throws {
    var maker = EntryMaker(seed: 11)
    let entries = maker.entries(3000, valueBytes: 400...500)
    await expectFailure(MapSink.Failure.self) {
      try await Self.push(MapContent(entries), to: MapSink(failsAfter: 500))
    }
    struct Liar: SyncSource {
      let real: MapContent
      var index: LogIndex { .zero }
      var tree: MerkleTree { real.tree }
      func readRecords(
        from lower: [UInt8], to upper: [UInt8]?, limit: Int, into records: inout [DigestRecord]
      ) throws {
        try real.readRecords(from: lower, to: upper, limit: limit, into: &records)
      }
      func readValues(of keys: [[UInt8]], _ visit: (Int, RawSpan) throws -> Void) throws {
        throw SyncFailure(.sourceChanged, "the file is gone")
      }
    }
    let (client, server) = MemoryTransport.pair()
    let receiver = Task {
      defer { server.close() }
      return try await SyncSession.runReceiver(
        sink: MapSink(), over: server, options: Self.options(), pool: Self.pool)
    }
    let error = await expectFailure(SyncFailure.self) {
      defer { client.close() }
      return try await SyncSession.runSender(
        source: Liar(real: MapContent(entries)), over: client, options: Self.options(), pool: Self.pool)
    }
    #expect(error?.code == .sourceChanged)
    await expectFailure(SyncError.self) { try await receiver.value }
  }
}
