public import StreamDiffCore
import Synchronization

/// A sender's session over all its connections: what one of them leaves to the next.
public final class SessionCourse: Sendable {
  private struct State {
    var id: SessionID
    var hasBegun = false
    var lastSequence: UInt64 = 0
    var acknowledged = Ordinal.zero
    var progress: UInt64 = 0
  }

  private let state: Mutex<State>

  public init(_ id: SessionID) { state = Mutex(State(id: id)) }

  public var id: SessionID { state.withLock { $0.id } }

  /// Operations acknowledged, or taken in, so far: whether an attempt came to anything.
  public var progress: UInt64 { state.withLock { $0.progress } }

  /// A receiver has opened it.
  var hasBegun: Bool { state.withLock { $0.hasBegun } }
  func begun() { state.withLock { $0.hasBegun = true } }

  /// Of the last chunk sent.
  var lastSequence: UInt64 { state.withLock { $0.lastSequence } }
  func sent(_ sequence: UInt64) { state.withLock { $0.lastSequence = sequence } }

  var acknowledged: Ordinal { state.withLock { $0.acknowledged } }

  func acknowledged(through ordinal: Ordinal) {
    state.withLock { state in
      guard ordinal > state.acknowledged else { return }
      state.progress += ordinal - state.acknowledged
      state.acknowledged = ordinal
    }
  }

  func applied(_ operations: Int) { state.withLock { $0.progress += UInt64(operations) } }

  /// The receiver no longer knows it: another takes its place.
  func startAnew(as id: SessionID) {
    state.withLock { state in
      let progress = state.progress
      state = State(id: id)
      state.progress = progress
    }
  }
}
