import CStreamDiffProtos
public import NIOCore
public import StreamDiffCore

// StreamDiffRequest and StreamDiffResponse have the same fields under the same numbers: one coding
// serves both directions.

extension SyncMessage: WireMessage {
  public init(decoding bytes: ByteBuffer) throws(WireError) {
    var rest = bytes
    let lifted = try rest.readLeadingPatch()
    self = try ProtoCoding.decode(rest, streamdiff__v1__stream_diff_request__unpack) {
      message throws(WireError) in
      let isControl = message.control_case != STREAMDIFF__V1__STREAM_DIFF_REQUEST__CONTROL__NOT_SET
      let hasPatch = lifted != nil || message.diff_patch.len > 0
      guard isControl || message.chunk != nil else {
        throw WireError(
          .malformed,
          hasPatch
            ? "a chunk comes without its header" : "neither a chunk nor a control message of this version")
      }
      guard isControl else { return .chunk(try Chunk(message, lifted: lifted)) }
      guard message.chunk == nil, !hasPatch else {
        throw WireError(.malformed, "a message carries both a chunk and a control message")
      }
      switch message.control_case {
      case STREAMDIFF__V1__STREAM_DIFF_REQUEST__CONTROL_HELLO: return .hello(try Hello(message.hello.pointee))
      case STREAMDIFF__V1__STREAM_DIFF_REQUEST__CONTROL_EXPAND:
        return .expand(try Expand(message.expand.pointee))
      case STREAMDIFF__V1__STREAM_DIFF_REQUEST__CONTROL_FRONTIER:
        return .frontier(try Frontier(message.frontier.pointee))
      case STREAMDIFF__V1__STREAM_DIFF_REQUEST__CONTROL_ACK: return .ack(try Ack(message.ack.pointee))
      case STREAMDIFF__V1__STREAM_DIFF_REQUEST__CONTROL_SEAL_RESULT:
        return .sealResult(try SealResult(message.seal_result.pointee))
      case STREAMDIFF__V1__STREAM_DIFF_REQUEST__CONTROL_REPORT:
        return .report(try AdaptationReport(message.report.pointee))
      default: return .hint(try AdaptationHint(message.hint.pointee))
      }
    }
  }

  public func encode(into buffer: inout ByteBuffer) {
    guard case .chunk(let chunk) = self else { return pack(into: &buffer) { fillControl(&$0, &$1) } }
    ProtoCoding.lend(chunk.payload) { payload in
      pack(into: &buffer) { message, arena in
        message.diff_patch = payload
        message.sequence_id = chunk.sequence
        message.estimated_rtt_ms = chunk.rttMilliseconds
        message.is_last_chunk = chunk.isLast ? 1 : 0
        message.chunk = arena.message(streamdiff__v1__chunk_header__init) { header, _ in
          chunk.header.fill(&header)
        }
      }
    }
  }

  private func pack(
    into buffer: inout ByteBuffer,
    _ fill: (inout Streamdiff__V1__StreamDiffRequest, inout MessageArena) -> Void
  ) {
    ProtoCoding.encode(
      into: &buffer, Streamdiff__V1__StreamDiffRequest(), streamdiff__v1__stream_diff_request__init, fill)
  }

