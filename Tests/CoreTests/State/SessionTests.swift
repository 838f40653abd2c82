import StreamDiffCore
import Testing

/// A state with its machine: commands in, outcomes out.
struct SessionState: ~Copyable {
  static let name = KeyspaceName("things")!
  var store = MemoryStore()
  var machine = StateMachine()
  private(set) var index = LogIndex.zero
  var now = GroupTime.zero

  mutating func apply(_ command: Command) throws -> StateMachine.Outcome {
    index = index + 1
    return try machine.apply(command.stamped(at: now), at: index, to: &store)
  }

  /// Puts of the keys `first`, `first` + 1, … each expecting absence.
  mutating func put(
    _ id: SessionID, _ first: UInt64, count: Int = 1, fence: LogIndex = .zero, kind: KeyspaceKind = .plain
  ) throws -> StateMachine.Outcome {
    let operations = (0..<UInt64(count)).map {
      Operation(key: Self.key(first + $0), expectation: .absent, change: .put(value: [1]))
    }
    return try apply(
      .operations(
        OperationBatch(
          keyspace: Self.name, kind: kind, session: id, firstOrdinal: Ordinal(first), fence: fence,
          operations: try EncodedOperations(operations))))
  }

  mutating func open(_ id: SessionID, resumes: Bool = false) throws -> SessionRecord? {
    guard case .opened(let record) = try apply(.openSession(SessionOpening(id, resumes: resumes))) else {
      return nil
    }
    return record
  }

  /// A leader's policy, followed once.
  mutating func expire(_ policy: SessionExpiryPolicy) throws -> StateMachine.Outcome? {
    let uses = store.sessions.records.values.map(\.used).sorted { $0.index < $1.index }
    let alive = store.sessions.table.oldestAlive { from in uses.first { $0.index >= from } }
    #expect(alive == uses.first { !store.sessions.table.isExpired($0) })
    let command = policy.command(now: now, next: index + 1, oldest: uses.first, oldestAlive: alive)
    return try command.map { try apply($0) }
  }

  static func key(_ number: UInt64) -> [UInt8] { Array("key \(number)".utf8) }
  var keys: Int { store.values(of: Self.name).count }
}

extension StateMachine.Outcome {
  var refusal: StateMachine.Refusal? { if case .refused(let refusal) = self { refusal } else { nil } }
  var advance: StateMachine.SessionAdvance? { if case .advanced(let advance) = self { advance } else { nil } }
}

@Suite("Sessions")
struct SessionTests {
  static let id = SessionID(high: 1, low: 2)
  static let other = SessionID(high: 3, low: 4)

  @Test("operations that came already are skipped, whole batches and parts of one")
  func skipping() throws {
    var state = SessionState()
    let fence = try #require(try state.open(Self.id)).fence
    #expect(fence == LogIndex(1))
    #expect(try state.put(Self.id, 1, count: 5, fence: fence).advance?.operations == 5)
    let again = try #require(try state.put(Self.id, 1, count: 5, fence: fence).advance)
    #expect((again.operations, again.skipped, again.conflicts) == (0, 5, []))
    let part = try #require(try state.put(Self.id, 4, count: 4, fence: fence).advance)
    #expect((part.operations, part.skipped, part.conflicts) == (2, 2, []))
    #expect(part.record.lastOrdinal == Ordinal(7))
    #expect(part.record.appliedIndex == LogIndex(4))
    #expect(state.keys == 7)
    #expect(state.store.sessions.table.records == 1)
  }

  @Test(
    "what does not follow is refused and changes nothing",
    arguments: [
      (7, 1, .gap(expected: Ordinal(6), found: Ordinal(7))), (UInt64.max - 1, 1, nil), (6, 9, .superseded),
    ]
      as [(UInt64, UInt64, StateMachine.Refusal?)])
  func refusals(first: UInt64, fence: UInt64, refusal: StateMachine.Refusal?) throws {
    var state = SessionState()
    _ = try state.open(Self.id)
    _ = try state.put(Self.id, 1, count: 5, fence: LogIndex(1))
    let before = state.store.sessions.records
    let found = try state.put(Self.id, first, fence: LogIndex(fence)).refusal
    #expect(found == refusal ?? .gap(expected: Ordinal(6), found: Ordinal(first)))
    #expect(state.store.sessions.records == before)
    #expect(state.keys == 5)
  }

