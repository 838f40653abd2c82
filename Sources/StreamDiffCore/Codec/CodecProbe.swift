import CZstd

/// Looks at how small a sample of the data at hand would be at a level that is not in use. The caller takes the
/// time.
public struct CodecProbe: Sendable {
  /// Of a sample: what a session remembers.
  public static let sampleBytes = ChunkCompressor.prefixBytes

  private let pool: CodecPool

  public init(pool: CodecPool = .node) { self.pool = pool }

  /// The bytes of `plain` as a frame of its own at `level`, one flush for each 64 KiB.
  ///
  /// Nothing is known before it: a session's own chunks come out smaller. What levels are to each other is what the
  /// number tells, on the same sample; on 256 KiB it is within a few percent of what it is in a session.
  /// - Parameter plain: at most `Limits.chunkBytes`.
  /// - Throws: `CodecError`: `.noRoom` where the pool has no room for the level now.
  public func measure(_ plain: RawSpan, level: Int32) throws(CodecError) -> Int {
    var compressor = ChunkCompressor(pool: pool)
    let encoding = ChunkEncoding(codec: .zstd, level: level)
    var payload: [UInt8] = []
    var (start, total) = (0, 0)
    while start < plain.byteCount {
      let part = plain.extracting(start..<min(start + Self.chunkBytes, plain.byteCount))
      payload.removeAll(keepingCapacity: true)
      _ = try compressor.compress(part, as: encoding, into: &payload)
      guard compressor.encoding == encoding else {
        throw CodecError(.noRoom, "no room for a trial of level \(level)")
      }
      start += part.byteCount
      total += payload.count
    }
    return total
  }

  private static let chunkBytes = 64 << 10
}
