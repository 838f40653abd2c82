import DequeModule
import NIOCore
import StreamDiffWire
import Synchronization

/// Where a streaming call's task and its connection's event loop meet: messages both ways, how each
/// direction ends, and who waits for what. The task's side suspends; the loop's side never waits.
///
/// Bounded both ways: what is received and not taken holds flow-control credit, and `send` waits
/// while too much is unsent.
final class CallPipe: Sendable {
  /// What the loop has to do for the task: taken over as a whole, one visit for however much was done.
  struct Work {
    var messages: [ByteBuffer] = []
    var bytes = 0
    /// Bytes of the messages that the task took, with their prefixes: their credit goes back.
    var takenBytes = 0
    /// Bytes of the message that the task wants to make, if it waits for room.
    var wantedRoom = 0
    var initialMetadata: Metadata?
    var ending: Ending?
  }

  /// How the task wants its side to end, after the messages before it.
  enum Ending {
    case halfClose
    case finish(GRPCStatus, Metadata)
    case cancel
  }

  typealias Received = Result<ByteBuffer?, RPCError>

  private struct State {
    var received = Deque<ByteBuffer>()
    var receiveEnd: RPCError??
    var reader: CheckedContinuation<Received, Never>?
    var work = Work()
    var isPosted = false
    /// Unsent bytes that the loop has taken over, as of its last visit.
    var sessionBytes = 0
    var isSessionFull = false
    var sendEnd: RPCError?
    var writers: [(ticket: UInt64, continuation: CheckedContinuation<Void, Never>)] = []
    var lastTicket: UInt64 = 0
    /// Waits for room for a message that is not made yet.
    var asker: CheckedContinuation<Void, Never>?
    var head = Metadata()
    var trailers = Metadata()

    func mustWait(_ limit: Int) -> Bool {
      sendEnd == nil && (isSessionFull || sessionBytes + work.bytes >= limit)
    }
  }

  private let state = Mutex(State())
  private let sendQueueBytes: Int
  /// Credit of taken messages travels with the next visit, which need not be made for less than this
  /// when the task waits, and for less than `busyCreditBytes` while more messages are there.
  private let lazyCreditBytes: Int
  private let busyCreditBytes: Int
  private let wake: @Sendable (CallPipe) -> Void

  /// - Parameter wake: posts a visit of the loop, which calls `takeWork`.
  init(limits: RPCLimits, wake: @escaping @Sendable (CallPipe) -> Void) {
    sendQueueBytes = limits.sendQueueBytes
    // All calls together hold back less than what nghttp2 does (half of a window).
    lazyCreditBytes = min(limits.connectionWindow / limits.concurrentCalls, limits.streamWindow / 2) / 4
    busyCreditBytes = max(lazyCreditBytes, min(128 << 10, limits.streamWindow / 8))
    self.wake = wake
  }

  // MARK: The task's side

