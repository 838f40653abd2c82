import Simulator
import StreamDiffCore
import StreamDiffService
import StreamDiffStorage
import Synchronization

/// A law that a run broke.
struct Broken: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// One replica on a virtual disk, its workers stepped in the order that a seed says: proposed to, killed at
/// any call, cut off from power, opened again; all of it in one thread, all of it the code that serves.
///
/// After each crash the state is opened alone first, without the log: what it holds must be the model at
/// exactly the index that it says.
struct SimulatedReplica {
  let disk: VirtualDisk
  private var random: SeededRandom
  private let configuration: Replica.Configuration
  private var names: [KeyspaceName]

  /// Every entry that the log may hold, in order, and what a replica must hold after each.
  private var entries: [Command] = []
  private var models = [ModelState()]
  private var outcomes: [ModelState.Answer] = []
  /// Of the group, as commands carry it.
  private var clock = GroupTime.zero
  private let sessions = (1...4).map { SessionID(high: 0, low: $0) }
  /// Submitted and not taken by the log's worker.
  private var waiting: [Command] = []
  /// Applied by somebody, or acknowledged: may never be gone.
  private var promised = LogIndex.zero
  private let answers = Answers()
  private(set) var lives = 0

  /// What completions said, in order.
  final class Answers: Sendable {
    let list = Mutex<[Result<Applied, ReplicaError>]>([])
    func take() -> [Result<Applied, ReplicaError>] {
      list.withLock { list in
        defer { list = [] }
        return list
      }
    }
  }

  init(seed: Seed) {
    disk = VirtualDisk(seed: seed.number)
    random = SeededRandom(seed: seed.number &+ 0x5eed)
    var configuration = Replica.Configuration(directory: "data")
    configuration.use(disk)
    configuration.limits.segmentBytes = 12 << 10
    configuration.limits.unflushedBytes = .random(in: 1...4000, using: &random)
    configuration.limits.batchEntries = .random(in: 1...6, using: &random)
    configuration.limits.replayBytes = .random(in: 0...2000, using: &random)
    self.configuration = configuration
    names = ["one", "two", "three"].compactMap { KeyspaceName($0) }
  }

  /// So many processes, one after another.
  mutating func run(lives: Int) throws {
    for life in 0..<lives {
      // The last one ends in peace: all that is left must come back.
      let isLast = life == lives - 1
      if !isLast { disk.die(after: .random(in: 0...Int.random(in: 2...160, using: &random), using: &random)) }
      try live(steps: isLast ? 30 : 1000)
      try crash()
    }
  }

  /// One process: until it dies, fails, or has done enough.
  mutating func live(steps: Int) throws {
    lives += 1
    waiting = []
    let workers: ReplicaWorkers
    do {
      workers = try ReplicaWorkers(opening: configuration, preparesSpares: false, logger: .quiet)
    } catch {
      if disk.isDead { return }
      guard let failed = disk.failed.first else { throw Broken("cannot be opened: \(error)") }
      return try checkReason("\(error)", of: failed)
    }
    try adopt(workers)
    if workers.start() == .ended { return try ended(workers) }
    for _ in 0..<steps {
      guard try step(workers) else { return }
    }
    if Bool.random(using: &random) { try stop(workers) }
  }

  /// The log that a crash left is what the model believes, or the beginning of it.
  private mutating func adopt(_ workers: ReplicaWorkers) throws {
    let last = Int(workers.ready.rawValue) - 1
    guard last >= Int(promised.rawValue) else {
      throw Broken("\(promised.rawValue) entries were applied, the log holds \(last)")
    }
    guard last <= entries.count else {
      throw Broken("the log holds \(last) entries, \(entries.count) were written")
    }
    truncate(to: last)
    append([.noop])
  }

  private mutating func truncate(to count: Int) {
    entries.removeLast(entries.count - count)
    outcomes.removeLast(outcomes.count - count)
    models.removeLast(models.count - count - 1)
  }

  private mutating func append(_ commands: [Command]) {
    for command in commands {
      var model = models[models.count - 1]
      outcomes.append(model.apply(command, at: LogIndex(UInt64(models.count))))
      entries.append(command)
      models.append(model)
    }
  }

  /// - Returns: whether the process goes on.
  private mutating func step(_ workers: ReplicaWorkers) throws -> Bool {
    let step: ReplicaWorkers.Step
    switch Int.random(in: 0..<20, using: &random) {
    case 0..<7:
      try submit(to: workers)
      step = .done
    case 7..<12:
      append(waiting)
      waiting = []
      step = workers.stepLog()
    case 12..<17: step = workers.stepApply()
    case 17, 18: step = workers.stepFlush()
    default:
      workers.idleLog()
      step = .done
    }
    try hear(workers)
    if step == .ended || disk.isDead || hasFailedSync {
      try ended(workers)
      return false
    }
    return true
  }

  private var hasFailedSync: Bool {
    disk.failed.contains { if case .sync = $0.call { true } else { false } }
  }

