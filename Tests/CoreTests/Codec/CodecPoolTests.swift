import StreamDiffCore
import Testing

@Suite struct CodecPoolTests {
  private static func zstd(_ level: Int32) -> ChunkEncoding { ChunkEncoding(codec: .zstd, level: level) }

  private static let text = Array(RatioTests.text[..<(1 << 20)])

  @discardableResult
  private static func send(
    _ compressor: inout ChunkCompressor, _ encoding: ChunkEncoding, _ bytes: Int = 65536
  ) throws -> EncodedFrame {
    var payload: [UInt8] = []
    return try compressor.compress(text.span.extracting(..<bytes).bytes, as: encoding, into: &payload)
  }

  @Test("no context takes more than its level says", arguments: FrameParameters.levels.filter { $0 != 0 })
  func honest(level: Int32) throws {
    let nothing = CodecBudget(bytes: 0, contexts: 1)
    for (budget, expected) in [(.node, FrameParameters(level: level)), (nothing, .least(level: level))] {
      let pool = CodecPool(budget)
      var compressor = ChunkCompressor(pool: pool)
      try Self.send(&compressor, .plain, 1 << 20)
      try Self.send(&compressor, Self.zstd(level), 1 << 20)  // with a prefix
      #expect(compressor.encoding == Self.zstd(expected.level))
      #expect(pool.use == CodecBudget.Use(bytes: expected.contextBytes, contexts: 1))
    }
  }

  @Test("a context is lent while a frame is open, kept when it ends, and used again")
  func lending() throws {
    let pool = CodecPool(.node)
    let bytes = FrameParameters(level: 3).contextBytes
    do {
      var compressor = ChunkCompressor(pool: pool)
      try Self.send(&compressor, .plain)
      #expect(pool.use == CodecBudget.Use(), "an uncompressed session has none")
      try Self.send(&compressor, Self.zstd(3))
      #expect(pool.use == CodecBudget.Use(bytes: bytes, contexts: 1) && pool.keptBytes == 0)
      try Self.send(&compressor, .plain)
      #expect(pool.use == CodecBudget.Use() && pool.keptBytes == bytes)
      try Self.send(&compressor, Self.zstd(3))
      #expect(pool.use.contexts == 1 && pool.keptBytes == 0)
      // Made for level 3: too much to keep for level 1.
      try Self.send(&compressor, Self.zstd(1))
      #expect(compressor.encoding == Self.zstd(1))
      #expect(pool.use.bytes == FrameParameters(level: 1).contextBytes && pool.keptBytes == bytes)
    }
    #expect(pool.use == CodecBudget.Use())
    #expect(pool.keptBytes == bytes + FrameParameters(level: 1).contextBytes)
    pool.giveBackIdle()
    #expect(pool.keptBytes > 0, "just used")
    pool.giveBackIdle()
    #expect(pool.keptBytes == 0)
  }

  @Test("what is lent and kept stays within the budget; the longest kept goes first")
  func bound() throws {
    let pool = CodecPool(CodecBudget(bytes: 8 << 20, contexts: 1))
    for level in [19, 12, 6, 3, 1, 19, 2, 12] as [Int32] {
      var compressor = ChunkCompressor(pool: pool)
      try Self.send(&compressor, Self.zstd(level))
      #expect(compressor.encoding == Self.zstd(level))
      #expect(pool.use.bytes + pool.keptBytes <= 8 << 20)
    }
    #expect(pool.keptBytes > 4 << 20)
  }

  @Test("without room for its level a compressor takes a lower one, says so, and stays with it")
  func reduced() throws {
    // Beside one at level 6 there is room for level 1, and for no other.
    let bytes = FrameParameters(level: 6).contextBytes + FrameParameters(level: 1).contextBytes
    let pool = CodecPool(CodecBudget(bytes: bytes, contexts: 1))
    var first = ChunkCompressor(pool: pool)
    var second = ChunkCompressor(pool: pool)
    var reader = ChunkDecompressor()
    try Self.send(&first, Self.zstd(6))
    for number in 0..<4 {
      var (payload, output): ([UInt8], [UInt8]) = ([], [])
      let frame = try second.compress(
        Self.text.span.extracting(..<65536).bytes, as: Self.zstd(6), into: &payload)
      #expect(second.encoding == Self.zstd(1) && frame.isNewFrame == (number == 0))
      try reader.decompress(
        payload.span.bytes, codec: .zstd, isNewFrame: frame.isNewFrame, prefixLength: frame.prefixLength,
        plainLength: 65536, into: &output)
      #expect(output[...] == Self.text[..<65536])
    }
    // The first ends: after a while there is room.
    try Self.send(&first, .plain)
    var sent = 4 * 65536
    while sent <= CodecBudget.patience, try !Self.send(&second, Self.zstd(6)).isNewFrame { sent += 65536 }
    #expect(sent == CodecBudget.patience && second.encoding == Self.zstd(6))
  }

  @Test(
    "64 sessions find room in 64 MiB, each at level 1 at least or the least there is", arguments: [1, 12, 19])
  func everybody(level: Int32) throws {
    let pool = CodecPool(.node)
    let sessions = (0..<64).map { _ in Session(pool) }
    let levels = try sessions.map { try $0.send(Self.zstd(level)).level }
    #expect(pool.use.contexts == 64 && pool.use.bytes <= 64 << 20)
    #expect(levels.allSatisfy { 1...level ~= $0 } && levels[0] == level)
    // When the others have ended, the last one's room is the same as it was for the first.
    try sessions.dropLast().forEach { _ = try $0.send(.plain) }
    #expect(try sessions[63].send(.plain) == .plain)
    #expect(try sessions[63].send(Self.zstd(level)) == Self.zstd(level))
    #expect(pool.use.bytes + pool.keptBytes <= 64 << 20)
  }

