public import StreamDiffCore
import StreamDiffWire

/// A server's tunables: what `streamdiff tune` prints.
public struct ServerTunables: Sendable {
  public struct Peer: Sendable {
    public let peer: String
    public let settings: [Setting]
  }

  /// All of them, as they hold.
  public let settings: [Setting]
  /// What is set for single peers.
  public let peers: [Peer]
  /// Open sessions that a change reached.
  public let sessions: Int

  init(_ answer: TuningResponse) {
    settings = answer.settings
    peers = answer.peers.map { Peer(peer: $0.peer, settings: $0.settings) }
    sessions = Int(answer.sessions)
  }
}

extension StreamDiffClient {
  /// - Parameter peer: `nil`: for all.
  public func tuning(peer: String?) async throws(ClientFailure) -> ServerTunables {
    let answer: TuningResponse = try await call("Tuning/Get", GetTuningRequest(peer: peer ?? ""))
    return ServerTunables(answer)
  }

  /// Sets and resets, all or nothing: what was done twice is as what was done once, so that it may be sent again.
  public func tune(
    _ settings: [Setting], reset: [String], peer: String?, isPersistent: Bool
  ) async throws(ClientFailure) -> ServerTunables {
    let request = SetTuningRequest(
      peer: peer ?? "", settings: settings, reset: reset, isPersistent: isPersistent)
    let answer: TuningResponse = try await call("Tuning/Set", request, isRefusedByRule: true)
    return ServerTunables(answer)
  }
}