  private func checkReason(_ reason: String, of failed: FailedCall) throws {
    guard reason.contains(failed.call.name), reason.contains(failed.path) else {
      throw Broken("\(failed) failed, and the reason given is: \(reason)")
    }
  }

  private mutating func submit(to workers: ReplicaWorkers) throws {
    let command = try command()
    let answers = answers
    do {
      try workers.submit(command, wantsView: Int.random(in: 0..<6, using: &random) == 0) { answer in
        answers.list.withLock { $0.append(answer) }
      }
      waiting.append(command)
    } catch  where workers.failure == nil {
      throw Broken("refused by a replica that serves: \(error)")
    } catch {}
  }

  /// Every answer is true, and stays true.
  private mutating func hear(_ workers: ReplicaWorkers) throws {
    for answer in answers.take() {
      switch answer {
      case .success(let applied):
        let place = Int(applied.index.rawValue) - 1
        guard outcomes.indices.contains(place), outcomes[place].matches(applied.outcome) else {
          throw Broken("entry \(applied.index.rawValue) was answered \(applied.outcome)")
        }
        if let view = applied.view { try check(view, at: applied.index) }
        promised = max(promised, applied.index)
      case .failure(let error):
        guard workers.failure != nil else { throw Broken("a replica that serves answered \(error)") }
      }
    }
    promised = max(promised, workers.applied)
    try checkSessions(of: workers.store, at: workers.store.appliedIndex)
  }

  /// A worker has ended: nothing is served from here on.
  private mutating func ended(_ workers: ReplicaWorkers) throws {
    try hear(workers)
    guard let reason = workers.failure else {
      guard disk.isDead || !disk.failed.isEmpty else { throw Broken("a worker ended for no reason") }
      // Of a spare: noticed at the next call of the log.
      try submit(to: workers)
      append(waiting)
      waiting = []
      _ = workers.stepLog()
      try hear(workers)
      guard workers.failure != nil else { throw Broken("\(disk.failed) failed and the replica serves on") }
      return try afterwards(workers)
    }
    guard !disk.isDead || reason.detail.contains("stopped serving") else { throw Broken(reason.detail) }
    try afterwards(workers)
  }

  /// What is left of a process after its replica failed: it takes nothing, and does not try again.
  private mutating func afterwards(_ workers: ReplicaWorkers) throws {
    let before = disk.calls.count
    let synced = promised
    append(waiting)
    waiting = []
    do {
      try workers.submit(try command(), completion: { _ in })
      throw Broken("took a proposal after: \(workers.failure?.detail ?? "")")
    } catch is ReplicaError {}
    for _ in 0..<4 {
      _ = workers.stepLog()
      _ = workers.stepApply()
      _ = workers.stepFlush()
      workers.idleLog()
    }
    try hear(workers)
    guard !disk.isDead, let failed = disk.failed.first else { return }
    try? workers.close()
    try checkReason(workers.failure?.detail ?? "", of: failed)
    guard !disk.calls[before...].contains(failed.call) else { throw Broken("\(failed) was tried again") }
    if case .sync(.logRecord) = failed.call, promised > synced {
      // What was handed over before may still be answered; nothing behind it.
      guard Int(promised.rawValue) <= entries.count else { throw Broken("answered behind the failure") }
    }
  }

  private mutating func stop(_ workers: ReplicaWorkers) throws {
    workers.finish(ReplicaError(.unavailable, "the replica is going down"))
    append(waiting)
    waiting = []
    while workers.stepLog() != .ended {}
    while workers.stepApply() != .ended {}
    try hear(workers)
    do { try workers.close() } catch  where disk.isDead || !disk.failed.isEmpty { return }
    guard promised == LogIndex(UInt64(entries.count)) else {
      throw Broken("stopped with entries not applied")
    }
  }

  /// The process or the machine ends; the state is looked at alone.
  private mutating func crash() throws {
    _ = answers.take()
    if Bool.random(using: &random) { disk.kill() } else { disk.losePower() }
    let waited = disk.largestSync(of: .logSegmentHeader)
    guard waited <= 4096 else { throw Broken("the sync of a segment's header had to write \(waited) bytes") }
    try checkState()
    try checkMissingSegment()
  }

  /// Without replay: index, keyspaces, entries, digest records and Merkle leaves agree with each other.
  private func checkState() throws {
    guard let names = try? disk.list("data/state"), !names.isEmpty else { return }
    let store = try StateStore.open(on: disk.copy().engine("data/state"))
    guard Int(store.recoveredIndex.rawValue) < models.count else {
      throw Broken("the state is at \(store.recoveredIndex.rawValue), the log had \(entries.count) entries")
    }
    try check(store.view(), at: store.recoveredIndex)
    try checkSessions(of: store, at: store.recoveredIndex)
  }

