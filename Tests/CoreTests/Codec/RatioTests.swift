import StreamDiffCore
import Testing

/// The laws of small chunks and of changes, on text that is the same everywhere; `tools/bench codec` has real data.
@Suite struct RatioTests {
  /// Records of a service's description, as JSON: names come again, numbers do not.
  static let text: [UInt8] = {
    var random = SplitMix(seed: 11)
    let nouns = [
      "Bucket", "Policy", "Instance", "Volume", "Cluster", "Key", "Role", "Queue", "Table", "Stream",
    ]
    let verbs = [
      "Create", "Delete", "Describe", "List", "Update", "Tag", "Start", "Stop", "Enable", "Restore",
    ]
    let words = (0..<400).map { _ in String(random.next() % 1_000_000_000, radix: 26) }
    var output: [UInt8] = []
    while output.count < 2 << 20 {
      let name =
        verbs.randomElement(using: &random)! + nouns.randomElement(using: &random)!
        + words.randomElement(using: &random)!
      let about = (0..<Int.random(in: 4..<20, using: &random)).map { _ in words.randomElement(using: &random)!
      }
      output += Array(
        """
        {"name":"\(name)","http":{"method":"POST","requestUri":"/\(random.next() % 1000)"},\
        "input":{"shape":"\(name)Request"},"output":{"shape":"\(name)Result"},\
        "documentation":"\(about.joined(separator: " "))","errors":[{"shape":"NotFoundException"}]},

        """.utf8)
    }
    return output
  }()

  /// Bytes of each chunk's payload.
  static func payloads(_ chunk: Int, _ encoding: (Int) -> ChunkEncoding) throws -> [Int] {
    var compressor = ChunkCompressor()
    var payload: [UInt8] = []
    return try stride(from: 0, to: text.count, by: chunk).enumerated().map { number, start in
      payload.removeAll(keepingCapacity: true)
      let plain = text.span.extracting(start..<min(start + chunk, text.count)).bytes
      _ = try compressor.compress(plain, as: encoding(number), into: &payload)
      return payload.count
    }
  }

  @Test(
    "small chunks keep their part of the ratio at 64 KiB: 0.85 at 4 KiB, 0.65 at 512 B",
    arguments: [-7, -1, 1, 3, 6, 12])
  func smallChunks(level: Int32) throws {
    let total = { (chunk: Int) in
      try Self.payloads(chunk) { _ in ChunkEncoding(codec: .zstd, level: level) }.reduce(0, +)
    }
    let usual = Double(try total(64 << 10))
    #expect(usual < Double(Self.text.count) / 3, "the text does not shrink as text does")
    #expect(usual / Double(try total(4 << 10)) >= 0.85)
    #expect(usual / Double(try total(512)) >= 0.65)
  }

  @Test(
    "changing level or codec every 16 chunks costs under 3 % of the bytes",
    arguments: [(1, 3), (3, 6), (6, 12), (-5, 12), (1, nil), (12, nil)] as [(Int32, Int32?)],
    [4 << 10, 16 << 10])
  func changes(levels: (Int32, Int32?), chunk: Int) throws {
    let first = ChunkEncoding(codec: .zstd, level: levels.0)
    let second = levels.1.map { ChunkEncoding(codec: .zstd, level: $0) } ?? .plain
    let kept = try [first, second].map { each in try Self.payloads(chunk) { _ in each } }
    let changed = try Self.payloads(chunk) { $0 / 16 % 2 == 0 ? first : second }
    let never = changed.indices.reduce(0) { $0 + kept[$1 / 16 % 2][$1] }
    #expect(Double(changed.reduce(0, +)) < 1.03 * Double(never))
  }
}
