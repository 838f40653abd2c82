import StreamDiffCore
import Synchronization

/// The group's time as this replica counts it: what its state carries, and what has passed since. It never
/// moves back and asks no wall clock; while no replica runs it stands still.
final class GroupClock: Sendable {
  private let origin: Mutex<(time: GroupTime, at: ContinuousClock.Instant)>

  init() { origin = Mutex((.zero, .now)) }

  /// Goes on from what the state has come to.
  func start(from time: GroupTime) { origin.withLock { $0 = (max(time, $0.time), .now) } }

  var now: GroupTime {
    let origin = origin.withLock { $0 }
    return origin.time + origin.at.duration(to: .now)
  }
}
