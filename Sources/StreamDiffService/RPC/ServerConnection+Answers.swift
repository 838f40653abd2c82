import Logging
import NIOCore
import StreamDiffWire

/// What goes out: answers, a task's messages, and how calls end.
extension ServerConnection {
  private static let plainHead = GRPCResponse.head()
  private static let plainTrailers = GRPCResponse.trailers(.ok, Metadata())

  func respond(_ message: ByteBuffer, _ trailers: Metadata, on stream: StreamID) {
    guard let call = calls[stream], !call.isAnswered else { return }
    let unsent = heldToSend + message.readableBytes
    let all = heldByOthers + unsent
    guard !limits.mustShrink(unsent, of: all, bound: limits.serverSendBytes) else {
      return end(call, GRPCStatus(.resourceExhausted, "too many answers wait to be read: try again later"))
    }
    guard submit(Self.plainHead, on: stream) else { return }
    session.writeMessage(message, on: stream)
    session.finish(
      stream, trailers: trailers.isEmpty ? Self.plainTrailers : GRPCResponse.trailers(.ok, trailers))
    answered(call)
    call.hasUnsentAnswer = true
    unsentAnswers += 1
    shared.counters.callEnded(.ok)
    touch()
  }

  func fail(_ status: GRPCStatus, _ trailers: Metadata, on stream: StreamID) {
    guard let call = calls[stream], !call.isAnswered else { return }
    end(call, status, trailers)
  }

  /// Does what the task of a streaming call asked for.
  func visit(_ pipe: CallPipe, _ stream: StreamID) {
    let work = pipe.takeWork()
    guard let call = calls[stream], !call.isAnswered else { return }
    if work.takenBytes > 0 { taken(work.takenBytes, by: call) }
    if !work.messages.isEmpty || work.initialMetadata != nil {
      guard sendHead(call, work.initialMetadata ?? Metadata()) else { return }
      if !work.messages.isEmpty {
        room.settle(stream)
        call.hasSentMessage = true
      }
      for message in work.messages { session.writeMessage(message, on: stream) }
      let mustWait = mustHoldBack(stream, limits.sendQueueBytes)
      if mustWait { heldBack.insert(stream) }
      pipe.sessionQueue(holds: session.queuedBytes(on: stream), isFull: mustWait ? true : nil)
    }
    if work.wantedRoom > 0 {
      call.asksForRoom = true
      room.ask(stream, for: work.wantedRoom, hasSent: call.hasSentMessage)
    }
    if case .finish(let status, let trailers) = work.ending { end(call, status, trailers) }
    touch()
  }

  /// A stream of whose messages none waits may always queue one: the client may be reading just that.
  private func mustHoldBack(_ stream: StreamID, _ bound: Int) -> Bool {
    let own = session.queuedBytes(on: stream)
    if own == 0 || own >= bound { return own > 0 }
    return session.queuedBytes >= limits.connectionSendBytes
      || limits.mustShrink(heldToSend, of: heldByOthers + heldToSend, bound: limits.serverSendBytes)
  }

  /// By messages that have not left, and those that are being made.
  var heldToSend: Int { session.retainedBytes + room.grantedBytes }
  private var heldByOthers: Int { max(0, shared.load.all.unsent - reported.unsent) }

  /// Lets tasks make the messages for which there is room now.
  func giveRoom() {
    while let answer = room.next(held: session.retainedBytes, others: heldByOthers, limits: limits) {
      switch answer {
      case .grant(let stream):
        if case .stream(let pipe, _) = calls[stream]?.kind { pipe.grantRoom() }
      case .refuse(let stream):
        guard let call = calls[stream] else { continue }
        end(call, GRPCStatus(.resourceExhausted, "too many answers wait to be read: try again later"))
      }
    }
  }

  func letWritersGo() {
    for stream in heldBack where !mustHoldBack(stream, limits.sendQueueLowBytes) {
      heldBack.remove(stream)
      guard case .stream(let pipe, _) = calls[stream]?.kind else { continue }
      pipe.sessionQueue(holds: session.queuedBytes(on: stream), isFull: false)
    }
  }

  private func sendHead(_ call: ServerCall, _ metadata: Metadata) -> Bool {
    if call.hasSentHead { return true }
    call.hasSentHead = true
    return submit(GRPCResponse.head(metadata), on: call.stream)
  }

  /// Ends a call with a status: in trailers after what was sent, or alone.
  func end(_ call: ServerCall, _ status: GRPCStatus, _ trailers: Metadata = Metadata()) {
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
  func cancel(_ call: ServerCall, _ status: GRPCStatus) {
    guard !call.isAnswered else { return }
    answered(call)
    shared.counters.callEnded(status.code)
    guard case .stream(let pipe, let task) = call.kind else { return }
    if status.code == .ok {
      pipe.abort(RPCError(.cancelled, "the call has ended"))
    } else {
      pipe.abort(.status(status, trailers: Metadata())) { task.cancel() }
    }
  }

  /// Nothing is held for a call whose status is decided.
  private func answered(_ call: ServerCall) {
    call.isAnswered = true
    room.settle(call.stream)
    if call.isOpenLookup { openLookups -= 1 }
    hold(call, partial: -call.partialBytes, waiting: -call.waitingBytes)
    call.deframer = MessageDeframer(limit: 0)
  }

  @discardableResult
  func submit(_ fields: [HeaderField], on stream: StreamID, endStream: Bool = false) -> Bool {
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
