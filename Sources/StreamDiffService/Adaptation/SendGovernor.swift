import StreamDiffCore
import Synchronization

/// A `Governor` at work: sessions wait here for what they may send. One for all sending sessions of a server; one
/// for those of a client.
///
/// Nobody is suspended while nothing limits: what that costs is a lock and a look at the clock for each chunk.
public final class SendGovernor: Sendable {
  /// Where waiting takes its time from.
  public struct Time: Sendable {
    /// Since any moment. It never moves back.
    public var now: @Sendable () -> Duration
    /// Returns at that time, or throws when cancelled.
    public var sleep: @Sendable (_ until: Duration) async throws -> Void

    public init(
      now: @escaping @Sendable () -> Duration,
      sleep: @escaping @Sendable (_ until: Duration) async throws -> Void
    ) {
      (self.now, self.sleep) = (now, sleep)
    }

    public static var continuous: Time {
      let start = ContinuousClock.now
      return Time {
        start.duration(to: .now)
      } sleep: {
        try await Task.sleep(until: start + $0, clock: .continuous)
      }
    }
  }

  /// Somebody who may not send yet.
  private enum Waiter {
    /// On its way to be suspended: told later, or granted before it got there.
    case arriving
    case granted
    /// To be told whether it may send.
    case suspended(CheckedContinuation<Bool, Never>)
  }

  private struct State {
    var governor = Governor()
    var waiting: [Governor.Place: Waiter] = [:]
    /// Looks again at that time.
    var timer: (time: Duration, task: Task<Void, Never>)?
  }

  private let time: Time
  private let state = Mutex(State())
  private let told = Count()

  public init(time: Time = .continuous) { self.time = time }

  /// Bytes per second of all sessions together while they are slowed for commits; `nil` while they are not.
  public var rate: Double? { state.withLock { $0.governor.rate } }

  /// Bytes per second of all sessions together, lately.
  public var sentRate: Double { state.withLock { $0.governor.sentRate(now: time.now()) } }
  /// How often it has slowed them for commits.
  public var slowdowns: UInt64 { state.withLock { $0.governor.slowdowns } }

  /// Places that are taken, and how many of them wait.
  public var sessions: Int { state.withLock { $0.governor.count } }
  public var waiting: Int { state.withLock { $0.waiting.count } }
  /// Latencies that it was told.
  public var commits: UInt64 { told.value }

  /// A write that is no part of a transfer was applied, so long after it was accepted.
  public func committed(in latency: Duration) {
    told.add(1)
    update { governor, now in governor.committed(in: latency, now: now) }
  }

  /// - Returns: the session's place, until it leaves or lets it go.
  func join(rateMax: ByteRate?) -> Place {
    Place(self, state.withLock { $0.governor.join(rateMax: rateMax, now: time.now()) })
  }

  /// A session's, used by one task at a time.
  final class Place: Sendable {
    private let governor: SendGovernor
    private let place: Governor.Place

    fileprivate init(_ governor: SendGovernor, _ place: Governor.Place) {
      (self.governor, self.place) = (governor, place)
    }

    deinit { leave() }

    /// Returns when so many bytes may be sent.
    /// - Throws: `CancellationError` when it has left.
    func wait(toSend bytes: Int) async throws { try await governor.wait(place, toSend: bytes) }

    /// Holds for who waits, too.
    func change(rateMax: ByteRate?) {
      governor.update { [place] governor, now in governor.change(place, rateMax: rateMax, now: now) }
    }

    /// What has held it back since this was last asked.
    func takeHold() -> Governor.Hold? { governor.state.withLock { $0.governor.takeHold(place) } }

    /// Gives it back, and ends a wait.
    func leave() {
      let waiter = governor.state.withLock { state in
        state.governor.leave(place)
        return state.waiting.removeValue(forKey: place)
      }
      if case .suspended(let continuation) = waiter { continuation.resume(returning: false) }
      governor.update { _, _ in }
    }
  }

  private func wait(_ place: Governor.Place, toSend bytes: Int) async throws {
    let isFree = try state.withLock { state in
      guard state.governor.contains(place) else { throw CancellationError() }
      if state.governor.ask(place, for: bytes, now: time.now()) { return true }
      state.waiting[place] = .arriving
      return false
    }
    if isFree { return }
    update { _, _ in }
    let isGranted = await withCheckedContinuation { continuation in
      let answer: Bool? = state.withLock { state in
        guard case .arriving = state.waiting[place] else {
          return state.waiting.removeValue(forKey: place) != nil
        }
        state.waiting[place] = .suspended(continuation)
        return nil
      }
      if let answer { continuation.resume(returning: answer) }
    }
    if !isGranted { throw CancellationError() }
  }

  /// Lets those go who may send now, and sees to it that somebody looks when the next may.
  private func update(_ body: (inout Governor, Duration) -> Void) {
    let granted = state.withLock { state in
      let now = time.now()
      body(&state.governor, now)
      var granted: [CheckedContinuation<Bool, Never>] = []
      for place in state.governor.grants(now: now) {
        if case .suspended(let continuation) = state.waiting.removeValue(forKey: place) {
          granted.append(continuation)
        } else {
          state.waiting[place] = .granted
        }
      }
      schedule(&state)
      return granted
    }
    for continuation in granted { continuation.resume(returning: true) }
  }

  private func schedule(_ state: inout State) {
    guard let next = state.governor.nextGrant() else {
      state.timer?.task.cancel()
      state.timer = nil
      return
    }
    if let timer = state.timer, timer.time <= next { return }
    state.timer?.task.cancel()
    let task = Task { [weak self, time] in
      do { try await time.sleep(next) } catch { return }
      self?.fired(at: next)
    }
    state.timer = (next, task)
  }

  private func fired(at time: Duration) {
    state.withLock { state in if state.timer?.time == time { state.timer = nil } }
    update { _, _ in }
  }
}
