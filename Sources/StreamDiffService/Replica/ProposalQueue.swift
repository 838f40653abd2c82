import DequeModule
import StreamDiffCore

/// Between proposers and the log thread: bounded in number and bytes. The thread takes all there is,
/// so that one `fdatasync` serves everybody who waited.
final class ProposalQueue: Sendable {
  /// What the log thread does next.
  struct Work: Sendable {
    var proposals: [Proposal] = []
    /// The log up to here is covered by a flush.
    var dropThrough: LogIndex?
    /// No more will come.
    var isLast = false
  }

  private struct State {
    var proposals: [Proposal] = []
    var bytes = 0
    var dropThrough: LogIndex?
    var closed: ReplicaError?
    var waiting: Deque<CheckedContinuation<Void, Never>> = []
  }

  private let limits: ReplicaLimits
  private let monitor = Monitor(State())

  init(limits: ReplicaLimits) { self.limits = limits }

  /// - Throws: `.overloaded` over the bounds, or why the replica takes nothing.
  func append(_ proposal: Proposal) throws(ReplicaError) {
    let refusal: ReplicaError? = monitor.update { state in
      if let closed = state.closed { return closed }
      guard hasRoom(state) else {
        return ReplicaError(
          .overloaded,
          "\(state.proposals.count) proposals of \(state.bytes) bytes wait for the log: try again later")
      }
      state.proposals.append(proposal)
      state.bytes += proposal.payload.count
      return nil
    }
    if let refusal { throw refusal }
  }

  /// Returns when there was room a moment ago, or the queue is closed.
  func waitForRoom() async {
    await withCheckedContinuation { continuation in
      let isFree = monitor.withLock { state in
        if state.closed != nil || hasRoom(state) { return true }
        state.waiting.append(continuation)
        return false
      }
      if isFree { continuation.resume() }
    }
  }

  /// Blocks until there is work.
  /// - Parameter idle: called after a second without any.
  func take(idle: () -> Void) -> Work {
    let (work, waiting): Taken
    if let taken = monitor.wait(for: .seconds(1), taken) {
      (work, waiting) = taken
    } else {
      idle()
      (work, waiting) = monitor.wait(taken)
    }
    for continuation in waiting { continuation.resume() }
    return work
  }

  /// - Returns: `nil` when there is none now.
  func takeNow() -> Work? {
    guard let (work, waiting) = monitor.withLock({ taken(&$0) }) else { return nil }
    for continuation in waiting { continuation.resume() }
    return work
  }

  private typealias Taken = (Work, Deque<CheckedContinuation<Void, Never>>)

  private func taken(_ state: inout State) -> Taken? {
    guard !state.proposals.isEmpty || state.dropThrough != nil || state.closed != nil else { return nil }
    var work = Work()
    swap(&work.proposals, &state.proposals)
    swap(&work.dropThrough, &state.dropThrough)
    work.isLast = state.closed != nil
    state.bytes = 0
    defer { state.waiting.removeAll() }
    return (work, state.waiting)
  }

  /// From now on everything is refused with `reason`; what waits is still taken.
  func close(_ reason: ReplicaError) {
    let waiting = monitor.update { state in
      if state.closed == nil { state.closed = reason }
      defer { state.waiting.removeAll() }
      return state.waiting
    }
    for continuation in waiting { continuation.resume() }
  }

  /// Asks the log thread to drop what a flush covers.
  func drop(through index: LogIndex) {
    monitor.update { state in state.dropThrough = max(index, state.dropThrough ?? .zero) }
  }

  var depth: (proposals: Int, bytes: Int) { monitor.withLock { ($0.proposals.count, $0.bytes) } }

  /// A proposal of any size enters an empty queue.
  private func hasRoom(_ state: State) -> Bool {
    state.proposals.count < limits.queuedProposals && state.bytes < limits.queuedProposalBytes
  }
}
