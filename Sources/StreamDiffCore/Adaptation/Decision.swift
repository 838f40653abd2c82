/// How a sender goes on.
public struct Decision: Hashable, Sendable {
  public var settings: ChunkSettings
  /// Plain bytes that may be unacknowledged, within the receiver's credit.
  public var bytesInFlight: Int
  /// What the connection's congestion control should be; `nil` as it is.
  public var congestion: CongestionControl?
  /// Levels to try on the same sample of recent plain bytes; none mostly.
  public var probe: [Int32] = []
  /// One line: why it is so. It stays until the next change.
  public var reason: String

  public init(settings: ChunkSettings, bytesInFlight: Int, reason: String) {
    (self.settings, self.bytesInFlight, self.reason) = (settings, bytesInFlight, reason)
  }
}
