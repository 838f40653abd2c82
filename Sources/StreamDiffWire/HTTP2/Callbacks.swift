import CNghttp2

/// nghttp2's callbacks. Each records what happened in the `SessionState` at `user` and returns; none
/// calls nghttp2 back, none throws.
enum Callbacks {
  /// - Returns: the table, to be freed with `nghttp2_session_callbacks_del`; `nil` when out of memory.
  static func make() -> OpaquePointer? {
    var table: OpaquePointer?
    guard nghttp2_session_callbacks_new(&table) == 0 else { return nil }
    installReceiving(table)
    installSending(table)
    nghttp2_session_callbacks_set_on_stream_close_callback(table) { _, id, code, user in
      state(user).pointee.close(StreamID(id), HTTP2ErrorCode(rawValue: code))
      return 0
    }
    nghttp2_session_callbacks_set_error_callback2(table) { _, _, text, count, user in
      let words = UnsafeRawBufferPointer(start: text, count: min(count, 256))
      state(user).pointee.diagnosis = String(decoding: words, as: UTF8.self)
      return 0
    }
    return table
  }

  private static func installReceiving(_ table: OpaquePointer?) {
    nghttp2_session_callbacks_set_on_begin_headers_callback(table) { _, frame, user in
      let frame = frame!.pointee
      let isRequest = frame.headers.cat == NGHTTP2_HCAT_REQUEST
      state(user).pointee.beginHeaders(StreamID(frame.hd.stream_id), isRequest: isRequest)
      return 0
    }
    nghttp2_session_callbacks_set_on_header_callback(table) {
      _, frame, name, nameCount, value, count, _, user in
      let isWithinReason = state(user).pointee.receivedField(
        StreamID(frame!.pointee.hd.stream_id),
        UnsafeRawBufferPointer(start: name, count: nameCount),
        UnsafeRawBufferPointer(start: value, count: count))
      return isWithinReason ? 0 : failed
    }
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(table) { _, _, id, bytes, count, user in
      state(user).pointee.received(StreamID(id), UnsafeRawBufferPointer(start: bytes, count: count))
      return 0
    }
    nghttp2_session_callbacks_set_on_frame_recv_callback(table) { _, frame, user in
      receivedFrame(frame!, state(user))
      return 0
    }
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(table) { _, _, _, user in
      state(user).pointee.receivedInvalidFrame() ? 0 : failed
    }
  }

  private static func installSending(_ table: OpaquePointer?) {
    nghttp2_session_callbacks_set_send_data_callback(table) { _, _, header, count, source, user in
      let stream = source!.pointee.ptr.assumingMemoryBound(to: StreamState.self)
      let header = UnsafeRawBufferPointer(start: header, count: 9)
      // PAUSE takes this frame and returns; without it nghttp2 would go on through all that is queued.
      return state(user).pointee.outputData(header, count, of: stream) ? 0 : Int32(NGHTTP2_ERR_PAUSE.rawValue)
    }
    nghttp2_session_callbacks_set_data_source_read_length_callback(table) { _, _, id, _, _, peerLimit, user in
      // Without an answer nghttp2 stays with frames of 16 KiB for ever.
      let ours = state(user).pointee.stream(StreamID(id))?.pointee.maximumFrame ?? 16 << 10
      return min(Int(peerLimit), ours)
    }
    nghttp2_session_callbacks_set_on_frame_send_callback(table) { session, frame, user in
      sentFrame(frame!, session, state(user))
      return 0
    }
    nghttp2_session_callbacks_set_on_frame_not_send_callback(table) { _, frame, code, user in
      let frame = frame!.pointee
      // A request that cannot leave is closed by nghttp2; an answer would be waited for in vain.
      if UInt32(frame.hd.type) == NGHTTP2_HEADERS.rawValue, frame.headers.cat != NGHTTP2_HCAT_REQUEST {
        state(user).pointee.owed.append(.reset(StreamID(frame.hd.stream_id), .internalError))
      }
      return 0
    }
  }