  @Test("threads that lend and give back at once leave the pool as it was")
  func threads() async throws {
    let pool = CodecPool(CodecBudget(bytes: 8 << 20, contexts: 4))
    try await withThrowingTaskGroup(of: Void.self) { group in
      for seed in 0..<8 {
        group.addTask {
          var random = SplitMix(seed: seed)
          let session = Session(pool)
          for _ in 0..<60 {
            let level = Int32.random(in: -7...12, using: &random)
            _ = try session.send(level == 0 ? .plain : Self.zstd(level))
          }
        }
      }
      try await group.waitForAll()
    }
    #expect(pool.use == CodecBudget.Use())
    #expect(pool.keptBytes <= 8 << 20)
    pool.giveBackIdle()
    pool.giveBackIdle()
    #expect(pool.keptBytes == 0)
  }

  /// What is sent comes back.
  private final class Session {
    private var compressor: ChunkCompressor
    private var decompressor = ChunkDecompressor(pool: CodecPool(.node))
    init(_ pool: CodecPool) { compressor = ChunkCompressor(pool: pool) }

    func send(_ encoding: ChunkEncoding) throws -> ChunkEncoding {
      let plain = Array(text[..<20_000])
      var (payload, output): ([UInt8], [UInt8]) = ([], [])
      let frame = try compressor.compress(plain.span.bytes, as: encoding, into: &payload)
      try decompressor.decompress(
        payload.span.bytes, codec: compressor.encoding.codec, isNewFrame: frame.isNewFrame,
        prefixLength: frame.prefixLength, plainLength: plain.count, into: &output)
      #expect(output == plain)
      return compressor.encoding
    }
  }

  @Test("decompressors get what they need; where that is too much together, compressors go down")
  func crowded() throws {
    let pool = CodecPool(CodecBudget(bytes: 4 << 20, contexts: 1))
    var compressor = ChunkCompressor(pool: pool)
    try Self.send(&compressor, Self.zstd(12))
    var readers: [Reader] = []
    while pool.use.bytes <= 4 << 20, readers.count < 4 {
      readers.append(Reader(pool))
      try readers.last?.read(window: 0x50)
    }
    // 1 MiB, two blocks and what a decoder is.
    #expect(pool.use.bytes - FrameParameters(level: 12).contextBytes > readers.count * 1_300_000)
    #expect(try Self.send(&compressor, Self.zstd(12)).isNewFrame)
    #expect(compressor.encoding == Self.zstd(8) && pool.use.bytes <= 4 << 20)
    readers.removeAll()
    #expect(pool.use.contexts == 1)
  }

  /// Within a frame: RFC 8878's magic, a window, a raw block of three bytes that is not the last.
  private final class Reader {
    private var decompressor: ChunkDecompressor
    init(_ pool: CodecPool) { decompressor = ChunkDecompressor(pool: pool) }
    func read(window: UInt8) throws {
      let frame: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd, 0x00, window, 0x18, 0x00, 0x00] + Array("abc".utf8)
      var output: [UInt8] = []
      try decompressor.decompress(
        frame.span.bytes, codec: .zstd, isNewFrame: true, prefixLength: 0, plainLength: 3, into: &output)
    }
  }

  @Test("a probe says what a level makes of a sample, in comparison with others, and leaves nothing lent")
  func probes() throws {
    let pool = CodecPool(.node)
    let probe = CodecProbe(pool: pool)
    let sample = Array(Self.text[..<(256 << 10)])
    let bytes = try [-5, 1, 3, 6, 12, 6].map { try probe.measure(sample.span.bytes, level: $0) }
    #expect(bytes[..<5] == bytes[..<5].sorted { $0 > $1 }[...] && bytes[4] < bytes[0])
    #expect(bytes[5] == bytes[3], "whatever the context did before")
    #expect(pool.use == CodecBudget.Use())
    var random = SplitMix(seed: 5)
    let noise = random.bytes(100_000)
    #expect(try probe.measure(noise.span.bytes, level: 12) >= 100_000)
    #expect(try probe.measure(RawSpan(), level: 1) == 0)
  }

  @Test("a probe for whose level there is no room says so")
  func noRoom() throws {
    let probe = CodecProbe(pool: CodecPool(CodecBudget(bytes: 2 << 20, contexts: 1)))
    let error = #expect(throws: CodecError.self) { try probe.measure(Self.text.span.bytes, level: 12) }
    #expect(error?.code == .noRoom)
    #expect(try probe.measure(Self.text.span.bytes, level: 3) > 0)
  }

  @Test("recent plain bytes are the last of all chunks, compressed or not")
  func recent() throws {
    var compressor = ChunkCompressor(pool: CodecPool(.node))
    #expect(compressor.recentPlain(10).isEmpty)
    var plain: [UInt8] = []
    for (number, bytes) in [1000, 200_000, 70_000, 5].enumerated() {
      try Self.send(&compressor, number % 2 == 0 ? .plain : Self.zstd(1), bytes)
      plain += Self.text[..<bytes]
      #expect(compressor.recentPlain(1 << 20)[...] == plain.suffix(256 << 10))
      #expect(compressor.recentPlain(700)[...] == plain.suffix(700))
    }
  }
}
