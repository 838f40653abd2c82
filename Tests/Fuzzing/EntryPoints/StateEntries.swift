import Simulator
import StreamDiffCore
import StreamDiffStorage

extension EntryPoints {
  /// What the state's engine holds, read back: `StoreKey` has the layout.
  static let state = [stateRecords]

  /// Records as parts: length of the key u8 | key | value. They are inspected, opened, read, written back as
  /// they are, and written to.
  static let stateRecords = EntryPoint(
    "state-records", shape: .parts, maximumBytes: 16 << 10, seeds: { StateSamples.all }
  ) { input, seen in
    let engine = try StateSamples.engine(of: input)
    let findings = Findings()
    var summary = StateInspection.Summary()
    do throws(StorageError) {
      try StateInspection.run(on: engine, &summary, findings: findings, meter: InspectionMeter())
    } catch {
      seen.note("inspection: \(error.code)")
      try require(error.code == .newerFormat, "\(error)")
    }
    let isWhole = findings.damageCount == 0
    seen.note(count: findings.damageCount)
    let before = try StateSamples.records(of: engine)

    let store: StateStore
    do throws(StorageError) {
      store = try StateStore.open(on: engine)
    } catch {
      try require([.damaged, .newerFormat].contains(error.code), "\(error)")
      try require(
        !isWhole || error.code == .newerFormat, "no damage is found in what does not open: \(error)")
      return seen.note("\(error.code)")
    }
    do {
      try readAll(store, summary, isWhole: isWhole, &seen)
      if isWhole {
        try writeBack(store, before)
        // The first commit of all adds its index.
        if summary.applied != nil { try requireSame(before, try StateSamples.records(of: engine)) }
      }
      try apply(to: store, &seen)
    } catch let error as StorageError {
      try require(error.code == .damaged, "\(error)")
      try require(!isWhole, "no damage is found in what cannot be read: \(error)")
      return seen.note("damaged")
    }
    guard isWhole else { return }
    let later = Findings()
    var end = StateInspection.Summary()
    try StateInspection.run(on: engine, &end, findings: later, meter: InspectionMeter())
    try require(later.damageCount == 0, "what was whole is damaged by use: \(later.damages[0].detail)")
  }

  private typealias Records = [(key: [UInt8], value: [UInt8])]

  /// Reads everything by every way there is.
  private static func readAll(
    _ store: StateStore, _ summary: StateInspection.Summary, isWhole: Bool, _ seen: inout Observation
  ) throws {
    let view = try store.view()
    try require(!isWhole || store.keyspaces == summary.keyspaces.map(\.record), "other keyspaces are found")
    for (place, keyspace) in store.keyspaces.enumerated() {
      var failures = 0
      func attempt<Value>(_ body: () throws(StorageError) -> Value) throws -> Value? {
        do throws(StorageError) {
          return try body()
        } catch {
          failures += 1
          try require(error.code == .damaged && !isWhole, "\(keyspace.name) cannot be read: \(error)")
          return nil
        }
      }
      let page = try attempt { () throws(StorageError) in
        try view.scan(in: keyspace, maximumEntries: .max, maximumBytes: .max)
      }
      let digests = try attempt { () throws(StorageError) in
        try view.digests(in: keyspace, ranges: [(lower: [], upper: nil)])
      }
      let position = try attempt { () throws(StorageError) in try view.position(of: keyspace) }
      for record in digests?.prefix(4) ?? [] {
        let value = try attempt { () throws(StorageError) in try view.get(record.key, in: keyspace) }
        try require(
          !isWhole || value??.count == record.valueBytes, "a value is not as long as its digest says")
      }
      seen.note(count: failures)
      guard isWhole, let page, let digests, let position else { continue }
      try require(page.isLast && page.entries.map(\.key) == digests.map(\.key), "entries and digests differ")
      try require(position.entries == digests.count, "\(position.entries) entries where \(digests.count) are")
      try require(position == summary.keyspaces[place].position, "the inspection finds another position")
      seen.note(count: position.entries)
    }
  }

