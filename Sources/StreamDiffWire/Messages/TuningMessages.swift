import CStreamDiffProtos
public import NIOCore
public import StreamDiffCore

/// What holds for a peer, or for all.
public struct GetTuningRequest: WireMessage {
  /// Empty: for all.
  public var peer: String

  public init(peer: String = "") { self.peer = peer }

  public init(decoding bytes: ByteBuffer) throws(WireError) {
    self = try ProtoCoding.decode(bytes, streamdiff__v1__get_tuning_request__unpack) {
      message throws(WireError) in Self(peer: try ProtoCoding.string(message.peer, "peer"))
    }
  }

  public func encode(into buffer: inout ByteBuffer) {
    ProtoCoding.encode(
      into: &buffer, Streamdiff__V1__GetTuningRequest(), streamdiff__v1__get_tuning_request__init
    ) { $0.peer = $1.string(peer) }
  }
}

/// Changes what holds for a peer, or for all.
public struct SetTuningRequest: WireMessage {
  /// Empty: for all.
  public var peer: String
  public var settings: [Setting]
  public var reset: [String]
  public var isPersistent: Bool

  public init(peer: String = "", settings: [Setting] = [], reset: [String] = [], isPersistent: Bool = false) {
    (self.peer, self.settings, self.reset, self.isPersistent) = (peer, settings, reset, isPersistent)
  }

  public init(decoding bytes: ByteBuffer) throws(WireError) {
    self = try ProtoCoding.decode(bytes, streamdiff__v1__set_tuning_request__unpack) {
      message throws(WireError) in
      guard message.n_reset <= AdaptationHint.settingsLimit else {
        throw WireError(
          .tooLarge, "\(message.n_reset) names to reset; at most \(AdaptationHint.settingsLimit) are taken")
      }
      var request = Self(
        peer: try ProtoCoding.string(message.peer, "peer"),
        settings: try [Setting](message.settings, message.n_settings), isPersistent: message.persist != 0)
      for place in 0..<message.n_reset {
        request.reset.append(try ProtoCoding.string(message.reset[place], "reset"))
      }
      return request
    }
  }

  public func encode(into buffer: inout ByteBuffer) {
    ProtoCoding.encode(
      into: &buffer, Streamdiff__V1__SetTuningRequest(), streamdiff__v1__set_tuning_request__init
    ) { message, arena in
      message.peer = arena.string(peer)
      message.n_settings = settings.count
      message.settings = arena.messages(settings, streamdiff__v1__setting__init) { $1.fill(&$0, &$2) }
      message.n_reset = reset.count
      message.reset = arena.array(copying: reset.map { Optional(arena.string($0)) })
      message.persist = isPersistent ? 1 : 0
    }
  }
}

public struct TuningResponse: WireMessage {
  public struct Peer: Hashable, Sendable {
    public var peer: String
    public var settings: [Setting]

    public init(peer: String, settings: [Setting]) { (self.peer, self.settings) = (peer, settings) }
  }

  /// Every tunable, as it holds.
  public var settings: [Setting]
  /// What is set for single peers.
  public var peers: [Peer]
  /// Open sessions that a change reached.
  public var sessions: UInt32

  public init(settings: [Setting] = [], peers: [Peer] = [], sessions: UInt32 = 0) {
    (self.settings, self.peers, self.sessions) = (settings, peers, sessions)
  }

  public init(decoding bytes: ByteBuffer) throws(WireError) {
    self = try ProtoCoding.decode(bytes, streamdiff__v1__tuning_response__unpack) {
      message throws(WireError) in
      guard message.n_peers <= TuningTable.peersLimit else {
        throw WireError(.tooLarge, "\(message.n_peers) peers; there are at most \(TuningTable.peersLimit)")
      }
      var response = Self(
        settings: try [Setting](message.settings, message.n_settings), sessions: message.sessions)
      for place in 0..<message.n_peers {
        let peer = message.peers[place]!.pointee
        response.peers.append(
          Peer(
            peer: try ProtoCoding.string(peer.peer, "peer"),
            settings: try [Setting](peer.settings, peer.n_settings)))
      }
      return response
    }
  }

  public func encode(into buffer: inout ByteBuffer) {
    ProtoCoding.encode(
      into: &buffer, Streamdiff__V1__TuningResponse(), streamdiff__v1__tuning_response__init
    ) { message, arena in
      message.n_settings = settings.count
      message.settings = arena.messages(settings, streamdiff__v1__setting__init) { $1.fill(&$0, &$2) }
      message.n_peers = peers.count
      message.peers = arena.messages(peers, streamdiff__v1__peer_tuning__init) { message, peer, arena in
        message.peer = arena.string(peer.peer)
        message.n_settings = peer.settings.count
        message.settings = arena.messages(peer.settings, streamdiff__v1__setting__init) { $1.fill(&$0, &$2) }
      }
      message.sessions = sessions
    }
  }
}
