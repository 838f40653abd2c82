import StreamDiffCore
import StreamDiffWire
import Synchronization

/// The sessions that a server has open, for `Group.Status`, and their bound.
public final class SyncRegistry: Sendable {
  private struct Session {
    var peer: String
    var keyspace: KeyspaceName
    var isSending: Bool
    var meter: SyncMeter
    var activity: CallActivity
    /// Of a sender that brings operations.
    var id: SessionID?
  }

  private struct State {
    var sessions: [UInt64: Session] = [:]
    var next: UInt64 = 0
  }

  private let state = Mutex(State())

  public init() {}

  /// A session more than there may be ends the one that has been idle for the longest.
  /// - Throws: UNAVAILABLE when too many are open, and none is idle; RESOURCE_EXHAUSTED when too many are of
  ///   this peer.
  func add(
    peer: String, keyspace: KeyspaceName, isSending: Bool, meter: SyncMeter, activity: CallActivity
  ) throws(GRPCStatus) -> UInt64 {
    let number: UInt64? = try state.withLock { state throws(GRPCStatus) in
      guard state.sessions.values.count(where: { $0.peer == peer }) < SessionLimits.sessionsOfPeer else {
        throw GRPCStatus(
          .resourceExhausted, "\(SessionLimits.sessionsOfPeer) sync sessions are open on this connection")
      }
      if state.sessions.count >= SessionLimits.sessions {
        let idle = state.sessions.lazy.map { (id: $0.key, idle: $0.value.activity.idle) }
        guard let victim = Self.victim(among: idle) else { return nil }
        let reason = "the session was idle, and others wait: begin again"
        state.sessions.removeValue(forKey: victim)?.activity.end(GRPCStatus(.unavailable, reason))
      }
      state.next += 1
      state.sessions[state.next] = Session(
        peer: peer, keyspace: keyspace, isSending: isSending, meter: meter, activity: activity)
      return state.next
    }
    guard let number else {
      throw GRPCStatus(.unavailable, "\(SessionLimits.sessions) sync sessions are open: try again later")
    }
    return number
  }

  /// Ends the older streams of a session: what they still bring is refused anyway.
  func begin(_ id: SessionID, _ number: UInt64) {
    let older = state.withLock { state in
      let older = state.sessions.values.compactMap { $0.id == id ? $0.activity : nil }
      state.sessions[number]?.id = id
      return older
    }
    for each in older { each.end(SyncError(StateMachine.Refusal.superseded)) }
  }

  /// Who gives way: the longest idle, if for `idleGrace` at least.
  public static func victim(among sessions: some Sequence<(id: UInt64, idle: Duration)>) -> UInt64? {
    sessions.max { ($0.idle, $1.id) < ($1.idle, $0.id) }.flatMap {
      $0.idle >= SessionLimits.idleGrace ? $0.id : nil
    }
  }

  func remove(_ number: UInt64) { state.withLock { $0.sessions[number] = nil } }

  /// In the order they were opened.
  var statuses: [StatusResponse.SessionStatus] {
    let sessions = state.withLock { $0.sessions }
    return sessions.sorted { $0.key < $1.key }.map { number, session in
      var status = StatusResponse.SessionStatus()
      status.peer = session.peer
      status.keyspace = session.keyspace.description
      status.isSending = session.isSending
      let bytes = session.meter.payloadBytes.value
      if session.isSending { status.bytesSent = bytes } else { status.bytesReceived = bytes }
      status.number = number
      status.report = session.meter.report
      status.inFlight = UInt64(session.meter.bytesInFlight)
      return status
    }
  }
}
