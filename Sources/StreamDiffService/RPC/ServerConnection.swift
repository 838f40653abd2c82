import DequeModule
import Logging
import NIOCore
import StreamDiffWire

/// A server's end of a connection: requests become calls, calls become answers.
final class ServerConnection: HTTP2Connection {
  let shared: ServerShared
  var calls: [StreamID: ServerCall] = [:]
  private var preface = PrefaceCheck()
  private var held = ByteBuffer()
  var peer = ""
  private var isDraining = false
  private var drainPing: UInt64?
  private let card: ConnectionCard
  private var ticket: OpenCount.Ticket?
  /// What this connection holds now, and what it last told the server of that.
  var load = ServerLoad.Part()
  var reported = ServerLoad.Part()
  /// Unary calls that wait until the client reads, in their order.
  private var waiting: Deque<StreamID> = []
  var openLookups = 0
  /// Unary answers that have not left.
  var unsentAnswers = 0
  /// Who makes a long message next.
  var room = MessageRoom()
  /// Streams whose tasks were told to wait.
  var heldBack: Set<StreamID> = []

  init(shared: ServerShared, mailbox: LoopMailbox) throws(WireError) {
    self.shared = shared
    card = ConnectionCard(now: .now())
    try super.init(role: .server, limits: shared.limits, mailbox: mailbox, bytes: shared.counters.bytes)
  }

  private var bound: NIOLoopBound<ServerConnection> { NIOLoopBound(self, eventLoop: mailbox.loop) }

  // MARK: The connection

  override func opened() {
    peer = channel?.remoteAddress?.hostAndPort ?? "unknown"
    ticket = shared.open.enter(peer)
    shared.onConnection(peer, true)
    switch shared.admit(bound, card) {
    case .admitted: super.opened()
    case .draining: refuse(.noError)
    case .full: refuse(.enhanceYourCalm)
    case .overfull:
      shared.counters.connectionRefused()
      closeNow("refused: too many connections")
    }
  }

  private func refuse(_ code: HTTP2ErrorCode) {
    shared.counters.connectionRefused()
    isEstablished = true
    session.terminate(code)
    closeGently("refused: \(code)")
  }

  /// Another connection needs the place.
  func giveWay() {
    guard isOpen else { return }
    guard isEstablished else { return closeNow("gave way before its preface") }
    session.goAway(.noError, "idle, and others wait")
    touch()
  }

  override func closed() {
    shared.left(self)
    shared.onConnection(peer, false)
    if let ticket { shared.open.leave(ticket) }
  }

  override func settled(now: NIODeadline) {
    card.become(!isEstablished ? .silent : hasCalls ? .busy : .idle, now: now)
    giveRoom()
    report()
  }

