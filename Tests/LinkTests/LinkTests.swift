import LinkModel
import Testing

/// A link on virtual time, with as many slots as anyone asks for.
private struct Bench {
  var link: Link
  var now = Moment(0)
  private var nextSlot: UInt32 = 0

  init(_ text: String = "", seed: UInt64 = 1) throws {
    link = Link(try Bench.settings(text), mtu: 1500, capacity: 4096, seed: seed)
  }

  static func settings(_ text: String) throws -> LinkSettings {
    var settings = LinkSettings()
    if !text.isEmpty { try LinkChange(text: text).apply(to: &settings) }
    return settings
  }

  mutating func change(_ text: String) throws {
    var settings = link.settings
    try LinkChange(text: text).apply(to: &settings)
    link.change(to: settings, now: now)
  }

  @discardableResult
  mutating func arrive(_ length: Int = 1250) -> Link.Verdict {
    nextSlot += 1
    return link.arrive(slot: nextSlot, length: length, now: now)
  }

  mutating func cut(_ milliseconds: Int64) { link.cut(for: .milliseconds(milliseconds), now: now) }

  /// Follows `wakeTime` through `end`, as the relay does; slots and the microsecond in which each left.
  mutating func run(until end: Moment) -> [(slot: UInt32, at: Int64)] {
    var left: [(slot: UInt32, at: Int64)] = []
    while let wake = link.wakeTime, wake <= end {
      now = max(now, wake)
      while let packet = link.next(now: now) {
        if !packet.isCut { left.append((packet.slot, now.nanoseconds / 1000)) }
      }
    }
    now = end
    return left
  }
}

private func ms(_ count: Int64) -> Moment { Moment(count * 1_000_000) }

@Suite("A link on virtual time")
struct LinkTests {
  @Test("without limits a packet leaves when it arrives")
  func nothing() throws {
    var bench = try Bench()
    #expect(bench.arrive() == .carried)
    #expect(bench.run(until: ms(1)).map(\.at) == [0])
  }

  @Test("a packet is due its transmission time and the delay after it arrived; those behind wait their turn")
  func rateAndDelay() throws {
    var bench = try Bench("rate=10mbit,delay=20ms")  // 1250 bytes take 1 ms
    for _ in 0..<3 { bench.arrive() }
    #expect(bench.run(until: ms(100)).map(\.at) == [21_000, 22_000, 23_000])
    bench.arrive(125)
    #expect(bench.run(until: ms(200)).map(\.at) == [120_100])
  }

