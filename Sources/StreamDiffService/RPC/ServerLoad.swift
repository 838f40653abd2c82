import Synchronization

/// What the connections of a server hold together. Each reports its own part at the end of a burst.
final class ServerLoad: Sendable {
  private let held = Atomic<Int>(0)
  private let unsent = Atomic<Int>(0)
  private let calls = Atomic<Int>(0)

  /// Of one connection, or of all.
  struct Part: Hashable, Sendable {
    /// Bytes received and not taken.
    var held = 0
    /// Bytes queued and not sent.
    var unsent = 0
    var calls = 0
  }

  var all: Part {
    Part(
      held: held.load(ordering: .relaxed), unsent: unsent.load(ordering: .relaxed),
      calls: calls.load(ordering: .relaxed))
  }

  /// A part is no longer `before` but `now`.
  func report(_ now: Part, before: Part) {
    if now.held != before.held { held.add(now.held - before.held, ordering: .relaxed) }
    if now.unsent != before.unsent { unsent.add(now.unsent - before.unsent, ordering: .relaxed) }
    if now.calls != before.calls { calls.add(now.calls - before.calls, ordering: .relaxed) }
  }
}
