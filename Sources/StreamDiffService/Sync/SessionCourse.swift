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
    var retreat = ChunkRetreat()
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

  /// Plain bytes of a chunk, where larger ones did not get through; else `nil`.
  var chunkLimit: Int? { state.withLock { $0.retreat.limit } }

  /// A connection has come as far as chunks may leave; what came of those before is known.
  func connectionBegan() { state.withLock { $0.retreat.begin(progress: $0.progress) } }

  /// - Parameter bytes: plain, of a chunk that leaves, or is waited for.
  func sends(chunk bytes: Int) { state.withLock { $0.retreat.sends(bytes) } }

  /// - Returns: whether larger chunks may be tried now.
  @discardableResult
  func gotThrough(_ bytes: Int) -> Bool {
    state.withLock { state in
      let before = state.retreat.limit
      state.retreat.gotThrough(bytes)
      return state.retreat.limit != before
    }
  }

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
      let (progress, retreat) = (state.progress, state.retreat)
      state = State(id: id)
      (state.progress, state.retreat) = (progress, retreat)
    }
  }
}
