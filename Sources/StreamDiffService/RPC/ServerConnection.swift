import DequeModule
import Logging
import NIOCore
import StreamDiffWire

/// A server's end of a connection: requests become calls, calls become answers.
final class ServerConnection: HTTP2Connection {
  private let shared: ServerShared
  private var calls: [StreamID: ServerCall] = [:]
  private var preface = PrefaceCheck()
  private var held = ByteBuffer()
  private var peer = ""
  private var isDraining = false
  /// Over all calls: bytes of messages that have not come whole.
  private var incompleteBytes = 0

  init(shared: ServerShared, mailbox: LoopMailbox) throws(WireError) {
    self.shared = shared
    try super.init(role: .server, limits: shared.limits, mailbox: mailbox, bytes: shared.counters.bytes)
  }

  private var bound: NIOLoopBound<ServerConnection> { NIOLoopBound(self, eventLoop: mailbox.loop) }

  // MARK: The connection

  override func opened() {
    peer = channel?.remoteAddress?.hostAndPort ?? "unknown"
    switch shared.admit(bound) {
    case .admitted: super.opened()
    case .draining: refuse(.noError)
    case .full: refuse(.enhanceYourCalm)
    }
  }

  private func refuse(_ code: HTTP2ErrorCode) {
    shared.counters.connectionRefused()
    isEstablished = true
    session.terminate(code)
    closeGently("refused: \(code)")
  }

  override func closed() { shared.left(self) }

  override func receive(_ bytes: ByteBuffer) {
    if isEstablished { return feed(bytes) }
    held.writeImmutableBuffer(bytes)
    switch preface.receive(bytes.readableBytesView) {
    case .needsMore: break
    case .http2:
      isEstablished = true
      feed(exchange(&held, with: ByteBuffer()))
    case .http1:
      shared.counters.connectionRefused()
      closeGently("HTTP/1 request", last: Self.http1Answer)
    case .unknown:
      shared.counters.connectionRefused()
      isEstablished = true
      session.terminate(.protocolError)
      closeGently("no HTTP/2 preface")
    }
  }

  private static let http1Answer: ByteBuffer = {
    let text = """
      This port speaks gRPC over HTTP/2 without TLS and without an upgrade from HTTP/1.1.
      Use a gRPC client, the streamdiff command, or an HTTP/2 client with prior knowledge \
      (curl --http2-prior-knowledge).

      """
    return ByteBuffer(
      string: """
        HTTP/1.1 400 Bad Request\r
        Content-Type: text/plain; charset=utf-8\r
        Content-Length: \(text.utf8.count)\r
        Connection: close\r
        \r
        \(text)
        """)
  }()

  override func connectionEnded(_ reason: String) {
    shared.logger.debug("connection ended", metadata: ["peer": "\(peer)", "reason": "\(reason)"])
    let cancelled = GRPCStatus(.cancelled, reason)
    for call in calls.values { cancel(call, cancelled) }
    calls = [:]
  }

  override var hasCalls: Bool { !calls.isEmpty }

  // MARK: Draining

  /// Tells the client to go elsewhere; what is under way runs to its end, then the connection closes.
  func drain() {
    guard isOpen, !isDraining else { return }
    isDraining = true
    guard isEstablished else { return closeGently("draining") }
    session.shutdownNotice()
    // What the client sent before it read the notice has arrived when the PING's answer has.
    ping()
    mailbox.loop.assumeIsolated().scheduleTask(in: .seconds(1)) { [weak self] in self?.stopAccepting() }
    touch()
  }

  private func stopAccepting() {
    guard isDraining, isOpen else { return }
    session.goAway(.noError, "the server is shutting down")
    pump()
  }

  /// The grace is over: every call ends now.
  func abort() {
    guard isOpen else { return }
    for call in calls.values { end(call, GRPCStatus(.unavailable, "the server is shutting down")) }
    if isEstablished { session.goAway(.noError, "the server is shutting down") }
    closeGently("the server is shutting down")
  }

  // MARK: Requests

  override func handle(_ event: HTTP2Event) {
    switch event {
    case .headers(let stream, let fields): begin(stream, fields)
    case .data(let stream, let bytes): receive(bytes, on: stream)
    case .remoteEnded(let stream): remoteEnded(stream)
    case .trailers: break
    case .writable(let stream):
      if case .stream(let pipe, _) = calls[stream]?.kind { pipe.sessionQueue(isFull: false) }
    case .streamClosed(let stream, let code): closed(stream, code)
    case .pingAcknowledged: if isDraining { stopAccepting() }
    case .settings, .goAway: break
    case .failed(let code, let reason):
      shared.logger.debug(
        "HTTP/2 violation", metadata: ["peer": "\(peer)", "code": "\(code)", "reason": "\(reason)"])
    }
  }

