import Logging
import NIOCore
import Synchronization

/// What the connections of one server have in common.
final class ServerShared: Sendable {
  enum Admission { case admitted, draining, full, overfull }

  private struct State {
    var connections: [ObjectIdentifier: (connection: NIOLoopBound<ServerConnection>, card: ConnectionCard)] =
      [:]
    /// Open and not in the table: refused ones that still take their last words.
    var lingering = 0
    var isDraining = false
  }

  let router: RPCRouter
  let limits: RPCLimits
  let logger: Logger
  let counters = RPCCounters()
  /// Connections and handlers of streaming calls.
  let open = OpenCount()
  let load = ServerLoad()
  /// One came, or went: from where.
  typealias OnConnection = @Sendable (_ peer: String, _ isOpen: Bool) -> Void
  let onConnection: OnConnection
  private let mailboxes: [ObjectIdentifier: LoopMailbox]
  private let state = Mutex(State())

  init(
    router: RPCRouter, limits: RPCLimits, logger: Logger, group: any EventLoopGroup,
    onConnection: @escaping OnConnection
  ) {
    self.onConnection = onConnection
    self.router = router
    self.limits = limits
    self.logger = logger
    mailboxes = Dictionary(
      uniqueKeysWithValues: group.makeIterator().map { (ObjectIdentifier($0), LoopMailbox(for: $0)) })
  }

  /// One mailbox for each loop: answers to all of its connections share a wake-up.
  func mailbox(for loop: any EventLoop) -> LoopMailbox {
    guard let mailbox = mailboxes[ObjectIdentifier(loop)] else {
      preconditionFailure("\(loop) is not of the server's group")
    }
    return mailbox
  }

  /// Finds a place for a connection, if need be by having another close.
  func admit(_ connection: NIOLoopBound<ServerConnection>, _ card: ConnectionCard) -> Admission {
    counters.connectionOpened()
    let id = ObjectIdentifier(connection.value)
    let (admission, victim): (Admission, NIOLoopBound<ServerConnection>?) = state.withLock { state in
      if state.isDraining || state.connections.count < limits.connections {
        if !state.isDraining { state.connections[id] = (connection, card) }
        return (state.isDraining ? refuse(&state, .draining) : .admitted, nil)
      }
      let cards = state.connections.lazy.map { (id: $0.key, card: $0.value.card) }
      let now = NIODeadline.now()
      guard let oldest = ConnectionCard.victim(among: cards, idleGrace: limits.idleGrace, now: now),
        let victim = state.connections.removeValue(forKey: oldest)
      else { return (refuse(&state, .full), nil) }
      state.lingering += 1
      state.connections[id] = (connection, card)
      return (.admitted, victim.connection)
    }
    if let victim {
      counters.connectionEvicted()
      mailbox(for: victim.eventLoop).post { victim.value.giveWay() }
    }
    return admission
  }

  private func refuse(_ state: inout sending State, _ admission: Admission) -> Admission {
    state.lingering += 1
    return state.lingering > limits.lingeringConnections ? .overfull : admission
  }

  /// Once for each connection that asked to be admitted.
  func left(_ connection: ServerConnection) {
    let id = ObjectIdentifier(connection)
    state.withLock { state in
      if state.connections.removeValue(forKey: id) == nil { state.lingering -= 1 }
    }
    counters.connectionClosed()
  }

  /// Begins the drain: no connection is admitted any more, and each gets the letter.
  func drain() {
    forEach(startingDrain: true) { $0.drain() }
  }

  func abort() {
    forEach(startingDrain: true) { $0.abort() }
  }

  private func forEach(startingDrain: Bool, _ letter: @escaping @Sendable (ServerConnection) -> Void) {
    let connections = state.withLock { state in
      state.isDraining = state.isDraining || startingDrain
      return state.connections.values.map(\.connection)
    }
    for connection in connections {
      mailbox(for: connection.eventLoop).post { letter(connection.value) }
    }
  }
}

extension SocketAddress {
  /// `host:port`, an IPv6 address in brackets.
  var hostAndPort: String {
    guard let host = ipAddress, let port else { return description }
    return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
  }
}
