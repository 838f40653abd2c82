/// What happened in one interval of a sender's session, and all that a decision is made from. A session's
/// observations, in order, give its decisions again (`TransferController`).
public struct Observation: Hashable, Sendable {
  /// Since the session began: the interval's end. It never moves back.
  public var time = Duration.zero
  /// `nil` where the kernel tells nothing.
  public var link: LinkSample?
  /// Of an HTTP/2 PING; `nil` where none came back in this interval.
  public var pingRTT: Duration?
  /// Bytes that stood before that PING on this side.
  public var pingQueue = 0

  // MARK: The sending task

  /// How chunks were really encoded in this interval.
  public var encoding = ChunkEncoding.plain
  public var chunks = 0
  /// Of these chunks, before and after encoding.
  public var plainBytes = 0
  public var payloadBytes = 0
  /// What it spent encoding, waiting for room in the connection, for the receiver's credit or the bytes in flight,
  /// and for something to send.
  public var encodeTime = Duration.zero
  public var sendWait = Duration.zero
  public var creditWait = Duration.zero
  public var sourceWait = Duration.zero

  // MARK: The receiver

  /// Plain bytes acknowledged in this interval.
  public var acknowledgedBytes = 0
  /// From sending a chunk to its acknowledgement: the least of those that came in this interval.
  public var acknowledgementDelay: Duration?
  /// Plain bytes unacknowledged at the end.
  public var bytesInFlight = 0

  // MARK: Samples

  /// What other levels made of recent plain bytes.
  public var probes: [CodecProbeResult] = []

  public init() {}
}

/// One sample of recent plain bytes, encoded at one level. Results are compared with others of the same sample.
public struct CodecProbeResult: Hashable, Sendable {
  public var level: Int32
  public var plainBytes: Int
  public var payloadBytes: Int
  public var time: Duration

  public init(level: Int32, plainBytes: Int, payloadBytes: Int, time: Duration) {
    (self.level, self.plainBytes, self.payloadBytes, self.time) = (level, plainBytes, payloadBytes, time)
  }
}
