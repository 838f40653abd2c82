import Glibc
import NIOCore
import StreamDiffCore
import StreamDiffWire

/// One way of `bytes` through compressor and decompressor.
struct Transfer {
  /// Bytes of each chunk's payload.
  var payloads: [Int] = []
  /// Bytes of header, gRPC prefix and HTTP/2 frame headers of all chunks.
  var overhead = 0
  /// Of the processor.
  var compressSeconds = 0.0
  var decompressSeconds = 0.0
  var frames = 0
  /// Of the processor, on average: the first two chunks of a frame. The difference is what a frame costs.
  var firstMicroseconds = 0.0
  var secondMicroseconds = 0.0
  private var plain = 0

  var wire: Int { payloads.reduce(0, +) }

  func line(_ level: Int32, _ chunk: Int) -> String {
    """
    {"level":\(level),"chunk":\(chunk),"plain":\(plain),"payload":\(wire),"chunks":\(payloads.count),\
    "overhead":\(overhead),"compress_s":\(compressSeconds),"decompress_s":\(decompressSeconds)}
    """
  }

  /// - Parameter encoding: of the chunk of that number, from 0.
  static func median(
    of runs: Int, _ bytes: [UInt8], chunk: Int, encoding: (Int) -> ChunkEncoding
  ) throws -> Transfer {
    let all = try (0..<runs).map { _ in try Transfer(bytes, chunk: chunk, encoding: encoding) }
    func median(_ value: (Transfer) -> Double) -> Double { all.map(value).sorted()[runs / 2] }
    var result = all[0]
    result.compressSeconds = median(\.compressSeconds)
    result.decompressSeconds = median(\.decompressSeconds)
    result.firstMicroseconds = median(\.firstMicroseconds)
    result.secondMicroseconds = median(\.secondMicroseconds)
    return result
  }

  private init(_ bytes: [UInt8], chunk size: Int, encoding: (Int) -> ChunkEncoding) throws {
    plain = bytes.count
    var compressor = ChunkCompressor()
    var sent: [(payload: [UInt8], codec: Codec, frame: EncodedFrame)] = []
    var (isFirst, firsts, seconds) = (false, 0.0, 0.0)
    for (number, start) in stride(from: 0, to: bytes.count, by: size).enumerated() {
      let plain = bytes.span.extracting(start..<min(start + size, bytes.count)).bytes
      let encoding = encoding(number)
      var payload: [UInt8] = []
      let before = Self.processorSeconds()
      let frame = try compressor.compress(plain, as: encoding, into: &payload)
      let spent = Self.processorSeconds() - before
      compressSeconds += spent
      if isFirst { seconds += spent }
      if frame.isNewFrame {
        frames += 1
        firsts += spent
      }
      isFirst = frame.isNewFrame
      sent.append((payload, encoding.codec, frame))
    }
    payloads = sent.map(\.payload.count)
    if frames > 0 {
      firstMicroseconds = firsts / Double(frames) * 1e6
      secondMicroseconds = seconds / Double(frames) * 1e6
    }
    overhead = Self.overhead(of: sent, bytes, size)
    try decompress(sent, bytes, size)
  }

  private mutating func decompress(
    _ sent: [(payload: [UInt8], codec: Codec, frame: EncodedFrame)], _ bytes: [UInt8], _ size: Int
  ) throws {
    var decompressor = ChunkDecompressor()
    var output: [UInt8] = []
    for (number, chunk) in sent.enumerated() {
      let plain = number * size..<min((number + 1) * size, bytes.count)
      output.removeAll(keepingCapacity: true)
      let before = Self.processorSeconds()
      try decompressor.decompress(
        chunk.payload.span.bytes, codec: chunk.codec, isNewFrame: chunk.frame.isNewFrame,
        prefixLength: chunk.frame.prefixLength, plainLength: plain.count, into: &output)
      decompressSeconds += Self.processorSeconds() - before
      precondition(output[...] == bytes[plain], "chunk \(number) came back changed")
    }
  }

  /// What travels beside payloads in the middle of a session: numbers grow with it.
  private static func overhead(
    of sent: [(payload: [UInt8], codec: Codec, frame: EncodedFrame)], _ bytes: [UInt8], _ size: Int
  ) -> Int {
    sent.enumerated().reduce(0) { sum, each in
      let (number, chunk) = each
      let plain = bytes.span.extracting(number * size..<min((number + 1) * size, bytes.count)).bytes
      var message = Chunk(
        header: ChunkHeader(
          firstOrdinal: Ordinal(UInt64(100_000 + number)), plainLength: UInt32(plain.byteCount),
          codec: chunk.codec, isNewFrame: chunk.frame.isNewFrame,
          prefixLength: UInt32(chunk.frame.prefixLength), plainCRC: CRC32C(plain), wireCRC: .empty),
        sequence: UInt64(10_000 + number), rttMilliseconds: 20, isLast: false, payload: chunk.payload)
      message.header.wireCRC = message.computedWireCRC
      let encoded = SyncMessage.chunk(message).encode().readableBytes + MessagePrefix.size
      let dataFrames = (encoded + (16 << 10) - 1) / (16 << 10)
      return sum + encoded - chunk.payload.count + 9 * dataFrames
    }
  }

  private static func processorSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}
