/// What the state remembers of a session, so that none of its operations is applied twice: operations
/// are numbered by their sender, and this says how far they have been decided.
public struct SessionRecord: Hashable, Sendable {
  /// Of so many last operations it is known whether each was a conflict: one bit each. A unary session
  /// asks again for its last one alone.
  public static let outcomesKept = 64

  /// A use is noted when the one noted is so long ago: a busy session then costs the order of records,
  /// which has a key for each noted use, twenty changes a second at most. Short beside any lifetime.
  static let useGranularity = Duration.milliseconds(50)

  public var id: SessionID
  /// Every operation up to here was applied or was a conflict; none behind it was.
  public var lastOrdinal = Ordinal.zero
  /// The log index that decided `lastOrdinal`.
  public var appliedIndex = LogIndex.zero
  /// Operations so far that took no effect because what they replace had changed.
  public var conflicts: UInt64 = 0
  /// Bit n: operation `lastOrdinal` - n was a conflict.
  public var conflictMask: UInt64 = 0
  /// The log index of the entry that opened it last; zero for a session of unary calls. Operations of
  /// an older opening are refused.
  public var fence = LogIndex.zero
  public var used: SessionUse

  public init(id: SessionID, used: SessionUse) { (self.id, self.used) = (id, used) }

  /// What became of an operation.
  public enum Answer: Hashable, Sendable {
    /// Applied: the index that did it, or, for all but the last operation, a later one.
    case applied(LogIndex)
    /// It took no effect, decided likewise.
    case conflict(LogIndex)
    /// It was decided so long ago that the outcome is no longer kept.
    case forgotten
    /// It has not come.
    case unknown
  }

  public func answer(for ordinal: Ordinal) -> Answer {
    guard ordinal > .zero, ordinal <= lastOrdinal else { return .unknown }
    let age = lastOrdinal - ordinal
    guard age < UInt64(Self.outcomesKept) else { return .forgotten }
    return conflictMask >> age & 1 == 1 ? .conflict(appliedIndex) : .applied(appliedIndex)
  }

  /// The next `count` operations are decided.
  mutating func advance(by count: Int, conflicts refused: [Ordinal], at index: LogIndex) {
    lastOrdinal = lastOrdinal + UInt64(count)
    conflictMask = count < Self.outcomesKept ? conflictMask << UInt64(count) : 0
    for ordinal in refused where lastOrdinal - ordinal < UInt64(Self.outcomesKept) {
      conflictMask |= 1 << (lastOrdinal - ordinal)
    }
    conflicts += UInt64(refused.count)
    appliedIndex = index
  }

  mutating func use(_ use: SessionUse) {
    if use.time >= used.time + Self.useGranularity { used = use }
  }
}

/// When a session was last used: the entry, which touches no other session, and the time it carried.
public struct SessionUse: Hashable, Sendable {
  public var index: LogIndex
  public var time: GroupTime

  public init(index: LogIndex, time: GroupTime) { (self.index, self.time) = (index, time) }
}
