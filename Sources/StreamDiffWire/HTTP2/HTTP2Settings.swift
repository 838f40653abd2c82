/// The bounds of one connection. Bytes unless the name says otherwise.
public struct HTTP2Settings: Hashable, Sendable {
  /// Streams the peer may have open at once (SETTINGS_MAX_CONCURRENT_STREAMS).
  public var maxConcurrentStreams = 1_000
  /// What one stream may send us before we have consumed it: the memory that a stream can hold.
  public var streamWindow = 4 << 20
  /// The same over all streams: the memory that a connection can hold.
  public var connectionWindow = 16 << 20
  /// The largest frame we accept; large ones cost a third of the processor time on bulk.
  public var maxReceivedFrame = 1 << 20
  /// The largest DATA frame we send, if the peer takes it: nothing else of the connection passes meanwhile.
  public var maxSentFrame = 256 << 10
  /// A header or trailer section, counted as RFC 9113 §6.5.2 does. Over it: 431 for that request.
  public var headerListBytes = 16 << 10
  /// Frames that break the rules of one stream only, over the life of a connection: an honest peer sends
  /// none, and each makes us reset a stream that the peer then no longer counts.
  public var invalidFrames = 1_000
  /// Frames of ours that wait to leave, DATA apart: a peer that makes us answer and never reads is cut.
  /// A thousand calls owe three each, and cancelled ones stay until the socket takes them.
  public var outboundFrames = 8 << 10
  /// A stream's queue at or over this is full: the writer waits…
  public var sendQueueHighWater = 1 << 20
  /// …until it has fallen to this (`HTTP2Event.writable`).
  public var sendQueueLowWater = 512 << 10

  public init() {}

  /// A header section this many times over `headerListBytes` ends the connection while it still arrives.
  static let headerListCut = 8
}
