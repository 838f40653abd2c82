import Synchronization

/// Counts what is open, and lets others wait until nothing is.
final class OpenCount: Sendable {
  private struct State {
    var count = 0
    var hasGivenUp = false
    var waiters: [CheckedContinuation<Void, Never>] = []
  }

  private let state = Mutex(State())

  var count: Int { state.withLock { $0.count } }

  func enter() { state.withLock { $0.count += 1 } }

  func leave() {
    resume { state in
      state.count -= 1
      precondition(state.count >= 0, "left more often than entered")
      return state.count == 0
    }
  }

  /// Nobody waits any longer, whatever is open.
  func giveUp() {
    resume { state in
      state.hasGivenUp = true
      return true
    }
  }

  func untilNone() async {
    await withCheckedContinuation { continuation in
      let isOver = state.withLock { state in
        if state.count == 0 || state.hasGivenUp { return true }
        state.waiters.append(continuation)
        return false
      }
      if isOver { continuation.resume() }
    }
  }

  private func resume(_ change: (inout sending State) -> Bool) {
    let waiters = state.withLock { state in change(&state) ? exchange(&state.waiters, with: []) : [] }
    for waiter in waiters { waiter.resume() }
  }
}
