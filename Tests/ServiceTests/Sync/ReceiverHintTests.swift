import StreamDiffCore
import StreamDiffService
import StreamDiffWire
import Synchronization
import Testing

@Suite("what a receiver tells its sender") struct ReceiverHintTests {
  private static let pool = ReadPool(threads: 2, queued: 64)

  /// Notes what is sent over it.
  private struct Tapped: SyncTransport {
    let real: MemoryTransport
    let sent: Sent
    /// As a sender that is done makes them do.
    var hintsFail = false

    final class Sent: Sendable {
      let messages = Mutex<[SyncMessage]>([])
    }

    var link: ConnectionLink? { nil }
    func send(_ message: SyncMessage) async throws {
      if case .hint = message, hintsFail { throw RPCError(.unavailable, "closed") }
      sent.messages.withLock { $0.append(message) }
      try await real.send(message)
    }
    func receive() async throws -> SyncMessage? { try await real.receive() }
    func finish() async throws -> Bool { try await real.finish() }
  }

  /// A sink that changes the wishes while it takes its third run.
  private final class Wishing: SyncSink {
    let real = MapSink()
    let tuning: SessionTuning
    private let runs = Mutex(0)
    init(_ tuning: SessionTuning) { self.tuning = tuning }
    func content() async throws -> any SyncContent { try await real.content() }
    func seal() async throws -> any SyncContent { try await real.seal() }
    func apply(
      _ run: OperationRun, done: @escaping @Sendable (Result<AppliedRun, any Error>) -> Void
    ) async throws {
      let count = runs.withLock {
        $0 += 1
        return $0
      }
      if count == 3 {
        tuning.change(to: AdaptationSettings(), wishes: [Setting(name: "level-max", value: "2")])
      }
      try await real.apply(run, done: done)
    }
  }

  /// A sink during whose first run the tunables change, and no wish with them.
  private final class Restless: SyncSink {
    let real = MapSink()
    let tuning: SessionTuning
    private let isFirst = Mutex(true)
    init(_ tuning: SessionTuning) { self.tuning = tuning }
    func content() async throws -> any SyncContent { try await real.content() }
    func seal() async throws -> any SyncContent { try await real.seal() }
    func apply(
      _ run: OperationRun, done: @escaping @Sendable (Result<AppliedRun, any Error>) -> Void
    ) async throws {
      if isFirst.withLock({ exchange(&$0, with: false) }) {
        // At one of these moments at least the hello has left and the task that sends has nothing to send.
        for _ in 0..<1000 {
          tuning.change(to: AdaptationSettings(), wishes: tuning.wishes)
          await Task.yield()
        }
      }
      try await real.apply(run, done: done)
    }
  }

  private static func pull(
    _ entries: Int, _ tuning: SessionTuning, into sink: some SyncSink, hintsFail: Bool = false
  ) async throws -> [SyncMessage] {
    let (client, server) = MemoryTransport.pair()
    var maker = EntryMaker(seed: 3)
    let source = MapContent(maker.entries(entries, valueBytes: 1000...1000))
    var options = SyncOptions(keyspace: .default, kind: .plain, session: .random())
    options.deletions = .allowed
    let sender = Task { [options] in
      defer { server.close() }
      return try await SyncSession.runSender(source: source, over: server, options: options, pool: pool)
    }
    // A course is of one side.
    options.session = .random()
    options.tuning = tuning
    let sent = Tapped.Sent()
    _ = try await SyncSession.runReceiver(
      sink: sink, over: Tapped(real: client, sent: sent, hintsFail: hintsFail), options: options, pool: pool)
    client.close()
    _ = try await sender.value
    return sent.messages.withLock { $0 }
  }

  private static func hints(_ messages: [SyncMessage]) -> [AdaptationHint] {
    messages.compactMap { if case .hint(let hint) = $0 { hint } else { nil } }
  }

  @Test(
    "wishes come right behind the hello; what is applied raises the credit, and wishes stay in every hint")
  func wishes() async throws {
    let tuning = SessionTuning(wishes: [Setting(name: "chunk-max", value: "1KiB")])
    let sink = Wishing(tuning)
    let messages = try await Self.pull(2000, tuning, into: sink)
    #expect(sink.real.entries.count == 2000)
    guard case .hello(let hello) = messages.first, case .hint(let first) = messages.dropFirst().first else {
      Issue.record("\(messages.prefix(2))")
      return
    }
    #expect(hello.credit == UInt64(SyncLimits.credit))
    #expect(first.settings == [Setting(name: "chunk-max", value: "1KiB")] && first.credit == 0)
    let hints = Self.hints(messages)
    let raised = hints.firstIndex { $0.credit == UInt64(SyncLimits.openCredit) }
    #expect(raised != nil)
    #expect(hints[(raised ?? 0)...].allSatisfy { $0.credit == UInt64(SyncLimits.openCredit) })
    #expect(hints.allSatisfy { !$0.settings.isEmpty })
    #expect(hints.last?.settings == [Setting(name: "level-max", value: "2")])
  }

  @Test("hints that cannot be sent end nothing", .timeLimit(.minutes(1)))
  func failing() async throws {
    let sink = MapSink()
    let tuning = SessionTuning(wishes: [Setting(name: "chunk-max", value: "1KiB")])
    let messages = try await Self.pull(200, tuning, into: sink, hintsFail: true)
    #expect(sink.entries.count == 200 && !messages.isEmpty)
  }

  @Test("tunables that change without a wish do not silence a receiver", .timeLimit(.minutes(1)))
  func restless() async throws {
    let tuning = SessionTuning()
    let sink = Restless(tuning)
    let messages = try await Self.pull(200, tuning, into: sink)
    #expect(sink.real.entries.count == 200)
    #expect(messages.contains { if case .ack = $0 { true } else { false } })
  }

  /// A sink that takes 20 ms for each run and lets its caller wait for that.
  private final class Slow: SyncSink {
    static let time = Duration.milliseconds(20)
    let real = MapSink()
    let longest = Mutex(0)
    func content() async throws -> any SyncContent { try await real.content() }
    func seal() async throws -> any SyncContent { try await real.seal() }
    func apply(
      _ run: OperationRun, done: @escaping @Sendable (Result<AppliedRun, any Error>) -> Void
    ) async throws {
      longest.withLock { $0 = max($0, run.operations.bytes.count) }
      try await Task.sleep(for: Self.time)
      try await real.apply(run, done: done)
    }
  }

  @Test("a receiver that is held up tells how much it takes: what it decodes, and what it applies")
  func pace() async throws {
    let sink = Slow()
    let hints = Self.hints(try await Self.pull(4000, SessionTuning(), into: sink))
    let rates = hints.map(\.applyBytesPerSecond).filter { $0 > 0 }
    #expect(sink.real.entries.count == 4000 && !rates.isEmpty)
    // No run can be applied faster than it is let; chunks of it may come in two.
    let most = 2 * Double(sink.longest.withLock { $0 }) / Slow.time.seconds
    #expect(rates.allSatisfy { Double($0) <= most }, "\(rates) over \(most)")
    #expect(hints.allSatisfy { $0.decodeBytesPerSecond == 0 || $0.decodeBytesPerSecond > 100_000 })
  }

  @Test("a receiver that wants nothing and gets nothing says nothing")
  func silent() async throws {
    #expect(Self.hints(try await Self.pull(0, SessionTuning(), into: MapSink())).isEmpty)
  }
}
