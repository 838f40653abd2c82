import Foundation
import Logging
import StreamDiffCore
import StreamDiffService
import Synchronization
import Testing

@Suite("traces") struct TraceTests {
  private static func parsed(_ text: String) throws(JSONProblem) -> TraceLine {
    let bytes = Array(text.utf8)
    let result = bytes.withUnsafeBytes { line in
      Result { () throws(JSONProblem) in try TraceLine(line) }
    }
    return try result.get()
  }

  @Test("what is read is what was written, and decides the same again", arguments: UInt64(1)...40)
  func roundTrip(seed: UInt64) throws {
    var maker = TraceMaker(seed: seed)
    let lines = maker.lines(60)
    var replay = TraceReplay()
    for line in lines {
      let again = try Self.parsed(line.text)
      #expect(again == line)
      try replay.receive(again)
    }
    #expect(replay.sessions == 1 && replay.decisions > 0)
  }

  @Test("another decision than the controller's is found", arguments: UInt64(1)...20)
  func difference(seed: UInt64) throws {
    var maker = TraceMaker(seed: seed)
    var replay = TraceReplay()
    let lines = maker.lines(30)
    let index = try #require(lines.lastIndex { if case .decision = $0 { true } else { false } })
    for line in lines[..<index] { try replay.receive(line) }
    guard case .decision(let observation, let decision) = lines[index] else { return }
    var other = decision
    other.settings.bytes += 1
    var again = replay
    #expect(throws: TraceReplay.Difference.self) { try again.receive(.decision(observation, other)) }
    // The right one is none.
    try replay.receive(.decision(observation, decision))
  }