  @Test("a newer opening refuses what the older connection still brings, and goes on from what is applied")
  func fences() throws {
    var state = SessionState()
    let first = try #require(try state.open(Self.id))
    _ = try state.put(Self.id, 1, count: 3, fence: first.fence)
    let second = try #require(try state.open(Self.id))
    #expect((second.lastOrdinal, second.fence) == (Ordinal(3), LogIndex(3)))
    #expect(try state.put(Self.id, 4, fence: first.fence).refusal == .superseded)
    #expect(try state.put(Self.id, 4, fence: .zero).refusal == .superseded)  // nor as a unary call
    #expect(try state.put(Self.id, 4, fence: second.fence).advance?.operations == 1)
    #expect(state.keys == 4)
  }

  @Test("a batch of a session that was never opened is refused; a unary one begins with ordinal 1")
  func beginnings() throws {
    var state = SessionState()
    #expect(try state.put(Self.id, 1, fence: LogIndex(1)).refusal == .sessionUnknown)
    #expect(try state.put(Self.id, 2).refusal == .sessionUnknown)
    #expect(state.store.sessions.records.isEmpty)
    #expect(try state.put(Self.id, 1).advance?.operations == 1)
    #expect(try state.put(Self.id, 3).refusal == .gap(expected: Ordinal(2), found: Ordinal(3)))
    #expect(try state.put(Self.id, 2).advance?.operations == 1)
    #expect(state.keys == 2)
  }

