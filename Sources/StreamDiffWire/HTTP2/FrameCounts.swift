/// Frames of a peer that cost us work and bring us nothing, and what of ours explains them. Whoever knows the
/// time decides when they are too many (RFC 9113 §10.5).
public struct FrameCounts: Hashable, Sendable {
  /// RST_STREAM: each undoes a request that we had begun to serve.
  public var resets = 0
  /// SETTINGS, PING, PRIORITY, WINDOW_UPDATE, and DATA without a byte or an end.
  public var idle = 0
  /// DATA frames that we sent: an honest peer answers each with up to two WINDOW_UPDATE frames.
  public var sentData = 0

  public init() {}
}
