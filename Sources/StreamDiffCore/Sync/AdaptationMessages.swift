/// Receiver to sender, at any time: what it sees of the transfer and wants of it. Zero and empty say nothing; one takes
/// the place of the one before.
public struct AdaptationHint: Hashable, Sendable {
  /// Plain bytes, while it decodes and while it applies.
  public var decodeBytesPerSecond: UInt64 = 0
  public var applyBytesPerSecond: UInt64 = 0
  /// As `Hello.credit`, from here on.
  public var credit: UInt64 = 0
  /// Plain bytes.
  public var chunkMinimum: UInt32 = 0
  public var chunkMaximum: UInt32 = 0
  /// The sender's tunables, in place of its own.
  public var settings: [Setting] = []

  public init() {}
}

/// A tunable by its name, as the command line writes it.
public struct Setting: Hashable, Sendable {
  public var name: String
  public var value: String

  public init(name: String, value: String) { (self.name, self.value) = (name, value) }
}

/// Sender to receiver: how it sends, for the receiver's `status`.
public struct AdaptationReport: Hashable, Sendable {
  /// Plain bytes.
  public var chunk: UInt32 = 0
  public var encoding = ChunkEncoding.plain
  /// Plain bytes that may be unacknowledged.
  public var bytesInFlight: UInt64 = 0
  /// Zero while unknown.
  public var rtt = Duration.zero
  public var minRTT = Duration.zero
  /// Of 1.
  public var loss = 0.0
  /// Bytes per second that the network took lately, and what they were before encoding.
  public var wireRate: UInt64 = 0
  public var plainRate: UInt64 = 0
  public var policy = ""
  public var congestion = ""
  /// Of the last change.
  public var reason = ""
  /// What the receiver asked for and does not get; empty where it gets all.
  public var unmet = ""

  public init() {}
}
