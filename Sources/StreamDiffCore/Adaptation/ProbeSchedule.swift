/// Which levels are tried on a sample, and when: those that could be better than the one in use and have not been
/// looked at for the longest, as often as costs little.
struct ProbeSchedule: Sendable {
  /// Plain bytes of a sample that are new.
  private static let newBytes = 64 << 10
  /// Of the time: where the network is the limit the processor has it to spare.
  private static let spare = 0.1
  private static let scarce = 0.01
  /// Seconds that one sample may take, where there are several levels to look at.
  private static let sampleTime = 0.02
  /// A level looked at within it is known.
  private static let fresh = Duration.seconds(5)
  private static let interval = Duration.milliseconds(250)

  private var next = Duration.zero
  private var plainBytes = 0

  /// - Returns: levels for one sample, the one in use among them; none while it is not time.
  mutating func update(
    _ observation: Observation, _ choice: EncodingChoice, _ bounds: AdaptationBounds, isBusy: Bool
  ) -> [Int32] {
    let now = observation.time
    plainBytes += observation.plainBytes
    guard bounds.codec != .none, now >= next, plainBytes >= Self.newBytes else { return [] }
    let profile = choice.profile
    func seconds(_ level: Int32) -> Double {
      Double(CodecProbe.sampleBytes) / profile.estimate(ChunkEncoding(codec: .zstd, level: level)).speed
    }
    var levels: [Int32] = choice.current.codec == .zstd ? [choice.current.level] : []
    var cost = levels.reduce(0) { $0 + seconds($1) }
    let base = levels.count
    for level in Self.worthwhile(choice, bounds, now: now) {
      guard levels.count == base || isBusy && cost + seconds(level) <= Self.sampleTime else { continue }
      levels.append(level)
      cost += seconds(level)
    }
    guard levels.count > base else { return [] }
    next = now + max(Self.interval, Duration(rounding: cost / (isBusy ? Self.spare : Self.scarce)))
    plainBytes = 0
    return levels
  }

  /// Those that could turn out better and are not known; the longest not looked at first.
  private static func worthwhile(
    _ choice: EncodingChoice, _ bounds: AdaptationBounds, now: Duration
  ) -> [Int32] {
    let network = choice.network.hoped ?? .infinity
    let present = choice.predict(choice.current, network, .infinity)
    var ages: [(level: Int32, age: Duration)] = []
    for encoding in EncodingChoice.candidates(bounds)
    where encoding.codec == .zstd && encoding != choice.current {
      let age = choice.profile.age(of: encoding.level, now: now) ?? .seconds(1 << 20)
      let estimate = choice.profile.estimate(encoding)
      let best = min(network * (1 + (estimate.ratio - 1) * 1.5), estimate.speed * 1.5)
      if age >= fresh, best > present { ages.append((encoding.level, age)) }
    }
    return ages.sorted { ($1.age, $0.level) < ($0.age, $1.level) }.map(\.level)
  }
}
