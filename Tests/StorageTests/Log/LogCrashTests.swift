import Simulator
import StreamDiffCore
import StreamDiffStorage
import Testing

@Suite("Crashes of the log")
struct LogCrashTests {
  /// What a log must hold after a crash: everything that a sync returned for, or what the call under way
  /// at the crash would have made of it, or that call's records written so far.
  private struct Model {
    var durable: [LogEntry] = []
    var gathered: [LogEntry] = []
    /// The last durable one, and those saved since: a record that fills up is written by itself.
    var states = [HardState()]
  }

  /// Runs a random history on `disk` until the process dies, loses power, opens again.
  /// - Returns: a complaint, or nil.
  private static func run(seed: UInt64) throws -> String? {
    var random = SeededRandom(seed: seed)
    let disk = VirtualDisk(seed: seed)
    var model = Model()
    var dropped = LogIndex.zero
    for _ in 0..<4 {
      disk.die(after: .random(in: 1...120, using: &random))
      do {
        let log = try openLog(on: disk)
        while true {
          try step(log, &model, &dropped, using: &random)
        }
      } catch let error as StorageError where error.code == .io {}
      // A killed process first, sometimes: what it had written stays, and the next one may build on it.
      disk.kill()
      if Bool.random(using: &random) {
        disk.die(after: .random(in: 1...6, using: &random))
        if let log = try? openLog(on: disk) {
          let held = try contents(log)
          model.durable = held
          model.gathered = []
          model.states = [log.hardState]
          _ = try? log.append(entries(log.lastIndex.rawValue + 1...log.lastIndex.rawValue + 1, term: 99))
        }
      }
      disk.losePower()

      let log: WriteAheadLog
      do { log = try openLog(on: disk) } catch { return "seed \(seed): \(error)" }
      let held = try contents(log)
      let first = log.firstIndex
      guard first <= dropped + 1 else { return "seed \(seed): begins at \(first), dropped \(dropped)" }
      let expected = model.durable.filter { $0.index >= first }
      let attempted = expected + model.gathered
      // Truncation at the crash: the durable part may be shortened to where it began.
      guard held == attempted.prefix(held.count).map({ $0 }), held.count >= expected.count else {
        return "seed \(seed): holds \(held.count), synced \(expected.count), attempted \(attempted.count)"
      }
      guard model.states.contains(log.hardState) else {
        return "seed \(seed): hard state \(log.hardState)"
      }
      model = Model(durable: held, states: [log.hardState])
    }
    return nil
  }

  private static func step(
    _ log: WriteAheadLog, _ model: inout Model, _ dropped: inout LogIndex,
    using random: inout SeededRandom
  ) throws {
    switch Int.random(in: 0..<10, using: &random) {
    case 0..<5:
      let next = log.lastIndex.rawValue + 1
      let count = UInt64.random(in: 0...4, using: &random)
      let batch = entries(
        next...next + count, term: log.lastTerm.rawValue, bytes: .random(in: 0...900, using: &random))
      model.gathered += batch
      try log.append(batch)
    case 5:
      let state = HardState(
        term: Term(.random(in: 1...9, using: &random)), vote: NodeID(1), commit: log.lastIndex)
      model.states.append(state)
      try log.save(state)
    case 6 where !model.durable.isEmpty:
      let index = LogIndex(.random(in: log.firstIndex.rawValue...log.lastIndex.rawValue, using: &random))
      dropped = max(dropped, min(index, model.durable[model.durable.count - 1].index))
      try log.drop(through: dropped)
      model.durable.removeAll { $0.index < log.firstIndex }
    default:
      try log.sync()
      model.durable += model.gathered
      model.gathered = []
      model.states = [log.hardState]
    }
  }

  @Test(
    "nothing synced is lost and nothing unwritten appears, whatever call the crash cuts off", arguments: 0..<8
  )
  func crashes(block: UInt64) throws {
    for seed in block * 100..<(block + 1) * 100 {
      let complaint = try Self.run(seed: seed)
      #expect(complaint == nil)
    }
  }
}
