import Logging
import NIOCore
import Synchronization

/// What the connections of one server have in common.
final class ServerShared: Sendable {
  enum Admission { case admitted, draining, full }

  private struct State {
    var connections: [ObjectIdentifier: NIOLoopBound<ServerConnection>] = [:]
    var isDraining = false
  }

  let router: RPCRouter
  let limits: RPCLimits
  let logger: Logger
  let counters = RPCCounters()
  /// Connections and handlers of streaming calls.
  let open = OpenCount()
  private let mailboxes: [ObjectIdentifier: LoopMailbox]
  private let state = Mutex(State())

  init(router: RPCRouter, limits: RPCLimits, logger: Logger, group: any EventLoopGroup) {
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

  func admit(_ connection: NIOLoopBound<ServerConnection>) -> Admission {
    open.enter()
    counters.connectionOpened()
    let id = ObjectIdentifier(connection.value)
    return state.withLock { state in
      if state.isDraining { return .draining }
      if state.connections.count >= limits.connections { return .full }
      state.connections[id] = connection
      return .admitted
    }
  }

  /// Once for each connection that asked to be admitted.
  func left(_ connection: ServerConnection) {
    let id = ObjectIdentifier(connection)
    state.withLock { _ = $0.connections.removeValue(forKey: id) }
    counters.connectionClosed()
    open.leave()
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
      return Array(state.connections.values)
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
