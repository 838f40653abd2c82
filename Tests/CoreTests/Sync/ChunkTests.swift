import StreamDiffCore
import Testing

@Suite("Chunks")
struct ChunkTests {
  static let encodings = [
    ChunkEncoding(codec: .none, level: 0), ChunkEncoding(codec: .zstd, level: 1),
    ChunkEncoding(codec: .zstd, level: 3),
  ]

  static func append(_ operation: Operation, to writer: inout ChunkWriter) throws {
    switch operation.change {
    case .put(let value):
      try writer.append(put: operation.key, expecting: operation.expectation, value: value)
    case .delete: try writer.append(deleting: operation.key, expecting: operation.expectation)
    }
  }

  @Test("operations come out whole and in order, however the chunks are cut and encoded", arguments: 0..<40)
  func roundTrip(seed: Int) throws {
    var random = SplitMix(seed: seed)
    let first = Ordinal(.random(in: 1...1000, using: &random))
    var writer = ChunkWriter(firstOrdinal: first)
    var reader = ChunkReader(firstOrdinal: first)
    let operations = (0..<300).map { number in
      Operation.random(using: &random, valueBytes: 0...(number % 50 == 0 ? 70_000 : 200))
    }
    var received: [Operation] = []
    func deliver(_ chunk: Chunk, to reader: inout ChunkReader) throws {
      #expect(chunk.header.wireCRC == chunk.computedWireCRC)
      for run in try reader.receive(chunk) {
        #expect(run.firstOrdinal == first + UInt64(received.count))
        received += run.operations.operations
      }
    }
    for operation in operations {
      try Self.append(operation, to: &writer)
      let settings = ChunkSettings(
        bytes: .random(in: 1...20_000, using: &random),
        encoding: Self.encodings.randomElement(using: &random)!)
      let flush = Int.random(in: 0..<20, using: &random) == 0
      while let chunk = try writer.nextChunk(settings: settings, flush: flush) {
        #expect(!chunk.isLast)
        try deliver(chunk, to: &reader)
        #expect(reader.lastOrdinal == writer.lastOrdinalTaken)
      }
      #expect(writer.bufferedBytes < settings.bytes)
    }
    let settings = ChunkSettings(bytes: 1000, encoding: Self.encodings[1])
    while let chunk = try writer.nextChunk(settings: settings, ending: true) {
      try deliver(chunk, to: &reader)
      if chunk.isLast { break }
    }
    #expect(received == operations)
    #expect(reader.lastOrdinal == writer.lastOrdinal)
    #expect(reader.pendingBytes == 0)
  }

  @Test("a second connection goes on counting, with a new frame and no memory of the first")
  func reconnect() throws {
    let settings = ChunkSettings(bytes: 50, encoding: Self.encodings[1])
    let operations = (1...9).map {
      Operation(key: [UInt8($0)], change: .put(value: [UInt8](repeating: 7, count: 40)))
    }
    var writer = ChunkWriter()
    for operation in operations { try Self.append(operation, to: &writer) }
    while try writer.nextChunk(settings: settings) != nil {}
    // Of the nine, five were applied when the connection broke.
    let last = writer.lastSequence
    #expect(last > 1)
    var again = ChunkWriter(firstOrdinal: Ordinal(6), lastSequence: last)
    var reader = ChunkReader(firstOrdinal: Ordinal(6))
    for operation in operations[5...] { try Self.append(operation, to: &again) }
    var received: [Operation] = []
    var next = last + 1
    while let chunk = try again.nextChunk(settings: settings, ending: true) {
      #expect(chunk.sequence == next)
      #expect(chunk.header.isNewFrame == (next == last + 1))
      #expect(chunk.header.prefixLength == 0)
      received += try reader.receive(chunk).flatMap(\.operations.operations)
      next += 1
      if chunk.isLast { break }
    }
    #expect(received == Array(operations[5...]))
    #expect(again.lastSequence == next - 1)
  }