  /// Feeds nghttp2 from a stream's queue: how many bytes the next DATA frame has. They leave by the
  /// send-data callback, without a copy.
  static let source: nghttp2_data_source_read_callback = { _, _, _, limit, flags, source, user in
    let stream = source!.pointee.ptr.assumingMemoryBound(to: StreamState.self)
    let count = min(limit, stream.pointee.queuedBytes)
    let isLast = stream.pointee.isFinishing && count == stream.pointee.queuedBytes
    guard (count > 0 || isLast) && !stream.pointee.isReset else {
      stream.pointee.isDeferred = true
      return Int(NGHTTP2_ERR_DEFERRED.rawValue)
    }
    flags!.pointee |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue
    if isLast {
      flags!.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue
      if stream.pointee.trailers != nil {
        flags!.pointee |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
        state(user).pointee.owed.append(.trailers(stream.pointee.id))
      }
    }
    return count
  }
}

// A closure that becomes a C function can use what belongs to the file, and not what belongs to a type.

private typealias State = UnsafeMutablePointer<SessionState>

private let failed = Int32(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue)

@inline(__always)
private func state(_ user: UnsafeMutableRawPointer?) -> State {
  // Sound: `HTTP2Session` passes the address of its state, and frees the C session first.
  user!.assumingMemoryBound(to: SessionState.self)
}

private func receivedFrame(_ frame: UnsafePointer<nghttp2_frame>, _ state: State) {
  let header = frame.pointee.hd
  let id = StreamID(header.stream_id)
  switch UInt32(header.type) {
  case NGHTTP2_DATA.rawValue:
    if hasFlag(header, NGHTTP2_FLAG_END_STREAM) {
      state.pointee.remoteEnded(id)
    } else if header.length == frame.pointee.data.padlen {
      state.pointee.counts.idle += 1
    }
  case NGHTTP2_HEADERS.rawValue:
    state.pointee.receivedHeaders(id, isRequest: frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST)
    if hasFlag(header, NGHTTP2_FLAG_END_STREAM) { state.pointee.remoteEnded(id) }
  case NGHTTP2_SETTINGS.rawValue:
    state.pointee.counts.idle += 1
    if !hasFlag(header, NGHTTP2_FLAG_ACK) { state.pointee.emit(.settings) }
  case NGHTTP2_RST_STREAM.rawValue: state.pointee.counts.resets += 1
  case NGHTTP2_WINDOW_UPDATE.rawValue, NGHTTP2_PRIORITY.rawValue: state.pointee.counts.idle += 1
  case NGHTTP2_PING.rawValue:
    state.pointee.counts.idle += 1
    if hasFlag(header, NGHTTP2_FLAG_ACK) {
      let payload = withUnsafeBytes(of: frame.pointee.ping.opaque_data) { $0.loadUnaligned(as: UInt64.self) }
      state.pointee.emit(.pingAcknowledged(UInt64(bigEndian: payload)))
    }
  case NGHTTP2_GOAWAY.rawValue:
    let goAway = frame.pointee.goaway
    let debug = UnsafeRawBufferPointer(start: goAway.opaque_data, count: min(goAway.opaque_data_len, 256))
    state.pointee.emit(
      .goAway(
        lastStream: StreamID(goAway.last_stream_id), HTTP2ErrorCode(rawValue: goAway.error_code),
        debug: String(decoding: debug, as: UTF8.self)))
  default: break
  }
}

private func sentFrame(_ frame: UnsafePointer<nghttp2_frame>, _ session: OpaquePointer?, _ state: State) {
  let header = frame.pointee.hd
  switch UInt32(header.type) {
  case NGHTTP2_HEADERS.rawValue, NGHTTP2_DATA.rawValue:
    // The answer is complete and the client still talks: NO_ERROR asks it to stop (RFC 9113 §8.1).
    guard state.pointee.role == .server, hasFlag(header, NGHTTP2_FLAG_END_STREAM),
      nghttp2_session_get_stream_remote_close(session, header.stream_id) == 0
    else { return }
    state.pointee.owed.append(.reset(StreamID(header.stream_id), .noError))
  case NGHTTP2_GOAWAY.rawValue:
    let code = HTTP2ErrorCode(rawValue: frame.pointee.goaway.error_code)
    guard code != .noError, !state.pointee.isClosing else { return }
    state.pointee.emit(.failed(code, state.pointee.diagnosis))
  default: break
  }
}

private func hasFlag(_ header: nghttp2_frame_hd, _ flag: nghttp2_flag) -> Bool {
  UInt32(header.flags) & flag.rawValue != 0
}
