/// Which codec and level: the cheapest of those whose predicted goodput is the highest.
///
/// It changes only for a clear gain, and looks at what came of it: an encoding under which less gets through than
/// before is left again and not tried for a while, longer each time.
struct EncodingChoice: Sendable {
  /// An encoding has to promise so much more than the present one, and more again for each recent change.
  static let hysteresis = 0.03
  static let unrestful = 0.04
  /// Seconds in which changes count half.
  static let rest = 10.0
  /// As good as the best; of these the fastest is taken.
  static let tolerance = 0.99
  /// What gets as much through, with so much room, and is so many times as fast is taken too.
  static let cheaper = 2.0
  static let room = 1.6
  /// Data that shrinks by less does not shrink: encoding it is work for nothing, at both ends.
  static let nothing = 1.01
  /// Encoding that takes less of the time is not worth saving.
  static let work = 0.2
  /// Waiting for others for more of the time: they are the limit.
  static let idle = 0.8
  /// Between two changes, and two round trips at least.
  static let dwell = Duration.milliseconds(300)
  static let least = Duration.milliseconds(100)
  /// Before the processor's speed is known.
  static let mostAtStart: Int32 = 6
  private(set) var profile = CodecProfile()
  private(set) var current: ChunkEncoding
  private(set) var reason = "start"
  private(set) var network = NetworkRate()
  /// Changes, of which half are forgotten in ten seconds: the more of them, the more the next has to promise.
  private var unrest = 0.0
  private var changed = Duration.zero
  private var last = Duration.zero
  private var goodput = Lately()
  /// The share of the time in which there was nothing to send, or no leave to.
  private var waiting = Lately()
  /// The share of it in which something was encoded.
  private var working = Lately()
  /// Of the time and of the plain bytes of it, what went into neither encoding nor waiting for the network or the
  /// receiver: reading the source, and all that shares the processor.
  private var others = Lately(memory: 1)
  private var encoded = Lately(memory: 1)
  private var trials = EncodingTrials()

  /// Whether anything was encoded in this session.
  private var hasBegun: Bool

  /// - Parameter start: when it takes over, since the session began.
  init(since start: Duration) {
    current = ChunkEncoding(codec: .zstd, level: 1)
    (last, changed, hasBegun) = (start, start, start > .zero)
  }

  mutating func update(_ observation: Observation, _ link: LinkEstimate, _ bounds: AdaptationBounds) {
    let now = observation.time
    let length = now - last
    last = now
    profile.used(
      observation.encoding, plainBytes: observation.plainBytes, payloadBytes: observation.payloadBytes,
      time: observation.encodeTime, now: now)
    profile.sampled(observation.probes, reference: observation.encoding, now: now)
    goodput.add(Double(observation.plainBytes), over: length)
    unrest *= Self.rest / (Self.rest + length.seconds)
    waiting.add(observation.sourceWait + observation.creditWait, over: length)
    working.add(observation.encodeTime, over: length)
    let spent = observation.encodeTime + observation.sendWait + observation.creditWait
    others.add(max(.zero, length - spent), over: length)
    encoded.add(Double(observation.plainBytes), over: length)
    network.update(link, now: now)

    if observation.plainBytes > 0 { hasBegun = true }
    if !hasBegun, let guess = NetworkRate.guess(link) { return begin(guess, bounds) }
    let allowed = bounds.clamped(current)
    if allowed != current { return change(to: allowed, now, "the limits leave no other") }
    // A trial that fills the network has told what it was to tell.
    let dwell = trials.isOpen && link.busyRate != nil ? Self.least : Self.dwell
    guard now - changed >= max(dwell, (link.minRTT ?? .zero) * 2), let rate = network.hoped else { return }
    // Of data that nobody has seen nothing can be promised.
    guard profile.isMeasured || current == .plain else { return }
    if trials.isOpen {
      guard link.isBusy || goodput.isKnown else { return }
      if let before = trials.conclude(current, goodput: goodput.value, isBusy: link.isBusy, now) {
        let why = "\(Text.rate(goodput.value)) were less than \(Text.rate(before.goodput))"
        return change(to: before.encoding, now, why)
      }
    }
    if gainsNothing, bounds.codec == .auto, trials.allow(.plain, now) {
      return change(to: .plain, now, "the data does not shrink")
    }
    let elsewhere = elsewhere(link.isBusy, bounds)
    let candidates = Self.candidates(bounds).filter { trials.allow($0, now) }
    let present = predict(current, rate, elsewhere)
    // Where the session waits for its source or its receiver, no encoding gets more through.
    let better =
      link.isBusy || waiting.value <= Self.idle ? better(than: present, candidates, rate, elsewhere) : nil
    let cheaper = link.isBusy ? nil : cheaper(candidates, elsewhere)
    if let better = better ?? cheaper {
      trials.begin(from: current, goodput: goodput.value)
      return change(to: better, now, why(better, rate, elsewhere))
    }
    network.hopeForMore(over: length, link)
  }

