public import Logging
public import StreamDiffCore
public import StreamDiffStorage
import Synchronization

/// One voter with a data directory: proposals go through the log, are committed, applied to the state,
/// and only then answered.
///
///     propose ─▶ ProposalQueue ─▶ log thread ─▶ ApplyQueue ─▶ apply thread ─▶ completions
///                (bounded)        one fdatasync  (bounded)     one batch
///                                 per group
///
/// The log is dropped only through what a flush of the state covers. A failed write or sync of either
/// is final: the replica says why and takes nothing more.
public final class Replica: Sendable {
  public struct Configuration: Sendable {
    public var directory: String
    public var nodeID = NodeID(1)
    public var limits = ReplicaLimits()
    public var sessions = SessionExpiryPolicy()
    public var fileSystem: any FileSystem = PosixFileSystem()

    public init(directory: String) { self.directory = directory }
  }

  public let configuration: Configuration
  public let pool: ReadPool
  let store: StateStore
  /// Locked until the replica has stopped.
  private let directory: Mutex<DataDirectory?>
  private let shared: ReplicaShared
  private let progress: ApplyProgress
  private let proposals: ProposalQueue
  private let applying: ApplyQueue
  private let flusher: Flusher
  private let expirer: SessionExpirer
  private let clock = GroupClock()
  private let threads: Monitor<[WorkerThread]>

  /// Opens the directory, or makes it one, and replays what the log has beyond the state. Blocks for
  /// as long as that takes: call it on a thread that may.
  /// - Throws: `StorageError` naming the file; `ReplicaError` when replaying fails.
  public init(opening configuration: Configuration, logger: Logger) throws {
    self.configuration = configuration
    let limits = configuration.limits
    let directory = try DataDirectory(configuration.directory, fileSystem: configuration.fileSystem)
    self.directory = Mutex(directory)
    try directory.requireLog(configuration.fileSystem)
    // The log before the state: where there is a state there has been a log.
    let log = try WriteAheadLog(
      opening: directory.logPath, fileSystem: configuration.fileSystem, segmentBytes: limits.segmentBytes)
    store = try StateStore.open(directory.statePath)
    try Self.check(store, against: log, directory)
    if let tail = log.tornTail {
      logger.notice(
        "cut the torn end of the log, which nobody was told of",
        metadata: ["file": "\(tail.path)", "offset": "\(tail.offset)", "bytes": "\(tail.bytes)"])
    }
    let raft = RaftCore(
      id: configuration.nodeID, hardState: log.hardState,
      lastEntry: EntryID(log.lastIndex, term: log.lastTerm), applied: store.recoveredIndex)

    shared = ReplicaShared(raft: raft.status, logger: logger)
    progress = ApplyProgress(applied: store.recoveredIndex)
    proposals = ProposalQueue(limits: limits)
    applying = ApplyQueue(limits: limits)
    flusher = Flusher(
      store: store, proposals: proposals, threshold: limits.unflushedBytes, shared: shared)
    expirer = SessionExpirer(
      store: store, proposals: proposals, policy: configuration.sessions, clock: clock, shared: shared)
    pool = ReadPool(threads: limits.readThreads, queued: limits.queuedReads)

    let logThread = UncheckedBox(
      LogThread(
        log: log, raft: raft, proposals: proposals, applying: applying, limits: limits, shared: shared))
    let applyThread = UncheckedBox(
      ApplyThread(store: store, queue: applying, flusher: flusher, shared: shared, progress: progress))
    let ready = log.lastIndex + 1  // the noop of the new term: all before it is then applied
    let (flusher, expirer) = (flusher, expirer)
    threads = Monitor([
      WorkerThread("sd-apply") { applyThread.value.run() },
      WorkerThread("sd-log") { logThread.value.run() },
      WorkerThread("sd-flush") { flusher.run() },
    ])
    do {
      try progress.wait(for: ready)
    } catch {
      join(ReplicaError(.unavailable, "the replica could not start"))
      throw error
    }
    clock.start(from: store.sessions.clock)
    threads.update { $0.append(WorkerThread("sd-sessions") { expirer.run() }) }
  }

