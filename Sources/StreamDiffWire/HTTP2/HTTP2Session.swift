import CNghttp2
public import NIOCore

/// One HTTP/2 connection (RFC 9113) on libnghttp2, without a socket: bytes in by `receive`, events out by
/// `takeEvents`; requests in, bytes out by `takeOutput`. Used from one event loop.
///
/// After `receive`, and after whatever submits something, pump: while the socket is writable, write what
/// `takeOutput` gives. Then `takeEvents` (streams close, and queues drain, while sending too), then close
/// the socket if `isFinished`.
/// Every call about a stream that has closed does nothing.
public final class HTTP2Session {
  public enum Role: Sendable { case server, client }

  private let handle: OpaquePointer
  private let state: UnsafeMutablePointer<SessionState>

  /// - Throws: `.outOfMemory`.
  public init(_ role: Role, settings: HTTP2Settings = HTTP2Settings()) throws(WireError) {
    let state = UnsafeMutablePointer<SessionState>.allocate(capacity: 1)
    state.initialize(to: SessionState(role: role, settings: settings))
    do {
      handle = try Self.makeSession(role, settings, state)
    } catch {
      state.deinitialize(count: 1)
      state.deallocate()
      throw error
    }
    self.state = state
    try announce(role, settings)
  }

  deinit {
    nghttp2_session_del(handle)
    state.pointee.closeAll()
    state.deinitialize(count: 1)
    state.deallocate()
  }

  private static func makeSession(
    _ role: Role, _ settings: HTTP2Settings, _ state: UnsafeMutablePointer<SessionState>
  ) throws(WireError) -> OpaquePointer {
    var option: OpaquePointer?
    var handle: OpaquePointer?
    let table = Callbacks.make()
    defer { nghttp2_session_callbacks_del(table) }
    try check(nghttp2_option_new(&option))
    defer { nghttp2_option_del(option) }
    // Credit goes back when bytes were consumed, so that a slow reader slows the sender.
    nghttp2_option_set_no_auto_window_update(option, 1)
    nghttp2_option_set_no_closed_streams(option, 1)
    // The library's own limit would call it INTERNAL_ERROR; `FrameCounts` is what judges instead.
    nghttp2_option_set_stream_reset_rate_limit(option, UInt64(Int32.max), UInt64(Int32.max))
    try check(
      role == .server
        ? nghttp2_session_server_new2(&handle, table, state, option)
        : nghttp2_session_client_new2(&handle, table, state, option))
    guard let handle, table != nil else { throw WireError(.outOfMemory, "no HTTP/2 session") }
    return handle
  }

  private func announce(_ role: Role, _ settings: HTTP2Settings) throws(WireError) {
    func entry(_ id: nghttp2_settings_id, _ value: Int) -> nghttp2_settings_entry {
      nghttp2_settings_entry(settings_id: Int32(id.rawValue), value: UInt32(clamping: value))
    }
    let entries = [
      role == .server
        ? entry(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, settings.maxConcurrentStreams)
        : entry(NGHTTP2_SETTINGS_ENABLE_PUSH, 0),
      entry(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, settings.streamWindow),
      entry(NGHTTP2_SETTINGS_MAX_FRAME_SIZE, settings.maxReceivedFrame),
      entry(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, settings.headerListBytes),
    ]
    try Self.check(nghttp2_submit_settings(handle, 0, entries, entries.count))
    // SETTINGS changes streams only (RFC 9113 §6.9.2); the connection's window has its own way.
    try Self.check(
      nghttp2_session_set_local_window_size(handle, 0, 0, Int32(clamping: settings.connectionWindow)))
  }

  private static func check(_ code: Int32) throws(WireError) {
    guard code != 0 else { return }
    throw error(code)
  }

  private static func error(_ code: Int32, _ detail: String = "") -> WireError {
    let words = String(cString: nghttp2_strerror(code)) + (detail.isEmpty ? "" : ": \(detail)")
    return WireError(code == NGHTTP2_ERR_NOMEM.rawValue ? .outOfMemory : .malformed, words)
  }

  // MARK: Bytes and events