  /// Nothing is known but the distance. It tells how slowly TCP begins, and of what is not sent yet nothing is lost.
  private mutating func begin(_ rate: Double, _ bounds: AdaptationBounds) {
    let levels = max(bounds.levels.lowerBound, 1)...max(bounds.levels.lowerBound, Self.mostAtStart)
    let candidates = Self.candidates(bounds).filter { $0.codec == .zstd && levels.contains($0.level) }
    guard let first = best(of: candidates, rate, .infinity).fastest, first != current else { return }
    current = first
    reason = "\(first) to begin with: \(Text.rate(rate)) in slow start"
  }

  /// What promises clearly more.
  private func better(
    than present: Double, _ candidates: [ChunkEncoding], _ rate: Double, _ elsewhere: Double
  ) -> ChunkEncoding? {
    let best = best(of: candidates, rate, elsewhere)
    let wanted = present * (1 + Self.hysteresis + Self.unrestful * unrest)
    return best.goodput * Self.tolerance > wanted ? best.fastest : nil
  }

  /// The highest predicted goodput, and the fastest of those that come near it.
  private func best(
    of candidates: [ChunkEncoding], _ rate: Double, _ elsewhere: Double
  ) -> (goodput: Double, fastest: ChunkEncoding?) {
    let goodput = candidates.lazy.map { predict($0, rate, elsewhere) }.max() ?? 0
    return (goodput, fastest(candidates.filter { predict($0, rate, elsewhere) >= goodput * Self.tolerance }))
  }

  private var gainsNothing: Bool {
    current.codec == .zstd && profile.estimate(current).ratio < Self.nothing
  }

  /// What surely gets as much through for much less work.
  private func cheaper(_ candidates: [ChunkEncoding], _ elsewhere: Double) -> ChunkEncoding? {
    // With room to spare: at the network's limit it would have to go back.
    let needed = Self.room * min(elsewhere, goodput.value)
    guard goodput.isKnown, working.value > Self.work else { return nil }
    return fastest(
      candidates.filter {
        speed($0) > Self.cheaper * speed(current) && predict($0, network.sure, elsewhere) >= needed
      })
  }

  private func fastest(_ encodings: [ChunkEncoding]) -> ChunkEncoding? {
    encodings.max { speed($0) < speed($1) }
  }

  private func why(_ encoding: ChunkEncoding, _ rate: Double, _ elsewhere: Double) -> String {
    let estimate = profile.estimate(encoding)
    let limit =
      elsewhere < min(rate * estimate.ratio, estimate.speed)
      ? "the rest \(Text.rate(elsewhere))"
      : "network \(Text.rate(rate)), ratio \(Text.tenths(estimate.ratio))"
    return
      "\(limit): \(Text.rate(predict(encoding, rate, elsewhere))) instead of \(Text.rate(predict(current, rate, elsewhere)))"
  }

  // MARK: Prediction

  /// Plain bytes per second.
  func predict(_ encoding: ChunkEncoding, _ network: Double, _ elsewhere: Double) -> Double {
    let estimate = profile.estimate(encoding)
    return min(network * estimate.ratio, 1 / (1 / estimate.speed + overhead), elsewhere)
  }

  /// Seconds a plain byte that no encoding saves.
  private var overhead: Double { encoded.value > 0 ? others.value / encoded.value : 0 }

  private func speed(_ encoding: ChunkEncoding) -> Double { profile.estimate(encoding).speed }

  /// What everything else allows: where the network is not full and the session mostly waits for its source or for
  /// acknowledgements, not much more than it gets. A receiver that says less than it takes is not believed.
  private func elsewhere(_ isBusy: Bool, _ bounds: AdaptationBounds) -> Double {
    let hoped = 1.5 * goodput.value
    let isElsewhere = !isBusy && waiting.value > Self.idle / 2
    let told = bounds.receiverRate.map { max($0, hoped) } ?? .infinity
    return isElsewhere && hoped > 0 ? min(hoped, told) : told
  }

  static func candidates(_ bounds: AdaptationBounds) -> [ChunkEncoding] {
    var candidates: [ChunkEncoding] = bounds.codec == .zstd ? [] : [.plain]
    guard bounds.codec != .none else { return candidates }
    candidates += CodecProfile.levels.lazy.filter { bounds.levels.contains($0) }
      .map { ChunkEncoding(codec: .zstd, level: $0) }
    return candidates
  }

  // MARK: Change

  private mutating func change(to encoding: ChunkEncoding, _ now: Duration, _ why: String) {
    reason = "\(encoding) for \(current): \(why)"
    (current, changed) = (encoding, now)
    unrest += 1
    (goodput, waiting, working) = (Lately(), Lately(), Lately())
  }
}

extension ChunkEncoding: CustomStringConvertible {
  public var description: String { codec == .zstd ? "zstd \(level)" : "none" }
}
