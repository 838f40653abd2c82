/// A time as people write it: a whole number with its unit, `500ms`, `90s`, `5m`, `1h` or `31d`.
public struct TimeSpan: Hashable, Sendable, CustomStringConvertible {
  public let duration: Duration

  public init(_ duration: Duration) { self.duration = duration }

  public init?(_ text: some StringProtocol) {
    let units: [(String, Duration)] = [
      ("ms", .milliseconds(1)), ("s", .seconds(1)), ("m", .seconds(60)), ("h", .seconds(3600)),
      ("d", .seconds(86400)),
    ]
    guard let (unit, length) = units.first(where: { text.hasSuffix($0.0) }),
      let count = UInt32(text.dropLast(unit.utf8.count))
    else { return nil }
    duration = length * Int(count)
  }

  public var description: String {
    let (seconds, attoseconds) = duration.components
    guard attoseconds == 0 else { return "\(seconds * 1000 + attoseconds / 1_000_000_000_000_000)ms" }
    if seconds > 0, seconds % 3600 == 0 { return "\(seconds / 3600)h" }
    return seconds > 0 && seconds % 60 == 0 ? "\(seconds / 60)m" : "\(seconds)s"
  }
}