  private func begin(_ stream: StreamID, _ fields: [HeaderField]) {
    let head: GRPCRequestHead
    do {
      head = try GRPCRequestHead(fields)
    } catch {
      if case .grpc(let status) = error { shared.counters.callEnded(status.code) }
      submit(error.fields, on: stream, endStream: true)
      return
    }
    let deadline = head.timeout.map { NIODeadline.now() + TimeAmount($0) }
    guard let handler = shared.router[head.path] else {
      shared.counters.callEnded(.unimplemented)
      let status = GRPCStatus(.unimplemented, "no method \(head.path)")
      submit(GRPCResponse.trailersOnly(status, Metadata()), on: stream, endStream: true)
      return
    }
    let kind: ServerCall.Kind =
      switch handler {
      case .unary(let body): .unary(body, request: nil)
      case .stream(let body): start(body, on: nil, head, deadline, stream)
      case .loopStream(let body): start(body, on: mailbox, head, deadline, stream)
      }
    calls[stream] = ServerCall(
      stream: stream, head: head, deadline: deadline, kind: kind, messageBytes: limits.messageBytes)
    watchDeadline(deadline)
  }

  /// The handler's task is not awaited here, where nothing may wait: the call cancels it, and the server's
  /// drain waits until it has returned.
  private func start(
    _ body: @escaping @Sendable (ServerStream) async throws -> Void, on executor: LoopMailbox?,
    _ head: GRPCRequestHead, _ deadline: NIODeadline?, _ id: StreamID
  ) -> ServerCall.Kind {
    let pipe = CallPipe(limits: limits) { [bound, mailbox] pipe in
      mailbox.post { bound.value.visit(pipe, id) }
    }
    let stream = ServerStream(
      path: head.path, metadata: head.metadata, deadline: deadline, peer: peer, pipe: pipe)
    shared.open.enter()
    let task = Task(executorPreference: executor) { [shared] in
      defer { shared.open.leave() }
      do {
        try await body(stream)
        stream.finish(.ok)
      } catch let error as RPCError {
        stream.finish(error.status, error.trailers)
      } catch let status as GRPCStatus {
        stream.finish(status)
      } catch is CancellationError {
        stream.finish(GRPCStatus(.cancelled, "the call was cancelled"))
      } catch {
        shared.logger.error("a handler failed", metadata: ["path": "\(stream.path)", "error": "\(error)"])
        stream.finish(GRPCStatus(.unknown, "\(error)"))
      }
    }
    return .stream(pipe, task)
  }

  private func receive(_ bytes: ByteBuffer, on stream: StreamID) {
    guard let call = calls[stream], !call.isAnswered else {
      return session.consumed(bytes.readableBytes, on: stream)
    }
    call.deframer.append(bytes)
    incomplete(call, bytes.readableBytes)
    var arrived = Deque<ByteBuffer>()
    do throws(WireError) {
      while let message = try call.deframer.next() {
        incomplete(call, -MessagePrefix.size - message.readableBytes)
        switch call.kind {
        case .unary(let body, nil):
          call.kind = .unary(body, request: message)
          call.deframer.release(messageBytes: message.readableBytes)
        case .unary:
          return end(call, GRPCStatus(.unimplemented, "\(call.head.path) takes one message"))
        case .stream: arrived.append(message)
        }
      }
    } catch {
      return end(call, GRPCStatus(error))
    }
    if case .stream(let pipe, _) = call.kind, !arrived.isEmpty { pipe.deliver(arrived) }
    guard incompleteBytes <= limits.incompleteBytes else {
      return end(call, GRPCStatus(.resourceExhausted, "too many long messages at once on this connection"))
    }
    returnCredit(call)
  }

  private func incomplete(_ call: ServerCall, _ change: Int) {
    call.incompleteBytes += change
    incompleteBytes += change
  }

  private func returnCredit(_ call: ServerCall) {
    session.consumed(call.deframer.takeCredit(), on: call.stream)
  }

  private func remoteEnded(_ stream: StreamID) {
    guard let call = calls[stream], !call.isAnswered else { return }
    guard !call.deframer.isMidMessage else {
      return end(call, GRPCStatus(.internal, "the request ends within a message"))
    }
    switch call.kind {
    case .unary(_, nil):
      end(call, GRPCStatus(.unimplemented, "\(call.head.path) takes one message, not none"))
    case .unary(let body, let request?):
      body(
        UnaryCall(
          request: request, metadata: call.head.metadata, deadline: call.deadline, eventLoop: mailbox.loop,
          stream: stream, connection: bound, mailbox: mailbox, peer: peer))
    case .stream(let pipe, _): pipe.endReceiving()
    }
  }

