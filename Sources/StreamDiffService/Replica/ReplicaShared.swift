import Logging
import StreamDiffCore
import StreamDiffStorage
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
  /// - Parameter cause: what failed `doing`.
  func fail(_ doing: String, _ cause: any Error) {
    var error = ReplicaError(.unavailable, "this replica has stopped serving: \(doing): \(cause)")
    error.isDamage = (cause as? StorageError)?.code == .damaged
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

  /// Counts and logs a read that met damage: it is answered so, and what is whole is served on.
  func noteDamage(_ error: any Error) {
    let isDamage =
      (error as? StorageError)?.code == .damaged || (error as? ReplicaError)?.code == .damaged
    guard isDamage else { return }
    counters.damagedReads.add(1)
    logger.error(
      "damaged data was asked for: \(error); `streamdiff check` on the stopped server names all of it")
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
