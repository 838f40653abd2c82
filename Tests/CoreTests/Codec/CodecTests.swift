import StreamDiffCore
import Testing

/// A chunk as it would travel.
private struct Payload {
  var bytes: [UInt8]
  var codec: Codec
  var frame: EncodedFrame
  var plainLength: Int
}

/// Text that compresses well and is not the same twice.
private func sample(_ count: Int, _ random: inout SplitMix) -> [UInt8] {
  var output: [UInt8] = []
  while output.count < count {
    let number = random.next()
    output += Array("{\"id\": \(number % 100_000), \"name\": \"user \(number % 97)\"}\n".utf8)
  }
  return Array(output[..<count])
}

private func compress(_ chunks: [([UInt8], ChunkEncoding)]) throws -> [Payload] {
  var compressor = ChunkCompressor()
  var output: [Payload] = []
  for (plain, encoding) in chunks {
    var bytes: [UInt8] = []
    let frame = try compressor.compress(plain.span.bytes, as: encoding, into: &bytes)
    output.append(Payload(bytes: bytes, codec: encoding.codec, frame: frame, plainLength: plain.count))
  }
  return output
}

extension ChunkDecompressor {
  fileprivate mutating func take(_ payload: Payload, into output: inout [UInt8]) throws(CodecError) {
    let bytes = payload.bytes
    try decompress(
      bytes.span.bytes, codec: payload.codec, isNewFrame: payload.frame.isNewFrame,
      prefixLength: payload.frame.prefixLength, plainLength: payload.plainLength, into: &output)
  }
}

private func code(_ body: () throws(CodecError) -> Void) -> CodecError.Code? {
  do { try body() } catch { return error.code }
  return nil
}

private let one = ChunkEncoding(codec: .zstd, level: 1)

@Suite struct CodecTests {
  @Test("what was compressed comes back, through any changes of codec and level", arguments: 0..<12)
  func roundTrip(seed: Int) throws {
    var random = SplitMix(seed: seed)
    let encodings =
      [.plain, one] + [-7, -1, 3, 6].map { ChunkEncoding(codec: .zstd, level: $0) }
    var chunks: [([UInt8], ChunkEncoding)] = []
    var encoding = one
    for _ in 0..<40 {
      if Int.random(in: 0..<4, using: &random) == 0 {
        encoding = encodings[Int.random(in: encodings.indices, using: &random)]
      }
      let count = [0, 1, 512, 4096, 65_536, 300_000, Limits.chunkBytes][
        Int.random(in: 0..<(seed % 4 == 0 ? 7 : 5), using: &random)]
      let isText = Bool.random(using: &random)
      chunks.append((isText ? sample(count, &random) : random.bytes(count), encoding))
    }
    var decompressor = ChunkDecompressor()
    for (payload, chunk) in zip(try compress(chunks), chunks) {
      var output: [UInt8] = [7]
      try decompressor.take(payload, into: &output)
      #expect(output == [7] + chunk.0, "seed \(seed)")
    }
  }

