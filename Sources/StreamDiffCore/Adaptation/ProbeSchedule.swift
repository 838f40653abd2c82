/// Which levels are tried on a sample, and when: those that could be better than the one in use and have not been
/// looked at for the longest, as often as costs little.
struct ProbeSchedule: Sendable {
  /// Plain bytes of a sample.
  static let sampleBytes = 256 << 10
  /// Of the time: where the network is the limit the processor has it to spare.
  private static let spare = 0.1
  private static let scarce = 0.01
  /// A level looked at within it is known.
  private static let fresh = Duration.seconds(5)
  private static let interval = Duration.milliseconds(250)

  private var next = Duration.zero
  private var plainBytes = 0

  /// - Returns: levels for one sample, the one in use first; none while it is not time.
  mutating func update(
    _ observation: Observation, _ choice: EncodingChoice, _ bounds: AdaptationBounds, isBusy: Bool
  ) -> [Int32] {
    let now = observation.time
    plainBytes += observation.plainBytes
    guard bounds.codec != .none, now >= next, plainBytes >= Self.sampleBytes else { return [] }
    let profile = choice.profile
    let encodings = EncodingChoice.candidates(bounds).filter { $0.codec == .zstd && $0 != choice.current }
    func age(_ encoding: ChunkEncoding) -> Duration {
      profile.age(of: encoding.level, now: now) ?? .seconds(1 << 20)
    }
    let network = choice.networkRate ?? .infinity
    let present = choice.predict(choice.current, network, .infinity)
    let worthwhile = encodings.filter { encoding in
      let estimate = profile.estimate(encoding)
      let hoped = min(network * (1 + (estimate.ratio - 1) * 1.5), estimate.speed * 1.5)
      return hoped > present && age(encoding) >= Self.fresh
    }
    guard let chosen = worthwhile.max(by: { (age($0), -$0.level) < (age($1), -$1.level) }) else { return [] }
    var levels = [chosen.level]
    if choice.current.codec == .zstd { levels.insert(choice.current.level, at: 0) }
    let cost = levels.reduce(0) {
      $0 + Double(Self.sampleBytes) / profile.estimate(ChunkEncoding(codec: .zstd, level: $1)).speed
    }
    next = now + max(Self.interval, Duration(rounding: cost / (isBusy ? Self.spare : Self.scarce)))
    plainBytes = 0
    return levels
  }
}