  @Test("a patch without operations ends with one empty chunk")
  func empty() throws {
    var writer = ChunkWriter()
    var reader = ChunkReader()
    let settings = ChunkSettings(bytes: 100, encoding: Self.encodings[1])
    #expect(try writer.nextChunk(settings: settings) == nil)
    #expect(try writer.nextChunk(settings: settings, flush: true) == nil)
    let chunk = try #require(try writer.nextChunk(settings: settings, ending: true))
    #expect(chunk.isLast && chunk.payload.isEmpty && chunk.sequence == 1)
    #expect(try reader.receive(chunk).isEmpty)
  }

  @Test("a chunk that brings nothing and ends nothing is a violation")
  func emptyChunk() throws {
    var header = ChunkHeader(firstOrdinal: Ordinal(1), plainLength: 0, plainCRC: .empty, wireCRC: .empty)
    var chunk = Chunk(header: header, sequence: 1, isLast: false, payload: [])
    header.wireCRC = chunk.computedWireCRC
    chunk.header = header
    var reader = ChunkReader()
    #expect {
      try reader.receive(chunk)
    } throws: {
      ($0 as? SyncError)?.code == .protocolViolation
    }
  }

  @Test("operations of full size come through in chunks of full size, in runs that fit a log entry")
  func largest() throws {
    var writer = ChunkWriter()
    var reader = ChunkReader()
    let value = [UInt8](repeating: 7, count: Limits.valueBytes)
    let settings = ChunkSettings(bytes: Limits.chunkBytes, encoding: Self.encodings[1])
    var sizes: [Int] = []
    for number in 0..<5 {
      let key = [UInt8](repeating: UInt8(number), count: number == 4 ? 1 : Limits.keyBytes)
      try writer.append(put: key, expecting: .digest(SHA256.digest(key)), value: number == 4 ? [] : value)
    }
    while let chunk = try writer.nextChunk(settings: settings, ending: true) {
      sizes += try reader.receive(chunk).map(\.operations.bytes.count)
      #expect(reader.pendingBytes <= OperationEncoding.maximumBytes)
      if chunk.isLast { break }
    }
    #expect(reader.lastOrdinal == Ordinal(5))
    #expect(sizes.allSatisfy { $0 <= ChunkReader.runBytes })
  }

  @Test("a run that would exceed a log entry comes out as two")
  func split() throws {
    let large = [UInt8](repeating: 7, count: Limits.valueBytes)
    var writer = ChunkWriter()
    var reader = ChunkReader()
    try writer.append(put: [UInt8](repeating: 1, count: Limits.keyBytes), expecting: .absent, value: large)
    try writer.append(put: [2], expecting: .absent, value: Array(large.dropLast(8)))
    let first = ChunkSettings(bytes: Limits.chunkBytes, encoding: Self.encodings[0])
    let one = try #require(try writer.nextChunk(settings: first))
    #expect(try reader.receive(one).isEmpty)
    var runs: [OperationRun] = []
    while let chunk = try writer.nextChunk(settings: first, ending: true) {
      runs += try reader.receive(chunk)
      if chunk.isLast { break }
    }
    #expect(runs.map(\.firstOrdinal) == [Ordinal(1), Ordinal(2)])
  }

  static func chunks(_ encoding: ChunkEncoding) throws -> [Chunk] {
    var writer = ChunkWriter()
    for number in 0..<40 as Range<UInt8> {
      try writer.append(put: [number], expecting: .any, value: [UInt8](repeating: number, count: 100))
    }
    let settings = ChunkSettings(bytes: 1000, encoding: encoding)
    var chunks: [Chunk] = []
    while let chunk = try writer.nextChunk(settings: settings, ending: true) {
      chunks.append(chunk)
      if chunk.isLast { break }
    }
    return chunks
  }

  @Test("one flipped bit anywhere in a chunk's payload or header is data loss", arguments: encodings)
  func flips(encoding: ChunkEncoding) throws {
    let chunks = try Self.chunks(encoding)
    func expectLoss(_ what: String, _ damage: (inout Chunk) -> Void) throws {
      var reader = ChunkReader()
      _ = try reader.receive(chunks[0])
      var chunk = chunks[1]
      damage(&chunk)
      do throws(SyncError) {
        _ = try reader.receive(chunk)
        Issue.record("\(what) was not noticed")
      } catch {
        #expect(error.code == .dataLoss, "\(what): \(error)")
      }
    }
    for bit in 0..<chunks[1].payload.count * 8 {
      try expectLoss("payload bit \(bit)") { $0.payload[bit / 8] ^= 1 << (bit % 8) }
    }
    for bit in 0..<64 {
      try expectLoss("sequence \(bit)") { $0.sequence ^= 1 << bit }
      try expectLoss("ordinal \(bit)") {
        $0.header.firstOrdinal = Ordinal($0.header.firstOrdinal.rawValue ^ 1 << bit)
      }
    }
    for bit in 0..<32 {
      try expectLoss("length \(bit)") { $0.header.plainLength ^= 1 << bit }
      try expectLoss("prefix \(bit)") { $0.header.prefixLength ^= 1 << bit }
      try expectLoss("plain CRC \(bit)") {
        $0.header.plainCRC = CRC32C(rawValue: $0.header.plainCRC.rawValue ^ 1 << bit)
      }
      try expectLoss("wire CRC \(bit)") {
        $0.header.wireCRC = CRC32C(rawValue: $0.header.wireCRC.rawValue ^ 1 << bit)
      }
    }
    try expectLoss("codec") { $0.header.codec = $0.header.codec == .none ? .zstd : .none }
    try expectLoss("frame") { $0.header.isNewFrame.toggle() }
    try expectLoss("last") { $0.isLast.toggle() }
    try expectLoss("truncation") { $0.payload.removeLast() }
  }

  @Test("the wire checksum covers the 34 bytes that streamdiff.proto names, then the payload")
  func wireChecksum() {
    let header = ChunkHeader(
      firstOrdinal: Ordinal(0x0203), plainLength: 0x04, codec: .zstd, isNewFrame: true, prefixLength: 0x05,
      plainCRC: CRC32C(rawValue: 0x0607_0809), wireCRC: .empty)
    let chunk = Chunk(header: header, sequence: 0x01, isLast: true, payload: [0xaa, 0xbb])
    let bytes: [UInt8] =
      [1, 0, 0, 0, 0, 0, 0, 0] + [3, 2, 0, 0, 0, 0, 0, 0] + [4, 0, 0, 0] + [1, 3] + [5, 0, 0, 0]
      + [9, 8, 7, 6] + [2, 0, 0, 0] + [0xaa, 0xbb]
    #expect(bytes.count == 36)
    #expect(chunk.computedWireCRC == CRC32C(bytes))
  }

  /// Chunks with sound checksums that break the rules.
  @Test(
    "sound checksums do not excuse a broken rule",
    arguments: [
      ("number zero", .protocolViolation), ("a gap", .protocolViolation),
      ("the same again", .protocolViolation), ("an ordinal", .protocolViolation),
      ("a payload for nothing", .protocolViolation), ("half an operation at the end", .protocolViolation),
      ("no operation", .protocolViolation), ("too large a value", .limit), ("too long", .limit),
      ("expands further", .dataLoss), ("expands less", .dataLoss), ("another plain checksum", .dataLoss),
      ("a frame that never began", .dataLoss),
    ] as [(String, SyncError.Code)])
  func hostile(what: String, code: SyncError.Code) throws {
    var chunk = try Self.chunks(Self.encodings[0])[0]
    var reader = ChunkReader()
    func refill(_ plain: [UInt8]) {
      chunk.payload = plain
      chunk.header.plainLength = UInt32(plain.count)
      chunk.header.plainCRC = CRC32C(plain)
    }
    switch what {
    case "number zero": chunk.sequence = 0
    case "a gap", "the same again":
      _ = try reader.receive(chunk)
      if what == "a gap" { chunk.sequence += 2 }
      chunk.header.firstOrdinal = reader.lastOrdinal + (reader.pendingBytes == 0 ? 1 : 2)
    case "an ordinal": chunk.header.firstOrdinal = Ordinal(2)
    case "a payload for nothing": (chunk.header.plainLength, chunk.header.plainCRC) = (0, .empty)
    case "half an operation at the end": chunk.isLast = true
    case "no operation": refill([9, 9, 9])
    case "too large a value": refill([1, 1, 7, 0, 0xff, 0xff, 0x7f])
    case "too long": refill([UInt8](repeating: 1, count: Limits.chunkBytes + 1))
    case "expands further", "expands less":
      let plain = [UInt8](repeating: 1, count: 5000)
      var compressor = ChunkCompressor()
      chunk.payload = []
      let frame = unsafe try compressor.compress(
        plain.span.bytes, as: Self.encodings[1], into: &chunk.payload)
      chunk.header.codec = .zstd
      chunk.header.isNewFrame = frame.isNewFrame
      chunk.header.plainLength = what == "expands further" ? 4999 : 5001
    case "another plain checksum": chunk.header.plainCRC = .empty
    default: chunk.header.codec = .zstd
    }
    chunk.header.wireCRC = chunk.computedWireCRC
    do throws(SyncError) {
      _ = try reader.receive(chunk)
      Issue.record("\(what) was accepted")
    } catch {
      #expect(error.code == code, "\(error)")
    }
  }

  @Test("random chunks never crash the reader", arguments: 0..<300)
  func fuzz(seed: Int) throws {
    var random = SplitMix(seed: seed)
    var reader = ChunkReader()
    for sequence in 1...20 as ClosedRange<UInt64> {
      let payload = random.bytes(.random(in: 0...200, using: &random))
      var chunk = Chunk(
        header: ChunkHeader(
          firstOrdinal: reader.lastOrdinal + (reader.pendingBytes == 0 ? 1 : 2),
          plainLength: .random(in: 0...400, using: &random),
          codec: Bool.random(using: &random) ? .zstd : .none,
          isNewFrame: .random(using: &random), prefixLength: .random(in: 0...100, using: &random),
          plainCRC: CRC32C(payload), wireCRC: .empty),
        sequence: sequence, isLast: .random(using: &random), payload: payload)
      if chunk.header.codec == .none { chunk.header.plainLength = UInt32(payload.count) }
      chunk.header.wireCRC = chunk.computedWireCRC
      do throws(SyncError) { _ = try reader.receive(chunk) } catch { return }
    }
  }
}

