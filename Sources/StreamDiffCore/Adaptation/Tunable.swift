/// The names under which `AdaptationSettings` are flags (with dashes in front), arguments of `tune`, and lines of
/// the configuration file; and how their values are written.
public enum Tunable: String, Hashable, Sendable, CaseIterable {
  case policy
  case chunkMin = "chunk-min"
  case chunkMax = "chunk-max"
  case chunk
  case codec
  case level
  case levelMin = "level-min"
  case levelMax = "level-max"
  case window = "adaptive-window"
  case growth
  case backoff
  case rttThreshold = "rtt-threshold"
  case lossThreshold = "loss-threshold"
  case inflightMax = "inflight-max"
  case rateMax = "rate-max"
  case congestion

  /// What a value may be, for people.
  public var values: String {
    switch self {
    case .policy: Self.choices(AdaptationSettings.Policy.self)
    case .codec: Self.choices(AdaptationSettings.CodecChoice.self)
    case .congestion: Self.choices(AdaptationSettings.CongestionChoice.self)
    case .chunkMin, .chunkMax, .chunk: "1 to 1MiB"
    case .level, .levelMin, .levelMax: "-7 to 19, and not 0"
    case .window: "1s to 8s"
    case .growth: "1.1 to 4"
    case .backoff: "0.5 to 0.9"
    case .rttThreshold: "1ms to 60s"
    case .lossThreshold: "0% to 100%, as 0.5%"
    case .inflightMax: "64KiB to 1GiB"
    case .rateMax: "none, or bytes per second from 1KiB on, as 12MB or 100Mbit"
    }
  }

  private static func choices<Choice: CaseIterable & RawRepresentable<String>>(_: Choice.Type) -> String {
    Choice.allCases.map(\.rawValue).joined(separator: ", ")
  }
}

extension AdaptationSettings {
  /// Sets one; what it contradicts is for `check`, when all are set.
  /// - Throws: `TunableError` naming the value and what it may be.
  public mutating func set(_ tunable: Tunable, to text: String) throws(TunableError) {
    let wrong = TunableError(tunable, "\(tunable.rawValue) '\(text)': it takes \(tunable.values)")
    func unwrap<Value>(_ value: Value?) throws(TunableError) -> Value {
      guard let value else { throw wrong }
      return value
    }
    func bytes(_ range: ClosedRange<Int>) throws(TunableError) -> Int {
      guard let bytes = ByteSize(text).map({ Int(clamping: $0.bytes) }), range.contains(bytes) else {
        throw TunableError(tunable, "\(wrong.detail), in \(ByteSize.units)")
      }
      return bytes
    }
    func time(_ range: ClosedRange<Duration>) throws(TunableError) -> Duration {
      let time = try unwrap(TimeSpan(text)).duration
      return try unwrap(range.contains(time) ? time : nil)
    }
    func factor(_ range: ClosedRange<Double>) throws(TunableError) -> Double {
      let factor = try unwrap(Double(text))
      return try unwrap(range.contains(factor) ? factor : nil)
    }
    func level() throws(TunableError) -> Int32 {
      let level = try unwrap(Int32(text))
      return try unwrap(-7...19 ~= level && level != 0 ? level : nil)
    }
    switch tunable {
    case .policy: policy = try unwrap(Policy(rawValue: text))
    case .codec: codec = try unwrap(CodecChoice(rawValue: text))
    case .congestion: congestion = try unwrap(CongestionChoice(rawValue: text))
    case .chunkMin: chunkMin = try bytes(1...Limits.chunkBytes)
    case .chunkMax: chunkMax = try bytes(1...Limits.chunkBytes)
    case .chunk: chunk = try bytes(1...Limits.chunkBytes)
    case .level: self.level = try level()
    case .levelMin: levelMin = try level()
    case .levelMax: levelMax = try level()
    case .window: window = try time(.seconds(1) ... .seconds(8))
    case .growth: growth = try factor(1.1...4)
    case .backoff: backoff = try factor(0.5...0.9)
    case .rttThreshold: rttThreshold = try time(.milliseconds(1) ... .seconds(60))
    case .lossThreshold:
      let loss = try unwrap(Percentage(text)).share
      lossThreshold = try unwrap(0...1 ~= loss ? loss : nil)
    case .inflightMax: inflightMax = try bytes(64 << 10...1 << 30)
    case .rateMax:
      if let clear = ByteRate.clearSpellings(of: text) {
        throw TunableError(
          tunable, "rate-max '\(text)': in bits that is \(clear.bits), in bytes \(clear.bytes): write which")
      }
      let rate = text == "none" ? nil : try unwrap(ByteRate(text))
      rateMax = try unwrap(rate.map { $0.bytesPerSecond >= 1 << 10 } ?? true ? .some(rate) : nil)
    }
  }

  /// By name, as it comes from a file or a peer.
  public mutating func set(_ name: String, to text: String) throws(TunableError) {
    try set(Tunable(named: name), to: text)
  }

  /// As `set` reads it.
  public func text(of tunable: Tunable) -> String {
    switch tunable {
    case .policy: policy.rawValue
    case .codec: codec.rawValue
    case .congestion: congestion.rawValue
    case .chunkMin: "\(ByteSize(UInt64(chunkMin)))"
    case .chunkMax: "\(ByteSize(UInt64(chunkMax)))"
    case .chunk: "\(ByteSize(UInt64(chunk)))"
    case .level: "\(level)"
    case .levelMin: "\(levelMin)"
    case .levelMax: "\(levelMax)"
    case .window: "\(TimeSpan(window))"
    case .growth: "\(growth)"
    case .backoff: "\(backoff)"
    case .rttThreshold: "\(TimeSpan(rttThreshold))"
    case .lossThreshold: "\(Percentage(lossThreshold))"
    case .inflightMax: "\(ByteSize(UInt64(inflightMax)))"
    case .rateMax: rateMax.map { "\($0)" } ?? "none"
    }
  }

  /// Sets each, all or none, and checks the whole.
  public mutating func apply(_ changes: some Sequence<(name: String, text: String)>) throws(TunableError) {
    var changed = self
    var given: Set<Tunable> = []
    for (name, text) in changes {
      let tunable = try Tunable(named: name)
      try changed.set(tunable, to: text)
      given.insert(tunable)
    }
    changed.fitDefaults(except: given)
    try changed.check()
    self = changed
  }
}
