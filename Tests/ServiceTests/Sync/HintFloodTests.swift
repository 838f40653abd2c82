import StreamDiffCore
import StreamDiffService
import Synchronization
import Testing

@Suite("a receiver that floods its sender with hints") struct HintFloodTests {
  private static let pool = ReadPool(threads: 2, queued: 64)
  private static let count: UInt32 = 20_000

  /// The sender's end: behind the receiver's hello come `count` hints, each another one.
  private final class Flood: SyncTransport {
    private let real: MemoryTransport
    private let next = Mutex<UInt32?>(nil)

    init(_ real: MemoryTransport) { self.real = real }

    var link: ConnectionLink? { nil }
    func send(_ message: SyncMessage) async throws { try await real.send(message) }
    func finish() async throws -> Bool { try await real.finish() }
    func receive() async throws -> SyncMessage? {
      let number = next.withLock { next in
        defer { if let number = next, number <= count { next = number + 1 } }
        return next
      }
      if let number, number <= count {
        var hint = AdaptationHint()
        hint.chunkMaximum = 4096 + number
        return .hint(hint)
      }
      let message = try await real.receive()
      if number == nil, case .hello = message { next.withLock { $0 = 1 } }
      return message
    }
  }

  /// Nothing of content leaves until the cap is taken away.
  private static func settings(isHeld: Bool) -> AdaptationSettings {
    var settings = AdaptationSettings()
    if isHeld { settings.rateMax = ByteRate(bytesPerSecond: 1024) }
    return settings
  }

  @Test("no more of them are followed and traced than it looks; the last one is", .timeLimit(.minutes(1)))
  func flood() async throws {
    let (client, server) = MemoryTransport.pair()
    var maker = EntryMaker(seed: 4)
    let source = MapContent(maker.entries(200, valueBytes: 1000...1000))
    let lines = Mutex<[TraceLine]>([])
    var options = SyncOptions(keyspace: .default, kind: .plain, session: .random())
    options.tuning = SessionTuning(Self.settings(isHeld: true))
    options.trace = AdaptationTrace { text in
      let line = try? Array(text.utf8).withUnsafeBytes { try TraceLine($0) }
      lines.withLock { $0.append(line!) }
    }
    let sender = Task { [options] in
      defer { client.close() }
      return try await SyncSession.runSender(
        source: source, over: Flood(client), options: options, pool: Self.pool)
    }
    let receiver = Task {
      defer { server.close() }
      let options = SyncOptions(keyspace: .default, kind: .plain, session: .random())
      return try await SyncSession.runReceiver(
        sink: MapSink(), over: server, options: options, pool: Self.pool)
    }
    try await eventually("the last hint") {
      lines.withLock { lines in
        lines.contains {
          if case .hint(let hint, _) = $0 { hint.chunkMaximum == 4096 + Self.count } else { false }
        }
      }
    }
    options.tuning.change(to: Self.settings(isHeld: false), wishes: [])
    _ = try await sender.value
    _ = try await receiver.value
    let traced = lines.withLock { $0 }
    let hints = traced.count { if case .hint = $0 { true } else { false } }
    let looks = traced.count { if case .decision = $0 { true } else { false } }
    #expect(hints >= 2 && hints <= looks + 1, "\(hints) hints and \(looks) looks")
    // What was passed over has changed nothing.
    var replay = TraceReplay()
    for line in traced { try replay.receive(line) }
    #expect(replay.decisions == looks)
  }
}
