/// How the next chunk is cut and encoded.
public struct ChunkSettings: Hashable, Sendable {
  /// Plain bytes: 1 to `Limits.chunkBytes`.
  public var bytes: Int
  public var encoding: ChunkEncoding

  public init(bytes: Int, encoding: ChunkEncoding) {
    precondition(1...Limits.chunkBytes ~= bytes, "a chunk of \(bytes) bytes")
    self.bytes = bytes
    self.encoding = encoding
  }
}

/// Decides how a sender's chunks are cut and encoded and how many bytes may be in flight. It is
/// asked before every chunk. The policy is fixed: the measured best for a fast network.
public struct TransferController: Sendable {
  public var settings: ChunkSettings
  /// Plain bytes that may be unacknowledged, within the receiver's credit.
  public var bytesInFlight: Int

  public init(
    settings: ChunkSettings = ChunkSettings(
      bytes: 64 << 10, encoding: ChunkEncoding(codec: .zstd, level: 1)),
    bytesInFlight: Int = 64 << 20
  ) {
    self.settings = settings
    self.bytesInFlight = bytesInFlight
  }
}
