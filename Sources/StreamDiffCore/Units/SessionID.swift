/// Names one sender's session across reconnects: 16 bytes chosen at random by the sender.
public struct SessionID: Hashable, Sendable, CustomStringConvertible {
  public static let byteCount = 16
  public let high: UInt64
  public let low: UInt64

  public init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  public init(using random: inout some RandomNumberGenerator) {
    self.init(high: random.next(), low: random.next())
  }

  /// - Returns: `nil` unless there are exactly 16 bytes.
  public init?(bytes: [UInt8]) {
    guard bytes.count == Self.byteCount else { return nil }
    high = bytes[0..<8].reduce(0) { $0 << 8 | UInt64($1) }
    low = bytes[8..<16].reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// Big-endian.
  public var bytes: [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: high >> (56 - 8 * $0)) }
      + (0..<8).map { UInt8(truncatingIfNeeded: low >> (56 - 8 * $0)) }
  }

  /// Hexadecimal.
  public var description: String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }
}

/// The number of an operation within its session. The first is 1; 0 is none yet.
public struct Ordinal: Hashable, Comparable, Sendable {
  public let rawValue: UInt64
  public init(_ rawValue: UInt64) { self.rawValue = rawValue }
  public static let zero = Ordinal(0)
  /// Numbers from outside are refused beyond: no session ever has so many operations, and adding to
  /// one that is not beyond never overflows.
  public static let maximum = Ordinal(1 << 62)
  public static func < (lhs: Self, rhs: Self) -> Bool { lhs.rawValue < rhs.rawValue }
  public static func + (ordinal: Self, count: UInt64) -> Self { Self(ordinal.rawValue + count) }
  public static func - (end: Self, start: Self) -> UInt64 { end.rawValue - start.rawValue }
}
