// Quantities as text: a number, decimals allowed, with its unit behind it and nothing else. `40ms`, `2.5mbit`,
// `300KB`, `0.1%`. A unit is never guessed, and a number that the unit cannot hold exactly is refused.

/// - Returns: the number times its unit's size, or `nil` where that is no whole number.
private func quantity(_ text: String, units: [(name: String, size: Int64)]) -> Int64? {
  let number = text.utf8.prefix { (0x30...0x39).contains($0) || $0 == 0x2e }
  let name = String(text.dropFirst(number.count))
  guard let size = units.first(where: { $0.name == name })?.size else { return nil }
  let sides = number.split(separator: 0x2e, maxSplits: 1, omittingEmptySubsequences: false)
  guard sides.count <= 2, sides.allSatisfy({ !$0.isEmpty }) else { return nil }
  var value: Int64 = 0
  for digit in sides.joined() {
    guard digit != 0x2e else { return nil }
    let (tens, overflows) = value.multipliedReportingOverflow(by: 10)
    guard !overflows, tens <= .max - 9 else { return nil }
    value = tens + Int64(digit - 0x30)
  }
  var divisor: Int64 = 1
  for _ in 0..<(sides.count == 2 ? sides[1].count : 0) {
    let (tens, overflows) = divisor.multipliedReportingOverflow(by: 10)
    guard !overflows else { return nil }
    divisor = tens
  }
  let product = value.multipliedFullWidth(by: size)
  guard product.high == 0 else { return nil }
  let (quotient, remainder) = product.low.quotientAndRemainder(dividingBy: UInt64(divisor))
  guard remainder == 0 else { return nil }
  return Int64(exactly: quotient)
}

extension Interval {
  /// The longest that is accepted, as delay or as cut.
  static let longest = Interval(3_600_000_000_000)

  /// `250us`, `40ms`, `1.5s`, `2m`; at most an hour.
  public init?(text: String) {
    let units: [(String, Int64)] = [
      ("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000),
    ]
    guard let count = quantity(text, units: units), count <= Self.longest.nanoseconds else { return nil }
    self.init(count)
  }

  public var text: String {
    let units: [(String, Int64)] = [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)]
    for (name, size) in units where nanoseconds >= size && nanoseconds % size == 0 {
      return "\(nanoseconds / size)\(name)"
    }
    return "\(nanoseconds)ns"
  }
}

extension Rate {
  /// `500kbit`, `100mbit`, `1gbit`, `64000bit`: thousands, as networks count.
  public init?(text: String) {
    let units: [(String, Int64)] = [
      ("bit", 1), ("kbit", 1_000), ("mbit", 1_000_000), ("gbit", 1_000_000_000),
    ]
    guard let count = quantity(text, units: units) else { return nil }
    self.init(bitsPerSecond: count)
  }

  public var text: String {
    let units: [(String, Int64)] = [("gbit", 1_000_000_000), ("mbit", 1_000_000), ("kbit", 1_000)]
    for (name, size) in units where bitsPerSecond % size == 0 { return "\(bitsPerSecond / size)\(name)" }
    return "\(bitsPerSecond)bit"
  }
}

extension Share {
  /// `1%`, `0.05%`.
  public init?(text: String) {
    guard let parts = quantity(text, units: [("%", Self.whole / 100)]) else { return nil }
    self.init(parts: parts)
  }

  public var text: String {
    let (units, rest) = parts.quotientAndRemainder(dividingBy: Self.whole / 100)
    guard rest > 0 else { return "\(units)%" }
    var decimals = String(rest + Self.whole / 100).dropFirst()
    while decimals.last == "0" { decimals.removeLast() }
    return "\(units).\(decimals)%"
  }
}

/// `1500B`, `300KB`, `64KiB`, `2MB`, `1MiB`; at most 1 GB.
public func bytes(text: String) -> Int? {
  let units: [(String, Int64)] = [
    ("B", 1), ("KB", 1_000), ("KiB", 1 << 10), ("MB", 1_000_000), ("MiB", 1 << 20),
  ]
  guard let count = quantity(text, units: units), count <= 1_000_000_000 else { return nil }
  return Int(count)
}
