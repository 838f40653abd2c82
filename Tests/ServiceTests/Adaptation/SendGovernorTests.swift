import StreamDiffCore
import StreamDiffService
import Synchronization
import Testing

@Suite struct SendGovernorTests {
  private static let pool = ReadPool(threads: 2, queued: 64)

  /// Time that passes only where somebody sleeps: work takes none.
  private final class VirtualTime: Sendable {
    private let passed = Mutex(Duration.zero)
    var now: Duration { passed.withLock { $0 } }
    var time: SendGovernor.Time {
      SendGovernor.Time {
        self.now
      } sleep: { until in
        try Task.checkCancellation()
        self.passed.withLock { $0 = max($0, until) }
      }
    }
  }

  /// Notes when each chunk leaves.
  private struct Timed: SyncTransport {
    let real: MemoryTransport
    let time: VirtualTime
    let sent = Sent()

    final class Sent: Sendable {
      let chunks = Mutex<[(time: Duration, bytes: Int)]>([])
      let reports = Mutex<[AdaptationReport]>([])
    }

    var link: ConnectionLink? { nil }
    func send(_ message: SyncMessage) async throws {
      switch message {
      case .chunk(let chunk):
        let bytes = chunk.payload.count + SessionLimits.chunkEnvelope
        sent.chunks.withLock { $0.append((time.now, bytes)) }
      case .report(let report): sent.reports.withLock { $0.append(report) }
      default: break
      }
      try await real.send(message)
    }
    func receive() async throws -> SyncMessage? { try await real.receive() }
    func finish() async throws -> Bool { try await real.finish() }
  }

  private static func settings(_ rateMax: UInt64?) -> AdaptationSettings {
    var settings = AdaptationSettings()
    settings.policy = .fixed
    settings.codec = .none
    settings.rateMax = rateMax.map { ByteRate(bytesPerSecond: $0) }
    return settings
  }

  private static func options() -> SyncOptions {
    SyncOptions(keyspace: .default, kind: .plain, session: .random())
  }

  private static func source(bytes: Int) -> MapContent {
    var maker = EntryMaker(seed: 1)
    return MapContent(maker.entries(bytes / 1000, valueBytes: 1000...1000))
  }

  /// - Parameter wishes: of the receiver.
  private static func push(
    bytes: Int, rateMax: UInt64?, wishes: [Setting] = [], governor: SendGovernor, _ time: VirtualTime
  ) async throws -> [(time: Duration, bytes: Int)] {
    let (client, server) = MemoryTransport.pair()
    let source = source(bytes: bytes)
    let sink = MapSink()
    var receiving = options()
    receiving.tuning = SessionTuning(settings(nil), wishes: wishes)
    let receiver = Task { [receiving] in
      defer { server.close() }
      return try await SyncSession.runReceiver(sink: sink, over: server, options: receiving, pool: pool)
    }
    var sending = options()
    sending.tuning = SessionTuning(settings(rateMax))
    sending.governor = governor
    let transport = Timed(real: client, time: time)
    _ = try await SyncSession.runSender(source: source, over: transport, options: sending, pool: pool)
    client.close()
    _ = try await receiver.value
    #expect(sink.entries == source.entries)
    return transport.sent.chunks.withLock { $0 }
  }

  @Test("a session with a cap takes its bytes' time, and no more")
  func cap() async throws {
    let time = VirtualTime()
    let chunks = try await Self.push(
      bytes: 4_000_000, rateMax: 1_000_000, governor: SendGovernor(time: time.time), time)
    let bytes = chunks.reduce(0) { $0 + $1.bytes }
    #expect(bytes > 4_000_000)
    let expected = Double(bytes) / 1e6
    let seconds = time.now / .seconds(1)
    // What a timer that is late lets gather, at most: here it never is.
    #expect(seconds >= expected - 0.001 && seconds <= expected + 0.2, "\(seconds) s for \(bytes) bytes")
  }