  private func closed(_ stream: StreamID, _ code: HTTP2ErrorCode) {
    guard let call = calls.removeValue(forKey: stream) else { return }
    let reason = code == .cancel ? "the client cancelled" : "the client reset the stream: \(code)"
    cancel(call, GRPCStatus(.cancelled, reason))
  }

  override func expireCalls(now: NIODeadline) -> NIODeadline {
    var next = NIODeadline.distantFuture
    for call in calls.values {
      guard let deadline = call.deadline else { continue }
      if deadline > now {
        next = min(next, deadline)
      } else if call.isAnswered {
        session.reset(call.stream, .cancel)  // the client does not read the answer
      } else {
        end(call, GRPCStatus(.deadlineExceeded, "the deadline has passed"))
      }
    }
    return next
  }

  // MARK: Answers

  private static let plainHead = GRPCResponse.head()
  private static let plainTrailers = GRPCResponse.trailers(.ok, Metadata())

  func respond(_ message: ByteBuffer, _ trailers: Metadata, on stream: StreamID) {
    guard let call = calls[stream], !call.isAnswered else { return }
    guard submit(Self.plainHead, on: stream) else { return }
    session.writeMessage(message, on: stream)
    session.finish(
      stream, trailers: trailers.isEmpty ? Self.plainTrailers : GRPCResponse.trailers(.ok, trailers))
    call.isAnswered = true
    shared.counters.callEnded(.ok)
    touch()
  }

  func fail(_ status: GRPCStatus, _ trailers: Metadata, on stream: StreamID) {
    guard let call = calls[stream], !call.isAnswered else { return }
    end(call, status, trailers)
  }

  /// Does what the task of a streaming call asked for.
  private func visit(_ pipe: CallPipe, _ stream: StreamID) {
    let work = pipe.takeWork()
    guard let call = calls[stream], !call.isAnswered else { return }
    if work.takenBytes > 0 {
      call.deframer.release(messageBytes: work.takenBytes - MessagePrefix.size)
      returnCredit(call)
    }
    if !work.messages.isEmpty || work.initialMetadata != nil {
      guard sendHead(call, work.initialMetadata ?? Metadata()) else { return }
      for message in work.messages { session.writeMessage(message, on: stream) }
      if session.queuedBytes(on: stream) >= limits.sendQueueBytes { pipe.sessionQueue(isFull: true) }
    }
    if case .finish(let status, let trailers) = work.ending { end(call, status, trailers) }
    touch()
  }

  private func sendHead(_ call: ServerCall, _ metadata: Metadata) -> Bool {
    if call.hasSentHead { return true }
    call.hasSentHead = true
    return submit(GRPCResponse.head(metadata), on: call.stream)
  }

  /// Ends a call with a status: in trailers after what was sent, or alone.
  private func end(_ call: ServerCall, _ status: GRPCStatus, _ trailers: Metadata = Metadata()) {
    guard !call.isAnswered else { return }
    if status.code == .ok { guard sendHead(call, Metadata()) else { return } }
    if call.hasSentHead {
      session.finish(call.stream, trailers: GRPCResponse.trailers(status, trailers))
    } else {
      submit(GRPCResponse.trailersOnly(status, trailers), on: call.stream, endStream: true)
    }
    cancel(call, status)
    touch()
  }

  /// The call's status is decided: counts it, and ends the task of a streaming call.
  private func cancel(_ call: ServerCall, _ status: GRPCStatus) {
    guard !call.isAnswered else { return }
    call.isAnswered = true
    incomplete(call, -call.incompleteBytes)
    call.deframer = MessageDeframer(limit: 0)
    shared.counters.callEnded(status.code)
    guard case .stream(let pipe, let task) = call.kind else { return }
    if status.code == .ok {
      pipe.abort(RPCError(.cancelled, "the call has ended"))
    } else {
      pipe.abort(.status(status, trailers: Metadata())) { task.cancel() }
    }
  }

  @discardableResult
  private func submit(_ fields: [HeaderField], on stream: StreamID, endStream: Bool = false) -> Bool {
    do throws(WireError) {
      try session.submitResponse(fields, on: stream, endStream: endStream)
      return true
    } catch {
      shared.logger.error("an answer could not be sent", metadata: ["peer": "\(peer)", "error": "\(error)"])
      session.reset(stream, .internalError)
      return false
    }
  }
}
