/// What an operator says of how transfers adapt: the tunables, whose names and ranges stand in `Tunable`.
public struct AdaptationSettings: Hashable, Sendable {
  public enum Policy: String, Hashable, Sendable, CaseIterable {
    /// What `chunk`, `level` and `inflightMax` say.
    case fixed
    /// Steps up and down at a round-trip time and a loss rate.
    case threshold
    /// The highest predicted goodput.
    case model
  }

  public enum CodecChoice: String, Hashable, Sendable, CaseIterable {
    /// zstd, and none where it does not pay.
    case auto
    case none
    case zstd
  }

  public enum CongestionChoice: String, Hashable, Sendable, CaseIterable {
    /// The system's, and with `model` bbr where loss comes without queueing or the queue is long.
    case auto
    case bbr
    case cubic
  }

  public var policy = Policy.model
  /// Plain bytes of a chunk; both at most `Limits.chunkBytes`.
  public var chunkMin = 512
  public var chunkMax = 64 << 10
  /// With `fixed`.
  public var chunk = 64 << 10
  /// zstd's, with `fixed`.
  public var level: Int32 = 1
  public var levelMin: Int32 = -7
  public var levelMax: Int32 = 12
  public var codec = CodecChoice.auto
  /// How far back loss and rates are looked at: 1 to 8 s.
  public var window = Duration.seconds(2)
  /// With `threshold`: a chunk grows and shrinks by these factors…
  public var growth = 1.5
  public var backoff = 0.7
  /// …at these limits.
  public var rttThreshold = Duration.milliseconds(50)
  /// Of 1.
  public var lossThreshold = 0.005
  /// Plain bytes unacknowledged; the receiver's credit is beside it.
  public var inflightMax = 64 << 20
  /// Bytes per second on the wire; `nil` without a cap.
  public var rateMax: ByteRate?
  public var congestion = CongestionChoice.auto

  public init() {}

  /// What contradicts itself.
  /// - Throws: `TunableError` naming the tunables and both values.
  public func check() throws(TunableError) {
    guard chunkMin <= chunkMax else {
      throw TunableError(
        .chunkMin, "chunk-min \(ByteSize(UInt64(chunkMin))) is above chunk-max \(ByteSize(UInt64(chunkMax)))")
    }
    guard levelMin <= levelMax else {
      throw TunableError(.levelMin, "level-min \(levelMin) is above level-max \(levelMax)")
    }
    guard policy == .fixed else { return }
    guard chunkMin...chunkMax ~= chunk else {
      throw TunableError(
        .chunk,
        "chunk \(ByteSize(UInt64(chunk))) is not between chunk-min \(ByteSize(UInt64(chunkMin))) and "
          + "chunk-max \(ByteSize(UInt64(chunkMax)))")
    }
    guard codec == .none || levelMin...levelMax ~= level else {
      throw TunableError(
        .level, "level \(level) is not between level-min \(levelMin) and level-max \(levelMax)")
    }
  }

  /// What a receiver's wishes contradict among themselves. What its sender allows is the sender's to say.
  /// - Returns: the first that comes to nothing, unless the sender's own policy takes it.
  /// - Throws: as `check`, and for each as `set`.
  @discardableResult
  public static func check(wishes: [Setting]) throws(TunableError) -> TunableError? {
    let names = Set(wishes.compactMap { Tunable(rawValue: $0.name) })
    return try checked(wishes).idle(among: Tunable.allCases.filter(names.contains))
  }

  /// Holds `changes` against each other and nothing else.
  /// - Throws: as `check`, and for each as `set`.
  static func checked(_ changes: [Setting]) throws(TunableError) -> AdaptationSettings {
    var settings = AdaptationSettings()
    (settings.chunkMin, settings.chunkMax, settings.levelMin, settings.levelMax) = (
      1, Limits.chunkBytes, -7, 19
    )
    var names: Set<Tunable> = []
    for change in changes {
      let tunable = try Tunable(named: change.name)
      try settings.set(tunable, to: change.value)
      names.insert(tunable)
    }
    // What is not named cannot contradict.
    settings.fitDefaults(except: names)
    try settings.check()
    return settings
  }

  /// Brings what `fixed` takes and nobody has given within the bounds.
  mutating func fitDefaults(except given: Set<Tunable>) {
    guard policy == .fixed else { return }
    if !given.contains(.chunk) { chunk = min(chunkMax, max(chunkMin, chunk)) }
    if !given.contains(.level) { level = min(levelMax, max(levelMin, level)) }
  }

  /// Of what was given, the first that comes to nothing because of the policy or the codec.
  public func idle(among given: some Sequence<Tunable>) -> TunableError? {
    for tunable in given where !uses(tunable) {
      let what = "\(tunable.rawValue) \(text(of: tunable))"
      guard let needed = tunable.policy, needed != policy else {
        return TunableError(tunable, "\(what) comes to nothing with codec none: set codec to zstd or auto")
      }
      let name = tunable.rawValue
      let bounds = needed == .fixed ? ", or bounds by \(name)-min and \(name)-max" : ""
      return TunableError(
        tunable,
        "\(what) holds with policy \(needed.rawValue) only, and here it is \(policy.rawValue): set policy to "
          + "\(needed.rawValue)\(bounds)")
    }
    return nil
  }

  /// Whether it makes a difference by this policy and codec.
  func uses(_ tunable: Tunable) -> Bool {
    tunable.policy ?? policy == policy && (tunable != .level || codec != .none)
  }
}

extension Tunable {
  /// The one that takes it; `nil`: each.
  fileprivate var policy: AdaptationSettings.Policy? {
    switch self {
    case .chunk, .level: .fixed
    case .growth, .backoff, .rttThreshold, .lossThreshold: .threshold
    default: nil
    }
  }

  /// Those that `check` holds against each other where it names this one, itself included.
  var checkedWith: [Tunable] {
    switch self {
    case .chunkMin: [.chunkMin, .chunkMax]
    case .levelMin: [.levelMin, .levelMax]
    case .chunk: [.chunk, .chunkMin, .chunkMax, .policy]
    case .level: [.level, .levelMin, .levelMax, .policy, .codec]
    default: [self]
    }
  }
}

/// A tunable that cannot be set so, or tunables that contradict each other.
public struct TunableError: Error, Hashable, Sendable, CustomStringConvertible {
  /// `nil`: there is none of that name.
  public var tunable: Tunable?
  /// What was wrong and what would be right.
  public var detail: String

  public init(_ tunable: Tunable?, _ detail: String) { (self.tunable, self.detail) = (tunable, detail) }

  public var description: String { detail }
}
