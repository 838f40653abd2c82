/// A sender's settings, as far as its receiver's wishes can be followed.
public struct Adoption: Hashable, Sendable {
  public var settings: AdaptationSettings
  /// What the receiver asked for and does not get, in words; empty when all of it. Names and values are this side's.
  public var unmet: [String] = []
}

extension AdaptationSettings {
  /// What a sender's own settings become by its receiver's wishes. Ranges are what both allow, or the sender's where that
  /// is nothing; of two limits the smaller holds; what is fixed is brought within the ranges.
  public func adopting(_ wishes: [Setting]) -> Adoption {
    guard !wishes.isEmpty else { return Adoption(settings: self) }
    var asked = self
    var unknown = 0
    for wish in wishes where (try? asked.set(wish.name, to: wish.value)) == nil { unknown += 1 }
    var result = Adoption(settings: asked)
    if unknown > 0 { result.unmet.append("\(unknown) of what is asked for cannot be set") }
    result.narrow(\.chunkMin, \.chunkMax, from: self, "chunk-min, chunk-max") { "\(ByteSize(UInt64($0)))" }
    result.narrow(\.levelMin, \.levelMax, from: self, "level-min, level-max") { "\($0)" }
    result.settings.inflightMax = min(inflightMax, asked.inflightMax)
    let caps = [rateMax, asked.rateMax].compactMap(\.self)
    result.settings.rateMax = caps.min { $0.bytesPerSecond < $1.bytesPerSecond }
    result.fix(asked: Set(wishes.map(\.name)))
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

  /// Brings what `fixed` says within the ranges. It is told of what was asked for by name.
  fileprivate mutating func fix(asked names: Set<String>) {
    guard settings.policy == .fixed else { return }
    let chunk = min(settings.chunkMax, max(settings.chunkMin, settings.chunk))
    if chunk != settings.chunk, names.contains("chunk") {
      let (asked, given) = (ByteSize(UInt64(settings.chunk)), ByteSize(UInt64(chunk)))
      unmet.append("chunk \(given) in place of \(asked)")
    }
    let level = min(settings.levelMax, max(settings.levelMin, settings.level))
    if level != settings.level, settings.codec != .none, names.contains("level") {
      unmet.append("level \(level) in place of \(settings.level)")
    }
    (settings.chunk, settings.level) = (chunk, level)
  }
}