  /// The next message; `nil` once the peer has ended its side well.
  func next() async throws(RPCError) -> ByteBuffer? {
    if let received = take() { return try received.get() }
    let received = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in park(continuation) }
    } onCancel: {
      cancelReader()
    }
    return try received.get()
  }

  /// Queues a message, and waits while too much is unsent.
  func send(_ message: ByteBuffer) async throws(RPCError) {
    let (mustWait, mustWake) = try enqueue(message)
    if mustWake { wake(self) }
    if mustWait { try await room() }
  }

  /// Waits until the loop grants room for a message of at most so many bytes.
  func room(for bytes: Int) async throws(RPCError) {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let (isOver, mustWake) = state.withLock { state in
          guard state.sendEnd == nil else { return (true, false) }
          precondition(state.asker == nil, "two tasks ask for room")
          state.asker = continuation
          state.work.wantedRoom = bytes
          return (false, Self.post(&state))
        }
        if isOver { continuation.resume() }
        if mustWake { wake(self) }
        if Task.isCancelled { grantRoom() }
      }
    } onCancel: {
      grantRoom()
    }
    if let end = state.withLock({ $0.sendEnd }) { throw end }
    if Task.isCancelled { throw RPCError(.cancelled, "the task that sends was cancelled") }
  }

  func setInitialMetadata(_ metadata: Metadata) {
    update { state in
      state.work.initialMetadata = metadata
      return true
    }
  }

  /// The first ending stands, except that `cancel` overrides all that is not over yet.
  func end(_ ending: Ending) {
    update { state in
      if case .cancel = ending {
        guard state.receiveEnd == nil else { return false }
        state.work.ending = ending
      } else {
        guard state.work.ending == nil, state.sendEnd == nil else { return false }
        state.work.ending = ending
        state.sendEnd = RPCError(.failedPrecondition, "this side of the call has been ended")
      }
      return true
    }
  }

  var head: Metadata { state.withLock { $0.head } }
  var trailers: Metadata { state.withLock { $0.trailers } }

  /// Wakes the loop when `change` returns true.
  private func update(_ change: (inout sending State) -> Bool) {
    let mustWake = state.withLock { state in change(&state) && Self.post(&state) }
    if mustWake { wake(self) }
  }

  private static func post(_ state: inout State) -> Bool {
    defer { state.isPosted = true }
    return !state.isPosted
  }

  private func take() -> Received? {
    let (received, mustWake): (Received?, Bool) = state.withLock { state in
      guard let received = Self.takeReceived(&state) else { return (nil, false) }
      let mustWake = state.work.takenBytes >= busyCreditBytes && Self.post(&state)
      return (received, mustWake)
    }
    if mustWake { wake(self) }
    return received
  }

  private static func takeReceived(_ state: inout State) -> Received? {
    if let message = state.received.popFirst() {
      state.work.takenBytes += MessagePrefix.size + message.readableBytes
      return .success(message)
    }
    guard let end = state.receiveEnd else { return nil }
    return end.map { .failure($0) } ?? .success(nil)
  }

  private func park(_ continuation: CheckedContinuation<Received, Never>) {
    let (received, mustWake): (Received?, Bool) = state.withLock { state in
      precondition(state.reader == nil, "two tasks read one call")
      if let received = Self.takeReceived(&state) { return (received, false) }
      state.reader = continuation
      return (nil, state.work.takenBytes >= lazyCreditBytes && Self.post(&state))
    }
    if let received { continuation.resume(returning: received) }
    if mustWake { wake(self) }
    if Task.isCancelled { cancelReader() }
  }

  private func cancelReader() {
    let reader = state.withLock { state in state.reader.take() }
    reader?.resume(returning: .failure(RPCError(.cancelled, "the task that reads was cancelled")))
  }

  private func enqueue(_ message: ByteBuffer) throws(RPCError) -> (mustWait: Bool, mustWake: Bool) {
    let result: Result<(Bool, Bool), RPCError> = state.withLock { state in
      if let end = state.sendEnd { return .failure(end) }
      state.work.messages.append(message)
      state.work.bytes += message.readableBytes
      return .success((state.mustWait(sendQueueBytes), Self.post(&state)))
    }
    return try result.get()
  }

  /// Waits until `send` need not wait any more, the call has ended, or the task is cancelled.
  private func room() async throws(RPCError) {
    let ticket = state.withLock { state in
      state.lastTicket += 1
      return state.lastTicket
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let waits = state.withLock { state in
          guard state.mustWait(sendQueueBytes) else { return false }
          state.writers.append((ticket, continuation))
          return true
        }
        if !waits { continuation.resume() }
        if Task.isCancelled { cancelWriter(ticket) }
      }
    } onCancel: {
      cancelWriter(ticket)
    }
    // The message is queued. A cancelled task must not go on to queue more and more.
    let (end, isFull) = state.withLock { ($0.sendEnd, $0.mustWait(sendQueueBytes)) }
    if let end { throw end }
    if isFull, Task.isCancelled { throw RPCError(.cancelled, "the task that sends was cancelled") }
  }

  private func cancelWriter(_ ticket: UInt64) {
    let writer = state.withLock { state in
      state.writers.firstIndex { $0.ticket == ticket }.map { state.writers.remove(at: $0) }
    }
    writer?.continuation.resume()
  }

  // MARK: The loop's side

  /// Where there are messages, `sessionQueue` is to be told after them: who waits, waits for that.
  func takeWork() -> Work {
    state.withLock { state in
      state.isPosted = false
      state.sessionBytes += state.work.bytes
      return exchange(&state.work, with: Work())
    }
  }

  /// - Parameters:
  ///   - bytes: what the session's queue for this stream holds now.
  ///   - isFull: it reached its high-water mark, or fell to its low one; `nil` leaves that as it is.
  func sessionQueue(holds bytes: Int, isFull: Bool? = nil) {
    let writers = state.withLock { state in
      state.sessionBytes = bytes
      if let isFull { state.isSessionFull = isFull }
      return freedWriters(&state)
    }
    for writer in writers { writer.resume() }
  }

  /// The task may make the message it asked room for.
  func grantRoom() {
    let asker = state.withLock { state in state.asker.take() }
    asker?.resume()
  }

  private func freedWriters(_ state: inout State) -> [CheckedContinuation<Void, Never>] {
    var freed: [CheckedContinuation<Void, Never>] = []
    if state.sendEnd != nil, let asker = state.asker.take() { freed.append(asker) }
    if !state.mustWait(sendQueueBytes) {
      freed += exchange(&state.writers, with: []).map(\.continuation)
    }
    return freed
  }

  /// Messages in order; the task, if it waits, is given the first.
  func deliver(_ messages: Deque<ByteBuffer>) {
    let freed: (CheckedContinuation<Received, Never>, Received)? = state.withLock { state in
      guard state.receiveEnd == nil else { return nil }
      state.received.append(contentsOf: messages)
      guard let reader = state.reader, let received = Self.takeReceived(&state) else { return nil }
      state.reader = nil
      return (reader, received)
    }
    if let (reader, received) = freed { reader.resume(returning: received) }
  }

  func receivedHead(_ metadata: Metadata) {
    state.withLock { $0.head = metadata }
  }

  /// The peer ended its side; messages before are still there to be taken.
  /// - Parameter failure: how the call ended, if not well.
  func endReceiving(failure: RPCError? = nil, trailers: Metadata = Metadata()) {
    close(receive: .some(failure), trailers: trailers, send: failure, dropsReceived: false)
  }

  /// The call is over at once in both directions; messages not taken are dropped.
  /// - Parameter cancel: called before anyone who waits goes on.
  func abort(_ error: RPCError, cancel: () -> Void = {}) {
    close(receive: error, trailers: error.trailers, send: error, dropsReceived: true, cancel: cancel)
  }

  /// The call is over and nothing more can be sent; messages received before are still there.
  func endSending(_ error: RPCError) {
    let writers = state.withLock { state in
      state.sendEnd = state.sendEnd ?? error
      return freedWriters(&state)
    }
    for writer in writers { writer.resume() }
  }

  private func close(
    receive: RPCError??, trailers: Metadata, send: RPCError?, dropsReceived: Bool, cancel: () -> Void = {}
  ) {
    typealias Freed = (
      reader: CheckedContinuation<Received, Never>?, received: Received?,
      writers: [CheckedContinuation<Void, Never>]
    )
    let freed: Freed = state.withLock { state in
      if state.receiveEnd == nil {
        state.receiveEnd = receive
        state.trailers = trailers
      }
      if dropsReceived {
        state.received.removeAll()
        state.work.messages.removeAll()
      }
      if let send, state.sendEnd == nil { state.sendEnd = send }
      let received = state.reader == nil ? nil : Self.takeReceived(&state)
      return (received == nil ? nil : state.reader.take(), received, freedWriters(&state))
    }
    cancel()
    if let reader = freed.reader, let received = freed.received { reader.resume(returning: received) }
    for writer in freed.writers { writer.resume() }
  }
}
