import DequeModule
import StreamDiffCore
import StreamDiffStorage

/// Between the log thread and the apply thread, bounded in payload bytes.
final class ApplyQueue: Sendable {
  /// A wish to see the state with up-to-date Merkle trees; nothing is logged for it.
  struct Refresh: Sendable {
    /// `nil`: every keyspace.
    let keyspace: KeyspaceName?
    let completion: @Sendable (Result<StateView, ReplicaError>) -> Void
  }

  enum Work: Sendable {
    /// Neighbours in the log, for one batch.
    case entries([CommittedEntry])
    case refresh([Refresh])
    case finished
  }

  private struct State {
    var entries: Deque<CommittedEntry> = []
    var bytes = 0
    var refreshes: [Refresh] = []
    var closed: ReplicaError?
    var isAbandoned = false
  }

  private let limits: ReplicaLimits
  private let monitor = Monitor(State())

  init(limits: ReplicaLimits) { self.limits = limits }

  /// Blocks while the queue is full. After `abandon` the entries are answered with its reason: they are in
  /// the log, and the next start applies them.
  func append(_ entries: [CommittedEntry]) {
    let refusal: ReplicaError? = monitor.wait { state -> ReplicaError?? in
      if state.isAbandoned { return .some(state.closed) }
      guard state.bytes < limits.queuedApplyBytes else { return nil }
      return .some(nil)
    }
    if let refusal {
      let unsure = ReplicaError(.uncertain, refusal.detail)
      for entry in entries { entry.completion?(.failure(unsure)) }
      return
    }
    monitor.update { state in
      state.entries.append(contentsOf: entries)
      for entry in entries { state.bytes += entry.bytes }
    }
  }

  func append(_ refresh: Refresh) {
    let closed: ReplicaError? = monitor.update { state in
      if state.closed == nil { state.refreshes.append(refresh) }
      return state.closed
    }
    if let closed { refresh.completion(.failure(closed)) }
  }

  /// Blocks until there is work; a refresh does not wait behind entries. A batch ends at the entry that
  /// wants a view of its own index.
  func take() -> Work { monitor.wait(taken) }

  /// - Returns: `nil` when there is none now.
  func takeNow() -> Work? { monitor.withLock { taken(&$0) } }

  private func taken(_ state: inout State) -> Work? {
    if !state.refreshes.isEmpty {
      defer { state.refreshes.removeAll() }
      return .refresh(state.refreshes)
    }
    if !state.entries.isEmpty {
      var batch: [CommittedEntry] = []
      var bytes = 0
      while let next = state.entries.first, batch.count < limits.batchEntries,
        batch.isEmpty || bytes + next.bytes <= limits.batchBytes
      {
        batch.append(next)
        bytes += next.bytes
        state.entries.removeFirst()
        if next.wantsView { break }
      }
      return .entries(batch)
    }
    return state.closed == nil ? nil : .finished
  }

  /// The apply thread is done with entries of that many bytes.
  func finished(bytes: Int) { monitor.update { $0.bytes -= bytes } }

  /// No more will come; what waits is still taken.
  func close(_ reason: ReplicaError) { monitor.update { if $0.closed == nil { $0.closed = reason } } }

  /// The apply thread has failed: what waits is answered with `reason`, and so is all that comes.
  func abandon(_ reason: ReplicaError) {
    let (entries, refreshes) = monitor.update { state in
      state.closed = reason
      state.isAbandoned = true
      defer {
        state.entries.removeAll()
        state.refreshes.removeAll()
      }
      return (state.entries, state.refreshes)
    }
    let unsure = ReplicaError(.uncertain, reason.detail)
    for entry in entries { entry.completion?(.failure(unsure)) }
    for refresh in refreshes { refresh.completion(.failure(reason)) }
  }
}