  private func checkSessions(of store: StateStore, at index: LogIndex) throws {
    let model = models[Int(index.rawValue)].sessions
    guard store.sessions == model.table else { throw Broken("session table at \(index.rawValue)") }
    do {
      for id in sessions {
        guard try store.session(id) == model.records[id] else {
          throw Broken("session \(id) at \(index.rawValue)")
        }
      }
      let oldest = model.records.values.map(\.used).min { $0.index < $1.index }
      guard try store.oldestSessions().oldest == oldest else { throw Broken("uses at \(index.rawValue)") }
    } catch let error as StorageError where error.code == .closed {}
  }

  private func check(_ view: StateView, at index: LogIndex) throws {
    let model = models[Int(index.rawValue)]
    guard view.index == index else { throw Broken("a view of \(view.index.rawValue), not \(index.rawValue)") }
    let expected = model.keyspaces.map { KeyspaceRecord(id: $1.id, name: $0, kind: $1.kind) }
    guard view.keyspaces == expected.sorted(by: { $0.name < $1.name }) else {
      throw Broken("keyspaces \(view.keyspaces) at \(index.rawValue)")
    }
    for keyspace in view.keyspaces {
      let place = "keyspace \(keyspace.name) at \(index.rawValue)"
      let sorted = model.sorted(keyspace.name)
      let page = try view.scan(in: keyspace, maximumEntries: .max, maximumBytes: .max)
      guard page.entries.elementsEqual(sorted, by: { $0.key == $1.key && $0.value == $1.value }) else {
        throw Broken("\(place): entries")
      }
      let digests = try view.digests(in: keyspace, ranges: [([], nil)])
      guard
        digests.elementsEqual(
          sorted, by: { $0.key == $1.key && $0.digest == ModelState.digest($1.key, $1.value) })
      else { throw Broken("\(place): digest records") }
      guard try view.position(of: keyspace) == model.position(of: keyspace.name) else {
        throw Broken("\(place): Merkle leaves")
      }
    }
  }

  /// A log whose last segment is gone with what it held must not pass for a whole one.
  private mutating func checkMissingSegment() throws {
    guard Int.random(in: 0..<3, using: &random) == 0 else { return }
    let copy = disk.copy()
    guard let last = copy.files(in: "data/wal").last(where: { $0.contains("/log-") }) else { return }
    copy.erase(last)
    var configuration = configuration
    configuration.use(copy)
    configuration.limits.segmentBytes = self.configuration.limits.segmentBytes
    guard
      let workers = try? ReplicaWorkers(opening: configuration, preparesSpares: false, logger: .quiet)
    else { return }
    guard workers.ready > promised else {
      throw Broken("\(last) was removed, and a replica starts without \(promised.rawValue)")
    }
  }

  private mutating func command() throws -> Command {
    let name = names[.random(in: 0..<names.count, using: &random)]
    clock = clock + .milliseconds(Int.random(in: 0...60, using: &random))
    let session = sessions[.random(in: 0..<sessions.count, using: &random)]
    let known = models[models.count - 1].sessions.records[session]
    switch Int.random(in: 0..<18, using: &random) {
    case 0: return .seal(name)
    case 2:
      let opening = SessionOpening(session, resumes: Bool.random(using: &random))
      return .openSession(opening).stamped(at: clock)
    case 3:
      return .expireSessions(
        SessionExpiry(
          now: clock, idleSince: clock - .milliseconds(900),
          usedBefore: LogIndex(UInt64(entries.count + Int.random(in: 0...3, using: &random))),
          forgetBefore: clock - .milliseconds(1800)))
    case 1: return .createKeyspace(name, Bool.random(using: &random) ? .plain : .directory)
    default: break
    }
    var operations: [Operation] = []
    for _ in 0..<Int.random(in: 1...5, using: &random) {
      let key = Array("key \(Int.random(in: 0..<70, using: &random))".utf8)
      let stored = models[models.count - 1].keyspaces[name]?.values[key]
      let expectation: Expectation =
        switch Int.random(in: 0..<4, using: &random) {
        case 0: stored.map { .digest(ModelState.digest(key, $0)) } ?? .absent
        case 1: .absent
        default: .any
        }
      let value = [UInt8](
        repeating: .random(in: 0...255, using: &random), count: .random(in: 0...120, using: &random))
      let isPut = Int.random(in: 0..<4, using: &random) > 0
      operations.append(
        Operation(key: key, expectation: expectation, change: isPut ? .put(value: value) : .delete))
    }
    let encoded = try EncodedOperations(operations)
    guard Int.random(in: 0..<5, using: &random) < 3 else {
      return .operations(OperationBatch(keyspace: name, kind: .plain, operations: encoded))
    }
    // What was sent before, in part or all of it; what comes next; or, rarely, what comes too early.
    let next = (known?.lastOrdinal.rawValue ?? 0) + 2
    let first = max(1, next - min(next, UInt64.random(in: 0...5, using: &random)))
    return .operations(
      OperationBatch(
        keyspace: name, kind: .plain, session: session, firstOrdinal: Ordinal(first),
        fence: known?.fence ?? .zero, operations: encoded)
    ).stamped(at: clock)
  }
}
