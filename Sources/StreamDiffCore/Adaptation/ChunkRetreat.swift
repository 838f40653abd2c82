/// Smaller chunks where connections end before one gets through.
///
/// A connection on which chunks were to leave and nothing came of it halves what a chunk may be. Where chunks get through
/// again, the limit stays, and so many of them on one connection double it.
public struct ChunkRetreat: Hashable, Sendable {
  /// Plain bytes. Below, a chunk is mostly what travels around it.
  public static let least = 512
  /// Chunks on one connection after which those of twice the size are tried: whoever cuts it does so later than that.
  public static let trust = 64

  /// Plain bytes of a chunk; `nil` without a limit.
  public private(set) var limit: Int?
  /// When the present connection began.
  private var progress: UInt64?
  /// Of the present connection: its largest chunk, and the bytes that got through since the limit is what it is.
  private var largest = 0
  private var gotThrough = 0

  public init() {}

  /// A connection has come as far as chunks may leave.
  /// - Parameter progress: of all connections before, as both ends know it now.
  public mutating func begin(progress: UInt64) {
    if progress == self.progress, largest > 0 {
      limit = max(Self.least, min(limit ?? .max, largest) / 2)
    }
    (self.progress, largest, gotThrough) = (progress, 0, 0)
  }

  /// - Parameter bytes: of a chunk that leaves, or is waited for.
  public mutating func sends(_ bytes: Int) { largest = max(largest, bytes) }

  public mutating func gotThrough(_ bytes: Int) {
    guard let limit else { return }
    gotThrough += bytes
    guard gotThrough >= limit * Self.trust else { return }
    gotThrough = 0
    self.limit = limit * 2 < Limits.chunkBytes ? limit * 2 : nil
  }
}

extension [Setting] {
  /// As wishes of a receiver that takes chunks of at most so many plain bytes. A least size that is asked for stays.
  public func limited(toChunks limit: Int?) -> [Setting] {
    guard let limit else { return self }
    func asked(_ tunable: Tunable) -> Int? {
      last { $0.name == tunable.rawValue }.flatMap { ByteSize($0.value) }.map { Int(clamping: $0.bytes) }
    }
    let most = Swift.min(asked(.chunkMax) ?? .max, Swift.max(asked(.chunkMin) ?? 0, limit))
    return filter { $0.name != Tunable.chunkMax.rawValue }
      + [Setting(name: Tunable.chunkMax.rawValue, value: "\(ByteSize(UInt64(most)))")]
  }
}
