import ArgumentParser

/// A time on the command line: a whole number with its unit, `500ms`, `90s`, `5m`, `1h` or `31d`.
struct TimeSpan: ExpressibleByArgument, CustomStringConvertible {
  let duration: Duration

  init(_ duration: Duration) { self.duration = duration }

  init?(argument: String) {
    let units: [(String, Duration)] = [
      ("ms", .milliseconds(1)), ("s", .seconds(1)), ("m", .seconds(60)), ("h", .seconds(3600)),
      ("d", .seconds(86400)),
    ]
    guard let (unit, length) = units.first(where: { argument.hasSuffix($0.0) }),
      let count = UInt32(argument.dropLast(unit.utf8.count))
    else { return nil }
    duration = length * Int(count)
  }

  var description: String {
    let (seconds, attoseconds) = duration.components
    guard attoseconds == 0 else { return "\(seconds * 1000 + attoseconds / 1_000_000_000_000_000)ms" }
    if seconds > 0, seconds % 3600 == 0 { return "\(seconds / 3600)h" }
    return seconds > 0 && seconds % 60 == 0 ? "\(seconds / 60)m" : "\(seconds)s"
  }

  var defaultValueDescription: String { description }
}
