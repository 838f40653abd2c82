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
        fence: session == nil ? .zero : LogIndex(0x0305),
        operations: try EncodedOperations([Operation(key: [7], change: .delete)]))
    ).stamped(at: GroupTime(milliseconds: 0x0408))
  }

  static let sessionBytes: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 9]

  @Test("the layout is the one above the code")
  func layout() throws {
    let session = SessionID(high: 0x0102_0304_0506_0708, low: 9)
    let operation: [UInt8] = [2, 1, 7, 0]
    func word(_ low: UInt8, _ high: UInt8) -> [UInt8] { [low, high, 0, 0, 0, 0, 0, 0] }
    let expiry = SessionExpiry(
      now: GroupTime(milliseconds: 0x0504), idleSince: GroupTime(milliseconds: 3), usedBefore: LogIndex(9),
      forgetBefore: GroupTime(milliseconds: 2))
    let golden: [(Command, [UInt8])] = [
      (.noop, [2, 0]),
      (.createKeyspace(Self.name, .directory), [2, 1] + Self.nameBytes + [2]),
      (
        try Self.batch(session: nil),
        [2, 2] + Self.nameBytes + [1, 0] + word(2, 1) + [1, 0, 0, 0] + operation
      ),
      (
        try Self.batch(session: session),
        [2, 2] + Self.nameBytes + [1, 1] + Self.sessionBytes + word(5, 3) + word(8, 4)
          + word(2, 1) + [1, 0, 0, 0] + operation
      ),
      (.seal(Self.name), [2, 3] + Self.nameBytes),
      (
        .openSession(SessionOpening(session, resumes: true)).stamped(at: GroupTime(milliseconds: 0x0504)),
        [2, 4] + Self.sessionBytes + [1] + word(4, 5)
      ),
      (.expireSessions(expiry), [2, 5] + word(4, 5) + word(3, 0) + word(9, 0) + word(2, 0)),
    ]
    for (command, bytes) in golden {
      #expect(command.encode() == bytes)
      #expect(try Command(decoding: bytes) == command)
    }
  }

  @Test("what version 1 wrote is read: its batches without their sessions, of which its state knew nothing")
  func versionOne() throws {
    let operation: [UInt8] = [2, 1, 7, 0]
    let old: [([UInt8], Command)] = [
      ([1, 0], .noop), ([1, 1] + Self.nameBytes + [2], .createKeyspace(Self.name, .directory)),
      ([1, 3] + Self.nameBytes, .seal(Self.name)),
      (
        [1, 2] + Self.nameBytes + [1, 0] + [2, 1, 0, 0, 0, 0, 0, 0] + [1, 0, 0, 0] + operation,
        try Self.batch(session: nil)
      ),
      (
        [1, 2] + Self.nameBytes + [1, 1] + Self.sessionBytes + [2, 1, 0, 0, 0, 0, 0, 0] + [1, 0, 0, 0]
          + operation, try Self.batch(session: nil)
      ),
    ]
    for (bytes, command) in old { #expect(try Command(decoding: bytes) == command) }
  }

  @Test("ordinals start at 1 and end where numbers end", arguments: [0, UInt64.max])
  func ordinals(first: UInt64) throws {
    guard case .operations(var batch) = try Self.batch(session: nil) else { return }
    batch.firstOrdinal = Ordinal(first)
    let bytes = Command.operations(batch).encode()
    #expect { try Command(decoding: bytes) } throws: { ($0 as? CommandError)?.code == .malformed }
  }

  @Test("a payload that lacks or exceeds its bytes is malformed")
  func wrongLength() throws {
    for command in [
      .noop, .createKeyspace(Self.name, .plain), try Self.batch(session: nil), .seal(Self.name),
      try Self.batch(session: SessionID(high: 1, low: 2)),
      .openSession(SessionOpening(SessionID(high: 1, low: 2))),
      .expireSessions(SessionExpiry(now: .zero, idleSince: .zero, usedBefore: .zero, forgetBefore: .zero)),
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
      ([3, 0], .unknown), ([1, 4], .unknown), ([2, 6], .unknown), ([1, 1, 1, 0x61, 3], .unknown),
      ([1, 3, 0], .malformed),
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
