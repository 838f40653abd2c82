import StreamDiffCore

/// How far the state has come, for those who wait for it.
final class ApplyProgress: Sendable {
  private struct State {
    var applied: LogIndex
    var failure: ReplicaError?
  }

  private let monitor: Monitor<State>

  init(applied: LogIndex) { monitor = Monitor(State(applied: applied)) }

  var applied: LogIndex { monitor.withLock { $0.applied } }

  func reached(_ index: LogIndex) { monitor.update { $0.applied = index } }

  func fail(_ reason: ReplicaError) { monitor.update { $0.failure = reason } }

  /// Blocks the thread until `index` is applied.
  func wait(for index: LogIndex) throws(ReplicaError) {
    let failure: ReplicaError? = monitor.wait { state -> ReplicaError?? in
      if let failure = state.failure { return .some(failure) }
      return state.applied >= index ? .some(nil) : nil
    }
    if let failure { throw failure }
  }
}
