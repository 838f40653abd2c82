import Logging
import StreamDiffCore
import Synchronization

/// What the replica's threads tell each other and the services: counters, Raft's status, and whether
/// it still serves. A failure is final.
final class ReplicaShared: Sendable {
  private struct State {
    var raft: RaftCore.Status
    var failure: ReplicaError?
    var onFailure: [@Sendable (ReplicaError) -> Void] = []
  }

  let counters = ReplicaCounters()
  private let logger: Logger
  private let state: Mutex<State>
  private let hasFailed = Atomic<Bool>(false)

  init(raft: RaftCore.Status, logger: Logger) {
    self.logger = logger
    state = Mutex(State(raft: raft))
  }

  var raft: RaftCore.Status { state.withLock { $0.raft } }

  func update(_ status: RaftCore.Status) { state.withLock { $0.raft = status } }

  /// Why the replica no longer serves; `nil` while it does. Cheap enough for every request.
  var failure: ReplicaError? {
    guard hasFailed.load(ordering: .acquiring) else { return nil }
    return state.withLock { $0.failure }
  }

  /// The first failure counts; later ones are its echo.
  func fail(_ reason: String) {
    let error = ReplicaError(.unavailable, "this replica has stopped serving: \(reason)")
    let listeners: [@Sendable (ReplicaError) -> Void]? = state.withLock { state in
      guard state.failure == nil else { return nil }
      state.failure = error
      hasFailed.store(true, ordering: .releasing)
      return state.onFailure
    }
    guard let listeners else { return }
    logger.critical("\(error.detail)")
    for listener in listeners { listener(error) }
  }

  /// Calls `listener` once, when the replica fails, or now if it has.
  func whenFailed(_ listener: @escaping @Sendable (ReplicaError) -> Void) {
    let failure = state.withLock { state in
      if state.failure == nil { state.onFailure.append(listener) }
      return state.failure
    }
    if let failure { listener(failure) }
  }
}
