import NIOCore
import StreamDiffCore
import StreamDiffService
import Synchronization
import Testing

@Suite("round trips through a proxy") struct RoundTripTests {
  private static let pool = ReadPool(threads: 2, queued: 64)
  private static let delay = Duration.milliseconds(100)

  /// What a session's trace tells of PINGs.
  private final class Pings: Sendable {
    let all = Mutex<[Duration]>([])
    var trace: AdaptationTrace {
      AdaptationTrace { [self] text in
        let bytes = Array(text.utf8)
        guard case .decision(let observation, _) = try? bytes.withUnsafeBytes({ try TraceLine($0) }) else {
          return
        }
        if let ping = observation.pingRTT { all.withLock { $0.append(ping) } }
      }
    }
  }

  /// Nothing of content leaves until the cap is taken away.
  private static func settings(isHeld: Bool) -> AdaptationSettings {
    var settings = AdaptationSettings()
    if isHeld { settings.rateMax = ByteRate(bytesPerSecond: 1024) }
    return settings
  }

  @Test(
    "a push behind a proxy learns the whole way, of which its kernel knows nothing", .timeLimit(.minutes(1)))
  func push() async throws {
    try await withServer { server, _ in
      let proxy = try await DelayingProxy.start(to: server.port, delay: TimeAmount(Self.delay))
      let client = try await RPCClient.connect(host: "127.0.0.1", port: proxy.port)
      var maker = EntryMaker(seed: 6)
      let source = MapContent(maker.entries(200, valueBytes: 1000...1000))
      let pings = Pings()
      var options = SyncOptions(keyspace: .default, kind: .plain, session: .random())
      options.tuning = SessionTuning(Self.settings(isHeld: true))
      options.trace = pings.trace
      let push = Task { [options] in
        try await SyncClient(client, pool: Self.pool).push(source, options: options)
      }
      var learned: AdaptationReport?
      try await eventually("the whole way") {
        learned = options.meter.report
        return learned?.minRTT ?? .zero >= Self.delay * 2
      }
      options.tuning.change(to: Self.settings(isHeld: false), wishes: [])
      _ = try await push.value
      let measured = pings.all.withLock { $0 }
      #expect(!measured.isEmpty && measured.allSatisfy { $0 >= Self.delay * 2 })
      #expect(learned?.rtt ?? .zero >= Self.delay * 2)
      await client.close()
      try await proxy.close()
    }
  }

  @Test("a server that sends measures as its client does", .timeLimit(.minutes(1)))
  func pull() async throws {
    try await withServer { server, direct in
      var maker = EntryMaker(seed: 6)
      let source = MapContent(maker.entries(200, valueBytes: 1000...1000))
      var options = SyncOptions(keyspace: .default, kind: .plain, session: .random())
      _ = try await SyncClient(direct, pool: Self.pool).push(source, options: options)

      let proxy = try await DelayingProxy.start(to: server.port, delay: TimeAmount(Self.delay))
      let client = try await RPCClient.connect(host: "127.0.0.1", port: proxy.port)
      options.tuning = SessionTuning(wishes: [Setting(name: "rate-max", value: "1KiB")])
      options.meter = SyncMeter()
      let sink = MapSink()
      let pull = Task { [options] in
        try await SyncClient(client, pool: Self.pool).pull(into: sink, options: options)
      }
      // The server's reports come when the client's wish has come to it: not before the first of its PINGs is back.
      try await eventually("the whole way") {
        options.meter.report?.minRTT ?? .zero >= Self.delay * 2
      }
      options.tuning.change(to: AdaptationSettings(), wishes: [])
      _ = try await pull.value
      #expect(sink.entries == source.entries)
      await client.close()
      try await proxy.close()
    }
  }
}
