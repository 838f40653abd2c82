import StreamDiffCore
import StreamDiffWire
import Synchronization

/// The sessions that a server has open, for `Group.Status`, and their bound.
public final class SyncRegistry: Sendable {
  /// Each session holds some MiB of buffers and, as a receiver, a view of the state.
  public static let maximumSessions = 64

  private struct Session {
    var peer: String
    var keyspace: KeyspaceName
    var isSending: Bool
    var meter: SyncMeter
    /// Of a sender that brings operations; the stream ends when a newer connection brings them.
    var id: SessionID?
    var superseded: AsyncStream<Never>.Continuation?
  }

  private struct State {
    var sessions: [UInt64: Session] = [:]
    var next: UInt64 = 0
  }

  private let state = Mutex(State())

  public init() {}

  /// - Throws: RESOURCE_EXHAUSTED when too many are open.
  func add(peer: String, keyspace: KeyspaceName, isSending: Bool, meter: SyncMeter) throws(GRPCStatus)
    -> UInt64
  {
    let number: UInt64? = state.withLock { state in
      guard state.sessions.count < Self.maximumSessions else { return nil }
      state.next += 1
      state.sessions[state.next] = Session(peer: peer, keyspace: keyspace, isSending: isSending, meter: meter)
      return state.next
    }
    guard let number else {
      throw GRPCStatus(.resourceExhausted, "\(Self.maximumSessions) sync sessions are open: try again later")
    }
    return number
  }

  /// Ends the older streams of a session: what they still bring is refused anyway.
  /// - Returns: a stream that ends when this one is superseded likewise.
  func begin(_ id: SessionID, _ number: UInt64) -> AsyncStream<Never> {
    let (stream, input) = AsyncStream<Never>.makeStream()
    let older = state.withLock { state in
      let older = state.sessions.values.compactMap { $0.id == id ? $0.superseded : nil }
      state.sessions[number]?.id = id
      state.sessions[number]?.superseded = input
      return older
    }
    for each in older { each.finish() }
    return stream
  }

  func remove(_ number: UInt64) { state.withLock { $0.sessions[number] = nil } }

  /// In the order they were opened.
  var statuses: [StatusResponse.SessionStatus] {
    let sessions = state.withLock { $0.sessions }
    let settings = TransferController().settings
    return sessions.sorted { $0.key < $1.key }.map { _, session in
      var status = StatusResponse.SessionStatus()
      status.peer = session.peer
      status.keyspace = session.keyspace.description
      status.isSending = session.isSending
      let bytes = session.meter.payloadBytes.value
      if session.isSending {
        status.bytesSent = bytes
        status.chunk = UInt32(settings.bytes)
        status.codec = "\(settings.encoding.codec)"
        status.level = settings.encoding.level
        status.reason = "fixed"
      } else {
        status.bytesReceived = bytes
      }
      status.inFlight = UInt64(session.meter.bytesInFlight)
      return status
    }
  }
}