@Suite("Bytes in flight")
struct FlightWindowTests {
  @Test("an acknowledgement frees what was sent up to its operation's end")
  func frees() {
    var window = FlightWindow(credit: 8 << 20)
    window.sent(1000, lastOrdinal: Ordinal(10))
    window.sent(1000, lastOrdinal: Ordinal(20))
    window.sent(1000, lastOrdinal: Ordinal(20))
    #expect(window.bytesInFlight == 3000)
    window.acknowledged(through: Ordinal(9))
    #expect(window.bytesInFlight == 3000)
    window.acknowledged(through: Ordinal(19))
    #expect(window.bytesInFlight == 2000)
    window.acknowledged(through: Ordinal(20))
    #expect(window.bytesInFlight == 1000)
  }

  @Test("the smaller of credit and limit holds, but never stops an operation of full size")
  func limits() {
    var window = FlightWindow(credit: 4 << 20)
    #expect(window.allows(4 << 20, limit: 64 << 20))
    #expect(!window.allows(4 << 20 + 1, limit: 64 << 20))
    #expect(!window.allows(4 << 20, limit: 3 << 20))
    #expect(window.allows(SyncLimits.leastCredit, limit: 0))
    window.credit = 0
    window.sent(OperationEncoding.maximumBytes, lastOrdinal: .zero)
    #expect(window.allows(Limits.chunkBytes, limit: 0))
  }
}
