import CNghttp2
import NIOCore

/// What nghttp2's callbacks touch. It lives at one address as long as the session, and is reached
/// through that address alone: the exclusivity checks of class properties cost a quarter of the
/// processor time when messages are small.
struct SessionState {
  typealias Stream = UnsafeMutablePointer<StreamState>

  /// Frames that a callback found due. Callbacks do not call nghttp2 back; `HTTP2Session` settles these.
  enum Owed {
    case trailers(StreamID)
    case reset(StreamID, HTTP2ErrorCode)
    case headersTooLong(StreamID)
  }

  enum Piece {
    case scratch(Range<Int>)
    case shared(ByteBuffer)
  }

  let role: HTTP2Session.Role
  let settings: HTTP2Settings
  private(set) var streams: [StreamID: Stream] = [:]
  private var recent: (id: StreamID, stream: Stream)?
  private var events: [HTTP2Event] = []
  var owed: [Owed] = []
  var counts = FrameCounts()
  /// Bytes of all streams that wait to be sent.
  private(set) var queuedBytes = 0
  /// What their queues hold in memory.
  private(set) var retainedBytes = 0
  /// Connection credit for bytes that no one will consume.
  var creditOwed = 0

  // Receiving.
  private var incoming = ByteBuffer()
  private var incomingBase: UnsafeRawPointer?
  private var gathered = ByteBuffer()
  private var gatheredFor: StreamID?
  private(set) var headersOf: StreamID?
  private var fields: [HeaderField] = []
  private var fieldBytes = 0
  private(set) var invalidFrames = 0
  /// nghttp2's words about the last violation.
  var diagnosis = ""
  /// We ended the session ourselves: its GOAWAY is no news.
  var isClosing = false

  // Sending.
  private var scratch = ByteBuffer()
  private var scratchStart = 0
  private var scratchGuess = 512
  private var pieces: [Piece] = []
  private(set) var outputBytes = 0
  private var outputLimit = 0
  private(set) var isPaused = false

  init(role: HTTP2Session.Role, settings: HTTP2Settings) {
    self.role = role
    self.settings = settings
  }

  // MARK: Streams

  mutating func stream(_ id: StreamID) -> Stream? {
    if let recent, recent.id == id { return recent.stream }
    guard let found = streams[id] else { return nil }
    recent = (id, found)
    return found
  }

  mutating func open(_ id: StreamID, isAnnounced: Bool) -> Stream {
    let stream = Stream.allocate(capacity: 1)
    stream.initialize(to: StreamState(id, isAnnounced: isAnnounced, maximumFrame: settings.maxSentFrame))
    adopt(stream, as: id)
    return stream
  }

  mutating func adopt(_ stream: Stream, as id: StreamID) {
    streams[id] = stream
    recent = (id, stream)
  }

  mutating func close(_ id: StreamID, _ code: HTTP2ErrorCode) {
    guard let stream = streams.removeValue(forKey: id) else { return }
    recent = nil
    if headersOf == id { headersOf = nil }
    creditOwed += stream.pointee.unconsumed
    changeQueue(of: stream) { $0.discardQueue() }
    // Both ends may have ended before the reset for long trailers could leave.
    let reason = stream.pointee.hasLongHeaders ? .enhanceYourCalm : code
    if stream.pointee.isAnnounced { emit(.streamClosed(id, reason)) }
    stream.deinitialize(count: 1)
    stream.deallocate()
  }

  mutating func closeAll() {
    for stream in streams.values {
      stream.deinitialize(count: 1)
      stream.deallocate()
    }
    streams = [:]
    recent = nil
  }

  // MARK: Events

  mutating func emit(_ event: HTTP2Event) {
    flushGathered()
    events.append(event)
  }

  mutating func takeEvents() -> [HTTP2Event] {
    flushGathered()
    guard !events.isEmpty else { return [] }
    let taken = events
    events = []
    events.reserveCapacity(min(taken.count, 64))
    return taken
  }

  private mutating func flushGathered() {
    guard let id = gatheredFor else { return }
    gatheredFor = nil
    events.append(.data(id, gathered))
    gathered = ByteBuffer()
  }

  // MARK: Receiving

  mutating func beginReceiving(_ bytes: ByteBuffer, at base: UnsafeRawPointer?) {
    incoming = bytes
    incomingBase = base
  }

  mutating func endReceiving() {
    flushGathered()
    incoming = ByteBuffer()
    incomingBase = nil
  }

  /// DATA payload, somewhere in the buffer being received.
  ///
  /// A slice keeps the whole receive buffer alive, so only a chunk of at least a sixteenth of it becomes one;
  /// smaller ones are gathered. Unconsumed bytes thus hold at most 16 times themselves.
  mutating func received(_ id: StreamID, _ bytes: UnsafeRawBufferPointer) {
    guard let stream = stream(id), stream.pointee.isHeard else {
      creditOwed += bytes.count
      return
    }
    stream.pointee.unconsumed += bytes.count
    if let base = incomingBase, let start = bytes.baseAddress, bytes.count >= incoming.storageCapacity / 16,
      let slice = incoming.getSlice(at: incoming.readerIndex + (start - base), length: bytes.count)
    {
      emit(.data(id, slice))
      return
    }
    if gatheredFor != id {
      flushGathered()
      gatheredFor = id
    }
    gathered.writeBytes(bytes)
  }