  private func fillControl(
    _ message: inout Streamdiff__V1__StreamDiffRequest, _ arena: inout MessageArena
  ) {
    switch self {
    case .hello(let hello):
      message.control_case = STREAMDIFF__V1__STREAM_DIFF_REQUEST__CONTROL_HELLO
      message.hello = arena.message(streamdiff__v1__hello__init) { hello.fill(&$0, &$1) }
    case .expand(let expand):
      message.control_case = STREAMDIFF__V1__STREAM_DIFF_REQUEST__CONTROL_EXPAND
      message.expand = arena.message(streamdiff__v1__expand__init) { expand.fill(&$0, &$1) }
    case .frontier(let frontier):
      message.control_case = STREAMDIFF__V1__STREAM_DIFF_REQUEST__CONTROL_FRONTIER
      message.frontier = arena.message(streamdiff__v1__frontier__init) { frontier.fill(&$0, &$1) }
    case .ack(let ack):
      message.control_case = STREAMDIFF__V1__STREAM_DIFF_REQUEST__CONTROL_ACK
      message.ack = arena.message(streamdiff__v1__ack__init) { message, _ in ack.fill(&message) }
    case .sealResult(let result):
      message.control_case = STREAMDIFF__V1__STREAM_DIFF_REQUEST__CONTROL_SEAL_RESULT
      message.seal_result = arena.message(streamdiff__v1__seal_result__init) { result.fill(&$0, &$1) }
    case .hint(let hint):
      message.control_case = STREAMDIFF__V1__STREAM_DIFF_REQUEST__CONTROL_HINT
      message.hint = arena.message(streamdiff__v1__adaptation_hint__init) { hint.fill(&$0, &$1) }
    case .report(let report):
      message.control_case = STREAMDIFF__V1__STREAM_DIFF_REQUEST__CONTROL_REPORT
      message.report = arena.message(streamdiff__v1__adaptation_report__init) { report.fill(&$0, &$1) }
    case .chunk: preconditionFailure("a chunk is no control message")
    }
  }
}

extension ByteBuffer {
  /// Takes off field 1 (`diff_patch`, the bulk of a chunk) where it stands first, as every encoder of
  /// note puts it: these bytes are then copied once, from the socket's buffer into the array.
  fileprivate mutating func readLeadingPatch() throws(WireError) -> [UInt8]? {
    guard getInteger(at: readerIndex, as: UInt8.self) == 1 << 3 | 2 else { return nil }
    var length = 0
    var place = readerIndex + 1
    for shift in stride(from: 0, to: 35, by: 7) {
      guard let byte = getInteger(at: place, as: UInt8.self) else { break }
      place += 1
      length |= Int(byte & 0x7f) << shift
      guard byte & 0x80 != 0 else {
        moveReaderIndex(to: place)
        guard let patch = readBytes(length: length) else { break }
        return patch
      }
    }
    throw WireError(.malformed, "diff_patch is cut short")
  }
}

extension Chunk {
  /// - Parameter lifted: the payload, where it was taken off before.
  fileprivate init(
    _ message: borrowing Streamdiff__V1__StreamDiffRequest, lifted: [UInt8]?
  ) throws(WireError) {
    self.init(
      header: try ChunkHeader(message.chunk.pointee), sequence: message.sequence_id,
      rttMilliseconds: message.estimated_rtt_ms, isLast: message.is_last_chunk != 0,
      payload: message.diff_patch.len > 0 ? [UInt8](message.diff_patch) : lifted ?? [])
  }
}

extension ChunkHeader {
  fileprivate init(_ message: Streamdiff__V1__ChunkHeader) throws(WireError) {
    guard let number = UInt8(exactly: message.codec.rawValue), let codec = Codec(rawValue: number) else {
      throw WireError(.unsupported, "codec \(message.codec.rawValue)")
    }
    self.init(
      firstOrdinal: try ProtoCoding.ordinal(message.first_ordinal, "first_ordinal"),
      plainLength: message.plain_length, codec: codec,
      isNewFrame: message.new_frame != 0, prefixLength: message.prefix_length,
      plainCRC: CRC32C(rawValue: message.plain_crc32c), wireCRC: CRC32C(rawValue: message.wire_crc32c))
  }

  fileprivate func fill(_ message: inout Streamdiff__V1__ChunkHeader) {
    message.first_ordinal = firstOrdinal.rawValue
    message.plain_length = plainLength
    message.codec = .init(rawValue: UInt32(codec.rawValue))
    message.new_frame = isNewFrame ? 1 : 0
    message.prefix_length = prefixLength
    message.plain_crc32c = plainCRC.rawValue
    message.wire_crc32c = wireCRC.rawValue
  }
}