  /// Takes in bytes of the socket. Payload events are slices of `bytes`.
  ///
  /// - Throws: when the connection is over; pump once more, for the GOAWAY that says why, and close it.
  ///   Violations that nghttp2 answers by itself show as `HTTP2Event.failed` and `isFinished` instead.
  public func receive(_ bytes: ByteBuffer) throws(WireError) {
    let count = bytes.withUnsafeReadableBytes { raw in
      state.pointee.beginReceiving(bytes, at: raw.baseAddress)
      return nghttp2_session_mem_recv(handle, raw.baseAddress?.assumingMemoryBound(to: UInt8.self), raw.count)
    }
    state.pointee.endReceiving()
    guard count >= 0 else { throw end(becauseOf: Int32(count)) }
    try settle()
    guard nghttp2_session_get_outbound_queue_size(handle) <= state.pointee.settings.outboundFrames else {
      terminate(.enhanceYourCalm)
      throw WireError(
        .tooLarge, "over \(state.pointee.settings.outboundFrames) frames wait: the peer does not read")
    }
  }

  private func end(becauseOf code: Int32) -> WireError {
    guard code == NGHTTP2_ERR_CALLBACK_FAILURE.rawValue else {
      terminate(code == NGHTTP2_ERR_FLOODED.rawValue ? .enhanceYourCalm : .protocolError)
      return Self.error(code, state.pointee.diagnosis)
    }
    terminate(.enhanceYourCalm)
    let settings = state.pointee.settings
    return state.pointee.invalidFrames > settings.invalidFrames
      ? WireError(.malformed, "over \(settings.invalidFrames) invalid frames")
      : WireError(
        .tooLarge,
        "a header section over \(HTTP2Settings.headerListCut) times \(settings.headerListBytes) bytes")
  }

  /// What happened since the last call, in order.
  public func takeEvents() -> [HTTP2Event] { state.pointee.takeEvents() }

  /// What the peer sent since the last call that brought nothing.
  public func takeFrameCounts() -> FrameCounts { exchange(&state.pointee.counts, with: FrameCounts()) }

  /// The next bytes for the socket: about `limit` of them, by whole frames.
  ///
  /// - Returns: `nil` when there is nothing to send now.
  public func takeOutput(limit: Int = 1 << 20) throws(WireError) -> HTTP2Output? {
    state.pointee.beginOutput(limit: limit)
    while !state.pointee.isOutputFull {
      var bytes: UnsafePointer<UInt8>?
      let count = nghttp2_session_mem_send(handle, &bytes)
      if count > 0 {
        state.pointee.output(UnsafeRawBufferPointer(start: bytes, count: count))
      } else if count < 0 {
        throw Self.error(Int32(count), state.pointee.diagnosis)
      } else {
        guard !state.pointee.isPaused, try settle() else { break }
      }
    }
    return state.pointee.takeOutput()
  }

  /// Neither side has anything to say any more: close the socket.
  public var isFinished: Bool {
    nghttp2_session_want_read(handle) == 0 && nghttp2_session_want_write(handle) == 0
  }

  /// Does what the callbacks found due.
  ///
  /// - Returns: whether there may be more to send now.
  @discardableResult
  private func settle() throws(WireError) -> Bool {
    if state.pointee.creditOwed > 0 {
      try Self.check(nghttp2_session_consume_connection(handle, state.pointee.creditOwed))
      state.pointee.creditOwed = 0
    }
    guard !state.pointee.owed.isEmpty else { return false }
    let due = state.pointee.owed
    state.pointee.owed = []
    for item in due {
      switch item {
      case .trailers(let id):
        guard let trailers = state.pointee.stream(id)?.pointee.trailers else { continue }
        try submit(trailers) { nghttp2_submit_trailer(handle, id.rawValue, $0, $1) }
      case .reset(let id, let code): reset(id, code)
      case .headersTooLong(let id):
        guard state.pointee.stream(id) != nil else { continue }
        try submit([HeaderField(":status", "431")]) {
          nghttp2_submit_response(handle, id.rawValue, $0, $1, nil)
        }
      }
    }
    return true
  }

  // MARK: Streams

  /// Opens a stream. It leaves when the peer's SETTINGS_MAX_CONCURRENT_STREAMS allows.
  ///
  /// - Throws: `.unavailable` after a GOAWAY or when stream numbers are used up; `.tooLarge` for over 64 KiB
  ///   of fields.
  public func submitRequest(_ headers: [HeaderField], endStream: Bool = false) throws(WireError) -> StreamID {
    guard acceptsRequests else { throw WireError(.unavailable, "the connection takes no more requests") }
    // The data source needs the stream's address before nghttp2 names the stream.
    let stream = SessionState.Stream.allocate(capacity: 1)
    var id: Int32 = 0
    do throws(WireError) {
      try submit(headers) { fields, count in
        Self.withProvider(endStream ? nil : stream) { provider in
          id = nghttp2_submit_request(handle, nil, fields, count, provider, nil)
          return min(id, 0)
        }
      }
    } catch {
      stream.deallocate()
      throw error
    }
    stream.initialize(
      to: StreamState(StreamID(id), isAnnounced: true, maximumFrame: state.pointee.settings.maxSentFrame))
    stream.pointee.hasHead = true
    stream.pointee.isFinishing = endStream
    state.pointee.adopt(stream, as: StreamID(id))
    return StreamID(id)
  }

