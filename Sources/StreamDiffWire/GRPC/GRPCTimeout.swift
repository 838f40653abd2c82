/// `grpc-timeout`: one to eight digits and a unit, H M S m u or n.
public enum GRPCTimeout {
  private static let units: [(symbol: Character, nanoseconds: Int64)] = [
    ("n", 1), ("u", 1_000), ("m", 1_000_000), ("S", 1_000_000_000), ("M", 60_000_000_000),
    ("H", 3_600_000_000_000),
  ]

  /// - Returns: `nil` when `text` is no timeout.
  public static func parse(_ text: String) -> Duration? {
    let digits = text.dropLast()
    guard (1...8).contains(digits.utf8.count), digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
      let count = Int64(digits), let unit = units.first(where: { $0.symbol == text.last })
    else { return nil }
    return .nanoseconds(unit.nanoseconds) * count
  }

  /// The finest unit that holds `timeout` in eight digits, rounded up; what is over or under that is cut.
  public static func format(_ timeout: Duration) -> String {
    for unit in units {
      // Seconds first, so that no product leaves 64 bits.
      let (seconds, attoseconds) = timeout.components
      guard seconds < 100_000_000 * 3_600 else { break }
      if unit.nanoseconds < 1_000_000_000, seconds >= 100_000_000 { continue }
      let count =
        unit.nanoseconds < 1_000_000_000
        ? seconds * (1_000_000_000 / unit.nanoseconds)
          + roundedUp(attoseconds, unit.nanoseconds * 1_000_000_000)
        : roundedUp(seconds + (attoseconds > 0 ? 1 : 0), unit.nanoseconds / 1_000_000_000)
      if count < 1 { return "1n" }
      if count < 100_000_000 { return "\(count)\(unit.symbol)" }
    }
    return "99999999H"
  }

  private static func roundedUp(_ value: Int64, _ unit: Int64) -> Int64 {
    value > 0 ? (value + unit - 1) / unit : 0
  }
}
