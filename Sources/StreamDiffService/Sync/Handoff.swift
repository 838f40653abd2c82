import DequeModule
import Synchronization

/// Between two tasks of a session: one puts, one takes, and at most `capacity` elements wait.
final class Handoff<Element: Sendable>: Sendable {
  private struct State {
    var elements: Deque<Element> = []
    var isFinished = false
    var putter: CheckedContinuation<Void, Never>?
    var taker: CheckedContinuation<Void, Never>?
  }

  private let capacity: Int
  private let state = Mutex(State())

  init(capacity: Int) { self.capacity = capacity }

  /// Waits while it is full. After `finish` the element is dropped.
  func put(_ element: Element) async {
    await waitForRoom()
    let taker = state.withLock { state in
      if !state.isFinished { state.elements.append(element) }
      return state.taker.take()
    }
    taker?.resume()
  }

  /// - Returns: `nil` when it is finished and empty.
  func take() async -> Element? {
    while true {
      await withCheckedContinuation { continuation in
        let isReady = state.withLock { state in
          if !state.elements.isEmpty || state.isFinished { return true }
          precondition(state.taker == nil, "two tasks take from one handoff")
          state.taker = continuation
          return false
        }
        if isReady { continuation.resume() }
      }
      let (element, isOver, putter) = state.withLock { state in
        (state.elements.popFirst(), state.isFinished, state.putter.take())
      }
      putter?.resume()
      if let element { return element }
      if isOver { return nil }
    }
  }

  /// What waits can still be taken.
  func finish() {
    let (putter, taker) = state.withLock { state in
      state.isFinished = true
      return (state.putter.take(), state.taker.take())
    }
    putter?.resume()
    taker?.resume()
  }

  /// With one putter, room stays until it puts: what is made only then never waits beside a full queue.
  func waitForRoom() async {
    await withCheckedContinuation { continuation in
      let isFree = state.withLock { state in
        if state.isFinished || state.elements.count < capacity { return true }
        precondition(state.putter == nil, "two tasks put into one handoff")
        state.putter = continuation
        return false
      }
      if isFree { continuation.resume() }
    }
  }
}
