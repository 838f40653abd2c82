/// How late packets were, in buckets that grow: exact below 16 ns, then 16 to each doubling (6 % wide).
public struct Lateness: Sendable {
  private var counts = [UInt64](repeating: 0, count: 16 * 61)
  public private(set) var count: UInt64 = 0
  public private(set) var longest = Interval.zero

  public init() {}

  /// What is early counts as zero.
  public mutating func add(_ interval: Interval) {
    let value = UInt64(max(0, interval.nanoseconds))
    counts[Self.bucket(of: value)] &+= 1
    count &+= 1
    if interval > longest { longest = interval }
  }

  /// The least length that `share` percent of them did not exceed, to the width of a bucket; `longest` for 100.
  public func percentile(_ percent: Double) -> Interval {
    guard count > 0 else { return .zero }
    let wanted = max(1, UInt64((Double(count) * percent / 100).rounded(.up)))
    var seen: UInt64 = 0
    for (bucket, number) in counts.enumerated() {
      seen += number
      if seen >= wanted { return min(Interval(Int64(Self.highest(in: bucket))), longest) }
    }
    return longest
  }

  /// Values below 16 are their own bucket; above, the place of the leading bit and the four bits behind it.
  static func bucket(of value: UInt64) -> Int {
    guard value >= 16 else { return Int(value) }
    let shift = 59 - value.leadingZeroBitCount
    return (shift + 1) * 16 + Int(value >> UInt64(shift)) - 16
  }

  static func highest(in bucket: Int) -> UInt64 {
    guard bucket >= 16 else { return UInt64(bucket) }
    let shift = UInt64(bucket / 16 - 1)
    return (UInt64(bucket % 16 + 16) << shift) + (1 << shift) - 1
  }
}