  /// Answers a request; with `endStream` the fields are the whole answer.
  ///
  /// - Throws: `.tooLarge` for over 64 KiB of fields.
  public func submitResponse(
    _ headers: [HeaderField], on id: StreamID, endStream: Bool = false
  ) throws(WireError) {
    guard let stream = state.pointee.stream(id), !stream.pointee.isReset else { return }
    precondition(!stream.pointee.hasHead, "a second response on \(id)")
    try submit(headers) { fields, count in
      Self.withProvider(endStream ? nil : stream) { provider in
        nghttp2_submit_response(handle, id.rawValue, fields, count, provider)
      }
    }
    stream.pointee.hasHead = true
    stream.pointee.isFinishing = endStream
  }

  /// Queues payload. Long buffers leave without a copy, short ones are gathered.
  public func write(_ bytes: ByteBuffer, on id: StreamID) { enqueue(bytes, prefix: nil, on: id) }

  /// Queues one gRPC message: its prefix, then `message`.
  public func writeMessage(_ message: ByteBuffer, on id: StreamID) {
    enqueue(message, prefix: MessagePrefix(length: message.readableBytes), on: id)
  }

  private func enqueue(_ bytes: ByteBuffer, prefix: MessagePrefix?, on id: StreamID) {
    guard let stream = writable(id) else { return }
    let highWater = state.pointee.settings.sendQueueHighWater
    state.pointee.changeQueue(of: stream) { $0.enqueue(bytes, prefix: prefix, highWater: highWater) }
    resume(stream)
  }

  /// Ends our side once the queue has been sent: with trailers, or with the last DATA frame.
  public func finish(_ id: StreamID, trailers: [HeaderField]? = nil) {
    guard let stream = writable(id) else { return }
    stream.pointee.isFinishing = true
    stream.pointee.trailers = trailers
    resume(stream)
  }

  private func writable(_ id: StreamID) -> SessionState.Stream? {
    guard let stream = state.pointee.stream(id), !stream.pointee.isReset else { return nil }
    precondition(stream.pointee.hasHead, "payload before the response on \(id)")
    precondition(!stream.pointee.isFinishing, "payload after the end of \(id)")
    return stream
  }

  private func resume(_ stream: SessionState.Stream) {
    guard stream.pointee.isDeferred else { return }
    stream.pointee.isDeferred = false
    // It fails only for a stream that is closing, and then there is nothing to resume.
    _ = nghttp2_session_resume_data(handle, stream.pointee.id.rawValue)
  }

  /// Ends the stream at once, both ways; what was queued is dropped. `streamClosed` follows.
  public func reset(_ id: StreamID, _ code: HTTP2ErrorCode) {
    guard let stream = state.pointee.stream(id), !stream.pointee.isReset else { return }
    stream.pointee.isReset = true
    state.pointee.changeQueue(of: stream) { $0.discardQueue() }
    _ = nghttp2_submit_rst_stream(handle, 0, id.rawValue, code.rawValue)
  }

  /// Returns credit for payload that was taken: the peer may send as much again. What is left when a
  /// stream closes goes back by itself.
  public func consumed(_ bytes: Int, on id: StreamID) {
    guard bytes > 0, let stream = state.pointee.stream(id) else { return }
    precondition(
      bytes <= stream.pointee.unconsumed, "\(bytes) consumed of \(stream.pointee.unconsumed) on \(id)")
    stream.pointee.unconsumed -= bytes
    if stream.pointee.hasRemoteEnded {
      _ = nghttp2_session_consume_connection(handle, bytes)
    } else {
      _ = nghttp2_session_consume(handle, id.rawValue, bytes)
    }
  }

  /// Bytes written and not sent yet.
  public func queuedBytes(on id: StreamID) -> Int { state.pointee.stream(id)?.pointee.queuedBytes ?? 0 }

  /// The same over all streams.
  public var queuedBytes: Int { state.pointee.queuedBytes }

  /// What the queues of all streams hold in memory: a buffer that was sent in part is held whole.
  public var retainedBytes: Int { state.pointee.retainedBytes }

  /// Payload bytes that have left so far: while they stand still and some wait, the peer does not read.
  public func sentBytes(on id: StreamID) -> UInt64 { state.pointee.stream(id)?.pointee.sentBytes ?? 0 }

