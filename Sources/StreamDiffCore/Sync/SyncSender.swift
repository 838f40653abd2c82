/// The side of a session that has the wanted content. It finds what differs, plans the operations
/// that make the receiver equal, and has the result sealed: a pure machine, used by push and pull.
///
/// The edge passes every received message to `receive`, then does its own part (an Ack moves its
/// flight window, a hint its credit), then performs the actions in their order.
public struct SyncSender: Sendable {
  public struct Configuration: Sendable {
    public var keyspace: KeyspaceName
    /// Of the content; `nil` when the receiver's is as good as any.
    public var kind: KeyspaceKind?
    public var session: SessionID
    /// The applied index at which `tree` holds; zero for a plain client.
    public var index = LogIndex.zero
    /// Of the content to send, clean. `nil`: operations are brought without comparison.
    public var tree: MerkleTree?
    /// Plan what differs, and bring no operations.
    public var isCompareOnly = false
    /// An earlier connection of the session had the receiver's hello.
    public var resumes = false
    /// What the receiver acknowledged over earlier connections.
    public var acknowledged = Ordinal.zero

    public init(keyspace: KeyspaceName, kind: KeyspaceKind?, session: SessionID, tree: MerkleTree?) {
      precondition(tree?.isClean ?? true, "a tree with changes that are not in its root")
      (self.keyspace, self.kind, self.session, self.tree) = (keyspace, kind, session, tree)
    }
  }

  private enum Phase: Sendable {
    case greeting
    case comparing
    /// Without comparison: the edge brings operations of its own.
    case bringing
    case sealing
    case finished
  }

  private let configuration: Configuration
  private var phase = Phase.greeting
  /// Of this round. (Beside the phase, not in it, so that a step copies nothing.)
  private var comparison: Comparison?
  private var ahead = PlannedAhead()
  private var planned = 0

  /// What the receiver said of itself.
  public private(set) var peer: Hello?
  /// 1 for the first comparison.
  public private(set) var round = 0
  /// The receiver's last.
  public private(set) var acknowledged: Ack?

  public init(_ configuration: Configuration) { self.configuration = configuration }

  /// Number of the first operation that this connection brings; known with the receiver's hello.
  public var firstOrdinal: Ordinal { (peer?.lastOrdinal ?? .zero) + 1 }

  /// Without comparison, and greeted: the edge brings operations of its own.
  public var bringsUncompared: Bool { if case .bringing = phase { true } else { false } }

  /// Operations planned so far, in all rounds.
  public var operationsPlanned: Int { planned }

  /// Operations planned and not yet taken.
  public var operationsAhead: Int { ahead.entries }

  public func start() -> [SyncAction] {
    var hello = Hello(role: .sender, keyspace: configuration.keyspace)
    hello.kind = configuration.kind
    hello.session = configuration.session
    hello.index = configuration.index
    hello.isCompareOnly = configuration.isCompareOnly
    hello.resumes = configuration.resumes
    if let tree = configuration.tree {
      hello.root = tree.root
      hello.entries = UInt64(tree.count)
      hello.bytes = UInt64(tree.bytes)
    }
    return [.send(.hello(hello))]
  }

  // MARK: What happened

  /// - Throws: `SyncError`: the session is over.
  public mutating func receive(_ message: SyncMessage) throws(SyncError) -> [SyncAction] {
    guard peer != nil || message.isHello else { throw .violation("the first message is not a hello") }
    switch (message, phase) {
    case (.hello(let hello), .greeting): return try greet(hello)
    case (.frontier(let frontier), .comparing): return try compare(frontier)
    case (.ack(let ack), _): try acknowledge(ack)
    case (.sealResult(let result), .sealing): return try finish(result)
    case (.hint, _): break
    default: throw .violation("the receiver sent \(message.name) out of turn")
    }
    return []
  }

  /// The answer to `readRecords`.
  public mutating func recordsRead(
    _ id: UInt64, _ records: [DigestRecord], isEnd: Bool
  ) -> [SyncAction] {
    guard let actions = comparison?.recordsRead(id, records, isEnd: isEnd) else { return [] }
    return advance(actions)
  }

  /// Operations left the edge's queue of planned ones: they are written, or, when only comparing,
  /// reported. Without comparison: the edge wrote so many of its own.
  public mutating func operationsTaken(_ count: Int) -> [SyncAction] {
    guard configuration.tree != nil else {
      ahead.takenUnplanned(count)
      return []
    }
    ahead.taken(count)
    return advance([])
  }

