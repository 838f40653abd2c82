import DequeModule
import NIOCore
import StreamDiffWire

/// A client's end of a connection: calls become requests, answers go to the calls' pipes.
final class ClientConnection: HTTP2Connection {
  private var calls: [StreamID: ClientCall] = [:]
  private var streams: [ObjectIdentifier: StreamID] = [:]
  /// Why no call can begin any more.
  private var goingAway: String?

  init(limits: RPCLimits, mailbox: LoopMailbox, bytes: ByteCounters) throws(WireError) {
    try super.init(role: .client, limits: limits, mailbox: mailbox, bytes: bytes)
    isEstablished = true
  }

  override var hasCalls: Bool { !calls.isEmpty }

  override func connectionEnded(_ reason: String) {
    goingAway = goingAway ?? reason
    for call in calls.values { end(call, .lost(reason)) }
    calls = [:]
    streams = [:]
  }

  // MARK: Calls

  /// Opens a stream for `pipe`.
  func start(_ pipe: CallPipe, _ head: GRPCRequestHead, _ deadline: NIODeadline?) {
    guard isOpen, goingAway == nil else {
      return pipe.abort(.unreachable(goingAway ?? "the connection is closed"))
    }
    guard calls.count < limits.concurrentCalls else {
      return pipe.abort(RPCError(.resourceExhausted, "\(calls.count) calls are open on this connection"))
    }
    do throws(WireError) {
      let stream = try session.submitRequest(head.fields)
      calls[stream] = ClientCall(
        stream: stream, pipe: pipe, deadline: deadline, messageBytes: limits.messageBytes)
      streams[ObjectIdentifier(pipe)] = stream
      watchDeadline(deadline)
      touch()
    } catch {
      switch error.code {
      case .unavailable: pipe.abort(.unreachable("\(error)"))
      default: pipe.abort(.status(GRPCStatus(error), trailers: Metadata()))
      }
    }
  }

  /// Does what the task of a call asked for.
  func visit(_ pipe: CallPipe) {
    let work = pipe.takeWork()
    guard let stream = streams[ObjectIdentifier(pipe)], let call = calls[stream] else { return }
    if case .cancel = work.ending {
      if !call.hasEnded { session.reset(stream, .cancel) }
      return end(call, RPCError(.cancelled, "the call was cancelled"))
    }
    if work.takenBytes > 0 {
      call.deframer.release(messageBytes: work.takenBytes - MessagePrefix.size)
      session.consumed(call.deframer.takeCredit(), on: stream)
    }
    if !call.hasEnded, !call.hasHalfClosed {
      for message in work.messages { session.writeMessage(message, on: stream) }
      if case .halfClose = work.ending {
        session.finish(stream)
        call.hasHalfClosed = true
      }
      if !work.messages.isEmpty {
        let queued = session.queuedBytes(on: stream)
        pipe.sessionQueue(holds: queued, isFull: queued >= limits.sendQueueBytes ? true : nil)
      }
    }
    touch()
  }

  override func expireCalls(now: NIODeadline) -> NIODeadline {
    var next = NIODeadline.distantFuture
    for call in calls.values where !call.hasEnded {
      guard let deadline = call.deadline else { continue }
      if deadline > now {
        next = min(next, deadline)
      } else {
        session.reset(call.stream, .cancel)
        end(call, RPCError(.deadlineExceeded, "the deadline has passed"))
      }
    }
    return next
  }

  /// Lets open calls end, then closes.
  func shutDown() {
    guard isOpen else { return }
    goingAway = goingAway ?? "the client has closed the connection"
    session.goAway()
    touch()
  }

  // MARK: Answers

  override func handle(_ event: HTTP2Event) {
    switch event {
    case .headers(let stream, let fields): receiveHead(fields, on: stream)
    case .data(let stream, let bytes): receive(bytes, on: stream)
    case .trailers(let stream, let fields):
      guard let call = calls[stream] else { return }
      let trailers = GRPCTrailers(fields)
      finish(call, trailers.status, trailers.metadata)
    case .remoteEnded(let stream):
      guard let call = calls[stream], !call.hasEnded, call.hasHead else { return }
      finish(call, GRPCStatus(.unknown, "the answer ended without a status"), Metadata())
    case .writable(let stream):
      calls[stream]?.pipe.sessionQueue(holds: session.queuedBytes(on: stream), isFull: false)
    case .streamClosed(let stream, let code): closed(stream, code)
    case .goAway(_, let code, let debug):
      goingAway = goingAway ?? "the server is going away (\(code)\(debug.isEmpty ? "" : ": \(debug)"))"
    case .failed(let code, let reason): goingAway = goingAway ?? "\(code): \(reason)"
    case .settings, .pingAcknowledged: break
    }
  }

  private func receiveHead(_ fields: [HeaderField], on stream: StreamID) {
    guard let call = calls[stream], !call.hasEnded else { return }
    switch GRPCResponseHead(fields) {
    case .head(let metadata):
      call.hasHead = true
      call.pipe.receivedHead(metadata)
    case .ended(let status, let metadata): finish(call, status, metadata)
    }
  }

  private func receive(_ bytes: ByteBuffer, on stream: StreamID) {
    guard let call = calls[stream], !call.hasEnded else {
      return session.consumed(bytes.readableBytes, on: stream)
    }
    call.deframer.append(bytes)
    var arrived = Deque<ByteBuffer>()
    do throws(WireError) {
      while let message = try call.deframer.next() { arrived.append(message) }
    } catch {
      session.reset(stream, .cancel)
      return end(call, .status(GRPCStatus(error), trailers: Metadata()))
    }
    if !arrived.isEmpty { call.pipe.deliver(arrived) }
    session.consumed(call.deframer.takeCredit(), on: stream)
  }

  /// The server said how the call ended; messages before are still to be taken.
  private func finish(_ call: ClientCall, _ status: GRPCStatus, _ trailers: Metadata) {
    guard !call.hasEnded else { return }
    call.hasEnded = true
    var failure = status.code == .ok ? nil : RPCError.status(status, trailers: trailers)
    if failure == nil, call.deframer.isMidMessage {
      failure = RPCError(.internal, "the answer ends within a message")
    }
    call.pipe.endReceiving(failure: failure, trailers: trailers)
    call.pipe.endSending(failure ?? RPCError(.failedPrecondition, "the server has ended the call with OK"))
    if !call.hasHalfClosed { session.reset(call.stream, .cancel) }
  }

  /// The call is over at once.
  private func end(_ call: ClientCall, _ error: RPCError) {
    guard !call.hasEnded else { return }
    call.hasEnded = true
    call.pipe.abort(error)
    touch()
  }

  private func closed(_ stream: StreamID, _ code: HTTP2ErrorCode) {
    guard let call = calls.removeValue(forKey: stream) else { return }
    streams[ObjectIdentifier(call.pipe)] = nil
    if code == .refusedStream {
      end(call, .unreachable(goingAway ?? "the server refused the call"))
    } else {
      end(call, .status(GRPCStatus(streamClosed: code), trailers: Metadata()))
    }
  }
}
