import StreamDiffCore
import StreamDiffWire

/// A small message of each kind, with every field set.
enum MessageSamples {
  private static let (digest, session) = (Samples.digest, Samples.session)

  static let keyValue: [any WireMessage] = [
    GetRequest(keyspace: "photos", key: [0, 1, 255]),
    GetResponse(value: [9, 8, 7], index: LogIndex(300), kind: .directory),
    GetResponse(value: nil, index: LogIndex(.max), kind: nil),
    PutRequest(key: [1], value: Array(repeating: 7, count: 70), session: session, ordinal: Ordinal(5)),
    PutRequest(keyspace: "a", key: [1], value: [], expectation: .absent),
    PutRequest(keyspace: "a", key: [1], value: [2], expectation: .digest(digest)),
    PutResponse(index: LogIndex(12)),
    DeleteRequest(
      keyspace: "a", key: [1], expectation: .digest(digest), session: session, ordinal: Ordinal(9)),
    DeleteRequest(key: [1]), DeleteResponse(index: LogIndex(13)),
    ScanRequest(keyspace: "k", prefix: [1], after: [1, 2], limit: 10, keysOnly: true),
    ScanResponse(
      entries: (0..<30).map { .init(key: [UInt8($0 / 2), 1], value: Array(repeating: 1, count: $0)) },
      index: LogIndex(7), kind: .plain),
  ]

  static let group: [any WireMessage] = {
    var status = StatusResponse()
    (status.nodeID, status.leader, status.role) = (NodeID(1), NodeID(2), "follower")
    (status.term, status.commit, status.applied) = (Term(3), LogIndex(40), LogIndex(39))
    (status.isSyncing, status.version) = (true, "0.1.0")
    var keyspace = StatusResponse.KeyspaceStatus()
    (keyspace.name, keyspace.root, keyspace.entries, keyspace.bytes) = ("default", digest, 3, 400)
    (keyspace.kind, keyspace.index) = (.plain, LogIndex(39))
    status.keyspaces = [keyspace, .init()]
    var member = StatusResponse.MemberStatus()
    (member.nodeID, member.address, member.match, member.lag) = (NodeID(1), "h:1", LogIndex(38), 2)
    status.members = [member]
    var session = StatusResponse.SessionStatus()
    (session.peer, session.keyspace, session.isSending) = ("127.0.0.1:5", "default", true)
    (session.inFlight, session.number) = (4, 5)
    status.sessions = [session]
    status.counters = [.init("requests", .max)]
    return [StatusRequest(skipRoots: true), status, StatusResponse()]
  }()

  static let tuning: [any WireMessage] = {
    let settings = [Setting(name: "chunk-max", value: "32KiB"), Setting(name: "rate-max", value: "none")]
    return [
      GetTuningRequest(peer: "127.0.0.1:5"),
      SetTuningRequest(peer: "h", settings: settings, reset: ["level", "codec"], isPersistent: true),
      TuningResponse(
        settings: settings,
        peers: [.init(peer: "h", settings: settings), .init(peer: "[::1]:5", settings: [])],
        sessions: 3),
    ]
  }()

  static let reflection: [any WireMessage] = [
    HealthCheckRequest(service: "streamdiff.v1.KeyValue"), HealthCheckResponse(status: .notServing),
    ReflectionRequest(host: "h", query: .file(named: "a.proto")),
    ReflectionRequest(query: .fileContaining(symbol: "a.B")),
    ReflectionRequest(query: .fileContainingExtension(of: "a.B", number: -7)),
    ReflectionRequest(query: .extensionNumbers(of: "a.B")), ReflectionRequest(query: .services),
    ReflectionResponse(to: ReflectionRequest(host: "h", query: .services), .services(["a", "b"])),
    ReflectionResponse(to: ReflectionRequest(query: .services), .files([[1], [], [2, 3]])),
    ReflectionResponse(to: ReflectionRequest(query: nil), .extensionNumbers(of: "a.B", [-1, 5])),
    ReflectionResponse(to: ReflectionRequest(query: nil), .error(code: 5, message: "nö")),
  ]

  static let sync: [SyncMessage] = {
    var hello = Hello(role: .sender, keyspace: Samples.photos)
    (hello.kind, hello.session, hello.root, hello.entries) = (.directory, session, digest, 5)
    (hello.bytes, hello.index, hello.salt, hello.lastOrdinal) = (6, LogIndex(7), .max, Ordinal(9))
    (hello.credit, hello.isCompareOnly) = (10, true)
    var hint = AdaptationHint()
    (hint.decodeBytesPerSecond, hint.applyBytesPerSecond, hint.credit) = (1, 2, 3)
    (hint.chunkMinimum, hint.chunkMaximum) = (4, 5)
    hint.settings = [Setting(name: "level-max", value: "3")]
    var report = AdaptationReport()
    (report.chunk, report.encoding, report.bytesInFlight) = (65536, ChunkEncoding(codec: .zstd, level: -3), 7)
    (report.rtt, report.loss, report.policy, report.reason) = (.milliseconds(20), 0.25, "model", "start")
    let header = ChunkHeader(
      firstOrdinal: Ordinal(77), plainLength: 100_000, codec: .zstd, isNewFrame: true, prefixLength: 512,
      plainCRC: CRC32C(rawValue: 0xdead_beef), wireCRC: CRC32C(rawValue: 1))
    return [
      .hello(hello), .hello(Hello(role: .receiver, keyspace: .default)),
      .expand(Expand(request: 1, source: 0, mode: .tree, runs: [0..<1])),
      .expand(
        Expand(request: 2, source: 1, mode: .keys, runs: [3..<9, 12..<UInt32.max], release: [1, .max])),
      .frontier(Frontier(request: 1, fingerprints: [0, 1, .max, 5], counts: [1, 64, 65, .max], sizes: [4])),
      .frontier(
        Frontier(
          request: 2, sizes: [20], keys: (0..<20).map { KeyDigest(key: [UInt8($0), 5], digest: digest) })),
      .ack(Ack(ordinal: Ordinal(1), index: LogIndex(2), conflicts: 3)),
      .sealResult(
        SealResult(
          index: LogIndex(1), root: digest, entries: 2, bytes: 3, isEqual: true, salt: .max, conflicts: 5)),
      .hint(hint), .report(report),
      .chunk(Chunk(header: header, sequence: 300, rttMilliseconds: 20, isLast: true, payload: [1, 2, 3])),
      .chunk(Chunk(header: header, sequence: 1, isLast: false, payload: Array(repeating: 7, count: 200))),
    ]
  }()
}
