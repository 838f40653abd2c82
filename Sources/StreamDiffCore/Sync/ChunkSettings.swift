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
