import StreamDiffCore
import Testing

@Suite struct GovernorTests {
  /// A node on which writes take too long whatever is sent: its rate is down at the least there is.
  private static func slowed(seed: Int, sessions: [(chunk: ClosedRange<Int>, pause: Duration)])
    -> GovernedNode
  {
    var node = GovernedNode(seed: seed)
    node.writes = .milliseconds(20)
    node.latency = { _ in .milliseconds(1) }
    node.run(for: .seconds(1))
    // One of some MB/s brings it down.
    node.join(chunk: 1 << 15...1 << 15, pause: .milliseconds(10))
    node.latency = { $0 > 0 ? .milliseconds(50) : .milliseconds(1) }
    node.run(for: .seconds(3))
    for (chunk, pause) in sessions { node.join(chunk: chunk, pause: pause) }
    node.leave(0)
    node.run(for: .seconds(1))
    node.forget()
    return node
  }

  private static func jain(_ shares: [Double]) -> Double {
    let (sum, squares) = shares.reduce((0, 0)) { ($0.0 + $1, $0.1 + $1 * $1) }
    return sum * sum / (Double(shares.count) * squares)
  }

  // MARK: Sharing

  @Test("sessions of any chunk sizes share a node's rate: Jain's index is at least 0.95", arguments: 0..<12)
  func fairness(seed: Int) {
    var random = SplitMix(seed: seed)
    let count = 2 + seed % 15
    let sessions = (0..<count).map { _ in
      let most = 1 << Int.random(in: 12...18, using: &random)
      let least = Bool.random(using: &random) ? most : most / 8
      return (least...most, Duration.microseconds(Int.random(in: 1...200, using: &random)))
    }
    var node = Self.slowed(seed: seed, sessions: sessions)
    #expect(node.governor.rate != nil)
    node.run(for: .seconds(20))
    let shares = node.sessions.map { Double($0.bytes) }
    #expect(Self.jain(shares) >= 0.95, "seed \(seed): \(shares)")
    // Nobody waits for more than the turns that a chunk takes, and a chunk of each other.
    let chunks = sessions.reduce(0) { $0 + $1.0.upperBound }
    for (session, (chunk, _)) in zip(node.sessions, sessions) {
      let bytes = chunks + count * (chunk.upperBound + 2 * Governor.quantum)
      let longest = Double(bytes) / Governor.leastRate
      #expect(session.longestWait <= .milliseconds(Int(longest * 1000)), "seed \(seed)")
    }
  }

  @Test("chunks of 512 bytes beside chunks of 1 MiB: each session has half")
  func extremes() {
    var node = Self.slowed(seed: 1, sessions: [(512...512, .microseconds(20)), (1 << 20...1 << 20, .zero)])
    node.run(for: .seconds(20))
    let shares = node.sessions.map { Double($0.bytes) }
    #expect(Self.jain(shares) >= 0.95, "\(shares)")
  }

  @Test("who cannot use its share leaves it to the others")
  func workConserving() {
    // The first asks for 10 kB every 100 ms, which is below its half.
    var node = Self.slowed(
      seed: 2, sessions: [(10_000...10_000, .milliseconds(200)), (1 << 15...1 << 15, .zero)])
    node.run(for: .seconds(10))
    let total = node.sessions.reduce(0) { $0 + $1.bytes }
    #expect(Double(total) >= 0.95 * 10 * Governor.leastRate)
    #expect(Double(node.sessions[0].bytes) >= 0.8 * 10 * 100_000)
  }

  @Test("without a cap and without late commits everything is granted at once")
  func nothingLimits() {
    var governor = Governor()
    let places = (0..<16).map { _ in governor.join(rateMax: nil, now: .zero) }
    for step in 0..<1000 {
      for place in places {
        let isGranted = governor.ask(place, for: 1 << 20, now: .microseconds(step))
        #expect(isGranted)
      }
    }
    let next = governor.nextGrant()
    #expect(governor.rate == nil && next == nil)
  }

