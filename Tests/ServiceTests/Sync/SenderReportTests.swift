import StreamDiffCore
import StreamDiffService
import Synchronization
import Testing

@Suite("what a sender reports to a receiver that does not read") struct SenderReportTests {
  private static let pool = ReadPool(threads: 2, queued: 64)

  /// Keeps the first report back until it is opened.
  private final class Gate: SyncTransport {
    private struct State {
      var reports: [AdaptationReport] = []
      var isOpen = false
      var waiter: CheckedContinuation<Void, Never>?
    }

    private let real: MemoryTransport
    private let state = Mutex(State())

    init(_ real: MemoryTransport) { self.real = real }

    var reports: [AdaptationReport] { state.withLock { $0.reports } }

    func open() {
      let waiter = state.withLock { state in
        state.isOpen = true
        return state.waiter.take()
      }
      waiter?.resume()
    }

    var link: ConnectionLink? { nil }
    func send(_ message: SyncMessage) async throws {
      if case .report(let report) = message {
        await withCheckedContinuation { continuation in
          let isOpen = state.withLock { state in
            state.reports.append(report)
            if !state.isOpen { state.waiter = continuation }
            return state.isOpen
          }
          if isOpen { continuation.resume() }
        }
      }
      try await real.send(message)
    }
    func receive() async throws -> SyncMessage? { try await real.receive() }
    func finish() async throws -> Bool { try await real.finish() }
  }

  private static func settings(chunk: Int) -> AdaptationSettings {
    var settings = AdaptationSettings()
    (settings.policy, settings.chunk) = (.fixed, chunk)
    // Nothing leaves: the session lasts until the cap is taken away.
    settings.rateMax = ByteRate(bytesPerSecond: 1024)
    return settings
  }

  @Test("of reports that cannot leave only the newest waits", .timeLimit(.minutes(1)))
  func newest() async throws {
    let (client, server) = MemoryTransport.pair()
    let gate = Gate(client)
    var maker = EntryMaker(seed: 4)
    let source = MapContent(maker.entries(200, valueBytes: 1000...1000))
    var options = SyncOptions(keyspace: .default, kind: .plain, session: .random())
    options.tuning = SessionTuning(Self.settings(chunk: 65536))
    let sender = Task { [options] in
      defer { client.close() }
      return try await SyncSession.runSender(source: source, over: gate, options: options, pool: Self.pool)
    }
    let receiver = Task {
      defer { server.close() }
      let options = SyncOptions(keyspace: .default, kind: .plain, session: .random())
      return try await SyncSession.runReceiver(
        sink: MapSink(), over: server, options: options, pool: Self.pool)
    }
    try await eventually("a report") { !gate.reports.isEmpty }
    for chunk in [1000, 2000, 3000, 4000] {
      options.tuning.change(to: Self.settings(chunk: chunk), wishes: [])
      // Each is a decision of its own, and a report.
      try await eventually("a report of \(chunk)") { options.meter.report?.chunk == UInt32(chunk) }
    }
    #expect(gate.reports.count == 1)
    gate.open()
    try await eventually("a second report") { gate.reports.count >= 2 }
    #expect(gate.reports[1].chunk == 4000)
    var free = Self.settings(chunk: 5000)
    free.rateMax = nil
    options.tuning.change(to: free, wishes: [])
    _ = try await sender.value
    _ = try await receiver.value
    #expect(!gate.reports.contains { 1000...3000 ~= $0.chunk })
  }
}
