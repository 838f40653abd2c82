import StreamDiffCore
import StreamDiffService
import Testing

/// What becomes of the operations of a round, without a session around.
@Suite struct OperationSorterTests {
  private static func put(_ path: String, isNew: Bool = true) -> PlannedOperation {
    PlannedOperation(
      key: Array(path.utf8) + [0], change: .put(valueBytes: 1),
      expectation: isNew ? .absent : .digest(SHA256.digest([])))
  }

  private static func delete(_ path: String) -> PlannedOperation {
    PlannedOperation(key: Array(path.utf8) + [0], change: .delete, expectation: .digest(SHA256.digest([])))
  }

  private static func piece(_ path: String, _ change: PlannedOperation.Change) -> PlannedOperation {
    PlannedOperation(
      key: Array(path.utf8) + [0, 2] + SHA256.digest(Array(path.utf8)).bytes, change: change,
      expectation: change == .delete ? .digest(SHA256.digest([])) : .absent)
  }

  /// Says what is done, in order: "+a" a record, "+a." content, "-a" and "-a." deletions.
  private static func text(_ operations: [PlannedOperation]) -> [String] {
    operations.map { operation in
      let path = String(decoding: operation.key.prefix { $0 != 0 }, as: UTF8.self)
      let isRecord = operation.key.last == 0 && operation.key.count { $0 == 0 } == 1
      return (operation.change == .delete ? "-" : "+") + path + (isRecord ? "" : ".")
    }
  }

  private static func sort(
    _ operations: [PlannedOperation], exclude: [String] = [], source: [String] = [],
    deletions: SyncOptions.Deletions = .guarded, pages: Int = 1000
  ) throws -> (now: [String], deletions: [String], withheld: Int) {
    var options = SyncOptions(keyspace: .default, kind: .directory, session: .random())
    options.deletions = deletions
    options.exclusions = try Exclusions(exclude)
    let content = MapContent(
      Dictionary(uniqueKeysWithValues: source.map { (Array($0.utf8) + [UInt8(0)], [UInt8(1)]) }))
    var sorter = OperationSorter(content, options)
    var (now, gone, withheld) = ([PlannedOperation](), [PlannedOperation](), 0)
    var start = 0
    while start < operations.count {
      let sorted = try sorter.sort(Array(operations[start..<min(start + pages, operations.count)]))
      now += sorted.now.map(\.operation)
      gone += sorted.deletions
      withheld += sorted.withheld
      start += pages
    }
    let rest = sorter.finish()
    return (
      Self.text(now + rest.now.map(\.operation)), Self.text(gone + rest.deletions), withheld + rest.withheld
    )
  }

  @Test(
    "content comes before the record that names it, deletions last, however the plan is cut", arguments: 1...5
  )
  func order(pages: Int) throws {
    let plan = [
      Self.put("a", isNew: false), Self.piece("a", .put(valueBytes: 1)), Self.piece("a", .delete),
      Self.delete("b"),
      Self.piece("b", .delete), Self.put("c/"), Self.put("c/d"), Self.piece("c/d", .put(valueBytes: 1)),
    ]
    let sorted = try Self.sort(plan, pages: pages)
    #expect(sorted.now == ["+a.", "+a", "+c/", "+c/d.", "+c/d"])
    #expect(sorted.deletions == ["-a.", "-b", "-b."] && sorted.withheld == 0)
  }

  @Test("without deletions a file's old pieces still go, and whole files stay")
  func noDeletions() throws {
    let plan = [
      Self.put("a", isNew: false), Self.piece("a", .delete), Self.delete("b"), Self.piece("b", .delete),
    ]
    let sorted = try Self.sort(plan, deletions: .none)
    #expect(sorted.deletions == ["-a."] && sorted.withheld == 2)
  }

  @Test("what is excluded stays, and the directories it stands in", arguments: 1...4)
  func exclusions(pages: Int) throws {
    let plan = [
      Self.delete("d/"), Self.delete("d/a"), Self.delete("d/e/"), Self.delete("d/e/x.log"),
      Self.piece("d/e/x.log", .delete), Self.delete("d/f/"), Self.delete("d/f/y"), Self.delete("g/"),
    ]
    let sorted = try Self.sort(plan, exclude: ["*.log"], pages: pages)
    #expect(Set(sorted.deletions) == ["-d/a", "-d/f/", "-d/f/y", "-g/"])
    #expect(sorted.withheld == 4)
  }

  @Test("what stays under a name that the source has as a file is refused by name")
  func inTheWay() throws {
    let plan = [Self.put("d"), Self.delete("d/"), Self.delete("d/e/"), Self.delete("d/e/x.log")]
    let error = #expect(throws: SyncFailure.self) { try Self.sort(plan, exclude: ["*.log"], source: ["d"]) }
    #expect(error?.code == .inTheWay && error?.detail.contains("d/e/x.log") == true)
    // The other way round: a directory of the source takes a file's name, deletions or not.
    let sorted = try Self.sort([Self.delete("d"), Self.put("d/")], source: ["d/"], deletions: .none)
    #expect(sorted.now == ["+d/"] && sorted.deletions == ["-d"] && sorted.withheld == 0)
  }

  @Test("deletions count over all rounds of a push, and the same file counts once")
  func guardOverRounds() throws {
    let guardian = DeletionGuard()
    func round(_ names: ClosedRange<Int>) -> DeletionGuard.Round {
      var round = DeletionGuard.Round(isDirectory: false)
      for name in names { round.delete([UInt8(name)], isFile: true) }
      round.extra = names.count
      return round
    }
    // 10 there, 6 in the source: 4 go.
    try guardian.pass(round(1...4), entries: 10, source: (6, 6))
    // Two of them were changed meanwhile and are still there, one more is new: 5 of 11 in all.
    try guardian.pass(round(3...5), entries: 9, source: (6, 6))
    // Two more: 7 of 13.
    let error = #expect(throws: SyncFailure.self) {
      try guardian.pass(round(6...7), entries: 8, source: (6, 6))
    }
    #expect(error?.code == .tooManyDeletions(count: 7, of: 13))
    // An empty source deletes nothing, however little is there.
    #expect(throws: SyncFailure.self) { try DeletionGuard().pass(round(1...1), entries: 1, source: (0, 0)) }
  }

  @Test("held operations come back in order, also from the file they went to when they were many")
  func heldOperations() async throws {
    let pool = ReadPool(threads: 1, queued: 4)
    defer { pool.stop() }
    func operation(_ number: Int) -> PlannedOperation {
      PlannedOperation(
        key: Array("\(number)".utf8) + [UInt8](repeating: 7, count: 1500),
        change: number % 3 == 0 ? .delete : .put(valueBytes: number * 1000),
        expectation: number % 2 == 0 ? .any : .digest(SHA256.digest([])))
    }
    for count in [0, 1, 7000] {
      var held = HeldOperations()
      for number in 0..<count {
        try held.append(operation(number))
        try await held.spillIfFull(on: pool)
      }
      #expect(held.count == count)
      var next = 0
      try await held.takeAll(on: pool) { batch in
        #expect(batch == batch.indices.map { operation(next + $0) })
        next += batch.count
      }
      #expect(next == count && held.count == 0)
    }
  }
}
