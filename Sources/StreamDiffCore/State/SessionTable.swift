/// What the state remembers of all sessions together.
public struct SessionTable: Hashable, Sendable {
  /// The latest time that an entry carried.
  public var clock = GroupTime.zero
  /// A session last used before this time and before this index is expired: what it brings is refused,
  /// never applied, whether its record is still there or not.
  public var idleSince = GroupTime.zero
  public var usedBefore = LogIndex.zero
  /// Records, of expired sessions too.
  public var records = 0

  public init() {}

  public func isExpired(_ use: SessionUse) -> Bool { use.time < idleSince && use.index < usedBefore }

  mutating func advance(to time: GroupTime) { clock = max(clock, time) }

  /// The oldest use that is not expired. Times rise with indices, so that expired ones come first.
  /// - Parameter first: the first use at or behind an index; asked about sixty times at most.
  public func oldestAlive<Failure: Error>(
    _ first: (LogIndex) throws(Failure) -> SessionUse?
  ) throws(Failure) -> SessionUse? {
    var (low, high) = (LogIndex.zero, usedBefore)
    while low < high {
      let middle = low + (high - low) / 2
      if let use = try first(middle), isExpired(use) { low = use.index + 1 } else { high = middle }
    }
    return try first(low)
  }

  /// Whether a batch may be applied on top of what `record` says, and which part of it.
  func admit(
    _ id: SessionID, first: Ordinal, count: Int, fence: LogIndex, record: SessionRecord?, at index: LogIndex
  ) -> Admission {
    guard let record else {
      guard fence == .zero, first == Ordinal(1) else { return .refused(.sessionUnknown) }
      guard records < Limits.sessionRecords else { return .refused(.tooManySessions) }
      return .admitted(SessionRecord(id: id, used: SessionUse(index: index, time: clock)), skipping: 0)
    }
    guard !isExpired(record.used) else { return .refused(.sessionExpired) }
    guard fence == record.fence else { return .refused(.superseded) }
    let expected = record.lastOrdinal + 1
    guard first <= expected else { return .refused(.gap(expected: expected, found: first)) }
    return .admitted(record, skipping: Int(min(expected - first, UInt64(count))))
  }

  /// Why a session may not be opened; `nil` when it may.
  func refusal(of opening: SessionOpening, record: SessionRecord?) -> StateMachine.Refusal? {
    if let record { return isExpired(record.used) ? .sessionExpired : nil }
    if opening.resumes { return .sessionUnknown }
    return records < Limits.sessionRecords ? nil : .tooManySessions
  }

  enum Admission {
    case refused(StateMachine.Refusal)
    /// Of the batch so many operations are decided already.
    case admitted(SessionRecord, skipping: Int)
  }
}

/// Decides when a leader proposes that sessions expire. An expired session's record is kept as long
/// again and for a minute at least, so that a late retry of its first operation is refused and not taken for a
/// new session.
public struct SessionExpiryPolicy: Hashable, Sendable {
  public static let defaultLifetime = Duration.seconds(3600)
  /// The shortest is some uses of `SessionRecord.useGranularity`; the longest a month.
  public static let lifetimes = Duration.milliseconds(200)...Duration.seconds(31 * 86400)

  /// A session that is not used for so long expires.
  public let lifetime: Duration
  /// For so long an expired session is refused by name; longer than a client retries a single write.
  public let remembered: Duration

  /// - Parameter remembered: `nil`: another lifetime, or a minute where that is longer.
  public init(lifetime: Duration = defaultLifetime, remembered: Duration? = nil) {
    precondition(Self.lifetimes.contains(lifetime), "a session lifetime of \(lifetime)")
    self.lifetime = lifetime
    self.remembered = remembered ?? max(lifetime, .seconds(60))
  }

  /// How often a leader looks: sessions live longer than they must by a sixteenth, or a minute.
  public var period: Duration { min(lifetime / 16, .seconds(60)) }

  /// - Parameters:
  ///   - now: of the group.
  ///   - next: the index of the next entry, or one before it.
  ///   - oldest: of all records.
  ///   - oldestAlive: of those that are not expired.
  /// - Returns: `nil` when there is nothing to expire or to forget.
  public func command(
    now: GroupTime, next: LogIndex, oldest: SessionUse?, oldestAlive: SessionUse?
  ) -> Command? {
    let expiry = SessionExpiry(
      now: now, idleSince: now - lifetime, usedBefore: next, forgetBefore: now - (lifetime + remembered))
    let isDue =
      (oldestAlive.map { $0.time < expiry.idleSince && $0.index < next } ?? false)
      || (oldest.map { $0.time < expiry.forgetBefore && $0.index < next } ?? false)
    return isDue ? .expireSessions(expiry) : nil
  }
}
