import StreamDiffCore
import StreamDiffStorage

/// Owns the state's writes: puts many committed entries into one batch, commits it, and only then
/// answers those who wait.
final class ApplyThread {
  private let store: StateStore
  private var machine = StateMachine()
  private let queue: ApplyQueue
  private let flusher: Flusher
  private let shared: ReplicaShared
  private let progress: ApplyProgress
  private var applied: LogIndex
  private var term: Term

  init(
    store: StateStore, queue: ApplyQueue, flusher: Flusher, shared: ReplicaShared, progress: ApplyProgress
  ) {
    self.store = store
    self.queue = queue
    self.flusher = flusher
    self.shared = shared
    self.progress = progress
    applied = store.recoveredIndex
    term = store.recoveredTerm
  }

  /// Runs until the queue is closed and empty, or the state fails, which is final.
  func run() { while step(queue.take()) {} }

  /// - Returns: whether there may be more to do.
  func step(_ work: ApplyQueue.Work) -> Bool {
    switch work {
    case .entries(let entries):
      do {
        try apply(entries)
        return true
      } catch {
        let reason = fail(error)
        let unsure = ReplicaError(.uncertain, reason.detail)
        for entry in entries { entry.completion?(.failure(unsure)) }
        return false
      }
    case .refresh(let refreshes):
      do {
        try refresh(refreshes)
        return true
      } catch {
        let reason = fail(error)
        for refresh in refreshes { refresh.completion(.failure(reason)) }
        return false
      }
    case .finished:
      // Who waits for entries that did not come waits no longer.
      progress.fail(shared.failure ?? ReplicaError(.unavailable, "the replica has stopped"))
      return false
    }
  }

  private func apply(_ entries: [CommittedEntry]) throws {
    guard let last = entries.last else { return }
    precondition(
      entries[0].index == applied + 1, "apply left the order: \(entries[0].index) after \(applied)")
    var outcomes: [StateMachine.Outcome] = []
    outcomes.reserveCapacity(entries.count)
    var transaction = try store.transaction()
    for entry in entries {
      outcomes.append(try machine.apply(entry.command, at: entry.index, to: &transaction))
    }
    try store.commit(transaction, appliedIndex: last.index, term: last.term)
    countUpkeep(of: transaction)
    (applied, term) = (last.index, last.term)
    let view = last.wantsView ? try store.view() : nil

    count(outcomes)
    let bytes = entries.reduce(0) { $0 + $1.bytes }
    queue.finished(bytes: bytes)
    progress.reached(applied)
    for (entry, outcome) in zip(entries, outcomes) {
      guard let completion = entry.completion else { continue }
      let isLast = entry.index == last.index
      completion(.success(Applied(index: entry.index, outcome: outcome, view: isLast ? view : nil)))
    }
    flusher.applied(bytes: bytes)
  }

  /// Brings trees up to date between two entries. Nothing but tree upkeep changes.
  private func refresh(_ refreshes: [ApplyQueue.Refresh]) throws {
    let transaction = try store.transaction()
    var damaged: [KeyspaceName: ReplicaError] = [:]
    for keyspace in store.keyspaces {
      let isWanted = refreshes.contains { $0.keyspace == nil || $0.keyspace == keyspace.name }
      guard isWanted else { continue }
      do {
        _ = try transaction.position(of: keyspace)
      } catch {
        guard error.code == .damaged else { throw error }
        // Its tree stays as it was: who asks for it is told, and the other keyspaces are served.
        shared.noteDamage(error)
        damaged[keyspace.name] = ReplicaError(.damaged, "\(error)")
      }
    }
    try store.commit(transaction, appliedIndex: applied, term: term)
    countUpkeep(of: transaction)
    let view = try store.view()
    for refresh in refreshes {
      let damage = refresh.keyspace.flatMap { damaged[$0] }
      refresh.completion(damage.map { .failure($0) } ?? .success(view))
    }
  }

  private func count(_ outcomes: [StateMachine.Outcome]) {
    let counters = shared.counters
    counters.batches.add(1)
    counters.appliedEntries.add(outcomes.count)
    for outcome in outcomes {
      switch outcome {
      case .applied(let operations, let conflicts): count(operations, conflicts)
      case .advanced(let advance):
        count(advance.operations, advance.conflicts)
        counters.skippedOperations.add(advance.skipped)
      case .opened: counters.openedSessions.add(1)
      case .expired(let forgotten): counters.forgottenSessions.add(forgotten)
      case .refused(.sessionExpired), .refused(.sessionUnknown): counters.expiredRefusals.add(1)
      case .refused(.superseded), .refused(.gap): counters.supersededRefusals.add(1)
      case .none, .refused, .sealed: break
      }
    }
  }

  private func count(_ operations: Int, _ conflicts: [Ordinal]) {
    shared.counters.appliedOperations.add(operations)
    if !conflicts.isEmpty { shared.counters.conflicts.add(conflicts.count) }
  }

  private func countUpkeep(of transaction: StateStoreTransaction) {
    guard transaction.nodesHashed > 0 else { return }
    shared.counters.merkleRecords.add(transaction.recordsRead)
    shared.counters.merkleNodes.add(transaction.nodesHashed)
  }

  private func fail(_ error: any Error) -> ReplicaError {
    shared.fail("the state failed", error)
    let reason = shared.failure ?? ReplicaError(.unavailable, "\(error)")
    queue.abandon(reason)
    progress.fail(reason)
    return reason
  }
}
