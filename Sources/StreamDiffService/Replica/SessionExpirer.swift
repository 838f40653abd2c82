import StreamDiffCore
import StreamDiffStorage

/// Looks from time to time for sessions that nobody uses any more, and proposes that they expire.
final class SessionExpirer: Sendable {
  private struct State {
    var isStopped = false
    /// To the command that is under way.
    var answer: Result<Applied, ReplicaError>?
  }

  private let store: StateStore
  private let proposals: ProposalQueue
  private let policy: SessionExpiryPolicy
  private let clock: GroupClock
  private let shared: ReplicaShared
  private let monitor = Monitor(State())

  init(
    store: StateStore, proposals: ProposalQueue, policy: SessionExpiryPolicy, clock: GroupClock,
    shared: ReplicaShared
  ) {
    (self.store, self.proposals, self.policy) = (store, proposals, policy)
    (self.clock, self.shared) = (clock, shared)
  }

  func stop() { monitor.update { $0.isStopped = true } }

  /// Runs until stopped or the state cannot be read, which is final.
  func run() {
    while monitor.wait(for: policy.period, { $0.isStopped ? true : nil }) == nil {
      do {
        while let command = try due(), expires(command) {}
      } catch {
        if error.code != .closed { shared.fail("the sessions cannot be read", error) }
        return
      }
    }
  }

  private func due() throws(StorageError) -> Command? {
    guard store.sessions.records > 0 else { return nil }
    let (oldest, alive) = try store.oldestSessions()
    return policy.command(
      now: clock.now, next: store.appliedIndex + 1, oldest: oldest, oldestAlive: alive)
  }

  /// Blocks until the command is applied.
  /// - Returns: whether more may be due at once.
  private func expires(_ command: Command) -> Bool {
    let proposal = Proposal(command: command, payload: command.encode(), wantsView: false) { result in
      self.monitor.update { $0.answer = result }
    }
    do {
      try proposals.append(proposal)
    } catch {
      return false  // busy, or going down: the next look will find it again
    }
    let answer = monitor.wait { $0.answer.take() }
    guard case .success(let applied) = answer, case .expired(let forgotten) = applied.outcome else {
      return false
    }
    return forgotten == SessionExpiry.forgottenAtOnce
  }
}
