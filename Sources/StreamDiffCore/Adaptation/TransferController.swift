/// A sender's controller: observations in, decisions out. Pure: the same inputs in the same order give the same
/// decisions, bit for bit, so that a trace of them can be replayed.
public struct TransferController: Sendable {
  /// What `AdaptationHint.chunkMaximum` says below counts as this: a peer's number must not make chunks that cost more
  /// than they could save it. (A `chunk-max` among its wishes is an operator's, and may be smaller.)
  public static let leastChunkMaximum = 4 << 10

  public private(set) var settings: AdaptationSettings
  public private(set) var link: LinkEstimate
  public private(set) var decision: Decision
  private var policy: any AdaptationPolicy
  private var congestion: CongestionRule
  private var hint = AdaptationHint()
  private var lastTime = Duration.zero
  private var lastNotSent = false

  /// - Parameter settings: as `check` accepts them.
  public init(_ settings: AdaptationSettings = AdaptationSettings()) {
    self.settings = settings
    link = LinkEstimate(window: settings.window)
    policy = Self.policy(settings, since: .zero)
    congestion = CongestionRule(settings)
    let bounds = AdaptationBounds(settings)
    decision = Decision(
      settings: ChunkSettings(
        bytes: bounds.clamped(chunk: 64 << 10),
        encoding: bounds.clamped(ChunkEncoding(codec: .zstd, level: 1))),
      bytesInFlight: settings.inflightMax, reason: "start")
    if settings.policy == .fixed { decision = decide(after: Observation()) }
  }

  private static func policy(
    _ settings: AdaptationSettings, since start: Duration
  ) -> any AdaptationPolicy {
    switch settings.policy {
    case .fixed: FixedPolicy(settings: settings)
    case .threshold: ThresholdPolicy(settings)
    case .model: ModelPolicy(since: start)
    }
  }

  /// Its limits hold at once, the rest from the next decision on. What is known of the link stays,
  /// and of a policy that stays what it has learned.
  public mutating func change(to settings: AdaptationSettings) {
    guard settings != self.settings else { return }
    let before = self.settings
    self.settings = settings
    if settings.policy == before.policy {
      policy.change(to: settings)
    } else {
      policy = Self.policy(settings, since: lastTime)
    }
    if (settings.policy, settings.congestion) != (before.policy, before.congestion) {
      congestion = CongestionRule(settings)
    }
    decision = kept(decision)
  }

  /// What the receiver says. Its limits win, where they are possible at all.
  public mutating func receive(_ hint: AdaptationHint) {
    self.hint = hint
    decision = kept(decision)
  }

  /// - Returns: how to go on.
  public mutating func receive(_ observation: Observation) -> Decision {
    var observation = observation
    observation.time = max(observation.time, lastTime)
    let length = observation.time - lastTime
    lastTime = observation.time
    // Always something to send: the kernel had some left before and now, or the sender waited for room. (What
    // `isAppLimited` says is of the last sample of a rate, and often of a burst.)
    let isNotSent = (observation.link?.bytesNotSent ?? 0) > 0
    let isBusy = isNotSent && lastNotSent || observation.sendWait * 5 > length
    lastNotSent = isNotSent
    link.receive(observation, isBusy: isBusy && length > .zero, window: settings.window)
    decision = decide(after: observation)
    return decision
  }

  private mutating func decide(after observation: Observation) -> Decision {
    var decision = kept(policy.decide(after: observation, link: link, bounds: bounds))
    decision.congestion = congestion.update(link)
    if let reason = congestion.reason { decision.reason += "; \(reason)" }
    return decision
  }

  /// Within the bounds: new ones hold for the next chunk, before anything is decided anew.
  private func kept(_ decision: Decision) -> Decision {
    let bounds = bounds
    var decision = decision
    decision.settings.bytes = bounds.clamped(chunk: decision.settings.bytes)
    decision.settings.encoding = bounds.clamped(decision.settings.encoding)
    decision.bytesInFlight = min(bounds.bytesInFlight, decision.bytesInFlight)
    return decision
  }

  /// The settings, within what the receiver says.
  public var bounds: AdaptationBounds {
    var bounds = AdaptationBounds(settings)
    let (least, most) = (Int(hint.chunkMinimum), Int(hint.chunkMaximum))
    // A minimum above a maximum says nothing.
    guard least <= most || most == 0 else { return bounds }
    var (lower, upper) = (bounds.chunk.lowerBound, bounds.chunk.upperBound)
    if most > 0 { upper = min(upper, max(Self.leastChunkMaximum, most)) }
    if least > 0 { lower = max(lower, min(upper, least)) }
    bounds.chunk = min(lower, upper)...upper
    let rates = [hint.decodeBytesPerSecond, hint.applyBytesPerSecond].filter { $0 > 0 }
    bounds.receiverRate = rates.min().map { Double($0) }
    return bounds
  }
}
