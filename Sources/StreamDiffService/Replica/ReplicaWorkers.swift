package import Logging
package import StreamDiffCore
package import StreamDiffStorage
import Synchronization

/// A replica without its threads: what its workers share, and what each of them does in one step.
/// `Replica` gives each worker a thread; a simulator calls the steps in the order that a seed says.
package final class ReplicaWorkers: @unchecked Sendable {  // each worker is used by one thread
  /// Only the parts that own a thread; everything else may be used from any.
  let log: LogThread
  let apply: ApplyThread
  let flusher: Flusher
  let proposals: ProposalQueue
  let applying: ApplyQueue
  let shared: ReplicaShared
  let progress: ApplyProgress
  let disk: DiskWatch
  package let store: StateStore
  /// What opening the log had to cut.
  package let tornTail: TornTail?
  /// The noop of the new term: once it is applied, so is all before it.
  package let ready: LogIndex
  /// Locked until `close`.
  private let directory: Mutex<DataDirectory?>

  /// Opens the directory, or makes it one.
  package init(
    opening configuration: Replica.Configuration, preparesSpares: Bool, logger: Logger
  ) throws(StorageError) {
    let directory = try DataDirectory(configuration.directory, fileSystem: configuration.fileSystem)
    var limits = configuration.limits
    limits.fit(disk: try configuration.fileSystem.space(at: directory.path).total)
    try directory.requireLog(configuration.fileSystem)
    // The log before the state: where there is a state there has been a log.
    let log = try WriteAheadLog(
      opening: directory.logPath, fileSystem: configuration.fileSystem, segmentBytes: limits.segmentBytes,
      preparesSpares: preparesSpares)
    let demand = Self.demand(of: log, directory)
    try directory.settleState(beside: demand, configuration.fileSystem)
    let store = try configuration.openState(directory.statePath, demand)
    try demand.admit(store.recoveredIndex)
    if let tail = log.tornTail {
      logger.notice(
        "cut the torn end of the log, which nobody was told of",
        metadata: ["file": "\(tail.path)", "offset": "\(tail.offset)", "bytes": "\(tail.bytes)"])
    }
    let raft = RaftCore(
      id: configuration.nodeID, hardState: log.hardState,
      lastEntry: EntryID(log.lastIndex, term: log.lastTerm), applied: store.recoveredIndex)

    self.directory = Mutex(directory)
    self.store = store
    tornTail = log.tornTail
    ready = log.lastIndex + 1
    shared = ReplicaShared(raft: raft.status, logger: logger)
    progress = ApplyProgress(applied: store.recoveredIndex)
    proposals = ProposalQueue(limits: limits)
    applying = ApplyQueue(limits: limits)
    disk = DiskWatch(
      directory.path, floor: configuration.diskFloor, limits: limits, fileSystem: configuration.fileSystem,
      logger: logger)
    disk.sample()
    flusher = Flusher(
      store: store, proposals: proposals, threshold: limits.unflushedBytes, disk: disk, shared: shared)
    self.log = LogThread(
      log: log, raft: raft, proposals: proposals, applying: applying, limits: limits, disk: disk,
      shared: shared)
    apply = ApplyThread(
      store: store, queue: applying, flusher: flusher, shared: shared, progress: progress)
  }

  /// The log must reach to what the state has, and begin no later than what it lacks.
  private static func demand(of log: WriteAheadLog, _ directory: DataDirectory) -> StateDemand {
    let (first, last, term, state) = (log.firstIndex, log.lastIndex, log.lastTerm, log.hardState)
    return StateDemand(logBegins: first) { [path = directory.logPath] (applied) throws(StorageError) in
      let misfit = LogFit.misfit(
        applied: applied, firstIndex: first, lastIndex: last, lastTerm: term, hardState: state)
      if let misfit { throw StorageError(.damaged, path: path, misfit) }
    }
  }

  // MARK: Use

  /// See `Replica.submit`.
  package func submit(
    _ command: Command, wantsView: Bool = false, completion: @escaping ProposalCompletion
  ) throws(ReplicaError) {
    if let failure = shared.failure { throw failure }
    if command.addsBytes, let refusal = disk.refusal {
      shared.counters.refusedProposals.add(1)
      throw refusal
    }
    let payload = command.encode()
    guard payload.count <= Limits.commandBytes else {
      throw ReplicaError(
        .tooLarge, "a command of \(payload.count) bytes; the limit is \(Limits.commandBytes)")
    }
    let proposal = Proposal(command: command, payload: payload, wantsView: wantsView, completion: completion)
    do throws(ReplicaError) {
      try proposals.append(proposal)
    } catch {
      shared.counters.refusedProposals.add(1)
      throw error
    }
    shared.counters.proposals.add(1)
  }

  package var failure: ReplicaError? { shared.failure }
  package var applied: LogIndex { progress.applied }

  /// No more proposals are taken; the workers finish what they have and end.
  package func finish(_ reason: ReplicaError) {
    proposals.close(reason)
    flusher.stop()
  }

  /// After the workers have ended: writes the state out, and lets the directory go.
  /// - Throws: the failure that ended the replica, or the flush's.
  package func close() throws {
    defer { directory.withLock { $0 = nil } }
    if let failure = shared.failure {
      // What is applied is in the log: the state may be written or not, and is not waited for.
      try? store.close()
      throw failure
    }
    try store.close()
  }

  // MARK: Steps

  package enum Step: Sendable {
    case done
    /// The worker has nothing to do now.
    case idle
    /// The worker has ended.
    case ended
  }

  /// First of all: the log begins its term and hands over what it has beyond the state.
  package func start() -> Step { log.start() ? .done : .ended }

  /// Takes what is proposed, syncs it and hands it to the apply worker.
  package func stepLog() -> Step {
    guard let work = proposals.takeNow() else { return .idle }
    return log.step(work) ? .done : .ended
  }

  /// What the log's worker does when there was nothing for a while.
  package func idleLog() { log.idle() }

  package func stepApply() -> Step {
    guard let work = applying.takeNow() else { return .idle }
    return apply.step(work) ? .done : .ended
  }

  package func stepFlush() -> Step {
    guard flusher.takeNow() else { return .idle }
    return flusher.step() ? .done : .ended
  }
}