  @Test("a place that is given back waits for nothing more, and holds up nobody")
  func leaving() {
    var node = Self.slowed(seed: 3, sessions: Array(repeating: (1 << 16...1 << 16, .zero), count: 4))
    node.leave(0)
    node.leave(2)
    node.run(for: .seconds(5))
    #expect(node.sessions.allSatisfy { Double($0.bytes) > 0.45 * 5 * Governor.leastRate })
    node.leave(0)
    node.leave(0)
    let next = node.governor.nextGrant()
    #expect(node.governor.rate == nil && next == nil)
  }

  // MARK: Caps

  @Test("a cap holds over every stretch of time, but for a burst, and is used", arguments: 0..<10)
  func caps(seed: Int) {
    var random = SplitMix(seed: seed)
    var node = GovernedNode(seed: seed)
    var caps: [(rate: UInt64, chunk: Int)] = []
    for _ in 0...seed % 6 {
      let rate = UInt64(Int.random(in: 1024...2048, using: &random) << Int.random(in: 0...13, using: &random))
      let chunk = 1 << Int.random(in: 9...20, using: &random)
      node.join(chunk: max(1, chunk / 2)...chunk, pause: .microseconds(20), rateMax: rate)
      caps.append((rate, chunk))
    }
    node.join(chunk: 1 << 16...1 << 16, pause: .milliseconds(1))
    let (seconds, uncapped) = (10.0, node.sessions.count - 1)
    node.run(for: .seconds(seconds))
    for (session, (rate, chunk)) in zip(node.sessions, caps) {
      let burst = max(Double(64 << 10), Double(rate) * 0.05)
      let excess = session.excess(over: Double(rate))
      #expect(excess <= max(burst, Double(chunk)) + 1, "seed \(seed): \(rate)/s, chunks of \(chunk)")
      // From its start on not even a burst comes on top.
      let total = Double(session.bytes)
      #expect(total <= Double(rate) * seconds + max(0, Double(chunk) - burst) + 1, "seed \(seed)")
      #expect(total >= Double(rate) * seconds - burst - Double(chunk), "seed \(seed): \(total) at \(rate)")
    }
    #expect(Double(node.sessions[uncapped].bytes) > 50e6, "another's cap holds nobody else")
  }

  @Test("a cap that changes holds from then on, for what waits too")
  func changedCap() {
    var governor = Governor()
    let place = governor.join(rateMax: ByteRate(bytesPerSecond: 1024), now: .zero)
    func next() -> Duration? { governor.nextGrant() }
    func grants(_ milliseconds: Int) -> [Governor.Place] { governor.grants(now: .milliseconds(milliseconds)) }
    func ask(_ bytes: Int, _ seconds: Int) -> Bool { governor.ask(place, for: bytes, now: .seconds(seconds)) }
    func hold() -> Governor.Hold? { governor.takeHold(place) }
    #expect(!ask(32 << 10, 0) && hold() == .rateMax)
    #expect(next() == .seconds(32))
    governor.change(place, rateMax: ByteRate(bytesPerSecond: 32 << 10), now: .seconds(16))
    #expect(next() == .milliseconds(16_500))
    #expect(grants(16_499) == [])
    governor.change(place, rateMax: nil, now: .milliseconds(16_499))
    #expect(grants(16_499) == [place])
    #expect(hold() == .rateMax && hold() == nil)
    // A new cap begins with nothing gathered.
    governor.change(place, rateMax: ByteRate(bytesPerSecond: 1 << 20), now: .seconds(100))
    #expect(!ask(1 << 10, 100))
    #expect(next().map { $0 > .seconds(100) && $0 < .milliseconds(100_001) } ?? false)
  }

  // MARK: Commits

  /// Writes take long when more is sent than `capacity`.
  private static func busy(seed: Int, capacity: Double, sessions: Int) -> GovernedNode {
    var node = GovernedNode(seed: seed)
    node.writes = .milliseconds(10)
    node.latency = { rate in
      .microseconds(2000 + 1000 * min(400, max(0, (rate / capacity - 1) * 100)))
    }
    node.run(for: .seconds(1))
    // Together 400 MB/s, more than any capacity here.
    for _ in 0..<sessions {
      node.join(chunk: 1 << 16...1 << 16, pause: .microseconds(320 * sessions))
    }
    return node
  }

