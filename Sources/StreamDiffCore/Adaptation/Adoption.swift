/// A sender's settings, as far as its receiver's wishes can be followed.
public struct Adoption: Hashable, Sendable {
  public var settings: AdaptationSettings
  /// What the receiver asked for and does not get, in words; empty when all of it. Names and values are this side's.
  public var unmet: [String] = []
}

extension AdaptationSettings {
  /// What a sender's own settings become by its receiver's wishes.
  ///
  /// Limits of both hold: ranges are what both allow, or the sender's where that is nothing; of two caps the smaller. Of
  /// the rest a wish holds where this side's operator has not said anything. What is fixed is brought within the ranges.
  /// - Parameters:
  ///   - given: what this side's operator has set: no wish overrules it.
  ///   - refused: what this side's system does not do.
  public func adopting(
    _ wishes: [Setting], given: Set<Tunable> = [], refused: CongestionControl? = nil
  ) -> Adoption {
    guard !wishes.isEmpty else { return Adoption(settings: self) }
    var asked = self
    var names: Set<Tunable> = []
    var unknown = 0
    for wish in wishes {
      if let tunable = Tunable(rawValue: wish.name), (try? asked.set(tunable, to: wish.value)) != nil {
        names.insert(tunable)
      } else {
        unknown += 1
      }
    }
    var result = Adoption(settings: asked)
    for tunable in given where !tunable.isLimit { result.settings.copy(tunable, from: self) }
    if unknown > 0 { result.unmet.append("\(unknown) of what is asked for cannot be set") }
    result.narrow(\.chunkMin, \.chunkMax, from: self, "chunk-min, chunk-max") { "\(ByteSize(UInt64($0)))" }
    result.narrow(\.levelMin, \.levelMax, from: self, "level-min, level-max") { "\($0)" }
    result.settings.inflightMax = min(inflightMax, asked.inflightMax)
    let caps = [rateMax, asked.rateMax].compactMap(\.self)
    result.settings.rateMax = caps.min { $0.bytesPerSecond < $1.bytesPerSecond }
    result.settings.fixWithinRanges()
    result.compare(names, with: asked, refused)
    return result
  }

  /// Chunks of at most so many plain bytes, as far as `chunkMin` allows.
  public func limited(toChunks limit: Int?) -> AdaptationSettings {
    guard let limit, limit < chunkMax else { return self }
    var limited = self
    limited.chunkMax = max(chunkMin, limit)
    limited.chunk = min(chunk, limited.chunkMax)
    return limited
  }

  /// Brings what `fixed` says within the ranges.
  fileprivate mutating func fixWithinRanges() {
    guard policy == .fixed else { return }
    chunk = min(chunkMax, max(chunkMin, chunk))
    level = min(levelMax, max(levelMin, level))
  }

  private mutating func copy(_ tunable: Tunable, from other: AdaptationSettings) {
    // What it writes it reads.
    try? set(tunable, to: other.text(of: tunable))
  }
}

extension Adoption {
  /// To what `own` allows too.
  fileprivate mutating func narrow<Value: Comparable>(
    _ least: WritableKeyPath<AdaptationSettings, Value>, _ most: WritableKeyPath<AdaptationSettings, Value>,
    from own: AdaptationSettings, _ names: String, _ text: (Value) -> String
  ) {
    let lower = max(own[keyPath: least], settings[keyPath: least])
    let upper = min(own[keyPath: most], settings[keyPath: most])
    if lower <= upper {
      (settings[keyPath: least], settings[keyPath: most]) = (lower, upper)
    } else {
      (settings[keyPath: least], settings[keyPath: most]) = (own[keyPath: least], own[keyPath: most])
      unmet.append("\(names): this sender's are \(text(own[keyPath: least])) to \(text(own[keyPath: most]))")
    }
  }

  /// Tells of each that was asked for by name and became something else, where that makes a difference.
  fileprivate mutating func compare(
    _ names: Set<Tunable>, with asked: AdaptationSettings, _ refused: CongestionControl?
  ) {
    for tunable in Tunable.allCases
    where names.contains(tunable) && !tunable.isLimit && settings.uses(tunable) {
      let (given, wanted) = (settings.text(of: tunable), asked.text(of: tunable))
      if tunable == .congestion, given == refused?.rawValue {
        // Neither is in use.
        let keeps = given == wanted ? "" : " \(wanted): this sender keeps its own setting,"
        unmet.append("congestion\(keeps) \(given), which its system refuses")
      } else if given != wanted {
        unmet.append("\(tunable.rawValue) \(given) in place of \(wanted)")
      }
    }
  }
}
