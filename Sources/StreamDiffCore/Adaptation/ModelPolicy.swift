/// The highest predicted goodput: of each encoding what network, encoding and the rest of the way allow.
///
///     goodput(encoding) = min(network × ratio, encode speed, what the source brings and the receiver takes)
///
/// The parts are choices of their own: the encoding (`EncodingChoice`), the chunk (`ChunkChoice`), bytes in flight
/// (`FlightChoice`), congestion control (`CongestionRule`), and which levels to sample (`ProbeSchedule`).
struct ModelPolicy: AdaptationPolicy {
  private var encoding = EncodingChoice()
  private var chunk = ChunkChoice()
  private var flight = FlightChoice()
  private var congestion: CongestionRule
  private var probes = ProbeSchedule()

  init(_ settings: AdaptationSettings) { congestion = CongestionRule(settings.congestion) }

  mutating func decide(
    after observation: Observation, link: LinkEstimate, bounds: AdaptationBounds
  ) -> Decision {
    encoding.update(observation, link, bounds)
    let ratio = encoding.profile.estimate(encoding.current).ratio
    let bytes = chunk.update(wire: encoding.networkRate ?? link.deliveredRate, ratio: ratio, bounds)
    let inFlight = flight.update(observation, chunk: bytes, isBusy: link.isBusy)
    var decision = Decision(
      settings: ChunkSettings(bytes: bytes, encoding: encoding.current), bytesInFlight: inFlight,
      reason: encoding.reason)
    decision.congestion = congestion.update(link)
    if let reason = congestion.reason { decision.reason += "; \(reason)" }
    decision.probe = probes.update(observation, encoding, bounds, isBusy: link.isBusy)
    return decision
  }
}

/// How large a chunk is: as much as goes over the wire in 50 ms, since what waits behind a chunk waits for all of it,
/// and a connection that breaks loses it. Fast links have the largest.
struct ChunkChoice: Sendable {
  static let wireTime = 0.05

  private var bytes: Int?

  mutating func update(wire rate: Double, ratio: Double, _ bounds: AdaptationBounds) -> Int {
    let largest = bounds.chunk.upperBound
    guard rate > 0 else { return bounds.clamped(chunk: bytes ?? largest) }
    let wanted = min(Double(largest), rate * ratio * Self.wireTime)
    // In steps of 2, and a step only when it is clear.
    var next = Double(bytes ?? largest)
    while next > 2.8 * wanted, next > 1 { next /= 2 }
    while next < wanted / 1.4, next < Double(largest) { next *= 2 }
    let chosen = bounds.clamped(chunk: Int(next))
    bytes = chosen
    return chosen
  }
}

/// How many plain bytes may be unacknowledged: twice what is acknowledged within the least delay of an
/// acknowledgement, so that growth is possible, and two chunks. While the session waits for that alone it is
/// raised.
struct FlightChoice: Sendable {
  /// Small sessions need no bound.
  static let least = 1 << 20
  private static let window = Duration.seconds(2)

  private var delay = WindowedExtremum<Duration>.minimum(over: window)
  private var rate = WindowedExtremum<Double>.maximum(over: window)
  private var boost = 1.0
  private var last = Duration.zero
  private var acknowledged = 0
  private var since = Duration.zero

  mutating func update(_ observation: Observation, chunk: Int, isBusy: Bool) -> Int {
    let now = observation.time
    let length = now - last
    last = now
    acknowledged += observation.acknowledgedBytes
    if let delay = observation.acknowledgementDelay { self.delay.add(delay, now: now) }
    // Acknowledgements come in groups: a rate over a round trip at least.
    if now - since >= max(.milliseconds(100), delay.value ?? .zero) {
      rate.add(Double(acknowledged) / (now - since).seconds, now: now)
      (acknowledged, since) = (0, now)
    }
    if length > .zero, !isBusy, observation.creditWait * 5 > length {
      boost = min(16, boost * 1.25)
    } else {
      boost = max(1, boost * 0.98)
    }
    guard let delay = delay.value, let rate = rate.value else { return max(Self.least, 64 * chunk) }
    let bytes = min(1e12, 2 * boost * rate * delay.seconds)
    return max(Self.least, Int(bytes) + 2 * chunk)
  }
}

/// bbr, where loss does not come with queueing, or queueing with everything: distance and random loss then do not
/// slow the connection, and its queue stays short.
struct CongestionRule: Sendable {
  private let choice: AdaptationSettings.CongestionChoice
  private(set) var reason: String?

  init(_ choice: AdaptationSettings.CongestionChoice) { self.choice = choice }

  /// - Returns: what to change to; `nil` for what the connection has. Asked again when a wish came to nothing, it
  ///   wishes the same: the edge says so once.
  mutating func update(_ link: LinkEstimate) -> CongestionControl? {
    guard let present = link.congestion else { return nil }
    switch choice {
    case .bbr: return present == .bbr ? nil : .bbr
    case .cubic: return present == .cubic ? nil : .cubic
    case .auto: break
    }
    guard present != .bbr, let minRTT = link.minRTT else { return nil }
    let isQueueing = link.queueing > max(.milliseconds(5), minRTT)
    if isQueueing {
      reason = "bbr: \(Text.milliseconds(link.queueing)) of queueing"
      return .bbr
    }
    guard let loss = link.loss, loss >= 0.001, link.queueing * 4 < minRTT + .milliseconds(4) else {
      return nil
    }
    reason = "bbr: loss of \(Text.percent(loss)) without queueing"
    return .bbr
  }
}
