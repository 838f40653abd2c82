import StreamDiffCore
import Testing

@Suite("Commands as log payloads")
struct CommandTests {
  static let name = KeyspaceName("ab.c")!
  static let nameBytes: [UInt8] = [4, 0x61, 0x62, 0x2e, 0x63]

  static func batch(session: SessionID?) throws -> Command {
    .operations(
      OperationBatch(
        keyspace: name, kind: .plain, session: session, firstOrdinal: Ordinal(0x0102),
        operations: try EncodedOperations([Operation(key: [7], change: .delete)])))
  }

  @Test("the layout is the one above the code")
  func layout() throws {
    let session = SessionID(high: 0x0102_0304_0506_0708, low: 9)
    let operation: [UInt8] = [2, 1, 7, 0]
    let golden: [(Command, [UInt8])] = [
      (.noop, [1, 0]),
      (.createKeyspace(Self.name, .directory), [1, 1] + Self.nameBytes + [2]),
      (
        try Self.batch(session: nil),
        [1, 2] + Self.nameBytes + [1, 0] + [2, 1, 0, 0, 0, 0, 0, 0] + [1, 0, 0, 0] + operation
      ),
      (
        try Self.batch(session: session),
        [1, 2] + Self.nameBytes + [1, 1] + [1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 9]
          + [2, 1, 0, 0, 0, 0, 0, 0] + [1, 0, 0, 0] + operation
      ),
      (.seal(Self.name), [1, 3] + Self.nameBytes),
    ]
    for (command, bytes) in golden {
      #expect(command.encode() == bytes)
      #expect(try Command(decoding: bytes) == command)
    }
  }

  @Test("a payload that lacks or exceeds its bytes is malformed")
  func wrongLength() throws {
    for command in [
      .noop, .createKeyspace(Self.name, .plain), try Self.batch(session: nil), .seal(Self.name),
    ] {
      let bytes = command.encode()
      for count in 0..<bytes.count {
        #expect(throws: CommandError.self) { try Command(decoding: Array(bytes[..<count])) }
      }
      #expect(throws: CommandError.self) { try Command(decoding: bytes + [0]) }
    }
  }

  @Test(
    "what a newer version wrote is told from damage",
    arguments: [
      ([2, 0], .unknown), ([1, 4], .unknown), ([1, 1, 1, 0x61, 3], .unknown), ([1, 3, 0], .malformed),
      ([1, 3, 1, 0x2f], .malformed),
      ([1, 2, 1, 0x61, 1, 0] + Array(repeating: 255, count: 8) + [0, 0, 0, 0], .malformed),
      ([1, 3, 2, 0xff, 0xfe], .malformed), ([], .malformed),
    ] as [([UInt8], CommandError.Code)])
  func refusals(payload: [UInt8], code: CommandError.Code) {
    #expect { try Command(decoding: payload) } throws: { ($0 as? CommandError)?.code == code }
  }

  @Test("a batch whose count is not that of its operations is malformed")
  func wrongCount() throws {
    var bytes = try Self.batch(session: nil).encode()
    bytes[bytes.count - 8] = 2
    #expect { try Command(decoding: bytes) } throws: { ($0 as? CommandError)?.code == .malformed }
  }

  @Test("flipped bytes never crash the decoder", arguments: 0..<200)
  func flips(seed: Int) throws {
    var random = SplitMix(seed: seed)
    var bytes = try Self.batch(session: SessionID(using: &random)).encode()
    for _ in 0..<Int.random(in: 1...4, using: &random) {
      bytes[Int.random(in: 0..<bytes.count, using: &random)] ^= UInt8.random(in: 1...255, using: &random)
    }
    if let command = try? Command(decoding: bytes) {
      #expect(try Command(decoding: command.encode()) == command)
    }
  }

  @Test("a batch of as many bytes as a run may have fits a log entry")
  func fits() throws {
    let longest = KeyspaceName(String(repeating: "n", count: KeyspaceName.maximumBytes))!
    let value = [UInt8](repeating: 0, count: Limits.valueBytes)
    let pair = [Operation(key: [1], change: .put(value: value)), Operation(key: [2], change: .delete)]
    let batch = OperationBatch(
      keyspace: longest, kind: .plain, session: SessionID(high: 1, low: 1),
      operations: try EncodedOperations(pair))
    let overhead = Command.operations(batch).encode().count - batch.operations.bytes.count
    #expect(overhead <= Command.overheadBytes)
    #expect(ChunkReader.runBytes + overhead <= Limits.commandBytes)
  }
}
