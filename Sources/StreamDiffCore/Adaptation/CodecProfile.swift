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
  }

  private struct Level {
    /// Plain bytes per second.
    var speed: Double
    /// Of the ratio, what is above 1.
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
  private static let greatestGain = 1000.0
  /// Seconds in which a measurement counts as much as all before it.
  static let fading = 0.3
  /// Plain bytes after a change of level that tell of this level alone.
  static let trialBytes = 256 << 10

  private var table: [Level]
  private var lastUse: Duration?
  /// The level in use, as a place in the table, and what has been encoded by it since it was chosen.
  private var current: Int?
  private var bytesInUse = 0
  /// This data has been measured at all.
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
    return Estimate(speed: level.speed, ratio: 1 + level.gain)
  }

  /// How long ago a level was last measured; `nil` if never.
  public func age(of level: Int32, now: Duration) -> Duration? {
    table[Self.place(of: level)].known.map { now - $0 }
  }

  /// Chunks were encoded so. What the first ones after a change show is told of this level alone, what later ones
  /// show moves all.
  public mutating func used(
    _ encoding: ChunkEncoding, plainBytes: Int, payloadBytes: Int, time: Duration, now: Duration
  ) {
    guard encoding.codec == .zstd, plainBytes > 0, payloadBytes > 0, time > .zero else { return }
    let place = Self.place(of: encoding.level)
    if current != place { (current, bytesInUse) = (place, 0) }
    let isNew = bytesInUse < Self.trialBytes
    bytesInUse += plainBytes
    // A few bytes tell little.
    let elapsed = max(0, (now - (lastUse ?? .zero)).seconds)
    lastUse = now
    let weight = elapsed / (elapsed + Self.fading) * min(1, Double(plainBytes) / 65536)
    let before = table[place]
    let speed = before.speed + (Double(plainBytes) / time.seconds - before.speed) * weight
    let gain = before.gain + (Self.gain(plainBytes, payloadBytes) - before.gain) * weight
    if isNew, isScaled {
      (table[place].speed, table[place].gain) = (speed, Self.bounded(gain))
    } else {
      scale(speed: speed / before.speed, gain: gain / before.gain)
      isScaled = isScaled || bytesInUse >= Self.trialBytes
    }
    table[place].known = now
  }

  /// One sample at several levels. What they are to `reference` there, they are to it in use.
  /// - Parameter reference: in use now, or plain.
  public mutating func sampled(_ results: [CodecProbeResult], reference: ChunkEncoding, now: Duration) {
    let base = results.first { reference.codec == .zstd && $0.level == reference.level }
    for result in results where result.plainBytes > 0 && result.payloadBytes > 0 && result.time > .zero {
      let place = Self.place(of: result.level)
      let (speed, gain) = (
        Double(result.plainBytes) / result.time.seconds, Self.gain(result.plainBytes, result.payloadBytes)
      )
      if let base, base.level != result.level {
        let known = table[Self.place(of: base.level)]
        let (baseSpeed, baseGain) = (
          Double(base.plainBytes) / base.time.seconds, Self.gain(base.plainBytes, base.payloadBytes)
        )
        table[place].speed = known.speed * speed / baseSpeed
        table[place].gain = Self.bounded(known.gain * gain / baseGain)
        table[place].known = now
      } else if base == nil {
        // Nothing is in use to compare with: this level tells of all.
        scale(speed: speed / table[place].speed, gain: gain / table[place].gain)
        table[place].known = now
      }
    }
  }

  private static func gain(_ plain: Int, _ payload: Int) -> Double {
    bounded(Double(plain) / Double(payload) - 1)
  }

  private static func bounded(_ gain: Double) -> Double { min(greatestGain, max(leastGain, gain)) }

  private mutating func scale(speed: Double, gain: Double) {
    for place in table.indices {
      table[place].speed = min(1e11, max(1e3, table[place].speed * speed))
      table[place].gain = Self.bounded(table[place].gain * gain)
    }
  }
}