  /// The log must reach to what the state has, and begin no later than what it lacks.
  private static func check(
    _ store: StateStore, against log: WriteAheadLog, _ directory: DataDirectory
  ) throws(StorageError) {
    let applied = store.recoveredIndex
    let needed = max(applied, log.hardState.commit)
    guard log.lastIndex >= needed else {
      throw StorageError(
        .damaged, path: directory.logPath,
        "the log ends at entry \(log.lastIndex.rawValue), but \(needed.rawValue) is committed: files are missing"
      )
    }
    guard log.firstIndex <= applied + 1 else {
      throw StorageError(
        .damaged, path: directory.logPath,
        "the log begins at \(log.firstIndex.rawValue), but the state ends at \(applied.rawValue): files are missing"
      )
    }
    guard log.hardState.term >= log.lastTerm else {
      throw StorageError(
        .damaged, path: directory.logPath,
        "term \(log.hardState.term.rawValue) is before the last entry's, \(log.lastTerm.rawValue)")
    }
  }

  // MARK: Writing

  /// Puts a command on its way, or says at once why not. `completion` runs exactly once when this
  /// returns, never when it throws; commands of one caller are applied in the order of the calls.
  public func submit(
    _ command: Command, wantsView: Bool = false, completion: @escaping ProposalCompletion
  ) throws(ReplicaError) {
    if let failure = shared.failure { throw failure }
    let command = command.stamped(at: clock.now)
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

  /// The same, waiting while the queue is full.
  public func submitWaiting(
    _ command: Command, wantsView: Bool = false, completion: @escaping ProposalCompletion
  ) async throws(ReplicaError) {
    while true {
      do throws(ReplicaError) {
        return try submit(command, wantsView: wantsView, completion: completion)
      } catch  where error.code == .overloaded {
        await proposals.waitForRoom()
      }
    }
  }

  /// Proposes and waits until the command is applied.
  public func propose(_ command: Command, wantsView: Bool = false) async throws -> Applied {
    while true {
      do {
        return try await withCheckedThrowingContinuation { continuation in
          do throws(ReplicaError) {
            try submit(command, wantsView: wantsView) { continuation.resume(with: $0) }
          } catch {
            continuation.resume(throwing: error)
          }
        }
      } catch let error as ReplicaError where error.code == .overloaded {
        // Refused by the queue: a completion never says so.
        await proposals.waitForRoom()
      }
    }
  }

  // MARK: Reading

  /// The state as it is. Its trees may have dirty leaves: `refreshedView` for clean ones.
  public func view() throws -> StateView {
    if let failure = shared.failure { throw failure }
    return try store.view()
  }

  /// The state with its Merkle trees up to date, at some index at or after all that was acknowledged
  /// before. `completion` runs on the apply thread.
  /// - Parameter keyspace: whose tree; `nil` for all.
  public func refreshedView(
    of keyspace: KeyspaceName?, completion: @escaping @Sendable (Result<StateView, ReplicaError>) -> Void
  ) {
    applying.append(ApplyQueue.Refresh(keyspace: keyspace, completion: completion))
  }

  public func refreshedView(of keyspace: KeyspaceName?) async throws -> StateView {
    try await withCheckedThrowingContinuation { continuation in
      refreshedView(of: keyspace) { continuation.resume(with: $0) }
    }
  }

  // MARK: Life

  /// Why it no longer serves; `nil` while it does.
  public var failure: ReplicaError? { shared.failure }
  public func whenFailed(_ listener: @escaping @Sendable (ReplicaError) -> Void) {
    shared.whenFailed(listener)
  }
  public var counters: ReplicaCounters { shared.counters }
  public var raft: RaftCore.Status { shared.raft }
  public var applied: LogIndex { progress.applied }

  /// Takes no more proposals, brings all accepted ones to disk and into the state, writes the state
  /// out, and lets the directory go. Blocks; only the first call does anything.
  /// - Throws: the failure that ended the replica, or the flush's.
  public func stop() throws {
    guard join(ReplicaError(.unavailable, "the replica is going down")) else { return }
    defer { directory.withLock { $0 = nil } }
    if let failure = shared.failure {
      try? store.close()
      throw failure
    }
    try store.close()
  }

  /// Without `stop` the threads still end, and what they had not finished is left to the next start.
  deinit {
    proposals.close(ReplicaError(.unavailable, "the replica is gone"))
    flusher.stop()
    expirer.stop()
  }

  /// - Returns: `false` when somebody else has joined them already.
  @discardableResult
  private func join(_ reason: ReplicaError) -> Bool {
    let threads = threads.withLock { threads in
      defer { threads = [] }
      return threads
    }
    guard !threads.isEmpty else { return false }
    proposals.close(reason)
    flusher.stop()
    expirer.stop()
    for thread in threads { thread.join() }
    pool.stop()
    return true
  }
}

/// Hands a value to the one thread that will use it (hence unchecked): its maker keeps no reference.
private struct UncheckedBox<Value>: @unchecked Sendable {
  let value: Value
  init(_ value: Value) { self.value = value }
}
