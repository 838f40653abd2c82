internal import NIOCore
internal import Synchronization

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

  /// On the loop, while a letter is read: `connection` has something to send.
  func touch(_ connection: HTTP2Connection) {
    touched.value.append(connection)
  }

  private func drain() {
    let letters = waiting.withLock { waiting in
      waiting.isScheduled = false
      return exchange(&waiting.letters, with: [])
    }
    for letter in letters { letter() }
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
