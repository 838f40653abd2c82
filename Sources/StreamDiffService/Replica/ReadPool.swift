import DequeModule
import NIOPosix
import Synchronization

/// A few threads for what may block: reads of state, records and values, and bulk hashing.
///
/// Short jobs of unary calls are bounded in number and taken several at a time, so that a thread that
/// woke up once serves all that came meanwhile.
public final class ReadPool: Sendable {
  public typealias Job = @Sendable () -> Void
  /// Jobs that one turn of a thread takes: more would keep long jobs of sessions waiting.
  private static let jobsPerTurn = 64

  private struct State {
    var jobs: Deque<Job> = []
    /// Turns that are scheduled or run.
    var turns = 0
  }

  private let pool: NIOThreadPool
  private let threads: Int
  private let queued: Int
  private let state = Mutex(State())
  private let running = Atomic<Int>(0)

  /// Jobs of sessions run or wait for a thread.
  var isBusy: Bool { running.load(ordering: .relaxed) > 0 }

  /// - Parameter queued: short jobs that may wait.
  public init(threads: Int, queued: Int) {
    self.threads = threads
    self.queued = queued
    pool = NIOThreadPool(numberOfThreads: threads)
    pool.start()
  }

  /// - Returns: `false` when too many wait: the job will not run.
  public func submit(_ job: @escaping Job) -> Bool {
    let (isTaken, needsTurn) = state.withLock { state in
      guard state.jobs.count < queued else { return (false, false) }
      state.jobs.append(job)
      guard state.turns < threads else { return (true, false) }
      state.turns += 1
      return (true, true)
    }
    if needsTurn { schedule() }
    return isTaken
  }

  /// Runs a longer job of a session, which has at most a few at a time.
  public func run<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
    running.add(1, ordering: .relaxed)
    defer { running.subtract(1, ordering: .relaxed) }
    return try await pool.runIfActive(body)
  }

  /// Blocks until running jobs have ended.
  public func stop() { try? pool.syncShutdownGracefully() }

  private func schedule() {
    // A stopped pool cancels the turn; what waits is answered all the same.
    pool.submit { _ in self.turn() }
  }

  private func turn() {
    var taken: [Job] = []
    let isMore = state.withLock { state in
      while taken.count < Self.jobsPerTurn, let job = state.jobs.popFirst() { taken.append(job) }
      let isMore = !state.jobs.isEmpty
      if !isMore { state.turns -= 1 }
      return isMore
    }
    for job in taken { job() }
    if isMore { schedule() }
  }
}
