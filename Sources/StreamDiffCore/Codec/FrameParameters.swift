import CZstd

/// How zstd compresses a frame: what `ChunkCompressor` asks of it at a level, and what that costs in memory.
///
/// zstd's own tables are made for files. A frame here sees a mebibyte back at most, so that tables of millions of places
/// only take memory and time: level 12 took 52 MB a stream and runs twice as fast with 3.5, for at most 2 % of the ratio.
public struct FrameParameters: Hashable, Sendable {
  public let level: Int32
  /// How far back a frame sees. Twice as much costs 512 KiB on both sides, and gains 5 to 6 % on trees of like files
  /// (botocore at levels 6 to 12), 0 to 2 % elsewhere: slower levels, which slow links have, are worth it.
  public let windowLog: Int32
  /// zstd buffers two blocks, and room for the matches of one. Chunks are seldom longer than a block.
  public let blockBytes: Int32

  /// What a level gets while there is memory.
  /// - Parameter level: one out of range counts as the nearest, 0 as 3, which it means to zstd.
  public init(level: Int32) {
    self.init(level: level, windowLog: level <= 3 ? 19 : 20, blockBytes: 64 << 10)
  }

  /// The least that compresses: half the memory, and about 4 % less ratio.
  public static func least(level: Int32) -> FrameParameters {
    FrameParameters(level: level < 0 ? level : 1, windowLog: 18, blockBytes: 32 << 10)
  }

  private init(level: Int32, windowLog: Int32, blockBytes: Int32) {
    self.level = level == 0 ? 3 : min(max(level, Self.levels.lowerBound), Self.levels.upperBound)
    (self.windowLog, self.blockBytes) = (windowLog, blockBytes)
  }

  public static let levels: ClosedRange<Int32> = -7...19

  /// Of zstd's tables, in powers of two; `nil` leaves it to the level: under 4 they are small. Twice as many places
  /// gain 0.5 % and take 0.8 MB; levels from 9 on are chosen for that. From 13 on a tree links positions, by two
  /// numbers each.
  private var tables: (hashLog: Int32, chainLog: Int32)? {
    switch level {
    case ...3: nil
    case ...8: (17, 17)
    case ...12: (18, 18)
    default: (18, 19)
    }
  }

  /// The parameters by zstd's names. The size hint has two effects: the tables of the level do not depend on how long
  /// the prefix is (zstd would take a prefix for all there is), and none exceeds the window.
  private var values: [(ZSTD_cParameter, Int32)] {
    var values: [(ZSTD_cParameter, Int32)] = [
      (ZSTD_c_compressionLevel, level), (ZSTD_c_windowLog, windowLog),
      (ZSTD_c_experimentalParam7, .max),  // ZSTD_c_srcSizeHint
      (ZSTD_c_experimentalParam18, blockBytes),  // ZSTD_c_maxBlockSize
    ]
    if let tables {
      values += [(ZSTD_c_hashLog, tables.hashLog), (ZSTD_c_chainLog, tables.chainLog)]
    }
    return values
  }

  /// Sets a context that has just been reset.
  func set(_ context: OpaquePointer) throws(CodecError) {
    for (parameter, value) in values {
      try Zstd.check(
        unsafe ZSTD_CCtx_setParameter(context, parameter, value), "set parameter \(parameter) to \(value)")
    }
  }

  /// What a context takes once it has compressed with these parameters, at most. The least is the same at all
  /// levels: room for one is room for any.
  public var contextBytes: Int {
    self == .least(level: level) ? Self.leastBytes : Self.sizes[Int(level - Self.levels.lowerBound)]
  }

  public static let leastBytes = FrameParameters.least(level: 1).measuredBytes
  private static let sizes = levels.map { FrameParameters(level: $0).measuredBytes }

  private var measuredBytes: Int {
    guard let parameters = unsafe ZSTD_createCCtxParams() else {
      preconditionFailure("no memory for zstd's parameters")
    }
    defer { unsafe ZSTD_freeCCtxParams(parameters) }
    for (parameter, value) in values {
      let result = unsafe ZSTD_CCtxParams_setParameter(parameters, parameter, value)
      precondition(ZSTD_isError(result) == 0, "zstd knows no parameter \(parameter) of \(value)")
    }
    let size = unsafe ZSTD_estimateCStreamSize_usingCCtxParams(parameters)
    precondition(ZSTD_isError(size) == 0, "zstd cannot tell what level \(level) takes")
    return size
  }
}
