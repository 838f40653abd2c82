/// What the network takes, in bytes per second: measured while it is full; else not known, and hoped for.
struct NetworkRate: Sendable {
  /// How long a rate that was measured holds for a network that is not full any more: at first, and at most.
  static let memory = Duration.seconds(2)
  static let longestMemory = Duration.seconds(16)
  /// A network that is not full may take so many times what it does: at first, and after long.
  static let leastHope = 2.0
  static let mostHope = 64.0
  /// It surely takes so many times what it does, or little is lost.
  static let surely = 1.4
  /// A rate that differs by so much is another.
  static let other = 1.25

  /// Bytes in flight that TCP's slow start comes to in five round trips, from ten segments.
  static let slowStart = 450_000.0

  /// A fall below so much of what went through lately is believed when it has lasted: bbr sends next to nothing for
  /// 200 ms every ten seconds to measure the distance (ProbeRTT), and a lost segment holds up what is behind it.
  static let fall = 0.7
  static let pause = Duration.milliseconds(400)
  static let lately = Duration.seconds(2)

  private var measured: (rate: Double, time: Duration)?
  /// The rate that was measured before, forgotten to find out whether it is still true.
  private var forgotten: Double?
  private var memory = Self.memory
  private var hope = Self.leastHope
  private var delivered = 0.0
  private var usual = WindowedExtremum<Double>.maximum(over: lately)
  private var lowSince: Duration?

  /// To be found out whether it is true; `nil` before anything was sent.
  private(set) var hoped: Double?

  /// What can be relied on.
  var sure: Double { measured?.rate ?? Self.surely * delivered }

  /// Before anything was sent: what the network takes at the beginning, whatever it takes later.
  static func guess(_ link: LinkEstimate) -> Double? {
    guard let rtt = link.minRTT, rtt > .zero else { return nil }
    return slowStart / rtt.seconds
  }

  mutating func update(_ link: LinkEstimate, now: Duration) {
    delivered = link.deliveredRate
    usual.add(delivered, now: now)
    if let rate = link.busyRate {
      guard !isPausing(rate, link, now) else { return }
      measured = (rate, now)
      (hope, hoped) = (Self.leastHope, rate)
      return
    }
    lowSince = nil
    guard delivered > 0 else { return }
    if let (rate, time) = measured {
      let isDisproved = delivered >= rate * Self.other
      guard isDisproved || now - time >= memory else { return hoped = max(rate, delivered) }
      // It was true the last time too: ask less and less often.
      let isSame = forgotten.map { rate < $0 * Self.other && $0 < rate * Self.other } ?? false
      memory = isSame && !isDisproved ? min(Self.longestMemory, memory * 2) : Self.memory
      (measured, forgotten) = (nil, isDisproved ? nil : rate)
    }
    // A queue tells that it is nearly full, or that it has become longer: nothing is to be hoped for then.
    hoped = (link.isQueueing ? Self.surely : hope) * delivered
  }

  private mutating func isPausing(_ rate: Double, _ link: LinkEstimate, _ now: Duration) -> Bool {
    guard rate < Self.fall * max(measured?.rate ?? 0, usual.value ?? 0) else {
      lowSince = nil
      return false
    }
    let since = lowSince ?? now
    lowSince = since
    return now - since < Self.pause + link.rateWindow
  }

  /// Nothing is better as far as is known: look further.
  mutating func hopeForMore(over length: Duration, _ link: LinkEstimate) {
    guard measured == nil, !link.isBusy, !link.isQueueing else { return }
    hope = min(Self.mostHope, hope * (1 + length.seconds))
  }
}