  @Test("late commits bring the rate down to what they bear, and it stays there", arguments: 0..<6)
  func converges(seed: Int) throws {
    let capacity = [20e6, 60e6, 150e6][seed % 3]
    var node = Self.busy(seed: seed, capacity: capacity, sessions: 1 + seed % 5)
    node.run(for: .seconds(5))
    var (late, sent) = (0, 0.0)
    for _ in 0..<100 {
      node.run(for: .milliseconds(100))
      if node.latency(node.rate) > .milliseconds(7) { late += 1 }
      sent += node.rate
    }
    #expect(late <= 35, "seed \(seed): late \(late) times of 100")
    #expect(sent / 100 >= 0.6 * capacity, "seed \(seed): only \(sent / 100) of \(capacity) bytes per second")
    #expect(sent / 100 <= 1.1 * capacity, "seed \(seed)")
  }

  @Test("when nobody writes any more, or commits are fast again, nothing is held back after seconds")
  func recovers() {
    for isQuiet in [true, false] {
      var node = Self.busy(seed: 4, capacity: 20e6, sessions: 2)
      node.run(for: .seconds(5))
      #expect(node.governor.rate != nil)
      if isQuiet { node.writes = nil } else { node.latency = { _ in .milliseconds(2) } }
      node.run(for: .seconds(12))
      #expect(node.governor.rate == nil, "\(isQuiet)")
      #expect(node.rate > 300e6)
    }
  }

  @Test("what all sessions send together is told, and how often commits slowed them")
  func told() {
    var node = Self.busy(seed: 7, capacity: 20e6, sessions: 3)
    node.latency = { _ in .milliseconds(2) }
    node.run(for: .seconds(2))
    #expect(node.governor.slowdowns == 0)
    let rate = node.governor.sentRate(now: node.now)
    #expect(rate > 0.5 * node.rate && rate < 2 * node.rate)
    node.latency = { _ in .milliseconds(50) }
    node.run(for: .seconds(5))
    #expect(node.governor.slowdowns > 3)
    let slow = node.governor.sentRate(now: node.now)
    #expect(slow < rate / 4)
    // Nobody sends: the rate falls although nobody else looks.
    let idle = node.governor.sentRate(now: node.now + .seconds(10))
    #expect(idle < slow / 4)
  }

  @Test("commits that stay slow whatever is sent are held against themselves after half a minute")
  func newBaseline() {
    var node = Self.slowed(seed: 5, sessions: [(1 << 16...1 << 16, .microseconds(300))])
    node.latency = { _ in .milliseconds(50) }
    node.run(for: .seconds(20))
    #expect(node.governor.rate.map { $0 < 3 * Governor.leastRate } ?? false)
    node.run(for: .seconds(40))
    #expect(node.governor.rate == nil)
  }

  @Test("commits that are slow for milliseconds, or while nothing is sent, change nothing")
  func small() {
    var node = GovernedNode(seed: 6)
    node.writes = .milliseconds(5)
    node.latency = { _ in .microseconds(100) }
    node.run(for: .seconds(1))
    node.latency = { _ in .seconds(1) }
    node.run(for: .seconds(2))
    #expect(node.governor.rate == nil)
    node.latency = { _ in .microseconds(5000) }
    node.join(chunk: 1 << 16...1 << 16, pause: .microseconds(100))
    node.run(for: .seconds(10))
    #expect(node.governor.rate == nil)
    // The same sessions are slowed when it takes longer than that.
    node.latency = { _ in .microseconds(5200) }
    node.run(for: .milliseconds(500))
    #expect(node.governor.rate != nil)
  }

  @Test("times that stand still or move back, nothing written, nothing sent: no rate but a sane one")
  func absentSignals() {
    var governor = Governor()
    let place = governor.join(rateMax: nil, now: .seconds(9))
    for step in 0..<2000 {
      let now = Duration.seconds(9) + .milliseconds([0, 200, 0, -5000, 400][step % 5])
      if step % 3 == 0 { governor.committed(in: step % 2 == 0 ? .zero : .seconds(step), now: now) }
      if governor.ask(place, for: 1, now: now) == false {
        let next = governor.nextGrant()
        let granted = governor.grants(now: next ?? .zero)
        #expect(granted == [place])
      }
      if let rate = governor.rate { #expect(rate >= Governor.leastRate && rate.isFinite) }
    }
  }
}
