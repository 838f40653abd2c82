/// Below a round-trip time and a loss rate chunks grow and compression eases; above either they shrink and it
/// rises, along the levels −1, 1, 3, 6.
///
/// What people expect of an adaptive sender, and a foil for `ModelPolicy`: distance counts as congestion, so that
/// every long link ends at the smallest chunk.
struct ThresholdPolicy: AdaptationPolicy {
  static let steps: [Int32] = [-1, 1, 3, 6]
  /// Between two steps, and a round trip at least: a step has to show before the next.
  static let interval = Duration.milliseconds(200)

  private(set) var settings: AdaptationSettings
  private var chunk: Double
  private var step = 1
  private var stepped: Duration?
  private var reason = "start"

  init(_ settings: AdaptationSettings) {
    self.settings = settings
    chunk = Double(settings.chunkMax)
  }

  mutating func change(to settings: AdaptationSettings) { self.settings = settings }

  mutating func decide(
    after observation: Observation, link: LinkEstimate, bounds: AdaptationBounds
  ) -> Decision {
    if let rtt = link.rtt, stepped.map({ observation.time - $0 >= max(Self.interval, rtt) }) ?? true {
      stepped = observation.time
      let loss = link.loss ?? 0
      let isCalm = rtt < settings.rttThreshold && loss < settings.lossThreshold
      let bytes = chunk * (isCalm ? settings.growth : settings.backoff)
      chunk = min(Double(bounds.chunk.upperBound), max(Double(bounds.chunk.lowerBound), bytes))
      step = min(Self.steps.count - 1, max(0, step + (isCalm ? -1 : 1)))
      reason =
        "\(isCalm ? "below" : "at or above") the thresholds: RTT \(Text.milliseconds(rtt)), loss \(Text.percent(loss))"
    }
    return Decision(
      settings: ChunkSettings(
        bytes: bounds.clamped(chunk: Int(chunk)),
        encoding: ChunkEncoding(codec: .zstd, level: Self.steps[step])),
      bytesInFlight: settings.inflightMax, reason: reason)
  }
}
