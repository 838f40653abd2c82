import NIOCore
import StreamDiffService
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
