import DequeModule
import StreamDiffCore
import StreamDiffStorage

/// Owns the log and the Raft core: takes every proposal that waits, appends them, syncs once, and
/// hands what is committed to the apply thread, which works on it while the next group is synced.
final class LogThread {
  private let log: WriteAheadLog
  private var raft: RaftCore
  private let proposals: ProposalQueue
  private let applying: ApplyQueue
  private let limits: ReplicaLimits
  private let counters: ReplicaCounters
  private let shared: ReplicaShared
  private let disk: DiskWatch
  /// Bytes logged since the disk was asked for its free space.
  private var unsampledBytes = 0

  /// Between two questions to the disk: as much as any floor can bear.
  private static let sampleBytes = 1 << 20

  /// Proposals in the log that are not committed yet, in order; the first one's index.
  private var pending: Deque<Proposal> = []
  private var firstPending = LogIndex.zero
  /// Entries below were in the log before this process: they are read from there.
  private let firstOwn: LogIndex
  /// Of the step under way: proposals that the core does not have yet.
  private var unlogged: [Proposal] = []

  init(
    log: WriteAheadLog, raft: RaftCore, proposals: ProposalQueue, applying: ApplyQueue,
    limits: ReplicaLimits, disk: DiskWatch, shared: ReplicaShared
  ) {
    self.log = log
    self.raft = raft
    self.proposals = proposals
    self.applying = applying
    self.limits = limits
    self.shared = shared
    self.disk = disk
    counters = shared.counters
    firstOwn = log.lastIndex + 1
  }

  /// Runs until the queue is closed and empty, or the log fails, which is final.
  func run() {
    guard start() else { return }
    while step(proposals.take { log.prepareSpares() }) {}
  }

  /// Begins the term, and hands over what the log has beyond the state.
  /// - Returns: whether to go on.
  func start() -> Bool {
    do {
      try settle()
      return true
    } catch {
      fail(error)
      return false
    }
  }

  /// For moments without work.
  func idle() { log.prepareSpares() }

  /// - Returns: whether to go on.
  func step(_ work: ProposalQueue.Work) -> Bool {
    unlogged = work.proposals
    do {
      // What nobody wrote yet is refused once anything has failed: nothing happened to it.
      if let failure = shared.failure { refuse(failure) }
      if let through = work.dropThrough { try log.drop(through: through) }
      try propose(unlogged)
    } catch {
      fail(error)
      return false
    }
    guard work.isLast else { return true }
    log.close()
    applying.close(ReplicaError(.unavailable, "the replica has stopped"))
    return false
  }

  private func propose(_ group: [Proposal]) throws {
    guard !group.isEmpty else { return }
    guard let first = raft.propose(group.map(\.payload)) else {
      return refuse(ReplicaError(.unavailable, "this replica is not the leader"))
    }
    if pending.isEmpty { firstPending = first.index }
    pending.append(contentsOf: group)
    unlogged.removeAll()
    try settle()
  }

  /// Does what the core asks until it asks for nothing: everything proposed is then durable.
  private func settle() throws {
    while let ready = raft.takeReady() {
      if let hardState = ready.hardState { try log.save(hardState) }
      if !ready.entries.isEmpty { try log.append(ready.entries) }
      if ready.hardState != nil || !ready.entries.isEmpty {
        try log.sync()
        counters.syncs.add(1)
        let bytes = ready.entries.reduce(0) { $0 + $1.payload.count }
        counters.loggedBytes.add(bytes)
        sampleDisk(after: bytes)
        raft.persisted(through: log.lastIndex)
      }
      shared.update(raft.status)
      if let committed = ready.committed { try handOver(committed) }
    }
  }

  private func sampleDisk(after bytes: Int) {
    unsampledBytes += bytes
    guard unsampledBytes >= Self.sampleBytes else { return }
    unsampledBytes = 0
    disk.sample()
  }

  private func handOver(_ committed: ClosedRange<LogIndex>) throws {
    var next = committed.lowerBound
    while next <= committed.upperBound {
      if next < firstOwn {
        next = try replay(from: next, to: min(committed.upperBound + 1, firstOwn))
      } else if pending.isEmpty || next < firstPending {
        // The core's own entry, the noop of its term.
        let end = pending.isEmpty ? committed.upperBound + 1 : min(firstPending, committed.upperBound + 1)
        next = try replay(from: next, to: end)
      } else {
        next = handOverPending(through: committed.upperBound)
      }
    }
  }

  private func handOverPending(through last: LogIndex) -> LogIndex {
    let count = min(Int(last + 1 - firstPending), pending.count)
    var entries: [CommittedEntry] = []
    entries.reserveCapacity(count)
    for place in 0..<count {
      let proposal = pending.removeFirst()
      entries.append(
        CommittedEntry(
          index: firstPending + UInt64(place), term: raft.status.term, command: proposal.command,
          bytes: proposal.payload.count, wantsView: proposal.wantsView, completion: proposal.completion))
    }
    firstPending = firstPending + UInt64(count)
    applying.append(entries)
    return firstPending
  }

  /// Reads one run of entries from the log. The apply queue's bound keeps a long replay small.
  /// - Returns: where the next run begins.
  private func replay(from start: LogIndex, to end: LogIndex) throws -> LogIndex {
    let entries = try log.entries(start..<end, maximumBytes: limits.replayBytes)
    var run: [CommittedEntry] = []
    for entry in entries {
      run.append(
        CommittedEntry(
          index: entry.index, term: entry.term, command: try Self.decode(entry, log),
          bytes: entry.payload.count,
          wantsView: false, completion: nil))
    }
    guard let last = entries.last else {
      throw StorageError(.damaged, "the log lacks entry \(start.rawValue), which is committed")
    }
    applying.append(run)
    return last.index + 1
  }

  private static func decode(_ entry: LogEntry, _ log: WriteAheadLog) throws -> Command {
    do {
      return try Command(decoding: entry.payload)
    } catch {
      throw StorageError(.damaged, "log entry \(entry.index.rawValue) holds no command: \(error.detail)")
    }
  }

  /// A failed log is never written again: whether a sync that failed left its bytes on disk or not,
  /// nobody can tell.
  private func fail(_ error: any Error) {
    shared.fail("the log failed", error)
    let reason = shared.failure ?? ReplicaError(.unavailable, "\(error)")
    proposals.close(reason)
    let unsure = ReplicaError(.uncertain, reason.detail)
    for proposal in pending { proposal.completion(.failure(unsure)) }
    pending.removeAll()
    refuse(reason)
    for proposal in proposals.takeNow()?.proposals ?? [] { proposal.completion(.failure(reason)) }
    applying.close(reason)
  }

  private func refuse(_ reason: ReplicaError) {
    for proposal in unlogged { proposal.completion(.failure(reason)) }
    unlogged.removeAll()
  }
}
