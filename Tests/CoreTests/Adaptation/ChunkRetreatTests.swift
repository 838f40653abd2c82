import StreamDiffCore
import Testing

@Suite("chunks where connections end before they get through") struct ChunkRetreatTests {
  /// Connections that end after so many bytes of chunks each, over what a session wants to bring.
  private static func run(cutAfter cuts: (_ connection: Int) -> Int, bytes: Int, connections: Int) -> [Int] {
    var retreat = ChunkRetreat()
    var (progress, largest) = (0 as UInt64, [Int]())
    for connection in 0..<connections where Int(progress) < bytes {
      retreat.begin(progress: progress)
      var left = cuts(connection)
      largest.append(min(retreat.limit ?? .max, 64 << 10))
      while Int(progress) < bytes {
        let chunk = min(retreat.limit ?? .max, 64 << 10, bytes - Int(progress))
        retreat.sends(chunk)
        guard chunk <= left else { break }
        left -= chunk
        progress += UInt64(chunk)
        retreat.gotThrough(chunk)
      }
    }
    #expect(Int(progress) == bytes, "after \(connections) connections")
    return largest
  }

  @Test(
    "a connection that is cut within each chunk halves them until they get through",
    arguments: [(60_000, 2), (20_000, 3), (5000, 5), (700, 8)])
  func halves(cut: Int, connections: Int) {
    let largest = Self.run(cutAfter: { _ in cut }, bytes: 30 * cut, connections: 200)
    #expect(largest.prefix(connections).last.map { $0 <= cut } == true)
    // What has got through stays so: no connection is spent on larger ones.
    #expect(Set(largest.dropFirst(connections - 1)).count == 1, "\(largest)")
  }

  @Test("where nothing is cut any more chunks grow again")
  func grows() {
    let largest = Self.run(cutAfter: { $0 < 6 ? 3000 : .max }, bytes: 20 << 20, connections: 8)
    #expect(largest.max() == 64 << 10 && largest.last.map { $0 <= 2048 } == true)
    var retreat = ChunkRetreat()
    for _ in 0..<3 {
      retreat.begin(progress: 1)
      retreat.sends(4096)
    }
    retreat.begin(progress: 1)
    #expect(retreat.limit == ChunkRetreat.least)
    for _ in 0..<ChunkRetreat.trust * (1 + 2 + 4) { retreat.gotThrough(512) }
    #expect(retreat.limit == 4096)
  }

  @Test("no chunk is to blame where none was to leave, and none is smaller than the least")
  func blameless() {
    var retreat = ChunkRetreat()
    for _ in 0..<5 { retreat.begin(progress: 0) }
    #expect(retreat.limit == nil)
    for _ in 0..<40 {
      retreat.begin(progress: 0)
      retreat.sends(65536)
    }
    #expect(retreat.limit == ChunkRetreat.least)
  }

  @Test("a limit stands within what is set and asked for")
  func limited() throws {
    var settings = AdaptationSettings()
    (settings.policy, settings.chunk, settings.chunkMin) = (.fixed, 32 << 10, 2048)
    #expect(settings.limited(toChunks: nil) == settings)
    #expect(settings.limited(toChunks: 128 << 10) == settings)
    let small = settings.limited(toChunks: 4096)
    #expect((small.chunkMax, small.chunk) == (4096, 4096))
    let least = settings.limited(toChunks: 512)
    #expect((least.chunkMax, least.chunk) == (2048, 2048))
    try least.check()
    let wishes = [Setting(name: "chunk-max", value: "16KiB"), Setting(name: "level-max", value: "3")]
    #expect(wishes.limited(toChunks: nil) == wishes)
    #expect(wishes.limited(toChunks: 1024) == [wishes[1], Setting(name: "chunk-max", value: "1KiB")])
    #expect(wishes.limited(toChunks: 32 << 10) == [wishes[1], Setting(name: "chunk-max", value: "16KiB")])
    let bounded = [Setting(name: "chunk-min", value: "2KiB")]
    #expect(bounded.limited(toChunks: 512) == bounded + [Setting(name: "chunk-max", value: "2KiB")])
  }
}
