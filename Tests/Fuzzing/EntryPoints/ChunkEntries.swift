import NIOCore
import StreamDiffCore
import StreamDiffWire

extension EntryPoints {
  /// A session's chunks, damaged ones included, through checksums and decoders into operations.
  static let chunks = [
    chunkEntry("chunks-honest-checksums", mends: true), chunkEntry("chunks", mends: false),
  ]

  /// - Parameter mends: checksums are made to hold, as a peer that means harm would, so that what they
  ///   guard is reached.
  private static func chunkEntry(_ name: String, mends: Bool) -> EntryPoint {
    EntryPoint(name, shape: .messages, maximumBytes: 16 << 10, seeds: { ChunkSamples.streams }) {
      input, seen in
      var reader = ChunkReader()
      var mender = try ChunkMender()
      for message in messages(input) {
        guard case .chunk(var chunk) = message else { continue }
        if mends { mender.mend(&chunk) }
        let (before, pending) = (reader.lastOrdinal, reader.pendingBytes)
        let runs = try reader.receive(chunk)
        seen.note(count: runs.count)
        try check(runs, of: chunk, after: before, pending: pending)
        try require(reader.lastOrdinal == runs.last?.lastOrdinal ?? before, "the last ordinal is another")
        try require(
          reader.pendingBytes <= OperationEncoding.maximumBytes + Limits.chunkBytes,
          "\(reader.pendingBytes) bytes wait")
      }
    }
  }

  private static func check(
    _ runs: [OperationRun], of chunk: Chunk, after last: Ordinal, pending: Int
  ) throws(LawBroken) {
    var next = last + 1
    var bytes = 0
    for run in runs {
      try require(run.firstOrdinal == next && run.count > 0, "a run begins at \(run.firstOrdinal.rawValue)")
      try require(run.operations.bytes.count <= ChunkReader.runBytes, "a run is too long for a command")
      next = run.lastOrdinal + 1
      bytes += run.operations.bytes.count
      // Holding the value is the proof: its iteration must never trap.
      try require(run.operations.operations.count == run.count, "a run holds other operations than it says")
    }
    try require(bytes <= pending + Int(chunk.header.plainLength), "operations out of nothing")
  }

  /// Whole gRPC messages of `input` as a session's, those that are none left out.
  static func messages(_ input: [UInt8]) -> [SyncMessage] {
    Shape.messages.split(input).compactMap { part in
      part.count < 5 ? nil : try? SyncMessage(decoding: ByteBuffer(bytes: part.dropFirst(5)))
    }
  }
}

/// Makes a chunk's checksums say what its bytes are, by decoding them beside the reader.
struct ChunkMender: ~Copyable {
  private var decompressor: ChunkDecompressor

  init() throws { decompressor = ChunkDecompressor() }

  mutating func mend(_ chunk: inout Chunk) {
    var plain: [UInt8] = []
    // A failure here is one of the reader too, before it looks at the plain bytes.
    try? decompressor.decompress(
      chunk.payload.span.bytes, codec: chunk.header.codec, isNewFrame: chunk.header.isNewFrame,
      prefixLength: Int(chunk.header.prefixLength), plainLength: Int(chunk.header.plainLength), into: &plain)
    chunk.header.plainCRC = CRC32C(plain.span.bytes)
    chunk.header.wireCRC = chunk.computedWireCRC
  }
}

enum ChunkSamples {
  /// Chunks of a few operations, as gRPC messages end to end.
  static let streams: [[UInt8]] = [
    stream([(64, .plain)]), stream([(100, ChunkEncoding(codec: .zstd, level: 1))]),
    stream([
      (90, ChunkEncoding(codec: .zstd, level: 1)), (200, .plain), (70, ChunkEncoding(codec: .zstd, level: 3)),
      (40, ChunkEncoding(codec: .zstd, level: 3)), (120, ChunkEncoding(codec: .zstd, level: -5)),
    ]),
    stream([(Limits.chunkBytes, ChunkEncoding(codec: .zstd, level: 3))], zeros: Limits.valueBytes),
  ]

  static func message(_ message: SyncMessage) -> [UInt8] {
    Shape.messages.part(Array(buffer: message.encode()))
  }

  private static func stream(_ settings: [(bytes: Int, encoding: ChunkEncoding)], zeros: Int = 0) -> [UInt8] {
    // The samples are within every bound, and zstd has memory.
    try! chunks(settings, zeros: zeros).flatMap { message(.chunk($0)) }
  }

  private static func chunks(
    _ settings: [(bytes: Int, encoding: ChunkEncoding)], zeros: Int
  ) throws -> [Chunk] {
    var writer = ChunkWriter()
    for operation in Samples.operations + Samples.operations {
      switch operation.change {
      case .put(let value):
        try writer.append(put: operation.key, expecting: operation.expectation, value: value)
      case .delete: try writer.append(deleting: operation.key, expecting: operation.expectation)
      }
    }
    if zeros > 0 {
      try writer.append(put: [5], expecting: .any, value: Array(repeating: 0, count: zeros))
    }
    var chunks: [Chunk] = []
    for place in 0... {
      let (bytes, encoding) = settings[place % settings.count]
      let next = ChunkSettings(bytes: bytes, encoding: encoding)
      guard let chunk = try writer.nextChunk(settings: next, ending: true) else { break }
      chunks.append(chunk)
      if chunk.isLast { break }
    }
    return chunks
  }
}
