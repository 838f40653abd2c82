public import NIOCore

/// What a connection brought, in the order it happened. `streamClosed` is a stream's last event.
public enum HTTP2Event: Sendable {
  /// Server: a request. Client: the final response head (interim 1xx ones are skipped).
  case headers(StreamID, [HeaderField])
  /// Payload. Its credit goes back by `HTTP2Session.consumed`.
  case data(StreamID, ByteBuffer)
  /// The peer's trailer section; `remoteEnded` follows.
  case trailers(StreamID, [HeaderField])
  /// The peer sends no more on the stream (END_STREAM).
  case remoteEnded(StreamID)
  /// The stream's queue was full and has room again.
  case writable(StreamID)
  case streamClosed(StreamID, HTTP2ErrorCode)
  /// The peer's SETTINGS; the first one opens the connection.
  case settings
  case pingAcknowledged(UInt64)
  /// The peer takes no streams above `lastStream`; those up to it run to their end.
  case goAway(lastStream: StreamID, HTTP2ErrorCode, debug: String)
  /// The peer broke the protocol; we have told it so, and the session ends with what is left to send.
  case failed(HTTP2ErrorCode, String)
}

/// Bytes to write to the socket, in order.
public struct HTTP2Output: Sendable {
  public var buffers: [ByteBuffer]
  public var byteCount: Int
  /// The limit ended this output: ask again.
  public var hasMore: Bool
}