  @Test("a frame starts with the first zstd chunk and with a change, and names what came before")
  func frames() throws {
    var random = SplitMix(seed: 1)
    let plain = sample(400_000, &random)
    let three = ChunkEncoding(codec: .zstd, level: 3)
    let frames = try compress([one, one, .plain, one, three, three].map { (plain, $0) }).map(\.frame)
    #expect(
      frames == [
        EncodedFrame(isNewFrame: true, prefixLength: 0),
        EncodedFrame(isNewFrame: false, prefixLength: 0),
        EncodedFrame(isNewFrame: false, prefixLength: 0),
        EncodedFrame(isNewFrame: true, prefixLength: 256 << 10),
        EncodedFrame(isNewFrame: true, prefixLength: 256 << 10),
        EncodedFrame(isNewFrame: false, prefixLength: 0),
      ])
  }

  @Test("a new frame finds what was sent before it, uncompressed bytes too")
  func prefixHelps() throws {
    var random = SplitMix(seed: 2)
    let noise = random.bytes(60_000)
    let payloads = try compress([
      (noise, .plain), (noise, one), (noise, ChunkEncoding(codec: .zstd, level: 3)), (noise, one),
    ])
    #expect(payloads[0].bytes.count == 60_000)
    #expect(payloads[1...].allSatisfy { $0.bytes.count < 200 })
  }

  @Test("flushes of one frame beat frames of their own")
  func flushes() throws {
    var random = SplitMix(seed: 3)
    let line = sample(2000, &random)
    let chunks = (0..<32).map { _ in line + sample(2000, &random) }
    let together = try compress(chunks.map { ($0, one) }).reduce(0) { $0 + $1.bytes.count }
    let apart = try chunks.reduce(0) { try $0 + compress([($1, one)])[0].bytes.count }
    #expect(4 * together < 3 * apart)
  }

  @Test("a header that does not fit its payload is refused, and the output stays as it was")
  func wrongHeaders() throws {
    var random = SplitMix(seed: 4)
    let plain = sample(50_000, &random)
    let good = try compress([(plain, one)])[0]
    let stored = Payload(
      bytes: plain, codec: .none, frame: EncodedFrame(isNewFrame: false, prefixLength: 0), plainLength: 50_000
    )
    func changed(_ payload: Payload, _ change: (inout Payload) -> Void) -> Payload {
      var copy = payload
      change(&copy)
      return copy
    }
    let new = { EncodedFrame(isNewFrame: true, prefixLength: $0) }
    let bad: [(Payload, CodecError.Code)] = [
      (changed(good) { $0.plainLength -= 1 }, .malformed),  // expands beyond
      (changed(good) { $0.plainLength = 0 }, .malformed),
      (changed(good) { $0.plainLength += 1 }, .malformed),  // gives fewer
      (changed(good) { $0.plainLength = -1 }, .malformed),
      (changed(good) { $0.plainLength = .max }, .tooLarge),
      (changed(good) { $0.frame = EncodedFrame(isNewFrame: false, prefixLength: 0) }, .malformed),
      (changed(good) { $0.frame = new(1) }, .malformed),  // no prefix is known yet
      (changed(good) { $0.frame = new(-1) }, .malformed),
      (changed(good) { $0.frame = EncodedFrame(isNewFrame: false, prefixLength: 5) }, .malformed),
      (changed(good) { $0.bytes.removeLast() }, .malformed),
      (changed(good) { $0.bytes = [] }, .malformed),
      (changed(good) { $0.codec = .none }, .malformed),
      (changed(stored) { $0.plainLength += 1 }, .malformed),
      (changed(stored) { $0.frame = new(0) }, .malformed),
      (changed(stored) { $0.codec = .zstd }, .malformed),
    ]
    for (payload, expected) in bad {
      var decompressor = ChunkDecompressor()
      var output: [UInt8] = [1, 2]
      #expect(code { () throws(CodecError) in try decompressor.take(payload, into: &output) } == expected)
      #expect(output == [1, 2])
      try decompressor.take(good, into: &output)
      #expect(output == [1, 2] + plain, "a new frame heals")
    }
  }

  @Test("after a refused chunk its frame is over")
  func frameIsOver() throws {
    var random = SplitMix(seed: 5)
    let payloads = try compress((0..<3).map { _ in (sample(1000, &random), one) })
    var decompressor = ChunkDecompressor()
    var output: [UInt8] = []
    try decompressor.take(payloads[0], into: &output)
    var torn = payloads[1]
    torn.plainLength += 1
    #expect(code { () throws(CodecError) in try decompressor.take(torn, into: &output) } == .malformed)
    #expect(code { () throws(CodecError) in try decompressor.take(payloads[1], into: &output) } == .malformed)
  }

  @Test("a frame of one chunk may end with it; what goes on without a new frame is refused")
  func foreignFrames() throws {
    // RFC 8878: magic, window of 1 MiB, a last block of three raw bytes.
    let whole: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x50, 0x19, 0x00, 0x00] + Array("abc".utf8)
    let payload = Payload(
      bytes: whole, codec: .zstd, frame: EncodedFrame(isNewFrame: true, prefixLength: 0), plainLength: 3)
    var decompressor = ChunkDecompressor()
    var output: [UInt8] = []
    try decompressor.take(payload, into: &output)
    try decompressor.take(payload, into: &output)
    #expect(output == Array("abcabc".utf8))
    var next = payload
    next.frame = EncodedFrame(isNewFrame: false, prefixLength: 0)
    #expect(code { () throws(CodecError) in try decompressor.take(next, into: &output) } == .malformed)
    var two = payload
    (two.bytes, two.plainLength) = (whole + whole, 6)
    #expect(code { () throws(CodecError) in try decompressor.take(two, into: &output) } == .malformed)
  }

  @Test("a frame that wants a window beyond 1 MiB is refused before it gets memory")
  func window() throws {
    // Frame header: no content size, window descriptor 0x58 is 2 MiB (exponent 11), 0x50 is 1 MiB.
    let cases: [(UInt8, CodecError.Code?)] = [(0x50, nil), (0x58, .tooLarge), (0xf8, .tooLarge)]
    for (descriptor, expected) in cases {
      let bytes: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd, 0x00, descriptor, 0x19, 0x00, 0x00] + Array("abc".utf8)
      let payload = Payload(
        bytes: bytes, codec: .zstd, frame: EncodedFrame(isNewFrame: true, prefixLength: 0), plainLength: 3)
      var decompressor = ChunkDecompressor()
      var output: [UInt8] = []
      #expect(code { () throws(CodecError) in try decompressor.take(payload, into: &output) } == expected)
    }
  }

  @Test("a chunk beyond the limit is refused, and the stream goes on")
  func tooLarge() throws {
    var compressor = ChunkCompressor()
    let plain = [UInt8](repeating: 0, count: Limits.chunkBytes + 1)
    var output: [UInt8] = []
    do {
      _ = try compressor.compress(plain.span.bytes, as: one, into: &output)
      Issue.record("accepted")
    } catch {
      #expect(error.code == .tooLarge && output.isEmpty)
    }
    let rest = [UInt8](repeating: 0, count: 10)
    #expect(try compressor.compress(rest.span.bytes, as: one, into: &output).isNewFrame)
  }

  @Test("damaged payloads are refused or give what was declared, never more", arguments: 0..<8)
  func damage(seed: Int) throws {
    var random = SplitMix(seed: seed)
    let payloads = try compress((0..<4).map { _ in (sample(5000, &random), one) })
    for _ in 0..<500 {
      var decompressor = ChunkDecompressor()
      for var payload in payloads {
        for _ in 0..<Int.random(in: 0...2, using: &random) where !payload.bytes.isEmpty {
          let place = Int.random(in: payload.bytes.indices, using: &random)
          switch Int.random(in: 0..<3, using: &random) {
          case 0: payload.bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
          case 1: payload.bytes.remove(at: place)
          default: payload.bytes.insert(UInt8.random(in: 0...255, using: &random), at: place)
          }
        }
        var output: [UInt8] = []
        let result = code { () throws(CodecError) in try decompressor.take(payload, into: &output) }
        #expect(output.count == (result == nil ? payload.plainLength : 0))
      }
    }
  }
}
