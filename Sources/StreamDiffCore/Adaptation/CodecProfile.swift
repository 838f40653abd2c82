/// How fast each encoding is on this data, and how small it makes it: what was measured, and beside it what zstd's
/// levels are to each other on data of many kinds.
///
/// The level in use is measured all the time, and what it shows moves every level: when data shrinks less, it does so
/// at all of them. What levels are to each other is learned from samples (`CodecProbeResult`) and from use.
public struct CodecProfile: Sendable {
  /// What encoding plain bytes as one of the levels comes to.
  public struct Estimate: Hashable, Sendable {
    /// Plain bytes per second.
    public var speed: Double
    /// Plain bytes over payload: 1 for data that does not shrink.
    public var ratio: Double

    public init(speed: Double, ratio: Double) { (self.speed, self.ratio) = (speed, ratio) }
  }

  private struct Level {
    /// Plain bytes per second, on data and a processor as the priors'.
    var speed: Double
    /// Of the ratio, what is above 1, there.
    var gain: Double
    /// When a sample or use told it last.
    var known: Duration?
  }

  /// Levels that are chosen between. (0 means 3 to zstd.)
  public static let levels: [Int32] = [-7, -5, -3, -1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 17, 19]

  /// MB/s and ratio of zstd 1.5.4 at them, geometric means over JSON, source text and shared libraries, in 64 KiB chunks
  /// of one frame on one core. Only what they are to each other matters.
  private static let priors: [(speed: Double, ratio: Double)] = [
    (600, 3.4), (560, 3.7), (500, 4.1), (440, 4.5), (420, 5.0), (370, 5.2), (330, 5.4), (250, 5.5),
    (150, 5.8),
    (110, 6.1), (95, 6.3), (80, 6.4), (60, 6.6), (45, 6.6), (35, 6.65), (25, 6.7), (12, 6.8), (9, 6.9),
    (4, 7.3),
    (2.2, 7.6),
  ]
  /// Without a codec: copying and checksums.
  static let plainSpeed = 4e9
  /// A gain below counts as this: nothing could be told of other levels by it.
  static let leastGain = 0.002
  /// Seconds in which a measurement counts as much as all before it, and the plain bytes it needs for that.
  static let fading = 0.6
  /// What is seen of a level's speed so soon after a change to it is its own; later, all levels'.
  static let attribution = Duration.milliseconds(400)
  private static let scales = 1e-5...1e5
  static let tellingBytes = 64.0 * 1024

  private var table: [Level]
  /// What this data and processor are to the priors'.
  private var speedScale = 1.0
  private var gainScale = 1.0
  private var lastUse: Duration?
  /// Measurements in use, as many as they tell: at first each byte counts as much as another, and the priors not at all.
  private var told = 0.0
  /// The level in use, as a place in the table, and since when.
  private var current: Int?
  private var currentSince = Duration.zero
  private var isScaled = false

  public init() {
    table = Self.priors.map { Level(speed: $0.speed * 1e6, gain: $0.ratio - 1) }
  }

  private static func place(of level: Int32) -> Int {
    levels.firstIndex { $0 >= level } ?? levels.count - 1
  }

  public func estimate(_ encoding: ChunkEncoding) -> Estimate {
    guard encoding.codec == .zstd else { return Estimate(speed: Self.plainSpeed, ratio: 1) }
    let level = table[Self.place(of: encoding.level)]
    return Estimate(speed: level.speed * speedScale, ratio: 1 + level.gain * gainScale)
  }

  /// Whether anything tells of this data.
  public var isMeasured: Bool { told > 0 }

  /// How long ago a level was last measured; `nil` if never.
  public func age(of level: Int32, now: Duration) -> Duration? {
    table[Self.place(of: level)].known.map { now - $0 }
  }

  /// Chunks were encoded so. Data differs far more than levels do: what this shows of the ratio moves every level.
  public mutating func used(
    _ encoding: ChunkEncoding, plainBytes: Int, payloadBytes: Int, time: Duration, now: Duration
  ) {
    guard encoding.codec == .zstd, plainBytes > 0, payloadBytes > 0, time > .zero else { return }
    let place = Self.place(of: encoding.level)
    // A few bytes tell little.
    let elapsed = max(0, (now - (lastUse ?? .zero)).seconds)
    let telling = min(1, Double(plainBytes) / Self.tellingBytes)
    (lastUse, told) = (now, told + telling)
    let weight = telling * max(elapsed / (elapsed + Self.fading), 1 / told)
    let speed = Double(plainBytes) / time.seconds
    if current != place { (current, currentSince) = (place, now) }
    if now - currentSince < Self.attribution, isScaled {
      // Work that takes a processor's time shares it with others: a level is slower in use than in a sample.
      table[place].speed += (speed / speedScale - table[place].speed) * weight
    } else {
      isScaled = true
      speedScale = Self.bounded(speedScale + (speed / table[place].speed - speedScale) * weight, Self.scales)
    }
    let gain = Self.gain(plainBytes, payloadBytes) / table[place].gain
    gainScale = Self.bounded(gainScale + (gain - gainScale) * weight, Self.scales)
    table[place].known = now
  }

  /// One sample at several levels. What they are to `reference` there, they are to it in use.
  /// - Parameter reference: in use now, or plain.
  public mutating func sampled(_ results: [CodecProbeResult], reference: ChunkEncoding, now: Duration) {
    let told = results.filter { $0.plainBytes > 0 && $0.payloadBytes > 0 && $0.time > .zero }
    guard let base = told.first(where: { reference.codec == .none || $0.level == reference.level }) else {
      return
    }
    let basePlace = Self.place(of: base.level)
    let (baseSpeed, baseGain) = (base.speed, Self.gain(base.plainBytes, base.payloadBytes))
    table[basePlace].known = now
    if reference.codec == .none {
      // Nothing is in use that tells of the data.
      scale(speed: baseSpeed / table[basePlace].speed, gain: baseGain / table[basePlace].gain, 0.5)
    }
    for result in told where Self.place(of: result.level) != basePlace {
      let place = Self.place(of: result.level)
      let weight = table[place].known == nil ? 1 : 0.5
      table[place].known = now
      let speed = table[basePlace].speed * result.speed / baseSpeed
      table[place].speed = Self.bounded(
        table[place].speed + (speed - table[place].speed) * weight, 1e3...1e12)
      // Data that does not shrink tells nothing of what levels are to each other.
      guard baseGain > 10 * Self.leastGain else { continue }
      let gain = table[basePlace].gain * Self.gain(result.plainBytes, result.payloadBytes) / baseGain
      table[place].gain = Self.bounded(table[place].gain + (gain - table[place].gain) * weight, 0.01...1000)
    }
  }

  private static func gain(_ plain: Int, _ payload: Int) -> Double {
    bounded(Double(plain) / Double(payload) - 1, leastGain...1000)
  }

  private static func bounded(_ value: Double, _ range: ClosedRange<Double>) -> Double {
    min(range.upperBound, max(range.lowerBound, value))
  }

  private mutating func scale(speed: Double, gain: Double, _ weight: Double) {
    speedScale = Self.bounded(speedScale + (speed - speedScale) * weight, Self.scales)
    gainScale = Self.bounded(gainScale + (gain - gainScale) * weight, Self.scales)
  }
}

extension CodecProbeResult {
  /// Plain bytes per second.
  fileprivate var speed: Double { Double(plainBytes) / time.seconds }
}
