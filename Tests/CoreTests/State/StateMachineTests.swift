import StreamDiffCore
import Testing

@Suite("The state machine")
struct StateMachineTests {
  static let name = KeyspaceName("things")!
  static let present = Array("present".utf8)
  static let old = EntryDigest.of(present, [1])

  static func batch(_ operations: [Operation], first: UInt64 = 1, kind: KeyspaceKind = .plain) throws
    -> Command
  {
    .operations(
      OperationBatch(
        keyspace: name, kind: kind, firstOrdinal: Ordinal(first),
        operations: try EncodedOperations(operations)))
  }

  /// A store where `present` holds one byte.
  static func store() throws -> MemoryStore {
    var store = MemoryStore()
    var machine = StateMachine()
    let put = Operation(key: present, change: .put(value: [1]))
    _ = try machine.apply(batch([put]), at: LogIndex(1), to: &store)
    return store
  }

  @Test(
    "an operation takes effect when what it expects is there, and only then",
    arguments: [
      ("present", .any, true), ("present", .absent, false), ("present", .digest(old), true),
      ("present", .digest(SHA256.digest([])), false), ("missing", .any, true), ("missing", .absent, true),
      ("missing", .digest(old), false),
    ] as [(String, StreamDiffCore.Expectation, Bool)])
  func expectations(key: String, expectation: StreamDiffCore.Expectation, takesEffect: Bool) throws {
    for change in [Operation.Change.put(value: [2]), .delete] {
      var store = try Self.store()
      var machine = StateMachine()
      let before = store.values(of: Self.name)
      let operation = Operation(key: Array(key.utf8), expectation: expectation, change: change)
      let outcome = try machine.apply(Self.batch([operation], first: 5), at: LogIndex(2), to: &store)

      #expect(outcome == .applied(operations: 1, conflicts: takesEffect ? [] : [Ordinal(5)]))
      var after = before
      if takesEffect { after[operation.key] = change == .delete ? nil : [2] }
      #expect(store.values(of: Self.name) == after)
    }
  }

  @Test("operations of one batch see each other, and each conflict is named by its ordinal")
  func withinBatch() throws {
    var store = MemoryStore()
    var machine = StateMachine()
    let operations = [
      Operation(key: [1], expectation: .absent, change: .put(value: [1])),
      Operation(key: [1], expectation: .absent, change: .put(value: [2])),
      Operation(key: [1], expectation: .digest(EntryDigest.of([1], [1])), change: .put(value: [3])),
      Operation(key: [2], expectation: .digest(Self.old), change: .delete),
      Operation(key: [3], change: .put(value: [])),
      Operation(key: [3], change: .delete),
    ]
    let outcome = try machine.apply(Self.batch(operations, first: 10), at: LogIndex(1), to: &store)
    #expect(outcome == .applied(operations: 6, conflicts: [Ordinal(11), Ordinal(13)]))
    #expect(store.values(of: Self.name) == [[1]: [3]])
  }

  @Test("an operation that expects nothing costs no read")
  func noRead() throws {
    var store = MemoryStore()
    var machine = StateMachine()
    let operations = [Operation(key: [1], change: .put(value: [1])), Operation(key: [2], change: .delete)]
    _ = try machine.apply(Self.batch(operations), at: LogIndex(1), to: &store)
    #expect(store.digestReads == 0)
  }

  @Test("a keyspace keeps its kind: a batch or a creation of the other kind changes nothing")
  func kinds() throws {
    var store = try Self.store()
    var machine = StateMachine()
    let before = store.values(of: Self.name)
    let put = Operation(key: [1], change: .put(value: [1]))
    let refusal = StateMachine.Outcome.refused(.wrongKind(Self.name, is: .plain))
    #expect(try machine.apply(Self.batch([put], kind: .directory), at: LogIndex(2), to: &store) == refusal)
    #expect(
      try machine.apply(.createKeyspace(Self.name, .directory), at: LogIndex(3), to: &store) == refusal)
    #expect(try machine.apply(.createKeyspace(Self.name, .plain), at: LogIndex(4), to: &store) == .none)
    #expect(store.values(of: Self.name) == before)
    #expect(store.records.count == 1)
  }

  @Test("keyspaces are numbered in order of creation")
  func creation() throws {
    var store = MemoryStore()
    var machine = StateMachine()
    for name in ["b", "a", "b"] {
      _ = try machine.apply(.createKeyspace(KeyspaceName(name)!, .plain), at: LogIndex(1), to: &store)
    }
    #expect(store.records.map(\.name.description) == ["b", "a"])
    #expect(store.records.map(\.id) == [1, 2])
  }

  @Test("a seal answers the position at its index; of an unknown keyspace, the empty one")
  func seal() throws {
    var store = try Self.store()
    var machine = StateMachine()
    var reference = ReferenceKeyspace()
    reference.put(Self.present, [1])
    let position = KeyspacePosition(root: reference.root(), entries: 1, bytes: 8)
    #expect(try machine.apply(.seal(Self.name), at: LogIndex(2), to: &store) == .sealed(position))
    #expect(try machine.apply(.seal(.default), at: LogIndex(3), to: &store) == .sealed(.empty))
    #expect(KeyspacePosition.empty.root == MerkleTree().root)
    #expect(store.records.count == 1)
  }

  @Test("a noop does nothing, and a store's error comes through as it is")
  func failure() throws {
    var store = MemoryStore()
    var machine = StateMachine()
    #expect(try machine.apply(.noop, at: LogIndex(1), to: &store) == .none)
    store.isBroken = true
    do throws(MemoryStore.Failure) {
      _ = try machine.apply(.seal(Self.name), at: LogIndex(2), to: &store)
      Issue.record("no error")
    } catch {
      #expect(error == MemoryStore.Failure())
    }
  }
}

extension EntryDigest {
  static func of(_ key: [UInt8], _ value: [UInt8]) -> Digest {
    var hash = SHA256()
    return of(key: key, value: value, using: &hash)
  }
}
