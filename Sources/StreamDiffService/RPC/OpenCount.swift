import Synchronization

/// Counts what is open, by name, and lets others wait until nothing is.
final class OpenCount: Sendable {
  /// Proof of having entered, to be given back once.
  struct Ticket: Hashable, Sendable { fileprivate let number: UInt64 }

  private struct State {
    var names: [UInt64: String] = [:]
    var last: UInt64 = 0
    var hasGivenUp = false
    var waiters: [CheckedContinuation<Void, Never>] = []
  }

  private let state = Mutex(State())

  /// What is open, in the order it was opened.
  var names: [String] { state.withLock { $0.names.sorted { $0.key < $1.key }.map(\.value) } }

  func enter(_ name: String) -> Ticket {
    state.withLock { state in
      state.last += 1
      state.names[state.last] = name
      return Ticket(number: state.last)
    }
  }

  func leave(_ ticket: Ticket) {
    resume { state in
      let name = state.names.removeValue(forKey: ticket.number)
      precondition(name != nil, "left more often than entered")
      return state.names.isEmpty
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
        if state.names.isEmpty || state.hasGivenUp { return true }
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