  @Test(
    "what is no line of a trace is refused with its column",
    arguments: [
      ("", 1), ("{}", 2), ("[1]", 1), (#"{"kind":"hint","kind":"hint"}"#, 16),
      (#"{"kind":"wish","time_ns":1}"#, 1),
      (#"{"kind":"hint","time_ns":1e3}"#, 27), (#"{"kind":"hint","time_ns":01}"#, 26),
      (#"{"kind":"hint","time_ns":99999999999999999999}"#, 26), (#"{"kind":"hint","x":[[[1]]]}"#, 22),
      (#"{"kind":"hint","time_ns":1} "# + "x", 29),
    ])
  func refused(text: String, column: Int) {
    let problem = #expect(throws: JSONProblem.self) { try Self.parsed(text) }
    #expect(problem?.column == column, "\(String(describing: problem))")
  }

  @Test("a member too few or too many, or a value out of its range, is refused")
  func strict() throws {
    var maker = TraceMaker(seed: 3)
    let text = try #require(maker.lines(20).last).text
    #expect(throws: JSONProblem.self) {
      try Self.parsed(text.replacingOccurrences(of: #""chunks""#, with: #""chunx""#))
    }
    #expect(throws: JSONProblem.self) { try Self.parsed(String(text.dropLast()) + #","more":1}"#) }
    for chunk in [0, -1, Limits.chunkBytes + 1] {
      let other = text.replacing(/"chunk":[0-9]+/, with: "\"chunk\":\(chunk)")
      #expect(other != text)
      #expect(throws: JSONProblem.self) { try Self.parsed(other) }
    }
    let settings = TraceLine.settings(AdaptationSettings(), .zero).text
    #expect(throws: JSONProblem.self) {
      try Self.parsed(settings.replacingOccurrences(of: "64KiB", with: "9MiB"))
    }
    #expect(throws: JSONProblem.self) {
      try Self.parsed(settings.replacingOccurrences(of: #""512""#, with: #""128KiB""#))
    }
  }

  // MARK: Files

  @Test("a file has every line when it is closed; check counts its decisions")
  func file() async throws {
    let path = Scratch()
    var maker = TraceMaker(seed: 9)
    let lines = maker.lines(500)
    let file = try TraceFile(path.path) { Issue.record("\($0)") }
    write(lines, to: file.trace)
    await file.close()
    #expect(try String(contentsOfFile: path.path, encoding: .utf8) == lines.map { $0.text + "\n" }.joined())
    let decisions = lines.count { if case .decision = $0 { true } else { false } }
    let check = try await TraceCheck.run(path.path)
    #expect(check.replay.decisions == decisions && check.fault == nil)
  }

  @Test("a disk that takes no more is told once, and nothing else happens")
  func full() async throws {
    let told = Mutex(0)
    let file = try TraceFile("/dev/full") { _ in told.withLock { $0 += 1 } }
    var maker = TraceMaker(seed: 9)
    for _ in 0..<3 {
      write(maker.lines(20), to: file.trace)
      await file.close()
    }
    #expect(told.withLock { $0 } == 1)
  }

  @Test("where no more is taken the trace ends, and why is told once")
  func refused() async throws {
    let path = Scratch()
    let left = Mutex(3)
    let told = Mutex<[String]>([])
    let file = try TraceFile(path.path) { _ in
      left.withLock {
        $0 -= 1
        return $0 >= 0 ? nil : "it is enough"
      }
    } onFailure: { reason in
      told.withLock { $0.append(reason) }
    }
    var maker = TraceMaker(seed: 9)
    for line in maker.lines(10) {
      write([line], to: file.trace)
      await file.close()
    }
    #expect(told.withLock { $0 } == ["the trace \(path.path) ends here: it is enough"])
    #expect(try String(contentsOfFile: path.path, encoding: .utf8).split(separator: "\n").count == 3)
  }

  @Test("a directory keeps the newest; a trace that had to go ends, and those that stay are whole")
  func directory() async throws {
    let path = Scratch()
    let limits = TraceShelf.Limits(bytes: 200 << 10, traceBytes: 100 << 10, leastBytes: 20 << 10)
    var sizes: [Int] = []
    for _ in 0..<2 {
      // A second one in turn: nobody else has it, and what was there counts.
      let directory = try TraceDirectory(path.path, limits: limits, logger: Logger(label: "traces"))
      #expect(throws: ClientFailure.self) {
        try TraceDirectory(path.path, limits: limits, logger: Logger(label: "traces"))
      }
      for number in 0..<30 {
        let file = try #require(directory.begin(peer: "[::1]:\(number)"))
        var maker = TraceMaker(seed: UInt64(number))
        for line in maker.lines(number % 10 == 0 ? 400 : 40) {
          file.trace.write(line)
          await file.close()
        }
      }
      let names = try FileManager.default.contentsOfDirectory(atPath: path.path).sorted()
      sizes.append(0)
      for name in names {
        let check = try await TraceCheck.run("\(path.path)/\(name)")
        #expect(check.fault == nil && check.replay.sessions == 1)
        let size = try FileManager.default.attributesOfItem(atPath: "\(path.path)/\(name)")[.size] as? Int
        sizes[sizes.count - 1] += max(limits.leastBytes, try #require(size))
      }
      #expect(names.last?.hasSuffix("-30-___1__29.ndjson") == true, "\(names)")
    }
    // Half of it at least: what goes for the last line was one trace.
    #expect(sizes.allSatisfy { (100 << 10...200 << 10).contains($0) }, "\(sizes)")
  }

  private func write(_ lines: [TraceLine], to trace: AdaptationTrace) {
    for line in lines { trace.write(line) }
  }

  /// A path that goes away.
  private final class Scratch {
    let path = NSTemporaryDirectory() + "/trace-\(UUID().uuidString)"
    deinit { try? FileManager.default.removeItem(atPath: path) }
  }
}

/// A session that never was: what a controller is told, and what it decides.
struct TraceMaker {
  private var random: EntryMaker.Mixer

  init(seed: UInt64) { random = EntryMaker.Mixer(state: seed) }

  mutating func lines(_ count: Int) -> [TraceLine] {
    var settings = settings()
    var controller = TransferController(settings)
    var lines = [TraceLine.settings(settings, .zero)]
    var time = Duration.zero
    var link = LinkSample()
    while lines.count < count - 1 {
      time += .nanoseconds(number(1_000_000...600_000_000))
      switch number(0...20) {
      case 0:
        settings = self.settings()
        controller.change(to: settings)
        lines.append(.settings(settings, time))
      case 1:
        let hint = hint()
        controller.receive(hint)
        lines.append(.hint(hint, time))
      default: lines.append(decision(time, &link, &controller))
      }
    }
    lines.append(decision(time + .milliseconds(50), &link, &controller))
    return lines
  }

  private mutating func number(_ range: ClosedRange<Int>) -> Int { .random(in: range, using: &random) }

  private mutating func settings() -> AdaptationSettings {
    var settings = AdaptationSettings()
    settings.policy = .allCases.randomElement(using: &random) ?? .model
    settings.codec = .allCases.randomElement(using: &random) ?? .auto
    settings.chunkMin = number(1...4096)
    settings.chunkMax = number(4096...1 << 20)
    settings.chunk = number(settings.chunkMin...settings.chunkMax)
    settings.window = .milliseconds(number(1000...8000))
    settings.growth = .random(in: 1.1...4, using: &random)
    settings.backoff = .random(in: 0.5...0.9, using: &random)
    settings.lossThreshold = .random(in: 0...1, using: &random)
    settings.rateMax = number(0...1) == 0 ? nil : ByteRate(bytesPerSecond: UInt64(number(1024...1 << 40)))
    return settings
  }

  private mutating func hint() -> AdaptationHint {
    var hint = AdaptationHint()
    (hint.decodeBytesPerSecond, hint.credit) = (random.next(), random.next())
    (hint.chunkMinimum, hint.chunkMaximum) = (UInt32(number(0...9000)), UInt32(number(0...9000)))
    if number(0...1) == 0 {
      hint.settings = [Setting(name: "a\"\\\u{1}é", value: ""), Setting(name: "a", value: "\n")]
    }
    return hint
  }

  private mutating func decision(
    _ time: Duration, _ link: inout LinkSample, _ controller: inout TransferController
  ) -> TraceLine {
    var observation = StreamDiffCore.Observation()
    observation.time = time
    if number(0...9) > 0 {
      link.rtt = .microseconds(number(1...700_000))
      link.rttVariance = .microseconds(number(0...90_000))
      link.minRTT = min(link.minRTT == .zero ? link.rtt : link.minRTT, link.rtt)
      link.bytesSent += UInt64(number(0...5_000_000))
      link.bytesRetransmitted += UInt64(number(0...20_000))
      link.bytesAcknowledged = link.bytesSent - min(link.bytesSent, UInt64(number(0...100_000)))
      link.deliveryRate = UInt64(number(0...1 << 30))
      link.isAppLimited = number(0...1) == 0
      link.bytesNotSent = UInt64(number(0...1)) * 100_000
      link.congestion = [.bbr, .cubic, .other].randomElement(using: &random) ?? .other
      observation.link = link
    }
    if number(0...3) == 0 {
      observation.pingRTT = .microseconds(number(1...500_000))
      observation.pingQueue = number(0...300_000)
    }
    observation.encoding =
      number(0...3) == 0 ? .plain : ChunkEncoding(codec: .zstd, level: Int32(number(-7...19)))
    observation.chunks = number(0...200)
    observation.plainBytes = observation.chunks * number(1...1 << 16)
    observation.payloadBytes = observation.plainBytes / number(1...12)
    observation.encodeTime = .nanoseconds(number(0...40_000_000))
    observation.sendWait = .nanoseconds(number(0...40_000_000))
    observation.creditWait = .nanoseconds(number(0...40_000_000))
    observation.sourceWait = .nanoseconds(number(0...40_000_000))
    observation.acknowledgedBytes = number(0...9_000_000)
    if number(0...1) == 0 { observation.acknowledgementDelay = .microseconds(number(1...900_000)) }
    observation.bytesInFlight = number(0...64 << 20)
    if number(0...2) == 0 {
      observation.probes = [1, -5].map { level in
        CodecProbeResult(
          level: level, plainBytes: 1 << 16, payloadBytes: number(1...1 << 16),
          time: .microseconds(number(1...9000)))
      }
    }
    return .decision(observation, controller.receive(observation))
  }
}
