/// The side of a session that becomes equal to the other. It shows the sender what it has, and tells
/// it how far operations are applied: a pure machine, used by push and pull.
///
/// The edge passes every received message to `receive`, then does its own part (a chunk goes to its
/// `ChunkReader`, and what comes out is applied), then performs the actions in their order.
public struct SyncReceiver: Sendable {
  public struct Configuration: Sendable {
    public var keyspace: KeyspaceName
    /// Of the existing keyspace, or the one the edge insists on; `nil` when the sender decides.
    public var kind: KeyspaceKind?
    /// Of the present content, clean; the empty tree where there is no such keyspace.
    public var tree: MerkleTree
    /// The applied index at which `tree` holds; zero for a plain client.
    public var index = LogIndex.zero
    /// Random.
    public var salt: UInt64
    /// What is applied of this session already.
    public var lastOrdinal = Ordinal.zero
    /// Of these.
    public var conflicts: UInt64 = 0
    public var credit = SyncLimits.credit

    public init(keyspace: KeyspaceName, kind: KeyspaceKind?, tree: MerkleTree, salt: UInt64) {
      precondition(tree.isClean, "a tree with changes that are not in its root")
      (self.keyspace, self.kind, self.tree, self.salt) = (keyspace, kind, tree, salt)
    }
  }

  private enum Phase: Sendable {
    case greeting
    /// The sender asks and brings operations, as it likes.
    case open
    /// The patch has ended; the sender waits.
    case sealing
    case finished
  }

  private let configuration: Configuration
  private var phase = Phase.greeting
  private var answers: FrontierAnswers
  private var hasUnsealedChunks = false
  private var seals = 0
  private var conflicts: UInt64
  private var outcome: SyncOutcome?

  /// What the sender said of itself.
  public private(set) var peer: Hello?

  /// Both sides have the same content, and know it.
  public var isFinished: Bool { phase == .finished }

  public init(_ configuration: Configuration) {
    self.configuration = configuration
    conflicts = configuration.conflicts
    answers = FrontierAnswers(tree: configuration.tree, salt: configuration.salt, firstRead: 1)
  }

  public func start() -> [SyncAction] {
    var hello = Hello(role: .receiver, keyspace: configuration.keyspace)
    hello.kind = configuration.kind
    hello.root = configuration.tree.root
    hello.entries = UInt64(configuration.tree.count)
    hello.bytes = UInt64(configuration.tree.bytes)
    hello.index = configuration.index
    hello.salt = configuration.salt
    hello.lastOrdinal = configuration.lastOrdinal
    hello.credit = UInt64(configuration.credit)
    return [.send(.hello(hello))]
  }

  // MARK: What happened

  /// - Throws: `SyncError`: the session is over.
  public mutating func receive(_ message: SyncMessage) throws(SyncError) -> [SyncAction] {
    guard peer != nil || message.isHello else { throw .violation("the first message is not a hello") }
    switch (message, phase) {
    case (.hello(let hello), .greeting): return try greet(hello)
    case (.expand(let expand), .open):
      guard peer?.root != nil else { throw .violation("a sender without a root compares") }
      return try answers.answer(expand)
    case (.chunk(let chunk), .open): return try receive(chunk)
    case (.report, _): return []
    default: throw .violation("the sender sent \(message.name) out of turn")
    }
  }

  /// The answer to `readRecords`.
  /// - Throws: `SyncError` when the content has outgrown the bounds of the question.
  public mutating func recordsRead(
    _ id: UInt64, _ records: [DigestRecord], isEnd: Bool
  ) throws(SyncError) -> [SyncAction] {
    try answers.recordsRead(id, records, isEnd: isEnd)
  }

  /// Operations up to `ordinal` are durable, applied and visible.
  /// - Parameter conflicts: of this session so far.
  public mutating func applied(
    through ordinal: Ordinal, index: LogIndex, conflicts: UInt64
  ) -> [SyncAction] {
    self.conflicts = conflicts
    return [.send(.ack(Ack(ordinal: ordinal, index: index, conflicts: conflicts)))]
  }

  /// The answer to `seal`: every operation of the patch is applied, and `tree` holds at `index`.
  /// - Parameter salt: random, of the next comparison.
  public mutating func sealed(tree: MerkleTree, index: LogIndex, salt: UInt64) -> [SyncAction] {
    guard case .sealing = phase, let peer else { preconditionFailure("no seal was asked for") }
    seals += 1
    hasUnsealedChunks = false
    let position = SyncPosition(index: index, content: tree.position)
    let isEqual = tree.root == peer.root
    let result = SealResult(
      index: index, root: tree.root, entries: UInt64(tree.count), bytes: UInt64(tree.bytes),
      isEqual: isEqual, salt: salt, conflicts: conflicts)
    let ends =
      isEqual || peer.root == nil
      ? SyncOutcome.sealed(position, rounds: seals, conflicts: conflicts)
      : .differs(position, rounds: seals, conflicts: conflicts)
    outcome = ends
    guard isEqual else {
      phase = .open
      answers = FrontierAnswers(tree: tree, salt: salt, firstRead: answers.firstReadOfNextRound)
      return [.send(.sealResult(result))]
    }
    phase = .finished
    return [.send(.sealResult(result)), .finish(ends)]
  }

  /// The sender half-closed.
  /// - Returns: what came of the session.
  /// - Throws: `SyncError` when it ends before its time.
  public mutating func ended() throws(SyncError) -> SyncOutcome {
    guard let peer, !hasUnsealedChunks else {
      throw .violation("the session ends \(peer == nil ? "before a hello" : "within a patch")")
    }
    phase = .finished
    if let outcome { return outcome }
    guard peer.isCompareOnly || peer.root == nil else {
      throw .violation("the session ends before its comparison has led anywhere")
    }
    let position = SyncPosition(index: configuration.index, content: configuration.tree.position)
    return peer.isCompareOnly
      ? .compared(position, differences: 0) : .sealed(position, rounds: 0, conflicts: 0)
  }

  // MARK: What to do

  private mutating func greet(_ hello: Hello) throws(SyncError) -> [SyncAction] {
    try hello.check(is: .sender, of: configuration.keyspace, kind: configuration.kind)
    guard hello.isCompareOnly || hello.session != nil else {
      throw .violation("the sender's hello has no session")
    }
    guard !hello.isCompareOnly || hello.root != nil else {
      throw .violation("the sender compares only, and has no root")
    }
    peer = hello
    guard hello.root == configuration.tree.root else {
      phase = .open
      return []
    }
    phase = .finished
    let index = max(hello.index, configuration.index)
    let equal = SyncOutcome.equal(SyncPosition(index: index, content: configuration.tree.position))
    outcome = equal
    return [.finish(equal)]
  }

  private mutating func receive(_ chunk: Chunk) throws(SyncError) -> [SyncAction] {
    guard peer?.isCompareOnly == false else { throw .violation("a sender that compares only sent a chunk") }
    hasUnsealedChunks = true
    guard chunk.isLast else { return [] }
    guard seals < SyncLimits.rounds else {
      throw SyncError(.limit, "more than \(SyncLimits.rounds) patches in one session")
    }
    phase = .sealing
    answers.forget()
    return [.seal]
  }
}