  @Test("a receiver's wish for a cap is one")
  func wish() async throws {
    let time = VirtualTime()
    let chunks = try await Self.push(
      bytes: 2_000_000, rateMax: nil, wishes: [Setting(name: "rate-max", value: "500kB")],
      governor: SendGovernor(time: time.time), time)
    let bytes = chunks.reduce(0) { $0 + $1.bytes }
    // Behind the hello, so that a first chunk may be gone.
    #expect(time.now / .seconds(1) >= Double(bytes - (64 << 10)) / 500_000 - 0.2)
  }

  @Test("without a cap no session waits")
  func uncapped() async throws {
    let time = VirtualTime()
    _ = try await Self.push(bytes: 2_000_000, rateMax: nil, governor: SendGovernor(time: time.time), time)
    #expect(time.now == .zero)
  }

  /// A session at a cap of which nothing comes: a chunk takes minutes of time that does not pass.
  private static func stuck(
    _ governor: SendGovernor, _ tuning: SessionTuning, _ transport: Timed, _ server: MemoryTransport
  ) -> (sender: Task<SyncReport, any Error>, receiver: Task<SyncReport, any Error>) {
    var sending = options()
    (sending.tuning, sending.governor) = (tuning, governor)
    let sender = Task { [sending] in
      defer { transport.real.close() }
      return try await SyncSession.runSender(
        source: source(bytes: 100_000), over: transport, options: sending, pool: pool)
    }
    let receiver = Task {
      defer { server.close() }
      return try await SyncSession.runReceiver(sink: MapSink(), over: server, options: options(), pool: pool)
    }
    return (sender, receiver)
  }

  /// Time that stands, and tells when somebody begins to wait.
  private static func standing() -> (SendGovernor, waits: AsyncStream<Duration>) {
    let (waits, input) = AsyncStream.makeStream(of: Duration.self)
    let governor = SendGovernor(
      time: SendGovernor.Time {
        .zero
      } sleep: { until in
        input.yield(until)
        // Never over: whoever waits is let go by cancelling it.
        try await Task.sleep(for: .seconds(86_400))
      })
    return (governor, waits)
  }

  @Test("a session that is cancelled while it waits ends, and gives its place back", .timeLimit(.minutes(1)))
  func cancelled() async throws {
    let (governor, waits) = Self.standing()
    let (client, server) = MemoryTransport.pair()
    let transport = Timed(real: client, time: VirtualTime())
    let tuning = SessionTuning(Self.settings(1024))
    let (sender, receiver) = Self.stuck(governor, tuning, transport, server)
    for await _ in waits { break }
    #expect(governor.sessions == 1 && governor.waiting == 1)
    sender.cancel()
    await #expect(throws: (any Error).self) { try await sender.value }
    #expect(governor.sessions == 0 && governor.waiting == 0)
    await #expect(throws: (any Error).self) { try await receiver.value }
  }

  @Test("a cap that is taken away while a session waits lets it go", .timeLimit(.minutes(1)))
  func tuned() async throws {
    let (governor, waits) = Self.standing()
    let (client, server) = MemoryTransport.pair()
    let transport = Timed(real: client, time: VirtualTime())
    let tuning = SessionTuning(Self.settings(1024))
    let (sender, receiver) = Self.stuck(governor, tuning, transport, server)
    for await _ in waits { break }
    #expect(transport.sent.chunks.withLock { $0.isEmpty })
    // It says what it waits for, at its next look.
    try await eventually("a report of the cap") {
      transport.sent.reports.withLock { $0.contains { $0.reason.hasSuffix("; at rate-max") } }
    }
    tuning.change(to: Self.settings(nil), wishes: [])
    _ = try await sender.value
    _ = try await receiver.value
    #expect(!transport.sent.chunks.withLock { $0.isEmpty } && governor.sessions == 0)
  }

  @Test("what a server's writes take is told to what shares its sending")
  func fed() async throws {
    try await withServer { server, client in
      let before = server.governor.commits
      try await client.put("key", "value")
      try await client.delete("key")
      #expect(server.governor.commits == before + 2)
    }
  }
}