  @Test("the queue holds its bytes, the packet on the transmitter included, and drops what comes on top")
  func dropTail() throws {
    var bench = try Bench("rate=10mbit,queue=5000B")
    #expect(
      (0..<6).map { _ in bench.arrive() } == [.carried, .carried, .carried, .carried, .dropped, .dropped])
    #expect(bench.link.counters(now: bench.now).queueBytesMost == 5000)
    _ = bench.run(until: ms(1))
    #expect(bench.arrive() == .carried)
    #expect(bench.arrive() == .dropped)
    #expect(bench.run(until: ms(50)).count == 4)
    let counters = bench.link.counters(now: bench.now)
    #expect(counters.dropped == 3 && counters.packetsIn == 8 && counters.packetsOut == 5)
    #expect(counters.queueBytes == 0)
  }

  @Test("the default queue is the bandwidth-delay product, and at least 5 ms and 64 packets")
  func defaultQueue() throws {
    #expect(try Bench.settings("rate=100mbit,delay=20ms").defaultQueueBytes(mtu: 1500) == 500_000)
    #expect(try Bench.settings("rate=1gbit,delay=500us").defaultQueueBytes(mtu: 1500) == 625_000)
    #expect(try Bench.settings("rate=1mbit,delay=1ms").defaultQueueBytes(mtu: 1500) == 96_000)
    #expect(try Bench.settings("delay=1ms").defaultQueueBytes(mtu: 1500) == 96_000)
  }

  @Test(
    "the fate of the n-th packet depends on the seed alone, whatever else the link does",
    arguments: 1...3 as ClosedRange<UInt64>)
  func seeded(seed: UInt64) throws {
    func lost(_ text: String) throws -> [Bool] {
      var bench = try Bench(text, seed: seed)
      return (0..<2000).map { _ in
        let verdict = bench.arrive()
        bench.now = bench.now + .milliseconds(2)
        while bench.link.next(now: bench.now) != nil {}
        return verdict == .lost
      }
    }
    let pattern = try lost("loss=5%")
    #expect(try lost("loss=5%,rate=10mbit,delay=7ms,jitter=3ms") == pattern)
    #expect((60...140).contains(pattern.filter { $0 }.count))
    var other = try Bench("loss=5%", seed: seed + 100)
    #expect((0..<2000).map { _ in other.arrive() == .lost } != pattern)
  }

  @Test("a lost packet takes its time on the transmitter and its room in the queue")
  func lossTakesItsTime() throws {
    var bench = try Bench("rate=10mbit,loss=100%,queue=2500B")
    #expect((0..<3).map { _ in bench.arrive() } == [.lost, .lost, .dropped])
    try bench.change("loss=0%,queue=5000B")
    bench.arrive()
    #expect(bench.run(until: ms(10)).map(\.at) == [3_000])
  }

  @Test("jitter stays within its bounds, and order is kept")
  func jitter() throws {
    var bench = try Bench("delay=20ms,jitter=5ms")
    var delays: [Int64] = []
    for number in 1...500 as ClosedRange<UInt32> {
      let start = bench.now.nanoseconds / 1000
      bench.arrive()
      let left = bench.run(until: bench.now + .milliseconds(40))
      #expect(left.map(\.slot) == [number])
      delays.append(left[0].at - start)
    }
    #expect(delays.min()! >= 15_000 && delays.min()! < 15_500)
    #expect(delays.max()! <= 25_000 && delays.max()! > 24_500)
    for _ in 0..<500 {
      bench.arrive()
      bench.now = bench.now + .microseconds(10)
    }
    #expect(bench.run(until: bench.now + .milliseconds(40)).map(\.slot) == Array(501...1000))
  }

  @Test("a new rate holds for what waits already, down and up")
  func rateChanges() throws {
    var bench = try Bench("rate=10mbit")
    for _ in 0..<3 { bench.arrive() }
    bench.now = Moment(500_000)
    try bench.change("rate=1mbit")  // half of the first is left: 5 ms more
    #expect(bench.run(until: ms(6)).map(\.at) == [5_500])
    try bench.change("rate=10mbit")  // 0.5 of the second's 10 ms have passed: 0.95 ms more
    #expect(bench.run(until: ms(20)).map(\.at) == [6_950, 7_950])
    for _ in 0..<3 { bench.arrive() }
    try bench.change("rate=unlimited")
    #expect(bench.run(until: ms(30)).map(\.at) == [20_000, 20_000, 20_000])
  }

  @Test("a shorter delay holds for new packets, which never overtake old ones")
  func delayChanges() throws {
    var bench = try Bench("delay=60ms")
    bench.arrive()
    bench.now = ms(10)
    try bench.change("delay=10ms")
    bench.arrive()
    #expect(bench.run(until: ms(55)).isEmpty)
    #expect(bench.run(until: ms(80)).map(\.slot) == [1, 2])
    bench.arrive()
    #expect(bench.run(until: ms(200)).map(\.at) == [90_000])
  }

  @Test("a smaller queue takes nothing new until it has drained, and drops nothing that it took")
  func queueShrinks() throws {
    var bench = try Bench("rate=10mbit,queue=10KB")
    for _ in 0..<8 { #expect(bench.arrive() == .carried) }
    try bench.change("queue=2500B")
    #expect(bench.arrive() == .dropped)
    #expect(bench.run(until: ms(7)).count == 7)
    #expect(bench.arrive() == .carried)
  }

  @Test("a cut takes what arrives and what is due in it; what is due later arrives")
  func cuts() throws {
    var bench = try Bench("delay=10ms")
    bench.arrive()
    bench.now = ms(5)
    bench.arrive()
    bench.cut(7)
    #expect(bench.arrive() == .cut)
    #expect(bench.run(until: ms(12)).isEmpty)
    #expect(bench.arrive() == .carried)
    #expect(bench.run(until: ms(40)).map(\.at) == [15_000, 22_000])
    #expect(bench.link.counters(now: bench.now).cut == 2)
  }

  @Test("every packet that comes in is accounted for once", arguments: 1...20 as ClosedRange<UInt64>)
  func nothingVanishes(seed: UInt64) throws {
    var bench = try Bench("rate=10mbit,delay=5ms,jitter=2ms,loss=3%,queue=20KB", seed: seed)
    for step in 0..<4000 {
      bench.arrive(40 + Int(seed &* 7919 &* UInt64(step) % 1461))
      _ = bench.run(until: bench.now + .microseconds(600))
      if step % 700 == 300 { bench.cut(20) }
      if step % 900 == 0 { try bench.change("rate=\(5 + step / 900)mbit,delay=\(3 + step / 900)ms") }
    }
    _ = bench.run(until: bench.now + .milliseconds(1000))
    let counters = bench.link.counters(now: bench.now)
    #expect(counters.packetsIn == 4000)
    #expect(counters.packetsOut + counters.lost + counters.dropped + counters.cut == 4000)
    #expect(counters.queueBytes == 0 && counters.queueBytesMost <= 20_000)
    #expect(min(counters.lost, counters.dropped, counters.cut) > 0)
    #expect(counters.lateness.longest == .zero, "virtual time is never late")
  }
}