  private func report() {
    load.unsent = heldToSend
    load.calls = calls.count
    guard load != reported else { return }
    shared.load.report(load, before: reported)
    reported = load
  }

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
    room = MessageRoom()
    load = ServerLoad.Part()
    shared.load.report(load, before: reported)
    reported = load
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
    drainPing = ping()
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
    shared.logger.notice(
      "cut at the end of the drain", metadata: ["peer": "\(peer)", "calls": "\(calls.count)"])
    for call in calls.values {
      shared.logger.notice(
        "cut at the end of the drain", metadata: ["peer": "\(peer)", "path": "\(call.head.path)"])
      end(call, GRPCStatus(.unavailable, "the server is shutting down"))
    }
    if isEstablished { session.goAway(.noError, "the server is shutting down") }
    closeGently("the server is shutting down")
  }

  // MARK: Requests

  override func handle(_ event: HTTP2Event) {
    switch event {
    case .headers(let stream, let fields): begin(stream, fields)
    case .data(let stream, let bytes): receive(bytes, on: stream)
    case .remoteEnded(let stream): remoteEnded(stream)
    case .trailers, .writable: break  // `outputDrained` sees to writers
    case .streamClosed(let stream, let code): closed(stream, code)
    case .pingAcknowledged(let payload): if payload == drainPing { stopAccepting() }
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
    guard !limits.mustShrink(calls.count, of: shared.load.all.calls, bound: limits.serverCalls) else {
      shared.counters.callEnded(.resourceExhausted)
      let status = GRPCStatus(.resourceExhausted, "the server has too many open calls: try again later")
      submit(GRPCResponse.trailersOnly(status, RPCError.notApplied), on: stream, endStream: true)
      return
    }
    let now = NIODeadline.now()
    let deadline = head.timeout.map { now + TimeAmount($0) }
    guard let handler = shared.router[head.path] else {
      shared.counters.callEnded(.unimplemented)
      let status = GRPCStatus(.unimplemented, "no method \(head.path)")
      submit(GRPCResponse.trailersOnly(status, Metadata()), on: stream, endStream: true)
      return
    }
    let kind: ServerCall.Kind =
      switch handler {
      case .unary(let body): .unary(ServerCall.UnaryState(body: body, isLookup: false))
      case .lookup(let body): .unary(ServerCall.UnaryState(body: body, isLookup: true))
      case .stream(let body): start(body, on: nil, head, deadline, stream)
      case .loopStream(let body): start(body, on: mailbox, head, deadline, stream)
      }
    calls[stream] = ServerCall(
      stream: stream, head: head, deadline: deadline, kind: kind, messageBytes: limits.messageBytes, now: now)
    let look = now + limits.lookInterval
    watchDeadline(deadline.map { min($0, look) } ?? look)
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
      path: head.path, metadata: head.metadata, deadline: deadline, peer: peer,
      link: ConnectionLink(mailbox: mailbox) { [bound] in bound.value }, pipe: pipe)
    let ticket = shared.open.enter("\(head.path) of \(peer)")
    let task = Task(executorPreference: executor) { [shared] in
      defer { shared.open.leave(ticket) }
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
    hold(call, partial: bytes.readableBytes)
    var arrived = Deque<ByteBuffer>()
    do throws(WireError) {
      while let message = try call.deframer.next() {
        let count = MessagePrefix.size + message.readableBytes
        hold(call, partial: -count, waiting: count)
        call.messages += 1
        guard case .unary(var unary) = call.kind else {
          arrived.append(message)
          continue
        }
        guard call.messages == 1 else {
          return end(call, GRPCStatus(.unimplemented, "\(call.head.path) takes one message"))
        }
        unary.request = message
        call.kind = .unary(unary)
      }
    } catch {
      return end(call, GRPCStatus(error))
    }
    if case .stream(let pipe, _) = call.kind, !arrived.isEmpty { pipe.deliver(arrived) }
    guard load.held <= limits.heldBytes else {
      return end(
        call, GRPCStatus(.resourceExhausted, "too many long messages at once on this connection"),
        RPCError.notApplied)
    }
    let all = shared.load.all.held + load.held - reported.held
    guard !limits.mustShrink(load.held, of: all, bound: limits.serverHeldBytes) else {
      return end(
        call, GRPCStatus(.resourceExhausted, "too many long messages at once: try again later"),
        RPCError.notApplied)
    }
    returnCredit(call)
  }

  func hold(_ call: ServerCall, partial: Int = 0, waiting: Int = 0) {
    call.partialBytes += partial
    call.waitingBytes += waiting
    load.held += partial + waiting
  }

  /// The application has taken messages of so many bytes, their prefixes included.
  func taken(_ bytes: Int, by call: ServerCall) {
    hold(call, waiting: -bytes)
    call.deframer.release(messageBytes: bytes - MessagePrefix.size)
    returnCredit(call)
  }

  private func returnCredit(_ call: ServerCall) {
    session.consumed(call.deframer.takeCredit(), on: call.stream)
  }

  private func remoteEnded(_ stream: StreamID) {
    guard let call = calls[stream], !call.isAnswered else { return }
    call.hasRemoteEnded = true
    guard !call.deframer.isMidMessage else {
      return end(call, GRPCStatus(.internal, "the request ends within a message"))
    }
    switch call.kind {
    case .unary(let unary) where unary.request == nil:
      end(call, GRPCStatus(.unimplemented, "\(call.head.path) takes one message, not none"))
    case .unary(let unary):
      if waiting.isEmpty, mayBegin(unary) { beginUnary(call, unary) } else { waiting.append(stream) }
    case .stream(let pipe, _): pipe.endReceiving()
    }
  }

  /// An answer too many for a client that does not read is one that it has not been asked for yet. One may
  /// always be under way: the client may wait for it before it reads the rest.
  private func mayBegin(_ unary: ServerCall.UnaryState) -> Bool {
    if unary.isLookup, openLookups >= limits.lookups { return false }
    return session.retainedBytes < limits.connectionSendBytes || unsentAnswers == 0
  }

  private func beginUnary(_ call: ServerCall, _ unary: ServerCall.UnaryState) {
    guard let request = unary.request else { return }
    if unary.isLookup { openLookups += 1 }
    call.kind = .unary(ServerCall.UnaryState(body: unary.body, isLookup: unary.isLookup, isBegun: true))
    taken(MessagePrefix.size + request.readableBytes, by: call)
    unary.body(
      UnaryCall(
        request: request, metadata: call.head.metadata, deadline: call.deadline, eventLoop: mailbox.loop,
        stream: call.stream, connection: bound, mailbox: mailbox, peer: peer))
  }

  override func outputDrained() -> Bool {
    var hasBegun = false
    while let stream = waiting.first {
      if let call = calls[stream], !call.isAnswered, case .unary(let unary) = call.kind {
        guard mayBegin(unary) else { break }
        beginUnary(call, unary)
        hasBegun = true
      }
      waiting.removeFirst()
    }
    if !heldBack.isEmpty { letWritersGo() }
    return hasBegun
  }

  private func closed(_ stream: StreamID, _ code: HTTP2ErrorCode) {
    heldBack.remove(stream)
    room.settle(stream)
    guard let call = calls.removeValue(forKey: stream) else { return }
    if call.hasUnsentAnswer { unsentAnswers -= 1 }
    let reason = code == .cancel ? "the client cancelled" : "the client reset the stream: \(code)"
    cancel(call, GRPCStatus(.cancelled, reason))
  }

  override func expireCalls(now: NIODeadline) -> NIODeadline {
    var next = NIODeadline.distantFuture
    for call in calls.values {
      look(at: call, now: now)
      next = min(next, now + limits.lookInterval)
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

  private func look(at call: ServerCall, now: NIODeadline) {
    let activity = CallWatch.Activity(
      dueMessageBytes: call.dueMessageBytes, messages: call.messages,
      unsentBytes: session.queuedBytes(on: call.stream), sentBytes: session.sentBytes(on: call.stream))
    var limits = limits
    if call.asksForRoom, shared.load.all.unsent > limits.serverSendBytes / 2 {
      limits.unreadTimeout = min(limits.unreadTimeout, limits.scarceUnreadTimeout)
    }
    switch call.watch.look(at: activity, limits: limits, now: now) {
    case .fine: return
    case .slowMessage:
      end(call, GRPCStatus(.deadlineExceeded, "a message came too slowly, or not at all"))
    case .unread:
      session.reset(call.stream, .cancel)
    }
    shared.counters.callCut()
    shared.logger.notice(
      "cut a call whose client does not take part",
      metadata: [
        "peer": "\(peer)", "path": "\(call.head.path)", "unsent": "\(activity.unsentBytes)",
        "due": "\(activity.dueMessageBytes ?? 0)",
      ])
  }
}
