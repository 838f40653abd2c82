/// Which codec and level: the cheapest of those whose predicted goodput is the highest.
///
/// It changes only for a clear gain, and looks at what came of it: an encoding under which less gets through than
/// before is left again and not tried for a while, longer each time.
struct EncodingChoice: Sendable {
  /// An encoding has to promise so much more than the present one.
  static let hysteresis = 1.04
  /// As good as the best; of these the fastest is taken.
  static let tolerance = 0.99
  /// What is equal and so much cheaper is taken too.
  static let cheaper = 2.0
  /// Between two changes, and two round trips at least.
  static let dwell = Duration.milliseconds(300)
  /// How long a rate that was measured bounds what a network that is not full may be able to do.
  static let memory = Duration.seconds(10)

  private(set) var profile = CodecProfile()
  private(set) var current: ChunkEncoding
  private(set) var reason = "start"
  /// Bytes per second that the network takes, as far as known.
  private(set) var networkRate: Double?
  private var measured: (rate: Double, time: Duration)?
  private var changed = Duration.zero
  private var last = Duration.zero
  private var goodput = Goodput()
  private var trial: Trial?
  private var banned: [ChunkEncoding: Ban] = [:]

  private struct Ban: Sendable {
    var until: Duration
    var length: Duration
  }

  /// A change that has yet to prove itself.
  private struct Trial: Sendable {
    var from: ChunkEncoding
    var goodput: Double
  }

  init() { current = ChunkEncoding(codec: .zstd, level: 1) }

  mutating func update(_ observation: Observation, _ link: LinkEstimate, _ bounds: AdaptationBounds) {
    let now = observation.time
    let length = now - last
    last = now
    profile.used(
      observation.encoding, plainBytes: observation.plainBytes, payloadBytes: observation.payloadBytes,
      time: observation.encodeTime, now: now)
    profile.sampled(observation.probes, reference: observation.encoding, now: now)
    goodput.add(observation.plainBytes, over: length)
    networkRate = rate(link, now)

    let allowed = bounds.clamped(current)
    if allowed != current { return change(to: allowed, now, "the limits leave no other") }
    guard now - changed >= max(Self.dwell, (link.minRTT ?? .zero) * 2), let networkRate else { return }
    let elsewhere = elsewhere(observation, length, bounds)
    if let trial { conclude(trial, now) }
    guard trial == nil else { return }
    let candidates = Self.candidates(bounds).filter { banned[$0].map { $0.until <= now } ?? true }
    let predicted = candidates.map { (encoding: $0, goodput: predict($0, networkRate, elsewhere)) }
    guard let best = predicted.max(by: { $0.goodput < $1.goodput }) else { return }
    let good = predicted.filter { $0.goodput >= best.goodput * Self.tolerance }
    guard let chosen = good.max(by: { speed($0.encoding) < speed($1.encoding) }) else { return }
    let present = predict(current, networkRate, elsewhere)
    let isBetter = chosen.goodput > present * Self.hysteresis
    let isCheaper =
      chosen.goodput >= present * Self.tolerance && speed(chosen.encoding) > Self.cheaper * speed(current)
    guard chosen.encoding != current, isBetter || isCheaper else { return }
    let limit = elsewhere < networkRate * profile.estimate(chosen.encoding).ratio ? "the rest" : "network"
    let why =
      "\(limit) \(Text.rate(limit == "network" ? networkRate : elsewhere)), ratio "
      + "\(Text.tenths(profile.estimate(chosen.encoding).ratio)): \(Text.rate(chosen.goodput)) instead of "
      + "\(Text.rate(present))\(isBetter ? "" : ", for less work")"
    trial = Trial(from: current, goodput: goodput.value)
    change(to: chosen.encoding, now, why)
  }

  // MARK: Prediction

  /// Plain bytes per second.
  func predict(_ encoding: ChunkEncoding, _ network: Double, _ elsewhere: Double) -> Double {
    let estimate = profile.estimate(encoding)
    return min(network * estimate.ratio, estimate.speed, elsewhere)
  }

  private func speed(_ encoding: ChunkEncoding) -> Double { profile.estimate(encoding).speed }

  /// What the network takes: measured while it was full; else at least what it took, and up to twice that.
  private mutating func rate(_ link: LinkEstimate, _ now: Duration) -> Double? {
    if let rate = link.busyRate {
      measured = (rate, now)
      return rate
    }
    guard link.deliveredRate > 0 else { return measured?.rate }
    let hoped = 2 * link.deliveredRate
    guard let (rate, time) = measured, now - time < Self.memory else { return hoped }
    return max(link.deliveredRate, min(hoped, 1.1 * rate))
  }

  /// What everything else allows: where the session mostly waits for its source or for acknowledgements, not much
  /// more than it gets. A receiver that says less than it takes is not believed.
  private func elsewhere(_ observation: Observation, _ length: Duration, _ bounds: AdaptationBounds) -> Double
  {
    let hoped = 1.5 * goodput.value
    let isElsewhere = (observation.sourceWait + observation.creditWait) * 2 > length
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
    goodput.reset()
  }

  /// After a while: was it right?
  private mutating func conclude(_ trial: Trial, _ now: Duration) {
    self.trial = nil
    guard goodput.value < 0.9 * trial.goodput, goodput.isKnown else {
      banned[current] = nil
      return
    }
    let length = min(.seconds(120), banned[current].map { $0.length * 2 } ?? .seconds(5))
    let why = "\(Text.rate(goodput.value)) were less than \(Text.rate(trial.goodput))"
    banned[current] = Ban(until: now + length, length: length)
    change(to: trial.from, now, why)
  }
}

/// Plain bytes per second, lately.
private struct Goodput: Sendable {
  private(set) var value = 0.0
  private var known = 0.0

  var isKnown: Bool { known > 0.2 }

  mutating func add(_ bytes: Int, over length: Duration) {
    let seconds = length.seconds
    guard seconds > 0 else { return }
    let weight = max(seconds / (seconds + 0.5), known > 0 ? 0 : 1)
    value += (Double(bytes) / seconds - value) * weight
    known += seconds
  }

  mutating func reset() { self = Goodput() }
}

extension ChunkEncoding: CustomStringConvertible {
  public var description: String { codec == .zstd ? "zstd \(level)" : "none" }
}
