import StreamDiffCore

/// Valid values that the seeds are made of.
enum Samples {
  static let digest = Digest(bytes: (1...32).map { UInt8($0) })!
  static let session = SessionID(high: 0x0102_0304_0506_0708, low: 0x090a_0b0c_0d0e_0f10)
  static let photos = KeyspaceName("photos")!

  static let operations: [Operation] = [
    Operation(key: [1], change: .put(value: [])),
    Operation(key: Array("user/000001".utf8), expectation: .absent, change: .put(value: Array("value".utf8))),
    Operation(
      key: [0, 255], expectation: .digest(digest), change: .put(value: Array(repeating: 7, count: 200))),
    Operation(key: [9], change: .delete),
    Operation(key: Array(repeating: 3, count: 300), expectation: .digest(digest), change: .delete),
  ]

  static func encoded(_ operations: [Operation]) -> EncodedOperations {
    // The samples are within every bound.
    try! EncodedOperations(operations)
  }

  static let operationRuns: [[UInt8]] =
    operations.map { encoded([$0]).bytes } + [[], encoded(operations).bytes]

  static let commandValues: [Command] = [
    .noop, .createKeyspace(.default, .plain), .createKeyspace(photos, .directory), .seal(photos),
    .operations(OperationBatch(keyspace: .default, kind: .plain, operations: .none)),
    .operations(
      OperationBatch(
        keyspace: .default, kind: .plain, session: session, firstOrdinal: Ordinal(7),
        operations: encoded(operations))),
    .operations(
      OperationBatch(
        keyspace: photos, kind: .directory, session: session, firstOrdinal: Ordinal(.max - 2),
        operations: encoded(Array(operations.prefix(2))))),
    .operations(
      OperationBatch(
        keyspace: .default, kind: .plain, session: session, operations: encoded(Array(operations.prefix(1))))
    ).stamped(at: GroupTime(milliseconds: 9)),
    .openSession(SessionOpening(session)), .openSession(SessionOpening(session, resumes: true)),
    .operations(
      OperationBatch(
        keyspace: .default, kind: .plain, session: session, firstOrdinal: Ordinal(2), fence: LogIndex(9),
        operations: encoded(operations))),
    .expireSessions(
      SessionExpiry(
        now: GroupTime(milliseconds: 99), idleSince: GroupTime(milliseconds: 50), usedBefore: LogIndex(11),
        forgetBefore: GroupTime(milliseconds: 20))),
  ]

  static let commands = commandValues.map { $0.encode() }

  static let commandLogs: [[UInt8]] = [
    Array(commands.map { Shape.parts.part($0) }.joined()),
    Array((commands + commands.reversed()).map { Shape.parts.part($0) }.joined()),
    Shape.parts.part(commands[5]),
  ]

  static let leafRecords: [MerkleTree.LeafRecord] = {
    var records: [MerkleTree.LeafRecord] = []
    MapContent.numbered(300).tree.forEachLeaf { records.append($0) }
    return Array(records.prefix(4)) + [MerkleTree().leaf(covering: [UInt8]().span)]
  }()
}
