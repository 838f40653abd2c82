import NIOCore
import StreamDiffService
import StreamDiffWire
import Testing

@Suite struct DecisionTests {
  @Test(
    "the first bytes tell what a client speaks",
    arguments: [
      ("", .needsMore), ("P", .needsMore), ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r", .needsMore),
      ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .http2), ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore", .http2),
      ("GE", .needsMore),
      ("GET ", .http1), ("PUT /x", .http1), ("PRI /", .unknown), ("PRIX ", .http1), ("get ", .unknown),
      ("GO ", .unknown),
      ("\u{16}\u{3}", .unknown), ("ABCDEFGHIJKLMNOPQRSTUVWXYZ", .unknown),
    ] as [(String, PrefaceCheck.Verdict)])
  func preface(bytes: String, verdict: PrefaceCheck.Verdict) {
    var whole = PrefaceCheck()
    #expect(whole.receive(bytes.utf8) == verdict)
    // The same in single bytes, up to the verdict.
    var pieces = PrefaceCheck()
    var last = PrefaceCheck.Verdict.needsMore
    for byte in bytes.utf8 where last == .needsMore { last = pieces.receive([byte]) }
    #expect(last == verdict)
  }

  static let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

  static func watch(pingsWithoutCalls: Bool = true) -> ConnectionWatch {
    var limits = RPCLimits()
    limits.prefaceTimeout = .seconds(10)
    limits.idleTimeout = .seconds(100)
    limits.keepaliveInterval = .seconds(30)
    limits.keepaliveTimeout = .seconds(5)
    return ConnectionWatch(limits: limits, pingsWithoutCalls: pingsWithoutCalls, now: start)
  }

  @Test("without a preface a connection ends at its time")
  func noPreface() {
    var watch = Self.watch()
    #expect(watch.due == Self.start + .seconds(10))
    watch.received(now: Self.start + .seconds(9))
    #expect(watch.tick(now: Self.start + .seconds(9)) == nil)
    #expect(watch.tick(now: Self.start + .seconds(10)) == .close(.noPreface))
  }

  @Test("silence is asked about once, and ends the connection if nothing comes")
  func silence() {
    var watch = Self.watch()
    watch.established()
    watch.callsOpen(true, now: Self.start)
    #expect(watch.due == Self.start + .seconds(30))
    #expect(watch.tick(now: Self.start + .seconds(29)) == nil)
    #expect(watch.tick(now: Self.start + .seconds(30)) == .ping)
    #expect(watch.due == Self.start + .seconds(35))
    #expect(watch.tick(now: Self.start + .seconds(34)) == nil)
    var answered = watch
    answered.received(now: Self.start + .seconds(34))
    #expect(answered.tick(now: Self.start + .seconds(35)) == nil)
    #expect(answered.due == Self.start + .seconds(64))
    #expect(watch.tick(now: Self.start + .seconds(35)) == .close(.unanswered))
  }

  @Test("only the time since the last call counts as idle")
  func idle() {
    var watch = Self.watch(pingsWithoutCalls: false)
    watch.established()
    #expect(watch.due == Self.start + .seconds(100))
    watch.callsOpen(true, now: Self.start + .seconds(90))
    #expect(watch.tick(now: Self.start + .seconds(101)) == nil)
    watch.callsOpen(false, now: Self.start + .seconds(110))
    watch.callsOpen(false, now: Self.start + .seconds(150))
    #expect(watch.tick(now: Self.start + .seconds(209)) == nil)
    #expect(watch.tick(now: Self.start + .seconds(210)) == .close(.idle))
  }

  @Test("round trips are measured one at a time, and not more often than there is reason to")
  func roundTrips() {
    var meter = RoundTripMeter()
    func isDue(at now: NIODeadline) -> Bool {
      meter.ask(now: now)
      return meter.isDue
    }
    func answered(_ payload: UInt64, at now: NIODeadline) -> Bool { meter.answered(payload, now: now) }
    #expect(!meter.isDue && meter.latest == nil)
    #expect(isDue(at: Self.start))
    meter.sent(7, behind: 300, now: Self.start + .milliseconds(5))
    #expect(!meter.isDue)
    // Under way: nothing follows, however long it takes. Others' answers are not its own.
    let late = Self.start + .seconds(60)
    #expect(!isDue(at: late) && !answered(6, at: late))
    #expect(answered(7, at: late + .milliseconds(5)) && !answered(7, at: late + .milliseconds(6)))
    #expect(
      meter.latest?.number == 1 && meter.latest?.time == .seconds(60) && meter.latest?.queued == 300)
    #expect(isDue(at: late + .seconds(1)))
    meter.sent(9, behind: 0, now: late + .seconds(1))
    #expect(answered(9, at: late + .milliseconds(1003)))
    #expect(meter.latest?.number == 2 && meter.latest?.time == .milliseconds(3))
    let next = late + .seconds(1) + RoundTripMeter.interval
    #expect(!isDue(at: next - .nanoseconds(1)) && isDue(at: next))
  }

  @Test("a socket that takes nothing ends the connection, one that takes a byte now and then does not")
  func blocked() {
    var watch = Self.watch()
    watch.established()
    watch.callsOpen(true, now: Self.start)
    let most = Int64(RPCLimits().blockedTimeout.nanoseconds / 1_000_000_000)
    for second in stride(from: 0, through: 2 * most, by: 5) {
      watch.received(now: Self.start + .seconds(second))
      watch.output(unwritten: 10_000 - Int(second / 60), now: Self.start + .seconds(second))
      #expect(watch.tick(now: Self.start + .seconds(second)) == nil)
    }
    var now = Self.start + .seconds(2 * most)
    watch.output(unwritten: 9_000, now: now)
    for second in stride(from: 5, to: most, by: 5) {
      watch.received(now: now + .seconds(second))
      watch.output(unwritten: 9_000, now: now + .seconds(second))
      #expect(watch.tick(now: now + .seconds(second)) == nil)
    }
    now = now + .seconds(most)
    watch.received(now: now)
    var drained = watch
    #expect(watch.tick(now: now) == .close(.blocked))
    drained.output(unwritten: 0, now: now)
    #expect(drained.tick(now: now) == nil)
  }

  // MARK: Conduct

  static func counts(resets: Int = 0, idle: Int = 0, sentData: Int = 0) -> FrameCounts {
    var counts = FrameCounts()
    (counts.resets, counts.idle, counts.sentData) = (resets, idle, sentData)
    return counts
  }

  @Test(
    "frames that bring nothing end a connection when they are too many in a second",
    arguments: [
      // what comes each second, and the second in which that is too much (nil: never)
      (counts(resets: 1_000), nil), (counts(resets: 1_500), 18), (counts(resets: 100_000), 0),
      (counts(idle: 2_000), nil), (counts(idle: 100_000), 0),
      (counts(idle: 200_000, sentData: 50_000), nil), (counts(idle: 300_000, sentData: 50_000), 0),
    ] as [(FrameCounts, Int?)])
  func conduct(each: FrameCounts, seconds: Int?) {
    var watch = ConductWatch(limits: RPCLimits(), now: Self.start)
    let ended = (0..<1_000).first { watch.spend(each, now: Self.start + .seconds(Int64($0))) != nil }
    #expect(ended == seconds)
  }

  @Test("1 500 quick cancels at once are honest, 100 000 in a second end the connection within it")
  func resets() {
    var watch = ConductWatch(limits: RPCLimits(), now: Self.start)
    for number in 0..<1_500 {
      #expect(watch.spend(Self.counts(resets: 1), now: Self.start + .microseconds(Int64(number))) == nil)
    }
    watch = ConductWatch(limits: RPCLimits(), now: Self.start)
    let ended = (0..<100_000).first {
      watch.spend(Self.counts(resets: 1), now: Self.start + .microseconds(Int64($0) * 10)) != nil
    }
    #expect((10_000..<10_200).contains(ended ?? 0))
  }

  // MARK: Calls

  @Test("a message that dribbles is cut, one at an honest rate is not")
  func slowMessage() {
    let limits = RPCLimits()
    func cutAfter(bytesPerSecond: Int, until end: Int) -> Int? {
      var watch = CallWatch(now: Self.start)
      return stride(from: 0, through: end, by: 5).first { second in
        let activity = CallWatch.Activity(dueMessageBytes: second * bytesPerSecond)
        return watch.look(at: activity, limits: limits, now: Self.start + .seconds(Int64(second))) != .fine
      }
    }
    #expect(cutAfter(bytesPerSecond: 0, until: 1_000) == 30)
    #expect(cutAfter(bytesPerSecond: 1, until: 1_000) == 35)
    #expect(cutAfter(bytesPerSecond: 4 << 10, until: 1_000) == nil)
  }

  @Test("a stream between messages is not slow, each message has its own time")
  func messagesApart() {
    let limits = RPCLimits()
    var watch = CallWatch(now: Self.start)
    var now = Self.start
    for message in 1...10 as ClosedRange<UInt64> {
      now = now + .seconds(100)
      let between = CallWatch.Activity(dueMessageBytes: nil, messages: message)
      #expect(watch.look(at: between, limits: limits, now: now) == .fine)
      let begun = CallWatch.Activity(dueMessageBytes: 5, messages: message)
      #expect(watch.look(at: begun, limits: limits, now: now) == .fine)
      #expect(watch.look(at: begun, limits: limits, now: now + .seconds(29)) == .fine)
    }
    let stuck = CallWatch.Activity(dueMessageBytes: 5, messages: 10)
    #expect(watch.look(at: stuck, limits: limits, now: now + .seconds(31)) == .slowMessage)
  }

  @Test("an answer of which nothing leaves is unread; a slow reader is not")
  func unread() {
    let limits = RPCLimits()
    var watch = CallWatch(now: Self.start)
    func look(_ unsent: Int, _ sent: UInt64, at second: Int64) -> CallWatch.Verdict {
      let activity = CallWatch.Activity(
        dueMessageBytes: nil, messages: 1, unsentBytes: unsent, sentBytes: sent)
      return watch.look(at: activity, limits: limits, now: Self.start + .seconds(second))
    }
    for second in stride(from: 0 as Int64, to: 1_000, by: 50) {
      #expect(look(1_000_000, UInt64(second), at: second) == .fine)
    }
    #expect(look(1_000_000, 950, at: 1_005) == .fine)
    #expect(look(0, 950, at: 1_050) == .fine)
    #expect(look(9, 950, at: 1_051) == .fine)
    #expect(look(9, 950, at: 1_110) == .fine)
    #expect(look(9, 950, at: 1_111) == .unread)
  }

  // MARK: Connections

  @Test("who gives way: the oldest silent, then the longest idle, never one with a call")
  func victim() {
    typealias Stage = ConnectionCard.Stage
    let now = Self.start + .seconds(100)
    func victim(_ cards: [(String, Stage, Int64)]) -> String? {
      ConnectionCard.victim(
        among: cards.map { name, stage, age in
          (id: name, card: ConnectionCard(stage, now: now - .seconds(age)))
        }, idleGrace: .seconds(10), now: now)
    }
    #expect(victim([("a", .silent, 1), ("b", .silent, 2), ("c", .idle, 50), ("d", .busy, 90)]) == "b")
    #expect(victim([("a", .idle, 11), ("b", .idle, 60), ("c", .busy, 90)]) == "b")
    #expect(victim([("a", .idle, 9), ("c", .busy, 90)]) == nil)
    #expect(victim([]) == nil)
    let card = ConnectionCard(now: Self.start)
    card.become(.busy, now: Self.start + .seconds(1))
    card.become(.idle, now: Self.start + .seconds(2))
    card.become(.idle, now: Self.start + .seconds(99))
    #expect(ConnectionCard.victim(among: [(id: 1, card: card)], idleGrace: .seconds(98), now: now) == 1)
  }

  @Test("a client asks nothing while it has no call")
  func quietClient() {
    var watch = Self.watch(pingsWithoutCalls: false)
    watch.established()
    #expect(watch.tick(now: Self.start + .seconds(60)) == nil)
    watch.callsOpen(true, now: Self.start + .seconds(60))
    #expect(watch.due == Self.start + .seconds(90))
    #expect(watch.tick(now: Self.start + .seconds(90)) == .ping)
  }
}
