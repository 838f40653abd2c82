import NIOCore
import StreamDiffCore
import StreamDiffWire

extension EntryPoints {
  /// Frames through nghttp2 into events, heads, messages, and back out.
  static let http2 = [http2Server, http2Client]

  static let http2Server = EntryPoint(
    "http2-server", shape: .frames, dictionary: FrameSamples.words, seeds: { FrameSamples.requests }
  ) { input, seen in
    let session = try HTTP2Session(.server, settings: settings)
    var peer = FramePeer(session)
    try peer.receive(FrameSamples.preface + FrameSamples.settings, &seen)
    try peer.receive(input, &seen)
  }

  static let http2Client = EntryPoint(
    "http2-client", shape: .frames, dictionary: FrameSamples.words, seeds: { FrameSamples.answers }
  ) { input, seen in
    let session = try HTTP2Session(.client, settings: settings)
    var peer = FramePeer(session)
    for _ in 0..<3 {
      let head = GRPCRequestHead(path: "/streamdiff.v1.StreamDiff/Sync", authority: "localhost")
      let stream = try session.submitRequest(head.fields)
      peer.open(stream)
    }
    try peer.receive(FrameSamples.settings, &seen)
    try peer.receive(input, &seen)
  }

  /// Small bounds, so that inputs of a few KiB reach them.
  private static let settings: HTTP2Settings = {
    var settings = HTTP2Settings()
    settings.maxConcurrentStreams = 8
    (settings.streamWindow, settings.connectionWindow) = (64 << 10, 128 << 10)
    (settings.headerListBytes, settings.maxReceivedFrame) = (512, 32 << 10)
    (settings.outboundFrames, settings.invalidFrames) = (64, 16)
    return settings
  }()
}

/// What an application does with a session's events: reads heads, takes messages apart, answers,
/// returns credit.
private struct FramePeer {
  private let session: HTTP2Session
  private var deframers: [StreamID: MessageDeframer] = [:]
  private var answered: Set<StreamID> = []
  private var isClient = false
  private var received = 0
  private var sent = 0
  private var messages = 0

  init(_ session: HTTP2Session) { self.session = session }

  mutating func open(_ stream: StreamID) {
    isClient = true
    deframers[stream] = MessageDeframer(limit: 4096)
    session.writeMessage(ByteBuffer(bytes: [1, 2, 3]), on: stream)
  }

  /// Hands the bytes over as a socket might: whole, or cut where the bytes themselves say.
  mutating func receive(_ bytes: [UInt8], _ seen: inout Observation) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let first = Int(rest[rest.startIndex])
      let count = first & 1 == 0 ? rest.count : min(rest.count, first * 7 + 1)
      received += count
      do throws(WireError) {
        try session.receive(ByteBuffer(bytes: rest.prefix(count)))
      } catch {
        seen.note("ended: \(error.code)")
        try react(&seen)
        return
      }
      try react(&seen)
      rest = rest.dropFirst(count)
    }
    seen.note(session.isFinished ? "finished" : "open")
    seen.note(count: messages)
  }

  private mutating func react(_ seen: inout Observation) throws {
    for event in session.takeEvents() { try handle(event, &seen) }
    while let output = try session.takeOutput(limit: 4096) {
      sent += output.byteCount
      // A SETTINGS or PING of 9 to 17 bytes is answered by as many, a request by a few hundred.
      try require(sent <= 4096 + 64 * received, "\(sent) bytes answer \(received)")
    }
    for event in session.takeEvents() { try handle(event, &seen) }
    try require(session.openStreams <= 12, "\(session.openStreams) streams are open")
    let held = deframers.values.count { $0.isMidMessage }
    try require(held <= session.openStreams, "\(held) messages are held for \(session.openStreams) streams")
  }

  private mutating func handle(_ event: HTTP2Event, _ seen: inout Observation) throws {
    switch event {
    case .headers(let stream, let fields): try begin(stream, fields, &seen)
    case .data(let stream, let bytes): try take(bytes, on: stream, &seen)
    case .trailers(_, let fields): seen.note("\(GRPCTrailers(fields).status.code)")
    case .remoteEnded(let stream):
      seen.note("ended")
      finish(stream, deframers[stream]?.isMidMessage == true ? GRPCStatus(.internal, "cut") : .ok)
    case .streamClosed(let stream, let code):
      seen.note("closed \(code)")
      deframers[stream] = nil
      answered.remove(stream)
      try require(!session.isOpen(stream), "\(stream) is closed and open")
    case .writable, .settings, .pingAcknowledged: break
    case .goAway(_, let code, _), .failed(let code, _): seen.note("\(code)")
    }
  }

  private mutating func begin(_ stream: StreamID, _ fields: [HeaderField], _ seen: inout Observation) throws {
    try require(fields.reduce(0) { $0 + $1.listSize } <= 3 * 512 + 64, "a header section over its limit")
    if isClient {
      if case .ended(let status, _) = GRPCResponseHead(fields) { seen.note("\(status.code)") }
      return
    }
    try require(deframers[stream] == nil, "a second head on \(stream)")
    do {
      let head = try GRPCRequestHead(fields)
      seen.note(count: head.metadata.fields.count)
      deframers[stream] = MessageDeframer(limit: 4096)
      try session.submitResponse(GRPCResponse.head(), on: stream)
    } catch let rejection as GRPCRejection {
      seen.note("rejected")
      try session.submitResponse(rejection.fields, on: stream, endStream: true)
      answered.insert(stream)
    }
  }

  private mutating func take(_ bytes: ByteBuffer, on stream: StreamID, _ seen: inout Observation) throws {
    guard var deframer = deframers.removeValue(forKey: stream), !answered.contains(stream) else {
      return session.consumed(bytes.readableBytes, on: stream)
    }
    deframer.append(bytes)
    do throws(WireError) {
      while let message = try deframer.next() {
        messages += 1
        seen.note((try? SyncMessage(decoding: message)) == nil ? "other" : "message")
        deframer.release(messageBytes: message.readableBytes)
        if session.isOpen(stream) { session.writeMessage(message, on: stream) }
      }
    } catch {
      seen.note("\(error.code)")
      finish(stream, GRPCStatus(error))
      return
    }
    session.consumed(deframer.takeCredit(), on: stream)
    deframers[stream] = deframer
  }

  private mutating func finish(_ stream: StreamID, _ status: GRPCStatus) {
    guard answered.insert(stream).inserted else { return }
    if isClient {
      session.reset(stream, .cancel)
    } else {
      session.finish(stream, trailers: GRPCResponse.trailers(status))
    }
  }
}
