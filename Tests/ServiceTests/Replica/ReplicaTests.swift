import Simulator
import StreamDiffCore
import StreamDiffService
import StreamDiffStorage
import Synchronization
import Testing

@Suite struct ReplicaTests {
  @Test("what is acknowledged is visible at once, at the acknowledged index")
  func readsOwnWrites() async throws {
    let directory = ReplicaDirectory()
    let replica = try Replica.test(.test(directory))
    for number in 1...20 {
      let applied = try await replica.write("key", "value \(number)")
      #expect(try replica.read("key") == "value \(number)")
      #expect(replica.applied >= applied.index)
    }
    try await replica.write("key", nil)
    #expect(try replica.read("key") == nil)
    try replica.stop()
  }

  @Test("commands of one caller are applied in the order of the calls, whatever the grouping")
  func order() async throws {
    let directory = ReplicaDirectory()
    let replica = try Replica.test(.test(directory))
    let indices = Mutex<[LogIndex]>([])
    await withCheckedContinuation { continuation in
      for number in 1...2000 {
        let command = try! Command.write("key", "\(number)")
        try! replica.submit(command) { result in
          indices.withLock { $0.append(try! result.get().index) }
          if number == 2000 { continuation.resume() }
        }
      }
    }
    let seen = indices.withLock { $0 }
    #expect(seen == seen.sorted() && seen.count == 2000)
    #expect(try replica.read("key") == "2000")
    // Group commit: far fewer syncs than proposals.
    #expect(replica.counters.proposals.value == 2000)
    #expect(replica.counters.syncs.value < 2000)
    try replica.stop()
  }

  @Test("a replica whose log fails while it starts says so and is not waited for", .timeLimit(.minutes(1)))
  func failsAtStart() throws {
    for call in [DiskCall.sync(.logRecord), .change(.logRecordWrite)] {
      let disk = VirtualDisk()
      disk.fail(call)
      #expect(throws: ReplicaError.self, "\(call)") { try Replica.test(.test(on: disk)) }
    }
  }

  @Test("everything acknowledged is there after a restart, stopped in order or not")
  func recovery() async throws {
    let directory = ReplicaDirectory()
    var last = LogIndex.zero
    for round in 1...4 {
      let replica = try Replica.test(.test(directory))
      for earlier in 1..<round {
        #expect(try replica.read("round \(earlier)") == "kept")
        #expect(try replica.read("both") == "\(round - 1)")
      }
      let applied = try await replica.write("round \(round)", "kept")
      #expect(applied.index > last)
      last = try await replica.write("both", "\(round)").index
      try replica.stop()
      await expectFailure(ReplicaError.self) { try await replica.write("late", "no") }
    }
  }

  @Test("the log is dropped only through what a flush covers, and the state survives on what is left")
  func flushAndDrop() async throws {
    let directory = ReplicaDirectory()
    var configuration = Replica.Configuration.test(directory)
    configuration.limits.unflushedBytes = 4 << 20
    configuration.limits.segmentBytes = 2 << 20
    let value = String(repeating: "x", count: 100_000)
    do {
      let replica = try Replica.test(configuration)
      for number in 0..<300 { try await replica.write("key \(number)", value) }
      #expect(replica.counters.flushes.value > 0)
      try replica.stop()
    }
    let log = try WriteAheadLog(opening: configuration.directory + "/wal")
    #expect(log.firstIndex > LogIndex(1))
    log.close()
    let replica = try Replica.test(configuration)
    for number in 0..<300 { #expect(try replica.read("key \(number)") == value) }
    try replica.stop()
  }

  @Test("a sync that fails is final: nothing is acknowledged, nothing more is taken, and it says why")
  func failedSync() async throws {
    let disk = VirtualDisk()
    let configuration = Replica.Configuration.test(on: disk)
    let replica = try Replica.test(configuration)
    let told = Mutex<[String]>([])
    replica.whenFailed { reason in told.withLock { $0.append(reason.detail) } }
    try await replica.write("before", "kept")
    disk.fail(.sync(.logRecord))
    let error = await expectFailure(ReplicaError.self) { try await replica.write("lost", "?") }
    #expect(error?.code == .uncertain)
    let next = await expectFailure(ReplicaError.self) { try await replica.write("more", "?") }
    #expect(next?.code == .unavailable)
    #expect(next?.detail.contains("Input/output error") == true)
    let reasons = told.withLock { $0 }
    #expect(reasons.count == 1)
    #expect(throws: ReplicaError.self) { try replica.view() }
    #expect(throws: (any Error).self) { try replica.stop() }

    disk.kill()
    let again = try Replica.test(configuration)
    #expect(try again.read("before") == "kept")
    try again.stop()
  }

  @Test("proposals over the queue's bound are refused at once, and a waiting proposer gets its turn")
  func bounds() async throws {
    let directory = ReplicaDirectory()
    var configuration = Replica.Configuration.test(directory)
    configuration.limits.queuedProposals = 4
    configuration.limits.queuedProposalBytes = 1 << 10
    let replica = try Replica.test(configuration)
    let answered = Mutex(0)
    var refused = 0
    for number in 0..<5000 {
      do {
        try replica.submit(.write("key \(number)", "value")) { _ in answered.withLock { $0 += 1 } }
      } catch {
        #expect((error as? ReplicaError)?.code == .overloaded)
        refused += 1
      }
    }
    #expect(replica.counters.refusedProposals.value == UInt64(refused))
    try await withThrowingTaskGroup { group in
      for number in 0..<100 { group.addTask { try await replica.write("waiting \(number)", "value") } }
      try await group.waitForAll()
    }
    for number in 0..<100 { #expect(try replica.read("waiting \(number)") == "value") }
    try replica.stop()
    let total = answered.withLock { $0 }
    #expect(total == 5000 - refused)
  }

  @Test("a stop answers everything that was accepted")
  func stopAnswers() async throws {
    let directory = ReplicaDirectory()
    let replica = try Replica.test(.test(directory))
    let answered = Mutex(0)
    for number in 0..<1000 {
      try replica.submit(.write("key \(number)", "value")) { result in
        if case .success = result { answered.withLock { $0 += 1 } }
      }
    }
    try replica.stop()
    let total = answered.withLock { $0 }
    #expect(total == 1000)
    let again = try Replica.test(.test(directory))
    #expect(try again.read("key 999") == "value")
    try again.stop()
  }

  @Test("a seal's view is the state at its own index, whatever was proposed behind it")
  func sealView() async throws {
    let directory = ReplicaDirectory()
    let replica = try Replica.test(.test(directory))
    try await replica.write("a", "1")
    async let sealed = replica.propose(.seal(.default), wantsView: true)
    for number in 0..<50 { try await replica.write("b \(number)", "2") }
    let applied = try await sealed
    guard case .sealed(let position) = applied.outcome, let view = applied.view else {
      Issue.record("not sealed: \(applied.outcome)")
      return
    }
    #expect(view.index == applied.index)
    let record = try #require(view.keyspace(named: .default))
    #expect(try view.position(of: record) == position)
    let refreshed = try await replica.refreshedView(of: .default)
    #expect(try refreshed.position(of: record).entries == 51)
    try replica.stop()
  }
}