  mutating func beginHeaders(_ id: StreamID, isRequest: Bool) {
    if isRequest { _ = open(id, isAnnounced: false) }
    headersOf = id
    fields = []
    // A request has nine fields with most clients, an answer's sections have fewer.
    fields.reserveCapacity(12)
    fieldBytes = 0
  }

  /// - Returns: false when the section is so far over its limit that the connection must end.
  mutating func receivedField(_ id: StreamID, _ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer)
    -> Bool
  {
    fieldBytes += name.count + value.count + HeaderField.entryOverhead
    guard fieldBytes <= settings.headerListBytes else {
      fields = []
      stream(id)?.pointee.hasLongHeaders = true
      return fieldBytes <= settings.headerListBytes * HTTP2Settings.headerListCut
    }
    fields.append(HeaderField(String(decoding: name, as: UTF8.self), String(decoding: value, as: UTF8.self)))
    return true
  }

  mutating func receivedHeaders(_ id: StreamID, isRequest: Bool) {
    headersOf = nil
    let section = fields
    fields = []
    guard let stream = stream(id), !stream.pointee.isReset else { return }
    if stream.pointee.hasLongHeaders {
      // Trailers cannot be answered 431 any more, and a client has nobody to tell.
      owed.append(isRequest ? .headersTooLong(id) : .reset(id, .enhanceYourCalm))
    } else if isRequest {
      stream.pointee.isAnnounced = true
      emit(.headers(id, section))
    } else if role == .server {
      if stream.pointee.isAnnounced { emit(.trailers(id, section)) }
    } else if let status = section[first: ":status"] {
      if !status.hasPrefix("1") { emit(.headers(id, section)) }
    } else {
      emit(.trailers(id, section))
    }
  }

  mutating func remoteEnded(_ id: StreamID) {
    guard let stream = stream(id) else { return }
    stream.pointee.hasRemoteEnded = true
    if stream.pointee.isHeard, !stream.pointee.hasLongHeaders { emit(.remoteEnded(id)) }
  }

  /// - Returns: false when the peer has sent too many of them.
  mutating func receivedInvalidFrame() -> Bool {
    invalidFrames += 1
    return invalidFrames <= settings.invalidFrames
  }

  // MARK: Sending

  mutating func changeQueue(of stream: Stream, _ change: (inout StreamState) -> Void) {
    let before = (stream.pointee.queuedBytes, stream.pointee.retainedBytes)
    change(&stream.pointee)
    queueChanged(of: stream, before)
  }

  private mutating func queueChanged(of stream: Stream, _ before: (queued: Int, retained: Int)) {
    queuedBytes += stream.pointee.queuedBytes - before.queued
    retainedBytes += stream.pointee.retainedBytes - before.retained
  }

  mutating func beginOutput(limit: Int) {
    (outputBytes, outputLimit, isPaused) = (0, limit, false)
  }

  /// Bytes of a frame that live only until the next call into nghttp2.
  mutating func output(_ bytes: UnsafeRawBufferPointer) {
    if scratch.storageCapacity == 0 { scratch = ByteBufferAllocator().buffer(capacity: scratchGuess) }
    scratch.writeBytes(bytes)
    outputBytes += bytes.count
  }

  /// - Returns: false to pause: the output is full.
  mutating func outputData(_ header: UnsafeRawBufferPointer, _ count: Int, of stream: Stream) -> Bool {
    output(header)
    counts.sentData += 1
    let before = (stream.pointee.queuedBytes, stream.pointee.retainedBytes)
    let hasRoom = stream.pointee.dequeue(count, lowWater: settings.sendQueueLowWater) { slice in
      endScratchPiece()
      pieces.append(.shared(slice))
      outputBytes += slice.readableBytes
    } copy: { bytes in
      outputBytes += scratch.writeImmutableBuffer(bytes)
    }
    queueChanged(of: stream, before)
    if hasRoom { emit(.writable(stream.pointee.id)) }
    isPaused = isOutputFull
    return !isPaused
  }

  var isOutputFull: Bool { outputBytes >= outputLimit }

  private mutating func endScratchPiece() {
    guard scratch.writerIndex > scratchStart else { return }
    pieces.append(.scratch(scratchStart..<scratch.writerIndex))
    scratchStart = scratch.writerIndex
  }

  mutating func takeOutput() -> HTTP2Output? {
    guard outputBytes > 0 else { return nil }
    endScratchPiece()
    let whole = scratch
    scratchGuess = min(max(whole.readableBytes, 512), 64 << 10)
    scratch = ByteBuffer()
    scratchStart = 0
    var buffers: [ByteBuffer] = []
    buffers.reserveCapacity(pieces.count)
    for piece in pieces {
      switch piece {
      case .shared(let buffer): buffers.append(buffer)
      case .scratch(let range):
        if let slice = whole.getSlice(at: range.lowerBound, length: range.count) { buffers.append(slice) }
      }
    }
    pieces.removeAll(keepingCapacity: true)
    return HTTP2Output(buffers: buffers, byteCount: outputBytes, hasMore: isOutputFull)
  }
}
