import NIOCore
import Synchronization

/// Work for one event loop from other threads. However much is posted while the loop is busy, it
/// costs one wake-up, and every connection that it touches is flushed once.
///
/// Bounded by what posts: a call has at most one letter for its answer or for its pipe.
final class LoopMailbox: Sendable {
  typealias Letter = @Sendable () -> Void

  private struct Waiting {
    var letters: [Letter] = []
    var isScheduled = false
  }

  let loop: any EventLoop
  private let waiting = Mutex(Waiting())
  /// Connections with output to pump once all letters are read. Touched on the loop alone.
  private let touched: NIOLoopBoundBox<[HTTP2Connection]>

  /// May be made anywhere.
  init(for loop: any EventLoop) {
    self.loop = loop
    touched = NIOLoopBoundBox.makeBoxSendingValue([], eventLoop: loop)
  }

  func post(_ letter: @escaping Letter) {
    let isFirst = waiting.withLock { waiting in
      waiting.letters.append(letter)
      defer { waiting.isScheduled = true }
      return !waiting.isScheduled
    }
    if isFirst { loop.execute { self.drain() } }
  }

  /// On the loop: does `body`, and reads the letters that it caused, and came meanwhile, without a turn of the loop
  /// between: a message that a task here answers is answered in one go.
  func burst(_ body: () -> Void) {
    let isOurs = waiting.withLock { waiting in
      defer { waiting.isScheduled = true }
      return !waiting.isScheduled
    }
    body()
    if isOurs { drain() }
  }

  /// On the loop, while a letter is read: `connection` has something to send.
  func touch(_ connection: HTTP2Connection) {
    touched.value.append(connection)
  }

  /// Letters that letters cause are read at once, in so many rounds; then sockets have their turn.
  private static let rounds = 4

  private func drain() {
    var hasMore = true
    for _ in 0..<Self.rounds where hasMore {
      let letters: [Letter] = waiting.withLock { waiting in
        waiting.isScheduled = !waiting.letters.isEmpty
        return exchange(&waiting.letters, with: [])
      }
      hasMore = !letters.isEmpty
      for letter in letters { letter() }
    }
    if hasMore { loop.execute { self.drain() } }
    for connection in exchange(&touched.value, with: []) { connection.pump() }
  }
}

/// Tasks may run on the loop too: what they send and take then needs no change of thread.
extension LoopMailbox: TaskExecutor {
  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    post { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
  }
}
