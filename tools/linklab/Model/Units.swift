/// A moment on a monotonic clock: nanoseconds since any start.
public struct Moment: Hashable, Comparable, Sendable {
  public let nanoseconds: Int64
  public init(_ nanoseconds: Int64) { self.nanoseconds = nanoseconds }
  public static func < (lhs: Self, rhs: Self) -> Bool { lhs.nanoseconds < rhs.nanoseconds }
  public static func + (moment: Self, length: Interval) -> Self {
    Self(moment.nanoseconds &+ length.nanoseconds)
  }
  public static func - (end: Self, start: Self) -> Interval {
    Interval(end.nanoseconds &- start.nanoseconds)
  }
}

/// A length of time in nanoseconds; `Duration` counts in 128 bits, which is much for each packet.
public struct Interval: Hashable, Comparable, Sendable {
  public let nanoseconds: Int64
  public init(_ nanoseconds: Int64) { self.nanoseconds = nanoseconds }
  public static let zero = Interval(0)
  public static func milliseconds(_ count: Int64) -> Self { Self(count * 1_000_000) }
  public static func microseconds(_ count: Int64) -> Self { Self(count * 1_000) }
  public static func < (lhs: Self, rhs: Self) -> Bool { lhs.nanoseconds < rhs.nanoseconds }
  public static func + (lhs: Self, rhs: Self) -> Self { Self(lhs.nanoseconds &+ rhs.nanoseconds) }
  public static func - (lhs: Self, rhs: Self) -> Self { Self(lhs.nanoseconds &- rhs.nanoseconds) }
  public var half: Self { Self(nanoseconds / 2) }
}

/// Bits per second on the wire, headers of IP included.
public struct Rate: Hashable, Comparable, Sendable {
  public let bitsPerSecond: Int64
  /// - Returns: `nil` outside of 1 kbit/s to 100 Gbit/s: sums of what a packet takes must not overflow.
  public init?(bitsPerSecond: Int64) {
    guard (1_000...100_000_000_000).contains(bitsPerSecond) else { return nil }
    self.bitsPerSecond = bitsPerSecond
  }
  public static func < (lhs: Self, rhs: Self) -> Bool { lhs.bitsPerSecond < rhs.bitsPerSecond }

  /// How long the transmitter works on `bytes`, of one packet at most.
  public func time(for bytes: Int) -> Interval {
    Interval((Int64(bytes) &* 8_000_000_000 &+ bitsPerSecond / 2) / bitsPerSecond)
  }

  /// What passes in `interval`.
  public func bytes(in interval: Interval) -> Int {
    Int(Double(bitsPerSecond) / 8 * Double(interval.nanoseconds) / 1_000_000_000)
  }
}

/// A share from 0 to 1, exact to a thousand-millionth.
public struct Share: Hashable, Sendable {
  public static let whole: Int64 = 1_000_000_000
  public let parts: Int64
  /// - Returns: `nil` outside of 0 to 1.
  public init?(parts: Int64) {
    guard (0...Self.whole).contains(parts) else { return nil }
    self.parts = parts
  }
  private init(checked parts: Int64) { self.parts = parts }
  public static let none = Share(checked: 0)

  /// Whether it happens this time.
  func strikes(_ random: inout SeededRandom) -> Bool {
    parts > 0 && Int64.random(in: 0..<Self.whole, using: &random) < parts
  }
}

/// Numbers that a seed determines (SplitMix64).
struct SeededRandom: RandomNumberGenerator, Sendable {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
