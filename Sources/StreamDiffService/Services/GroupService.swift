import StreamDiffCore
import StreamDiffStorage
import StreamDiffWire

/// `streamdiff.v1.Group`: the replica as an operator sees it.
public struct GroupService: Sendable {
  static let name = "streamdiff.v1.Group"

  let replica: Replica
  let counters: ServiceCounters
  let sessions: SyncRegistry
  let governor: SendGovernor
  let tuning: ServerTuning
  let version: String
  /// HOST:PORT where this replica serves, and what its server counted; known once it is bound.
  let server: @Sendable () -> (address: String, counters: RPCCounters.Snapshot)?

  public var router: RPCRouter { RPCRouter(["/\(Self.name)/Status": .unary(status)]) }

  @Sendable private func status(_ call: UnaryCall) {
    do {
      let request = try StatusRequest(decoding: call.request)
      // A failed replica still says what it is, and that it failed.
      if replica.failure != nil { return answer(call, nil, roots: false) }
      guard request.skipRoots else {
        return replica.refreshedView(of: nil) { answer(call, try? $0.get(), roots: true) }
      }
      let isTaken = replica.pool.submit { answer(call, try? replica.view(), roots: false) }
      guard isTaken else { throw GRPCStatus(.resourceExhausted, "too many reads wait: try again later") }
    } catch {
      call.fail(GRPCStatus(mapping: error))
    }
  }

  private func answer(_ call: UnaryCall, _ view: StateView?, roots: Bool) {
    counters.status.add(1)
    let raft = replica.raft
    let server = server()
    var response = StatusResponse()
    response.nodeID = raft.id
    response.role = replica.failure == nil ? "\(raft.role)" : "failed"
    response.leader = raft.leader
    response.term = raft.term
    response.commit = raft.commit
    response.applied = view?.index ?? replica.applied
    response.version = version
    response.readOnly = replica.readOnly?.detail ?? ""
    response.keyspaces = view.map { Self.keyspaces($0, roots: roots) } ?? []
    var member = StatusResponse.MemberStatus()
    member.nodeID = raft.id
    member.address = server?.address ?? ""
    member.match = raft.commit
    response.members = [member]
    response.sessions = sessions.statuses
    response.counters =
      (counters.snapshot + replica.counters.snapshot
      + [
        ("sessions_remembered", UInt64(replica.store.sessions.records)),
        ("heap_bytes_in_use", UInt64(MemoryKeeper.heapBytesInUse)),
        ("codec_bytes_in_use", UInt64(CodecPool.node.use.bytes)),
        ("codec_bytes_kept", UInt64(CodecPool.node.keptBytes)),
      ] + sending + Self.counters(server?.counters))
      .map { StatusResponse.Counter($0.name, $0.value) }
    call.respond(response.encode())
  }

  /// What the node's sessions send together. Rates are bytes per second; 0 is none.
  private var sending: [(name: String, value: UInt64)] {
    [
      ("send_rate", UInt64(governor.sentRate)),
      ("send_rate_max", tuning.table.settings(for: nil).rateMax?.bytesPerSecond ?? 0),
      ("send_rate_governed", UInt64(governor.rate ?? 0)),
      ("send_slowdowns", governor.slowdowns),
      ("send_sessions", UInt64(governor.sessions)),
      ("send_sessions_waiting", UInt64(governor.waiting)),
    ]
  }

  private static func keyspaces(_ view: StateView, roots: Bool) -> [StatusResponse.KeyspaceStatus] {
    view.keyspaces.map { keyspace in
      // Unreadable digest records: the name alone is known.
      let position = try? view.position(of: keyspace)
      var status = StatusResponse.KeyspaceStatus()
      status.name = keyspace.name.description
      status.kind = keyspace.kind
      status.root = roots ? position?.root : nil
      status.entries = position?.entries ?? 0
      status.bytes = position?.bytes ?? 0
      status.index = view.index
      return status
    }
  }

  private static func counters(_ rpc: RPCCounters.Snapshot?) -> [(name: String, value: UInt64)] {
    guard let rpc else { return [] }
    return [
      ("requests", rpc.callsTotal), ("requests_ok", rpc.callsOK),
      ("connections_open", UInt64(rpc.connectionsOpen)), ("connections_total", rpc.connectionsTotal),
      ("connections_refused", rpc.connectionsRefused), ("connections_evicted", rpc.connectionsEvicted),
      ("calls_cut", rpc.callsCut),
      ("socket_bytes_received", rpc.bytesReceived), ("socket_bytes_sent", rpc.bytesSent),
    ]
  }
}
