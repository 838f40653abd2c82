import NIOCore
import StreamDiffCore
import StreamDiffWire

/// A message of each kind, with every field set.
enum Samples {
  static let digest = Digest(bytes: (1...32).map { UInt8($0) })!
  static let session = SessionID(high: 0x0102_0304_0506_0708, low: 0x090a_0b0c_0d0e_0f10)

  static let keyValue: [any WireMessage] = [
    GetRequest(keyspace: "photos", key: [0, 1, 255]),
    GetResponse(value: [9, 8, 7], index: LogIndex(300), kind: .directory),
    GetResponse(value: [], index: LogIndex(1), kind: .plain),
    GetResponse(value: nil, index: LogIndex(.max), kind: nil),
    PutRequest(key: [1], value: Array(repeating: 7, count: 70_000), session: session, ordinal: Ordinal(5)),
    PutRequest(keyspace: "a", key: [1], value: [], expectation: .absent),
    PutRequest(keyspace: "a", key: [1], value: [2], expectation: .digest(digest)),
    PutResponse(index: LogIndex(12)),
    DeleteRequest(keyspace: "a", key: [1], expectation: .absent, session: session, ordinal: Ordinal(9)),
    DeleteRequest(key: [1], expectation: .digest(digest)),
    DeleteRequest(key: [1]),
    DeleteResponse(index: LogIndex(13)),
    ScanRequest(keyspace: "k", prefix: [1], after: [1, 2], limit: 10, keysOnly: true),
    ScanResponse(
      entries: (0..<300).map { .init(key: [UInt8($0 / 2), 1], value: Array(repeating: 1, count: $0)) },
      index: LogIndex(7), kind: .plain),
  ]

  static var status: StatusResponse {
    var status = StatusResponse()
    (status.nodeID, status.leader, status.role) = (NodeID(1), NodeID(2), "follower")
    (status.term, status.commit, status.applied) = (Term(3), LogIndex(40), LogIndex(39))
    (status.isSyncing, status.version, status.readOnly) = (true, "0.1.0", "full")
    var keyspace = StatusResponse.KeyspaceStatus()
    (keyspace.name, keyspace.root, keyspace.entries, keyspace.bytes) = ("default", digest, 3, 400)
    (keyspace.kind, keyspace.index) = (.plain, LogIndex(39))
    status.keyspaces = [keyspace, .init()]
    var member = StatusResponse.MemberStatus()
    (member.nodeID, member.address, member.match, member.lag) = (NodeID(1), "h:1", LogIndex(38), 2)
    status.members = [member]
    var session = StatusResponse.SessionStatus()
    (session.peer, session.keyspace, session.isSending) = ("127.0.0.1:5", "default", true)
    (session.bytesSent, session.bytesReceived, session.inFlight, session.number) = (1, 2, 4, 5)
    session.report = report
    session.report?.unmet = ""  // part of the reason
    status.sessions = [session, .init()]
    status.counters = [.init("requests", .max)]
    return status
  }

  static let operations: [any WireMessage] = [
    StatusRequest(skipRoots: true), status, StatusResponse(),
    HealthCheckRequest(service: "streamdiff.v1.KeyValue"), HealthCheckResponse(status: .notServing),
    ReflectionRequest(host: "h", query: .file(named: "a.proto")),
    ReflectionRequest(query: .fileContaining(symbol: "a.B")),
    ReflectionRequest(query: .fileContainingExtension(of: "a.B", number: -7)),
    ReflectionRequest(query: .extensionNumbers(of: "a.B")),
    ReflectionRequest(query: .services),
    ReflectionResponse(to: ReflectionRequest(host: "h", query: .services), .services(["a", "b"])),
    ReflectionResponse(to: ReflectionRequest(query: .services), .files([[1], [], [2, 3]])),
    ReflectionResponse(to: ReflectionRequest(query: nil), .extensionNumbers(of: "a.B", [-1, 5])),
    ReflectionResponse(to: ReflectionRequest(query: nil), .error(code: 5, message: "nö")),
  ]

  static var hello: Hello {
    var hello = Hello(role: .sender, keyspace: KeyspaceName("photos")!)
    (hello.kind, hello.session, hello.root, hello.entries) = (.directory, session, digest, 5)
    (hello.bytes, hello.index, hello.salt, hello.lastOrdinal) = (6, LogIndex(7), .max, Ordinal(9))
    (hello.credit, hello.isCompareOnly, hello.resumes) = (10, true, true)
    return hello
  }

  static var hint: AdaptationHint {
    var hint = AdaptationHint()
    (hint.decodeBytesPerSecond, hint.applyBytesPerSecond, hint.credit) = (1, 2, 3)
    (hint.chunkMinimum, hint.chunkMaximum) = (4, 5)
    hint.settings = [Setting(name: "level-max", value: "3"), Setting(name: "", value: "")]
    return hint
  }

  static var report: AdaptationReport {
    var report = AdaptationReport()
    (report.chunk, report.encoding, report.bytesInFlight) = (65536, ChunkEncoding(codec: .zstd, level: -3), 7)
    (report.rtt, report.minRTT, report.loss) = (.milliseconds(20), .microseconds(19_999), 0.25)
    (report.wireRate, report.plainRate, report.policy) = (8, 9, "model")
    (report.congestion, report.reason) = ("bbr", "größer ist besser")
    report.unmet = "level 12 in place of 19"
    return report
  }

  static func chunk(payload: [UInt8], isLast: Bool = false) -> SyncMessage {
    let header = ChunkHeader(
      firstOrdinal: Ordinal(77), plainLength: 100_000, codec: .zstd, isNewFrame: true, prefixLength: 512,
      plainCRC: CRC32C(rawValue: 0xdead_beef), wireCRC: CRC32C(rawValue: 1))
    return .chunk(
      Chunk(header: header, sequence: 300, rttMilliseconds: 20, isLast: isLast, payload: payload))
  }

  static let sync: [SyncMessage] = [
    .hello(hello), .hello(Hello(role: .receiver, keyspace: .default)),
    .expand(Expand(request: 1, source: 0, mode: .tree, runs: [0..<1])),
    .expand(Expand(request: 2, source: 1, mode: .keys, runs: [3..<9, 12..<UInt32.max], release: [1, .max])),
    .frontier(
      Frontier(
        request: 1, fingerprints: [0, 1, .max, 0x0102_0304_0506_0708], counts: [1, 64, 65, .max], sizes: [4])),
    .frontier(
      Frontier(
        request: 2, sizes: [2_000],
        keys: (0..<2_000).map { KeyDigest(key: [UInt8($0 >> 8), UInt8($0 & 255)], digest: digest) })),
    .ack(Ack(ordinal: Ordinal(1), index: LogIndex(2), conflicts: 3)),
    .sealResult(
      SealResult(
        index: LogIndex(1), root: digest, entries: 2, bytes: 3, isEqual: true, salt: .max, conflicts: 5)),
    .hint(hint), .hint(AdaptationHint()), .report(report), .report(AdaptationReport()),
    chunk(payload: []), chunk(payload: [], isLast: true), chunk(payload: [1, 2, 3]),
    chunk(payload: (0..<300_000).map { UInt8(truncatingIfNeeded: $0) }),
  ]

  static let all: [any WireMessage] = keyValue + operations + sync

  static func buffer(_ bytes: [UInt8]) -> ByteBuffer { ByteBuffer(bytes: bytes) }
}
