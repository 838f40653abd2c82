import ArgumentParser
import StreamDiffCore

/// Sends a file through the chunk codec, without any network, and says what came of it: one line of JSON for
/// each setting. `tools/bench codec` makes tables of them.
@main
struct CodecBench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "codec-bench",
    abstract: "Measures the chunk codec: bytes, processor time, what a change costs.")

  @Argument(help: "The plain bytes.") var file: String
  @Flag(help: "FILE has lines of key and value, parted by a tab: they become operations.") var entries = false
  @Option(parsing: .unconditional, help: "zstd's.") var level: Int32 = 1
  @Option(parsing: .upToNextOption, help: "Bytes of a chunk.") var chunks: [Int] = [65536]
  @Option(help: "Times: of seconds the median counts.") var runs = 3
  @Option(help: "Plain bytes that a run takes at most, from the start of FILE.") var most = Int.max
  @Option(help: "The encoding changes every so many chunks; 0 never.") var every = 0
  @Option(parsing: .unconditional, help: "What it changes to and from: a level, or none.") var other = "none"

  func validate() throws {
    guard chunks.allSatisfy({ 1...Limits.chunkBytes ~= $0 }), runs > 0, most > 0, every >= 0 else {
      throw ValidationError("a chunk has 1 to \(Limits.chunkBytes) bytes; the other numbers are not negative")
    }
    guard other == "none" || Int32(other) != nil else { throw ValidationError("--other is a level or none") }
  }

  func run() throws {
    let bytes = try entries ? Plain.operations(of: file, most: most) : Plain.bytes(of: file, most: most)
    let first = ChunkEncoding(codec: .zstd, level: level)
    for chunk in chunks {
      if every == 0 {
        print(try Transfer.median(of: runs, bytes, chunk: chunk) { _ in first }.line(level, chunk))
      } else {
        print(try changing(bytes, chunk, first))
      }
    }
  }

  /// What changing every so often comes to beside what the same chunks come to when each encoding is kept.
  private func changing(_ bytes: [UInt8], _ chunk: Int, _ first: ChunkEncoding) throws -> String {
    let second = Int32(other).map { ChunkEncoding(codec: .zstd, level: $0) } ?? .plain
    let isSecond = { (number: Int) in number / every % 2 == 1 }
    let kept = try [first, second].map { each in
      try Transfer.median(of: 1, bytes, chunk: chunk) { _ in each }.payloads
    }
    let changed = try Transfer.median(of: runs, bytes, chunk: chunk) { isSecond($0) ? second : first }
    let never = changed.payloads.indices.reduce(0) { $0 + kept[isSecond($1) ? 1 : 0][$1] }
    return """
      {"level":\(first.level),"other":"\(other)","chunk":\(chunk),"every":\(every),"changed":\(changed.wire),\
      "never":\(never),"frames":\(changed.frames),"first_us":\(changed.firstMicroseconds),\
      "second_us":\(changed.secondMicroseconds)}
      """
  }
}