  @Test("what a unary operation came to is told again, as long as it is kept")
  func answers() throws {
    var state = SessionState()
    // Every third key is there already: a conflict.
    for ordinal in stride(from: 3, through: 100, by: 3) as StrideThrough<UInt64> {
      let put = Operation(key: SessionState.key(ordinal), change: .put(value: [2]))
      _ = try state.apply(
        .operations(
          OperationBatch(
            keyspace: SessionState.name, kind: .plain, operations: try EncodedOperations([put]))))
    }
    for ordinal in 1...100 as ClosedRange<UInt64> {
      let fresh = try #require(try state.put(Self.id, ordinal).advance)
      let again = try #require(try state.put(Self.id, ordinal).advance)
      #expect((fresh.operations, again.operations, again.skipped) == (1, 0, 1))
      let answer = fresh.record.answer(for: Ordinal(ordinal))
      #expect(again.record.answer(for: Ordinal(ordinal)) == answer)
      #expect(
        answer
          == (ordinal.isMultiple(of: 3)
            ? .conflict(LogIndex(state.index.rawValue - 1)) : .applied(LogIndex(state.index.rawValue - 1))))
      #expect(fresh.record.conflicts == ordinal / 3)
      for age in 1...70 as ClosedRange<UInt64> where age < ordinal {
        let old = ordinal - age
        switch again.record.answer(for: Ordinal(old)) {
        case .applied: #expect(age < 64 && !old.isMultiple(of: 3))
        case .conflict: #expect(age < 64 && old.isMultiple(of: 3))
        case .forgotten: #expect(age >= 64)
        case .unknown: Issue.record("\(old) is unknown")
        }
      }
      #expect(again.record.answer(for: Ordinal(ordinal + 1)) == .unknown)
      #expect(again.record.answer(for: .zero) == .unknown)
    }
  }

  @Test("a long batch leaves the outcomes of its last 64", arguments: [1, 63, 64, 65, 200])
  func longBatches(count: Int) throws {
    var state = SessionState()
    let put = Operation(key: SessionState.key(7), change: .put(value: [2]))
    let batch = OperationBatch(
      keyspace: SessionState.name, kind: .plain, operations: try EncodedOperations([put]))
    _ = try state.apply(.operations(batch))
    let fence = try #require(try state.open(Self.id)).fence
    let record = try #require(try state.put(Self.id, 1, count: count, fence: fence).advance).record
    #expect(record.conflicts == (count >= 7 ? 1 : 0))
    let answer = record.answer(for: Ordinal(7))
    switch count {
    case ..<7: #expect(answer == .unknown)
    case ..<71: #expect(answer == .conflict(state.index))
    default: #expect(answer == .forgotten)
    }
  }

  @Test("a batch refused for its keyspace's kind uses up no ordinal, and begins no session")
  func kinds() throws {
    var state = SessionState()
    _ = try state.put(Self.id, 1)
    let wrong = StateMachine.Refusal.wrongKind(SessionState.name, is: .plain)
    #expect(try state.put(Self.id, 2, kind: .directory).refusal == wrong)
    #expect(try state.put(Self.other, 1, kind: .directory).refusal == wrong)
    #expect(state.store.sessions.records.keys.map(\.self) == [Self.id])
    #expect(state.store.sessions.table.records == 1)
    #expect(try state.put(Self.id, 2).advance?.operations == 1)
  }

  @Test("over the most sessions that are remembered, a new one is refused and an old one goes on")
  func bound() throws {
    var state = SessionState()
    _ = try state.put(Self.id, 1)
    let fence = try #require(try state.open(Self.other)).fence
    state.store.sessions.table.records = Limits.sessionRecords
    let new = SessionID(high: 5, low: 6)
    #expect(try state.put(new, 1).refusal == .tooManySessions)
    #expect(try state.apply(.openSession(SessionOpening(new))).refusal == .tooManySessions)
    #expect(try state.put(Self.id, 2).advance?.operations == 1)
    #expect(
      try state.put(Self.other, 3, fence: fence).refusal == .gap(expected: Ordinal(1), found: Ordinal(3)))
    #expect(try state.open(Self.other) != nil)
  }

  // MARK: Expiry

  @Test("a session not used for a lifetime is refused, and only after another is it forgotten")
  func expiry() throws {
    var state = SessionState()
    let policy = SessionExpiryPolicy(lifetime: .seconds(10), remembered: .seconds(10))
    _ = try state.put(Self.id, 1)
    let fence = try #require(try state.open(Self.other)).fence
    state.now = GroupTime(milliseconds: 6_000)
    _ = try state.put(Self.other, 1000, fence: fence)  // a gap: no use
    _ = try state.put(Self.other, 1, fence: fence)
    state.now = GroupTime(milliseconds: 10_000)
    #expect(try state.expire(policy) == nil)
    #expect(try state.put(Self.id, 1).advance?.skipped == 1)  // that was a use
    state.now = GroupTime(milliseconds: 16_001)
    #expect(try state.expire(policy) == .expired(forgotten: 0))
    #expect(try state.expire(policy) == nil)
    #expect(try state.put(Self.other, 2, fence: fence).refusal == .sessionExpired)
    #expect(try state.open(Self.other) == nil)
    #expect(try state.put(Self.id, 2).advance?.operations == 1)

    state.now = GroupTime(milliseconds: 26_000)
    #expect(try state.expire(policy) == nil)
    state.now = GroupTime(milliseconds: 26_001)
    #expect(try state.expire(policy) == .expired(forgotten: 1))
    #expect(Array(state.store.sessions.records.keys) == [Self.id])
    #expect(state.store.sessions.table.records == 1)
    #expect(try state.put(Self.other, 2, fence: fence).refusal == .sessionUnknown)
    // It may begin anew, but not for a sender that knows it was there before.
    #expect(
      try state.apply(.openSession(SessionOpening(Self.other, resumes: true))).refusal == .sessionUnknown)
    state.now = GroupTime(milliseconds: 100_000)
    #expect(try state.expire(policy) == .expired(forgotten: 1))
    #expect(state.store.sessions.table.records == 0)
    #expect(try state.expire(policy) == nil)
  }

  @Test("an expired session's first operation is refused as long as it is remembered")
  func lateRetry() throws {
    var state = SessionState()
    let policy = SessionExpiryPolicy(lifetime: .seconds(1), remembered: .seconds(1))
    _ = try state.put(Self.id, 1)
    state.now = GroupTime(milliseconds: 1_500)
    _ = try state.expire(policy)
    #expect(try state.put(Self.id, 1).refusal == .sessionExpired)
    #expect(state.keys == 1)
  }

  @Test("an expired session is remembered for longer than a client retries, however short its life")
  func shortLife() {
    #expect(SessionExpiryPolicy(lifetime: .milliseconds(200)).remembered == .seconds(60))
    #expect(SessionExpiryPolicy().remembered == SessionExpiryPolicy.defaultLifetime)
  }

  @Test("neither time nor index of the future expires anything, and a watermark never falls")
  func watermark() throws {
    var state = SessionState()
    state.now = GroupTime(milliseconds: 5_000)
    _ = try state.put(Self.id, 1)
    let far = GroupTime(milliseconds: .max)
    _ = try state.apply(
      .expireSessions(
        SessionExpiry(
          now: GroupTime(milliseconds: 6_000), idleSince: far, usedBefore: LogIndex(.max), forgetBefore: .zero
        )))
    #expect(state.store.sessions.table.idleSince == GroupTime(milliseconds: 6_000))
    #expect(state.store.sessions.table.usedBefore == state.index)
    let table = state.store.sessions.table
    _ = try state.apply(
      .expireSessions(
        SessionExpiry(
          now: .zero, idleSince: GroupTime(milliseconds: 1), usedBefore: LogIndex(1), forgetBefore: .zero)))
    #expect(state.store.sessions.table == table)
    // A leader whose clock is behind: what it stamps counts as now.
    state.now = .zero
    #expect(try state.put(Self.other, 1).advance?.record.used.time == GroupTime(milliseconds: 6_000))
    #expect(try state.put(Self.other, 2).advance?.operations == 1)
    #expect(try state.put(Self.id, 2).refusal == .sessionExpired)
  }

  @Test("one command forgets so many at most; the next goes on")
  func forgettingInParts() throws {
    var state = SessionState()
    let count = SessionExpiry.forgottenAtOnce + 10
    for number in 1...UInt64(count) { _ = try state.open(SessionID(high: 0, low: number)) }
    let policy = SessionExpiryPolicy(lifetime: .seconds(1), remembered: .seconds(1))
    state.now = GroupTime(milliseconds: 10_000)
    #expect(try state.expire(policy) == .expired(forgotten: SessionExpiry.forgottenAtOnce))
    #expect(state.store.sessions.table.records == 10)
    #expect(try state.expire(policy) == .expired(forgotten: 10))
    #expect(state.store.sessions.records.isEmpty)
  }

  @Test("a busy session's use is noted no more often than needed; its operations always are")
  func granularity() throws {
    var state = SessionState()
    _ = try state.put(Self.id, 1)
    let first = try #require(state.store.sessions.records[Self.id]).used
    state.now = GroupTime(milliseconds: 49)
    #expect(try state.put(Self.id, 2).advance?.record.used == first)
    state.now = GroupTime(milliseconds: 50)
    let record = try #require(try state.put(Self.id, 3).advance).record
    #expect(record.used == SessionUse(index: state.index, time: state.now))
    #expect(record.lastOrdinal == Ordinal(3))
  }

  @Test("times stop at the ends of their type")
  func times() {
    #expect(GroupTime(milliseconds: 5) - .seconds(1) == .zero)
    #expect(GroupTime(milliseconds: .max) + .seconds(1) == GroupTime(milliseconds: .max))
    #expect(GroupTime.zero + .microseconds(1999) == GroupTime(milliseconds: 1))
    #expect(GroupTime(milliseconds: 7) + .seconds(-1) == GroupTime(milliseconds: 7))
  }
}
