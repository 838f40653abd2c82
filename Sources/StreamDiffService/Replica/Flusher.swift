import StreamDiffCore
import StreamDiffStorage

/// Writes the state out beside everything else, and only then lets the log go: noted index first,
/// flush, drop.
final class Flusher: Sendable {
  private struct State {
    var unflushed = 0
    var isStopped = false
  }

  private let store: StateStore
  private let proposals: ProposalQueue
  private let threshold: Int
  private let shared: ReplicaShared
  private let disk: DiskWatch
  private let monitor: Monitor<State>

  /// - Parameter threshold: logged bytes that the state's files may lack. What is replayed at the start
  ///   counts, since it is applied again.
  init(
    store: StateStore, proposals: ProposalQueue, threshold: Int, disk: DiskWatch, shared: ReplicaShared
  ) {
    self.store = store
    self.proposals = proposals
    self.threshold = threshold
    self.disk = disk
    self.shared = shared
    monitor = Monitor(State())
  }

  /// The apply thread committed entries of that many bytes to the state.
  func applied(bytes: Int) {
    let isDue = monitor.withLock { state in
      state.unflushed += bytes
      return state.unflushed >= threshold
    }
    if isDue { monitor.update { _ in } }
  }

  func stop() { monitor.update { $0.isStopped = true } }

  /// Runs until stopped or a flush fails, which is final: a store that cannot write its files must
  /// not take more.
  func run() {
    while true {
      // Without work it looks at the disk, once a second.
      let due = monitor.wait(for: .seconds(1), isDue)
      disk.sample()
      guard due ?? true else { return }
      if due != nil, !step() { return }
    }
  }

  /// - Returns: whether a flush is due now.
  func takeNow() -> Bool { monitor.withLock { isDue(&$0) } ?? false }

  /// - Returns: whether to go on.
  func step() -> Bool {
    do {
      let covered = try store.flush()
      shared.counters.flushes.add(1)
      proposals.drop(through: covered)
      return true
    } catch {
      shared.fail("the state cannot be flushed", error)
      if let reason = shared.failure { proposals.close(reason) }
      return false
    }
  }

  /// True: a flush is due, and counts as begun. False: stopped.
  private func isDue(_ state: inout State) -> Bool? {
    if state.isStopped { return false }
    guard state.unflushed >= threshold else { return nil }
    state.unflushed = 0
    return true
  }
}