  /// Writes what was read as if it were new, in one batch.
  private static func writeBack(_ store: StateStore, _ records: Records) throws {
    let transaction = try store.transaction()
    let view = try store.view()
    for keyspace in store.keyspaces {
      let values = try view.scan(in: keyspace, maximumEntries: .max, maximumBytes: .max).entries
      let digests = try view.digests(in: keyspace, ranges: [(lower: [], upper: nil)])
      for (entry, record) in zip(values, digests) {
        try transaction.put(
          key: entry.key.span, value: entry.value.span, digest: record.digest, in: keyspace)
      }
      _ = try transaction.position(of: keyspace)
    }
    for record in records where record.key.starts(with: [4, 4]) {
      guard let id = SessionID(bytes: Array(record.key.dropFirst(2))),
        let session = try transaction.session(id)
      else { throw LawBroken("a session that is whole is not there") }
      try transaction.put(session)
    }
    try store.commit(transaction, appliedIndex: store.appliedIndex, term: store.appliedTerm)
  }

  private static func requireSame(_ before: Records, _ after: Records) throws {
    // A mark of a change is taken away by reading what changed; the format is brought up to date.
    let isMarked = before.contains { $0.key.first == 3 && $0.value.first == 1 }
    let isCompared = { (key: [UInt8]) in key != [4, 0] && !(isMarked && key.first == 3) }
    let (old, new) = (before.filter { isCompared($0.key) }, after.filter { isCompared($0.key) })
    for (one, other) in zip(old, new) where one != other {
      throw LawBroken("record \(one) becomes \(other)")
    }
    try require(old.count == new.count, "\(old.count) records become \(new.count)")
  }

  /// Commands on top of it, as a log brings them.
  private static func apply(to store: StateStore, _ seen: inout Observation) throws(StorageError) {
    let transaction = try store.transaction()
    var machine = StateMachine()
    var target = transaction
    var index = store.appliedIndex
    for command in Samples.commandValues {
      index = index + 1
      if case .refused = try machine.apply(command, at: index, to: &target) { seen.note("refused") }
    }
    for keyspace in store.keyspaces { _ = try transaction.position(of: keyspace) }
    try store.commit(transaction, appliedIndex: index, term: store.appliedTerm)
  }
}

enum StateSamples {
  static func engine(of input: [UInt8]) throws(StorageError) -> any StateEngine {
    let engine = try MemoryEngine("state", opening: EngineImage())
    let batch = engine.makeBatch()
    for part in Shape.parts.split(input) where part.count > 3 {
      let key = part.dropFirst(3).prefix(Int(part[2]))
      batch.put(Array(key), Array(part[key.endIndex...]))
    }
    try engine.write(batch, .stateBatch)
    return engine
  }

  static func records(of engine: any StateEngine) throws(StorageError) -> [(key: [UInt8], value: [UInt8])] {
    var records: [(key: [UInt8], value: [UInt8])] = []
    let iterator = engine.latest.iterator()
    withUnsafeTemporaryAllocation(byteCount: 1, alignment: 1) {
      iterator.seek(UnsafeRawBufferPointer(rebasing: $0[..<0]))
    }
    while iterator.isValid {
      records.append((Array(iterator.key), Array(iterator.value)))
      iterator.next()
    }
    try iterator.check()
    return records
  }

  static let all = [
    [], image(Samples.commandValues), image(Array(Samples.commandValues.prefix(4))),
    image([.noop] + [filling(70), .seal(.default)]), image([filling(150), .seal(.default), filling(3)]),
  ]

  private static func filling(_ count: Int) -> Command {
    let operations = (0..<count).map {
      Operation(
        key: Array("key-\(100_000 + $0)".utf8), change: .put(value: Array(repeating: 7, count: $0 % 9)))
    }
    return .operations(
      OperationBatch(keyspace: .default, kind: .plain, operations: Samples.encoded(operations)))
  }

  /// What an engine holds after these commands.
  private static func image(_ commands: [Command]) -> [UInt8] {
    do {
      let engine = try MemoryEngine("state", opening: EngineImage())
      let store = try StateStore.open(on: engine)
      var transaction = try store.transaction()
      var machine = StateMachine()
      for (place, command) in commands.enumerated() {
        _ = try machine.apply(command, at: LogIndex(UInt64(place) + 1), to: &transaction)
      }
      try store.commit(transaction, appliedIndex: LogIndex(UInt64(commands.count)), term: Term(1))
      return try records(of: engine).flatMap { Shape.parts.part([UInt8($0.key.count)] + $0.key + $0.value) }
    } catch {
      preconditionFailure("a state in memory fails: \(error)")
    }
  }
}
