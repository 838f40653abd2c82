/// What a decision has to stay within: the operator's settings, and the receiver's limits inside them.
public struct AdaptationBounds: Hashable, Sendable {
  /// Plain bytes.
  public var chunk: ClosedRange<Int>
  public var levels: ClosedRange<Int32>
  public var codec: AdaptationSettings.CodecChoice
  /// Plain bytes, the receiver's credit included.
  public var bytesInFlight: Int
  /// Plain bytes per second that the receiver says it decodes and applies; `nil` where it does not say.
  public var receiverRate: Double?

  /// The settings alone.
  public init(_ settings: AdaptationSettings) {
    // At a low rate-max a chunk is a second's worth: who waits for it must see that something comes. It is 4 KiB at
    // least, which at 1 KiB/s are four seconds: smaller ones would be mostly what travels around them.
    let second = settings.rateMax.map { max(4 << 10, Int(clamping: $0.bytesPerSecond)) } ?? .max
    chunk = settings.chunkMin...max(settings.chunkMin, min(settings.chunkMax, second))
    levels = settings.levelMin...max(settings.levelMin, settings.levelMax)
    codec = settings.codec
    bytesInFlight = settings.inflightMax
  }

  public func clamped(chunk bytes: Int) -> Int { min(chunk.upperBound, max(chunk.lowerBound, bytes)) }

  /// The nearest that is allowed.
  public func clamped(_ encoding: ChunkEncoding) -> ChunkEncoding {
    guard codec != .none, encoding.codec == .zstd || codec == .zstd else { return .plain }
    let level = min(levels.upperBound, max(levels.lowerBound, encoding.codec == .zstd ? encoding.level : 1))
    return ChunkEncoding(codec: .zstd, level: level == 0 ? (levels.upperBound > 0 ? 1 : -1) : level)
  }
}
