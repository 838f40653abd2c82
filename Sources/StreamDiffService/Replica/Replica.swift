public import Logging
public import StreamDiffCore
public import StreamDiffStorage

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
    /// Opens the state in a directory, creating it where the log needs none.
    public var openState:
      @Sendable (_ directory: String, _ demand: StateDemand) throws(StorageError) -> StateStore = {
        (directory, demand) throws(StorageError) in try StateStore.open(directory, for: demand)
      }
    /// Free bytes below which no write is taken; see `DiskFloor`.
    public var diskFloor: UInt64?

    public init(directory: String) { self.directory = directory }
  }

  public let configuration: Configuration
  public let pool: ReadPool
  private let workers: ReplicaWorkers
  private let expirer: SessionExpirer
  private let clock = GroupClock()
  private let threads: Monitor<[WorkerThread]>

  var store: StateStore { workers.store }
  private var shared: ReplicaShared { workers.shared }
  private var progress: ApplyProgress { workers.progress }
  private var proposals: ProposalQueue { workers.proposals }
  private var applying: ApplyQueue { workers.applying }
  private var disk: DiskWatch { workers.disk }

  /// Opens the directory, or makes it one, and replays what the log has beyond the state. Blocks for
  /// as long as that takes: call it on a thread that may.
  /// - Throws: `StorageError` naming the file; `ReplicaError` when replaying fails.
  public init(opening configuration: Configuration, logger: Logger) throws {
    self.configuration = configuration
    let limits = configuration.limits
    let workers = try ReplicaWorkers(opening: configuration, preparesSpares: true, logger: logger)
    self.workers = workers
    expirer = SessionExpirer(
      store: workers.store, proposals: workers.proposals, policy: configuration.sessions, clock: clock,
      shared: workers.shared)
    pool = ReadPool(threads: limits.readThreads, queued: limits.queuedReads)
    let (log, apply) = (UncheckedBox(workers.log), UncheckedBox(workers.apply))
    let (flusher, expirer) = (workers.flusher, expirer)
    threads = Monitor([
      WorkerThread("sd-apply") { apply.value.run() },
      WorkerThread("sd-log") { log.value.run() },
      WorkerThread("sd-flush") { flusher.run() },
    ])
    do {
      try workers.progress.wait(for: workers.ready)
    } catch {
      join(ReplicaError(.unavailable, "the replica could not start"))
      throw error
    }
    clock.start(from: store.sessions.clock)
    threads.update { $0.append(WorkerThread("sd-sessions") { expirer.run() }) }
  }

  // MARK: Writing

  /// Puts a command on its way, or says at once why not. `completion` runs exactly once when this
  /// returns, never when it throws; commands of one caller are applied in the order of the calls.
  public func submit(
    _ command: Command, wantsView: Bool = false, completion: @escaping ProposalCompletion
  ) throws(ReplicaError) {
    try workers.submit(command.stamped(at: clock.now), wantsView: wantsView, completion: completion)
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

  /// Why it takes no writes though it serves; `nil` while it takes them.
  public var readOnly: ReplicaError? { disk.refusal }

  /// Why it no longer serves; `nil` while it does.
  public var failure: ReplicaError? { shared.failure }
  public func whenFailed(_ listener: @escaping @Sendable (ReplicaError) -> Void) {
    shared.whenFailed(listener)
  }
  /// Counts and logs it, if it is a read that met damage.
  func noteDamage(_ error: any Error) { shared.noteDamage(error) }
  public var counters: ReplicaCounters { shared.counters }
  public var raft: RaftCore.Status { shared.raft }
  public var applied: LogIndex { progress.applied }

  /// Takes no more proposals, brings all accepted ones to disk and into the state, writes the state
  /// out, and lets the directory go. Blocks; only the first call does anything.
  /// - Throws: the failure that ended the replica, or the flush's.
  public func stop() throws {
    guard join(ReplicaError(.unavailable, "the replica is going down")) else { return }
    try workers.close()
  }

  /// Without `stop` the threads still end, and what they had not finished is left to the next start.
  deinit {
    workers.finish(ReplicaError(.unavailable, "the replica is gone"))
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
    workers.finish(reason)
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

extension Command {
  /// Whether a disk without space to spare has none for it: deletions are records too.
  var addsBytes: Bool {
    switch self {
    case .operations, .createKeyspace: true
    case .noop, .openSession, .expireSessions, .seal: false
    }
  }
}
