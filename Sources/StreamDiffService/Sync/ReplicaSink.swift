import DequeModule
public import StreamDiffCore
import StreamDiffStorage
import Synchronization

/// Puts what a session brings through the replica's log: runs are gathered into commands of about
/// 1 MiB, a few of which are under way at once, in order.
public final class ReplicaSink: SyncSink {
  public typealias Done = @Sendable (Result<AppliedRun, any Error>) -> Void

  /// Operation bytes of one command.
  private static let commandBytes = 1 << 20
  /// Commands under way: one being synced, one being applied, two that wait so that neither idles.
  private static let commandsInFlight = 4
  /// Operation bytes accepted and not yet applied: `apply` waits beyond. As many as all commands under way have,
  /// whatever the receiver's credit lets its sender have on the way.
  private static let acceptedBytes = commandsInFlight * commandBytes

  private struct Run: Sendable {
    let operations: OperationRun
    let done: Done
    var bytes: Int { operations.operations.bytes.count }
  }

  private struct State {
    var waiting: Deque<Run> = []
    var acceptedBytes = 0
    var commandsInFlight = 0
    /// A command has left `waiting` and is not in the log yet.
    var isProposing = false
    var failure: (any Error)?
    /// Of the entry that opened the session.
    var fence = LogIndex.zero
    var waiter: CheckedContinuation<Void, Never>?
  }

  private let replica: Replica
  private let keyspace: KeyspaceName
  private let kind: KeyspaceKind
  private let session: SessionID?
  private let state = Mutex(State())

  public init(replica: Replica, keyspace: KeyspaceName, kind: KeyspaceKind, session: SessionID?) {
    (self.replica, self.keyspace, self.kind, self.session) = (replica, keyspace, kind, session)
  }

  /// - Throws: `SyncError(.refused)` for a keyspace of another kind.
  public func content() async throws -> any SyncContent {
    let content = try ReplicaContent(try await replica.refreshedView(of: keyspace), keyspace: keyspace)
    if let record = content.keyspace, record.kind != kind {
      throw SyncError(.refused, "\(StateMachine.Refusal.wrongKind(keyspace, is: record.kind))")
    }
    return content
  }

  /// A sender that brings operations opens its session: with that, what its older connections still have
  /// under way is refused. Equal roots bring none.
  /// - Throws: `SyncError` when the session has expired, or too many are remembered.
  public func open(for sender: Hello?) async throws -> SinkOpening {
    let content = try await content()
    guard let sender, let session, !sender.isCompareOnly, sender.root != content.tree.root else {
      return SinkOpening(content: content)
    }
    try sender.check(is: .sender, of: keyspace, kind: kind)
    let outcome = try await replica.propose(.openSession(SessionOpening(session, resumes: sender.resumes)))
      .outcome
    switch outcome {
    case .opened(let record):
      state.withLock { $0.fence = record.fence }
      return SinkOpening(
        content: try await self.content(), lastOrdinal: record.lastOrdinal, conflicts: record.conflicts)
    case .refused(let refusal): throw SyncError(refusal)
    case .none, .applied, .advanced, .expired, .sealed:
      preconditionFailure("a session was opened as \(outcome)")
    }
  }

  public func apply(_ run: OperationRun, done: @escaping Done) async throws {
    try state.withLock { state in
      if let failure = state.failure { throw failure }
      state.waiting.append(Run(operations: run, done: done))
      state.acceptedBytes += run.operations.bytes.count
    }
    await pump()
    await wait { $0.acceptedBytes <= Self.acceptedBytes }
  }

  public func seal() async throws -> any SyncContent {
    await pump()
    await wait { $0.failure != nil || $0.waiting.isEmpty && !$0.isProposing }
    if let failure = state.withLock({ $0.failure }) { throw failure }
    let applied = try await replica.propose(.seal(keyspace), wantsView: true)
    guard let view = applied.view else { preconditionFailure("a seal was applied without its view") }
    return try ReplicaContent(view, keyspace: keyspace)
  }

  // MARK: Runs into commands