  /// Without comparison: the edge has written its last operation.
  public mutating func endOperations() -> [SyncAction] {
    guard case .bringing = phase else { preconditionFailure("no operations of the edge's own are due") }
    phase = .sealing
    return [.seal]
  }

  // MARK: What to do

  private mutating func greet(_ hello: Hello) throws(SyncError) -> [SyncAction] {
    try hello.check(is: .receiver, of: configuration.keyspace, kind: configuration.kind)
    guard let root = hello.root else { throw .violation("the receiver's hello has no root") }
    guard hello.lastOrdinal >= configuration.acknowledged || root == configuration.tree?.root else {
      throw .violation(
        "the receiver has operation \(hello.lastOrdinal.rawValue) as its last of this session, "
          + "after it acknowledged \(configuration.acknowledged.rawValue)")
    }
    peer = hello
    guard let tree = configuration.tree else {
      phase = .bringing
      return []
    }
    guard root != tree.root else {
      phase = .finished
      let index = max(hello.index, configuration.index)
      return [.finish(.equal(SyncPosition(index: index, content: tree.position)))]
    }
    return startRound(against: tree, peerEntries: hello.entries, salt: hello.salt)
  }

  private mutating func startRound(
    against tree: MerkleTree, peerEntries: UInt64, salt: UInt64
  ) -> [SyncAction] {
    phase = .comparing
    round += 1
    comparison = Comparison(
      own: tree, peerEntries: Int(clamping: peerEntries), salt: salt,
      firstRead: comparison?.firstReadOfNextRound ?? 1)
    return advance([])
  }

  private mutating func compare(_ frontier: Frontier) throws(SyncError) -> [SyncAction] {
    advance(try comparison?.receive(frontier) ?? [])
  }

  /// Goes on with the comparison after `actions`, within what may be planned.
  private mutating func advance(_ actions: [SyncAction]) -> [SyncAction] {
    for case .plan(let operations) in actions {
      ahead.planned(operations)
      planned += operations.count
    }
    guard case .comparing = phase, let more = comparison?.advance(hasRoom: ahead.hasRoom) else {
      return actions
    }
    guard comparison?.isDone == true else { return actions + more }
    guard configuration.isCompareOnly else {
      phase = .sealing
      return actions + [.seal]
    }
    phase = .finished
    return actions + [.finish(.compared(peerPosition, differences: planned))]
  }

  private var peerPosition: SyncPosition {
    guard let peer, let root = peer.root else { preconditionFailure("the receiver's hello is missing") }
    let content = KeyspacePosition(
      root: root, entries: Int(clamping: peer.entries), bytes: Int(clamping: peer.bytes))
    return SyncPosition(index: peer.index, content: content)
  }

  private mutating func acknowledge(_ ack: Ack) throws(SyncError) {
    let last = Ordinal(firstOrdinal.rawValue - 1 + ahead.totalTaken)
    guard ack.ordinal >= acknowledged?.ordinal ?? .zero, ack.ordinal <= last else {
      throw .violation("operation \(ack.ordinal.rawValue) is acknowledged; the last sent is \(last.rawValue)")
    }
    acknowledged = ack
  }

  private mutating func finish(_ result: SealResult) throws(SyncError) -> [SyncAction] {
    guard ahead.entries == 0 else { throw .violation("a seal result came before the end of the patch") }
    let content = KeyspacePosition(
      root: result.root, entries: Int(clamping: result.entries), bytes: Int(clamping: result.bytes))
    let position = SyncPosition(index: result.index, content: content)
    guard let tree = configuration.tree else {
      phase = .finished
      return [.finish(.sealed(position, rounds: round, conflicts: result.conflicts))]
    }
    guard result.isEqual == (result.root == tree.root) else {
      throw .violation(
        "the seal result calls \(result.root) \(result.isEqual ? "equal to" : "other than") \(tree.root)")
    }
    if result.isEqual || round == SyncLimits.rounds {
      phase = .finished
      return [
        .finish(
          result.isEqual
            ? .sealed(position, rounds: round, conflicts: result.conflicts)
            : .differs(position, rounds: round, conflicts: result.conflicts))
      ]
    }
    return startRound(against: tree, peerEntries: result.entries, salt: result.salt)
  }
}
