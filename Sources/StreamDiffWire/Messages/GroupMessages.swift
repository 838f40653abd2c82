import CStreamDiffProtos
public import NIOCore
public import StreamDiffCore

public struct StatusRequest: WireMessage {
  /// Answer without bringing the Merkle trees up to date; roots are then empty.
  public var skipRoots: Bool

  public init(skipRoots: Bool = false) {
    self.skipRoots = skipRoots
  }

  public init(decoding bytes: ByteBuffer) throws(WireError) {
    self = try ProtoCoding.decode(bytes, streamdiff__v1__status_request__unpack) { message in
      Self(skipRoots: message.skip_roots != 0)
    }
  }

  public func encode(into buffer: inout ByteBuffer) {
    ProtoCoding.encode(into: &buffer, Streamdiff__V1__StatusRequest(), streamdiff__v1__status_request__init) {
      message, _ in message.skip_roots = skipRoots ? 1 : 0
    }
  }
}

/// A replica as an operator sees it.
public struct StatusResponse: WireMessage {
  public var nodeID = NodeID.none
  /// leader, follower, candidate, learner
  public var role = ""
  /// `.none` when none is known.
  public var leader = NodeID.none
  public var term = Term.zero
  public var commit = LogIndex.zero
  public var applied = LogIndex.zero
  public var isSyncing = false
  public var keyspaces: [KeyspaceStatus] = []
  public var members: [MemberStatus] = []
  public var sessions: [SessionStatus] = []
  public var counters: [Counter] = []
  public var version = ""
  /// Why writes are refused though reads go on; empty while they are taken.
  public var readOnly = ""

  public init() {}

  public struct KeyspaceStatus: Hashable, Sendable {
    public var name = ""
    /// `nil` when the request skipped roots.
    public var root: Digest?
    public var entries = 0
    /// Of keys and values.
    public var bytes = 0
    public var kind: KeyspaceKind?
    /// The applied index at which `root` holds.
    public var index = LogIndex.zero
    public init() {}
  }

  public struct MemberStatus: Hashable, Sendable {
    public var nodeID = NodeID.none
    public var address = ""
    public var match = LogIndex.zero
    /// Entries.
    public var lag: UInt64 = 0
    public init() {}
  }

  public struct SessionStatus: Hashable, Sendable {
    public var peer = ""
    public var keyspace = ""
    /// This replica is the sender (a pull).
    public var isSending = false
    public var bytesSent: UInt64 = 0
    public var bytesReceived: UInt64 = 0
    /// Plain bytes sent and not acknowledged.
    public var inFlight: UInt64 = 0
    /// How the sender sends; `nil` while a receiver has had no report of it.
    public var report: AdaptationReport?
    /// Of the session, since the server started.
    public var number: UInt64 = 0
    public init() {}
  }

  public struct Counter: Hashable, Sendable {
    public var name: String
    public var value: UInt64
    public init(_ name: String, _ value: UInt64) {
      (self.name, self.value) = (name, value)
    }
  }
}

extension StatusResponse {
  public init(decoding bytes: ByteBuffer) throws(WireError) {
    self = try ProtoCoding.decode(bytes, streamdiff__v1__status_response__unpack) {
      message throws(WireError) in
      var status = Self()
      status.nodeID = NodeID(message.node_id)
      status.role = try ProtoCoding.string(message.role, "role")
      status.leader = NodeID(message.leader)
      status.term = Term(message.term)
      status.commit = LogIndex(message.commit)
      status.applied = LogIndex(message.applied)
      status.isSyncing = message.syncing != 0
      status.version = try ProtoCoding.string(message.version, "version")
      status.readOnly = try ProtoCoding.string(message.read_only, "read_only")
      for place in 0..<message.n_keyspaces {
        status.keyspaces.append(try KeyspaceStatus(message.keyspaces[place]!.pointee))
      }
      for place in 0..<message.n_members {
        status.members.append(try MemberStatus(message.members[place]!.pointee))
      }
      for place in 0..<message.n_sessions {
        status.sessions.append(try SessionStatus(message.sessions[place]!.pointee))
      }
      for place in 0..<message.n_counters {
        let counter = message.counters[place]!.pointee
        status.counters.append(Counter(try ProtoCoding.string(counter.name, "name"), counter.value))
      }
      return status
    }
  }