  /// Proposes what waits, as far as the commands under way allow: one command at a time, in order.
  private func pump() async {
    while let runs = nextCommand() {
      let bytes = runs.reduce(0) { $0 + $1.bytes }
      do {
        let command = try command(of: runs)
        try await replica.submitWaiting(command) { self.finished(runs, bytes: bytes, $0) }
      } catch {
        settle(runs, bytes: bytes, .failure(error))
      }
      wake { $0.isProposing = false }
    }
  }

  private func nextCommand() -> [Run]? {
    state.withLock { state in
      guard !state.isProposing, !state.waiting.isEmpty, state.commandsInFlight < Self.commandsInFlight,
        state.failure == nil
      else { return nil }
      var runs: [Run] = []
      var bytes = 0
      while let next = state.waiting.first, runs.isEmpty || bytes + next.bytes <= Self.commandBytes {
        runs.append(next)
        bytes += next.bytes
        state.waiting.removeFirst()
      }
      state.commandsInFlight += 1
      state.isProposing = true
      return runs
    }
  }

  private func command(of runs: [Run]) throws -> Command {
    var operations = runs[0].operations.operations
    if runs.count > 1 {
      var bytes: [UInt8] = []
      bytes.reserveCapacity(runs.reduce(0) { $0 + $1.bytes })
      for run in runs { bytes += run.operations.operations.bytes }
      operations = try EncodedOperations(bytes)
    }
    return .operations(
      OperationBatch(
        keyspace: keyspace, kind: kind, session: session, firstOrdinal: runs[0].operations.firstOrdinal,
        fence: state.withLock { $0.fence }, operations: operations))
  }

  // MARK: Answers

  /// On the apply thread.
  private func finished(_ runs: [Run], bytes: Int, _ result: Result<Applied, ReplicaError>) {
    switch result {
    case .success(let applied):
      switch applied.outcome {
      case .applied(_, let conflicts):
        settle(runs, bytes: bytes, .success((applied.index, conflicts)))
      case .advanced(let advance):
        settle(runs, bytes: bytes, .success((applied.index, advance.conflicts)))
      case .refused(let refusal):
        settle(runs, bytes: bytes, .failure(SyncError(refusal)))
      case .none, .opened, .expired, .sealed:
        preconditionFailure("operations were applied as \(applied.outcome)")
      }
    case .failure(let error): settle(runs, bytes: bytes, .failure(error))
    }
    let isMore = state.withLock { !$0.waiting.isEmpty && !$0.isProposing }
    if isMore { Task { await pump() } }
  }

  private func settle(
    _ runs: [Run], bytes: Int, _ result: Result<(index: LogIndex, conflicts: [Ordinal]), any Error>
  ) {
    switch result {
    case .success(let applied):
      for run in runs {
        let first = run.operations.firstOrdinal
        let conflicts = applied.conflicts.count { $0 >= first && $0 <= run.operations.lastOrdinal }
        run.done(.success(AppliedRun(index: applied.index, conflicts: conflicts)))
      }
      wake { state in
        state.acceptedBytes -= bytes
        state.commandsInFlight -= 1
      }
    case .failure(let error):
      // Nothing may be applied behind a gap: what waits fails with it.
      var failed = runs
      wake { state in
        if state.failure == nil { state.failure = error }
        failed += state.waiting
        state.waiting.removeAll()
        state.acceptedBytes -= failed.reduce(0) { $0 + $1.bytes }
        state.commandsInFlight -= 1
      }
      for run in failed { run.done(.failure(error)) }
    }
  }

  private func wake(_ change: (inout State) -> Void) {
    let waiter = state.withLock { state in
      change(&state)
      return state.waiter.take()
    }
    waiter?.resume()
  }

  /// One caller at a time: the session's receiving task.
  private func wait(until isTrue: @escaping @Sendable (borrowing State) -> Bool) async {
    while !state.withLock({ isTrue($0) }) {
      await withCheckedContinuation { continuation in
        let isTrueNow = state.withLock { state in
          if isTrue(state) { return true }
          precondition(state.waiter == nil, "two tasks wait for one sink")
          state.waiter = continuation
          return false
        }
        if isTrueNow { continuation.resume() }
      }
    }
  }
}