  public func isOpen(_ id: StreamID) -> Bool { state.pointee.stream(id) != nil }

  public var openStreams: Int { state.pointee.streams.count }

  /// Limits the DATA frames of one stream: 16 KiB where others must not wait, up to 1 MiB for bulk.
  public func setMaximumFrame(_ bytes: Int, on id: StreamID) {
    state.pointee.stream(id)?.pointee.maximumFrame = max(bytes, 1)
  }

  /// What one stream may send before it is consumed, instead of `HTTP2Settings.streamWindow`.
  public func setWindow(_ bytes: Int, on id: StreamID) {
    guard state.pointee.stream(id) != nil else { return }
    _ = nghttp2_session_set_local_window_size(handle, 0, id.rawValue, Int32(clamping: bytes))
  }

  // MARK: The connection

  public func ping(_ payload: UInt64) {
    withUnsafeBytes(of: payload.bigEndian) { bytes in
      _ = nghttp2_submit_ping(handle, 0, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
    }
  }

  /// Says that a GOAWAY will come (RFC 9113 §6.8): send it a round trip later, and what was under way then
  /// is not lost. Servers only.
  public func shutdownNotice() { _ = nghttp2_submit_shutdown_notice(handle) }

  /// Takes no new streams; those that are open run to their end.
  public func goAway(_ code: HTTP2ErrorCode = .noError, _ debug: String = "") {
    state.pointee.isClosing = true
    let words = Array(debug.utf8)
    let last = nghttp2_session_get_last_proc_stream_id(handle)
    _ = nghttp2_submit_goaway(handle, 0, last, code.rawValue, words, words.count)
  }

  /// Sends GOAWAY and nothing after it; the session is finished once that has left.
  public func terminate(_ code: HTTP2ErrorCode) {
    state.pointee.isClosing = true
    _ = nghttp2_session_terminate_session(handle, code.rawValue)
  }

  /// A new request may be submitted (clients).
  public var acceptsRequests: Bool { nghttp2_session_check_request_allowed(handle) != 0 }

  public var peerMaxConcurrentStreams: Int {
    Int(nghttp2_session_get_remote_settings(handle, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS))
  }

  /// A header section has begun and not ended: it should not take long.
  public var isReceivingHeaders: Bool { state.pointee.headersOf != nil }

  // MARK: Calling nghttp2

  /// Lends nghttp2 the data source over `stream`; it copies what it keeps. No stream: no payload at all.
  private static func withProvider(
    _ stream: SessionState.Stream?, _ body: (UnsafePointer<nghttp2_data_provider>?) -> Int32
  ) -> Int32 {
    guard let stream else { return body(nil) }
    let source = nghttp2_data_source(ptr: stream)
    return withUnsafePointer(to: nghttp2_data_provider(source: source, read_callback: Callbacks.source), body)
  }

  /// Lends `headers` to `body` as nghttp2 wants them; it copies what it keeps.
  private func submit(
    _ headers: [HeaderField], _ body: (UnsafePointer<nghttp2_nv>?, Int) -> Int32
  ) throws(WireError) {
    let bytes = headers.reduce(0) { $0 + $1.name.utf8.count + $1.value.utf8.count }
    guard bytes <= 64 << 10 else {
      throw WireError(.tooLarge, "\(bytes) bytes of header fields exceed 65536")
    }
    let code = withUnsafeTemporaryAllocation(byteCount: max(bytes, 1), alignment: 1) { text in
      withUnsafeTemporaryAllocation(of: nghttp2_nv.self, capacity: max(headers.count, 1)) { fields in
        var end = 0
        func copy(_ string: String) -> (UnsafeMutablePointer<UInt8>?, Int) {
          var string = string
          return string.withUTF8 { bytes in
            let room = UnsafeMutableRawBufferPointer(rebasing: text[end...])
            room.copyMemory(from: UnsafeRawBufferPointer(bytes))
            end += bytes.count
            return (room.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count)
          }
        }
        for (index, header) in headers.enumerated() {
          let (name, value) = (copy(header.name), copy(header.value))
          fields.initializeElement(
            at: index,
            to: nghttp2_nv(name: name.0, value: value.0, namelen: name.1, valuelen: value.1, flags: 0))
        }
        return body(UnsafePointer(fields.baseAddress), headers.count)
      }
    }
    switch nghttp2_error(rawValue: code) {
    case NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE: throw WireError(.unavailable, "stream numbers are used up")
    default: try Self.check(code)
    }
  }
}
