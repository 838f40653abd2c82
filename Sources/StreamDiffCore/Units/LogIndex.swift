/// Position of an entry in the replicated log. The first entry is 1; 0 is the empty log.
public struct LogIndex: Hashable, Comparable, Sendable {
  public let rawValue: UInt64
  public init(_ rawValue: UInt64) { self.rawValue = rawValue }
  public static let zero = LogIndex(0)
  /// What is read from disk is refused beyond: no log gets there, and sums below never overflow.
  public static let maximum = LogIndex(1 << 62)
  public static func < (lhs: Self, rhs: Self) -> Bool { lhs.rawValue < rhs.rawValue }
  public static func + (index: Self, count: UInt64) -> Self { Self(index.rawValue + count) }
  public static func - (end: Self, start: Self) -> UInt64 { end.rawValue - start.rawValue }
}

/// A leader's period (Raft §5.1). Terms start at 1; 0 precedes every election.
public struct Term: Hashable, Comparable, Sendable {
  public let rawValue: UInt64
  public init(_ rawValue: UInt64) { self.rawValue = rawValue }
  public static let zero = Term(0)
  /// As `LogIndex.maximum`.
  public static let maximum = Term(1 << 62)
  public static func < (lhs: Self, rhs: Self) -> Bool { lhs.rawValue < rhs.rawValue }
  public var next: Term { Term(rawValue + 1) }
}

/// A replica's number within its group: 1 or more; 0 means nobody.
public struct NodeID: Hashable, Comparable, Sendable {
  public let rawValue: UInt64
  public init(_ rawValue: UInt64) { self.rawValue = rawValue }
  public static let none = NodeID(0)
  public static func < (lhs: Self, rhs: Self) -> Bool { lhs.rawValue < rhs.rawValue }
}
