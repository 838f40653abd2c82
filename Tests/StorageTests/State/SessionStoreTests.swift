import Simulator
import StreamDiffCore
import StreamDiffStorage
import Testing

/// Session records in the database, driven by the state machine itself.
@Suite("Sessions in the state store")
struct SessionStoreTests {
  private let directory = TemporaryDirectory()
  private static let name = KeyspaceName("things")!

  private func open() throws(StorageError) -> StateStore { try StateStore.open(directory.path + "/state") }

  /// A replica's apply thread in small: commands in batches.
  private struct Applier: ~Copyable {
    let store: StateStore
    var machine = StateMachine()
    var now = GroupTime.zero

    init(_ store: StateStore) { self.store = store }

    mutating func apply(_ commands: [Command]) throws -> [StateMachine.Outcome] {
      let transaction = try store.transaction()
      var index = store.appliedIndex
      var outcomes: [StateMachine.Outcome] = []
      var copy = transaction
      for command in commands {
        index = index + 1
        outcomes.append(try machine.apply(command.stamped(at: now), at: index, to: &copy))
      }
      try store.commit(transaction, appliedIndex: index, term: Term(1))
      return outcomes
    }
  }

  private static func put(_ id: SessionID, _ ordinal: UInt64, fence: LogIndex = .zero) throws -> Command {
    let put = Operation(
      key: id.bytes + [UInt8(truncatingIfNeeded: ordinal)], change: .put(value: [1, 2, 3]))
    return .operations(
      OperationBatch(
        keyspace: name, kind: .plain, session: id, firstOrdinal: Ordinal(ordinal), fence: fence,
        operations: try EncodedOperations([put])))
  }

  @Test("records and their order survive a restart, together with what they speak of")
  func reopening() throws {
    let (first, second) = (SessionID(high: 1, low: 1), SessionID(high: 2, low: 2))
    var records: [SessionID: SessionRecord] = [:]
    do {
      let store = try open()
      var applier = Applier(store)
      applier.now = GroupTime(milliseconds: 1000)
      _ = try applier.apply([.openSession(SessionOpening(first)), try Self.put(second, 1)])
      applier.now = GroupTime(milliseconds: 2000)
      _ = try applier.apply([
        try Self.put(first, 1, fence: LogIndex(1)), try Self.put(first, 2, fence: LogIndex(1)),
      ])
      for id in [first, second] { records[id] = try store.session(id) }
      #expect(records[first]?.lastOrdinal == Ordinal(2))
      #expect(records[first]?.used == SessionUse(index: LogIndex(3), time: GroupTime(milliseconds: 2000)))
      #expect(try store.oldestSessions().oldest == records[second]?.used)
      try store.close()
    }
    let store = try open()
    #expect(store.sessions.records == 2 && store.sessions.clock == GroupTime(milliseconds: 2000))
    for id in [first, second] { #expect(try store.session(id) == records[id]) }
    #expect(try store.session(SessionID(high: 3, low: 3)) == nil)
    var applier = Applier(store)
    let outcomes = try applier.apply([try Self.put(second, 1), try Self.put(second, 2)])
    guard case .advanced(let again) = outcomes[0], case .advanced(let next) = outcomes[1] else {
      Issue.record("\(outcomes)")
      return
    }
    #expect(again.skipped == 1 && next.operations == 1)
  }

  @Test("what expires is found in order, in the batch that uses it too, and is gone when forgotten")
  func expiry() throws {
    let store = try open()
    var applier = Applier(store)
    let policy = SessionExpiryPolicy(lifetime: .seconds(1), remembered: .seconds(1))
    let ids = (0..<20).map { SessionID(high: 7, low: $0) }
    for (place, id) in ids.enumerated() {
      applier.now = GroupTime(milliseconds: UInt64(place) * 100)
      _ = try applier.apply([try Self.put(id, 1)])
    }
    func due(_ now: UInt64) throws -> Command? {
      let (oldest, alive) = try store.oldestSessions()
      return policy.command(
        now: GroupTime(milliseconds: now), next: store.appliedIndex + 1, oldest: oldest, oldestAlive: alive)
    }
    #expect(try due(1000) == nil)
    let first = try #require(try due(1950))
    // The oldest is used in the same batch, before the expiry.
    applier.now = GroupTime(milliseconds: 1950)
    _ = try applier.apply([try Self.put(ids[0], 2), first])
    #expect(try store.oldestSessions().oldest?.time == GroupTime(milliseconds: 100))
    #expect(try store.oldestSessions().alive?.time == GroupTime(milliseconds: 1000))
    #expect(try applier.apply([try Self.put(ids[1], 2)]) == [.refused(.sessionExpired)])
    #expect(store.sessions.records == 20)

    let second = try #require(try due(2550))
    #expect(try applier.apply([second]) == [.expired(forgotten: 5)])  // used at 100 to 500
    #expect(store.sessions.records == 15)
    #expect(try store.session(ids[1]) == nil)
    #expect(try applier.apply([try Self.put(ids[1], 2)]) == [.refused(.sessionUnknown)])
    #expect(try store.session(ids[0])?.lastOrdinal == Ordinal(2))
    try store.close()
    let again = try open()
    #expect(again.sessions == store.sessions)
    #expect(try again.oldestSessions().alive?.time == GroupTime(milliseconds: 1600))
  }

  @Test("the state equals the model's after random commands and restarts", arguments: 0..<6)
  func model(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    var store = try open()
    var applier = Applier(store)
    var model: [SessionID: SessionRecord] = [:]
    let ids = (0..<12).map { SessionID(high: seed, low: $0) }
    let policy = SessionExpiryPolicy(lifetime: .milliseconds(500), remembered: .milliseconds(500))
    for _ in 0..<60 {
      var commands: [Command] = []
      for _ in 0..<Int.random(in: 1...6, using: &random) {
        let id = ids[Int.random(in: 0..<ids.count, using: &random)]
        switch Int.random(in: 0..<4, using: &random) {
        case 0: commands.append(.openSession(SessionOpening(id)))
        case 1:
          let (oldest, alive) = try store.oldestSessions()
          let command = policy.command(
            now: applier.now, next: store.appliedIndex + 1, oldest: oldest, oldestAlive: alive)
          if let command { commands.append(command) }
        default:
          let record = model[id]
          commands.append(
            try Self.put(id, (record?.lastOrdinal.rawValue ?? 0) + 1, fence: record?.fence ?? .zero))
        }
      }
      for outcome in try applier.apply(commands) {
        switch outcome {
        case .opened(let record): model[record.id] = record
        case .advanced(let advance): model[advance.record.id] = advance.record
        default: break
        }
      }
      let table = store.sessions
      var found = 0
      for id in ids {
        let record = try store.session(id)
        if let record {
          found += 1; #expect(record == model[id])
        } else if let forgotten = model[id] {
          #expect(table.isExpired(forgotten.used), "seed \(seed)")
          model[id] = nil
        }
      }
      #expect(found == table.records, "seed \(seed)")
      let uses = model.values.map(\.used).sorted { $0.index < $1.index }
      #expect(try store.oldestSessions().oldest == uses.first, "seed \(seed)")
      #expect(try store.oldestSessions().alive == uses.first { !table.isExpired($0) }, "seed \(seed)")
      applier.now = applier.now + .milliseconds(Int.random(in: 0...120, using: &random))
      if Int.random(in: 0..<10, using: &random) == 0 {
        let now = applier.now
        try store.close()
        store = try open()
        applier = Applier(store)
        applier.now = now
      }
    }
  }
}