  public func encode(into buffer: inout ByteBuffer) {
    ProtoCoding.encode(
      into: &buffer, Streamdiff__V1__StatusResponse(), streamdiff__v1__status_response__init
    ) { message, arena in
      message.node_id = nodeID.rawValue
      message.role = arena.string(role)
      message.leader = leader.rawValue
      message.term = term.rawValue
      message.commit = commit.rawValue
      message.applied = applied.rawValue
      message.syncing = isSyncing ? 1 : 0
      message.version = arena.string(version)
      message.read_only = arena.string(readOnly)
      message.n_keyspaces = keyspaces.count
      message.keyspaces = arena.messages(keyspaces, streamdiff__v1__keyspace_status__init) {
        $1.fill(&$0, &$2)
      }
      message.n_members = members.count
      message.members = arena.messages(members, streamdiff__v1__member_status__init) { $1.fill(&$0, &$2) }
      message.n_sessions = sessions.count
      message.sessions = arena.messages(sessions, streamdiff__v1__session_status__init) { $1.fill(&$0, &$2) }
      message.n_counters = counters.count
      message.counters = arena.messages(counters, streamdiff__v1__counter__init) {
        $0.name = $2.string($1.name)
        $0.value = $1.value
      }
    }
  }
}

extension StatusResponse.KeyspaceStatus {
  fileprivate init(_ message: Streamdiff__V1__KeyspaceStatus) throws(WireError) {
    name = try ProtoCoding.string(message.name, "name")
    root = try ProtoCoding.digest(message.root, "root")
    entries = try ProtoCoding.count(message.entries, "entries")
    bytes = try ProtoCoding.count(message.bytes, "bytes")
    kind = KeyspaceKind(message.kind)
    index = LogIndex(message.index)
  }

  fileprivate func fill(_ message: inout Streamdiff__V1__KeyspaceStatus, _ arena: inout MessageArena) {
    message.name = arena.string(name)
    message.root = arena.bytes(root?.bytes ?? [])
    message.entries = UInt64(entries)
    message.bytes = UInt64(bytes)
    message.kind = .init(kind)
    message.index = index.rawValue
  }
}

extension StatusResponse.MemberStatus {
  fileprivate init(_ message: Streamdiff__V1__MemberStatus) throws(WireError) {
    nodeID = NodeID(message.node_id)
    address = try ProtoCoding.string(message.address, "address")
    match = LogIndex(message.match)
    lag = message.lag
  }

  fileprivate func fill(_ message: inout Streamdiff__V1__MemberStatus, _ arena: inout MessageArena) {
    message.node_id = nodeID.rawValue
    message.address = arena.string(address)
    message.match = match.rawValue
    message.lag = lag
  }
}

extension StatusResponse.SessionStatus {
  fileprivate init(_ message: Streamdiff__V1__SessionStatus) throws(WireError) {
    peer = try ProtoCoding.string(message.peer, "peer")
    keyspace = try ProtoCoding.string(message.keyspace, "keyspace")
    isSending = message.sending != 0
    bytesSent = message.bytes_sent
    bytesReceived = message.bytes_received
    inFlight = message.in_flight
    number = message.number
    guard message.chunk > 0 else { return }
    var report = AdaptationReport()
    report.chunk = message.chunk
    let isPlain = try ProtoCoding.string(message.codec, "codec") == "none"
    report.encoding = isPlain ? .plain : ChunkEncoding(codec: .zstd, level: message.level)
    report.bytesInFlight = message.in_flight_max
    report.rtt = .microseconds(Int64(clamping: message.rtt_us))
    report.minRTT = .microseconds(Int64(clamping: message.min_rtt_us))
    report.loss = min(1, Double(message.loss_ppm) / 1e6)
    (report.wireRate, report.plainRate) = (message.wire_rate, message.plain_rate)
    report.policy = try ProtoCoding.string(message.policy, "policy")
    report.congestion = try ProtoCoding.string(message.congestion, "congestion")
    report.reason = try ProtoCoding.string(message.reason, "reason")
    self.report = report
  }

  fileprivate func fill(_ message: inout Streamdiff__V1__SessionStatus, _ arena: inout MessageArena) {
    message.peer = arena.string(peer)
    message.keyspace = arena.string(keyspace)
    message.sending = isSending ? 1 : 0
    message.bytes_sent = bytesSent
    message.bytes_received = bytesReceived
    message.in_flight = inFlight
    message.number = number
    guard let report else { return }
    message.chunk = report.chunk
    message.codec = arena.string("\(report.encoding.codec)")
    message.level = report.encoding.level
    message.in_flight_max = report.bytesInFlight
    message.rtt_us = report.rtt.microseconds
    message.min_rtt_us = report.minRTT.microseconds
    message.loss_ppm = report.lossPerMillion
    (message.wire_rate, message.plain_rate) = (report.wireRate, report.plainRate)
    message.policy = arena.string(report.policy)
    message.congestion = arena.string(report.congestion)
    message.reason = arena.string(report.reason)
  }
}
