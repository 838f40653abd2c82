/// Milliseconds of a group's own time. A leader counts it and carries it in log entries: it goes on
/// while there is a leader, never moves back, and has nothing to do with the time of day.
public struct GroupTime: Hashable, Comparable, Sendable {
  public let milliseconds: UInt64
  public init(milliseconds: UInt64) { self.milliseconds = milliseconds }
  public static let zero = GroupTime(milliseconds: 0)
  public static func < (lhs: Self, rhs: Self) -> Bool { lhs.milliseconds < rhs.milliseconds }

  /// Stops at the ends of what the type can say.
  public static func + (time: Self, duration: Duration) -> Self {
    let (sum, overflows) = time.milliseconds.addingReportingOverflow(duration.wholeMilliseconds)
    return Self(milliseconds: overflows ? .max : sum)
  }

  public static func - (time: Self, duration: Duration) -> Self {
    let count = duration.wholeMilliseconds
    return Self(milliseconds: time.milliseconds > count ? time.milliseconds - count : 0)
  }
}

extension Duration {
  /// Zero for a negative one; what does not fill a millisecond is dropped.
  var wholeMilliseconds: UInt64 {
    let (seconds, attoseconds) = components
    guard seconds >= 0, attoseconds >= 0 else { return 0 }
    return UInt64(seconds) * 1000 + UInt64(attoseconds / 1_000_000_000_000_000)
  }
}
