public import StreamDiffCore
import StreamDiffWire

/// A replica as an operator sees it: what `streamdiff status` prints.
public struct ServerStatus: Sendable {
  public struct Keyspace: Sendable {
    public let name: String
    /// nil when roots were not asked for.
    public let root: Digest?
    public let entries: Int
    /// Of keys and values.
    public let bytes: Int
    public let kind: KeyspaceKind?
    public let index: UInt64
  }

  public struct Member: Sendable {
    public let nodeID: UInt64
    public let address: String
    public let match: UInt64
    public let lag: UInt64
  }

  public struct Session: Sendable {
    public let peer: String
    public let keyspace: String
    public let isSending: Bool
    public let bytesSent: UInt64
    public let bytesReceived: UInt64
    /// Plain bytes sent and not acknowledged, where this server sends.
    public let inFlight: UInt64
    /// How the sender sends; `nil` where it has not said.
    public let report: AdaptationReport?
    /// Since the server started.
    public let number: UInt64
  }

  public let nodeID: UInt64
  public let role: String
  /// 0: none known.
  public let leader: UInt64
  public let term: UInt64
  public let commit: UInt64
  public let applied: UInt64
  public let isSyncing: Bool
  public let version: String
  /// Why it takes no writes though it serves; nil while it takes them.
  public let readOnly: String?
  public let keyspaces: [Keyspace]
  public let members: [Member]
  public let sessions: [Session]
  public let counters: [(name: String, value: UInt64)]

  init(_ answer: StatusResponse) {
    nodeID = answer.nodeID.rawValue
    role = answer.role
    leader = answer.leader.rawValue
    term = answer.term.rawValue
    commit = answer.commit.rawValue
    applied = answer.applied.rawValue
    isSyncing = answer.isSyncing
    version = answer.version
    readOnly = answer.readOnly.isEmpty ? nil : answer.readOnly
    keyspaces = answer.keyspaces.map {
      Keyspace(
        name: $0.name, root: $0.root, entries: $0.entries, bytes: $0.bytes, kind: $0.kind,
        index: $0.index.rawValue)
    }
    members = answer.members.map {
      Member(nodeID: $0.nodeID.rawValue, address: $0.address, match: $0.match.rawValue, lag: $0.lag)
    }
    sessions = answer.sessions.map {
      Session(
        peer: $0.peer, keyspace: $0.keyspace, isSending: $0.isSending, bytesSent: $0.bytesSent,
        bytesReceived: $0.bytesReceived, inFlight: $0.inFlight, report: $0.report, number: $0.number)
    }
    counters = answer.counters.map { ($0.name, $0.value) }
  }
}
