/// One replica's part in consensus: inputs say what happened, `takeReady` says what to do. It
/// performs no I/O and reads no clock.
///
/// This is the group of one voter. It wins its election at once: nobody else can vote. It still
/// starts a new term with each start, persists that before it answers anybody, and commits the log
/// it inherited by committing an entry of its own term (Raft §5.4.2).
public struct RaftCore: Sendable {
  public enum Role: Hashable, Sendable { case follower, candidate, leader }

  /// What an operator sees.
  public struct Status: Hashable, Sendable {
    public var id: NodeID
    public var role: Role
    public var term: Term
    public var leader: NodeID
    public var lastIndex: LogIndex
    public var commit: LogIndex
  }

  private let id: NodeID
  private var hardState: HardState
  private var hardStateIsNew = true
  private var lastIndex: LogIndex
  /// Proposed and not yet handed out by `takeReady`.
  private var fresh: [LogEntry] = []
  /// Handed out for persisting; `persisted` may not claim more.
  private var handedOut: LogIndex
  /// Committed and handed out for applying.
  private var released: LogIndex

  /// - Parameters:
  ///   - hardState: as last persisted; the initial value for a new replica.
  ///   - lastEntry: of the log, all of which is durable.
  ///   - applied: what the state covers; what the log holds beyond it comes out as committed again.
  public init(id: NodeID, hardState: HardState, lastEntry: EntryID, applied: LogIndex) {
    precondition(id != .none, "a replica without a number")
    precondition(applied <= lastEntry.index, "applied \(applied) past the log's end \(lastEntry.index)")
    precondition(
      hardState.term >= lastEntry.term, "term \(hardState.term) before the log's \(lastEntry.term)")
    self.id = id
    self.hardState = HardState(
      term: hardState.term.next, vote: id, commit: max(hardState.commit, applied))
    (lastIndex, handedOut, released) = (lastEntry.index, lastEntry.index, applied)
    append([Command.noop.encode()])
  }

  public var status: Status {
    Status(
      id: id, role: .leader, term: hardState.term, leader: id, lastIndex: lastIndex,
      commit: hardState.commit)
  }

  /// Appends entries to the leader's log.
  /// - Returns: where the first stands and in which term: committed under these, it took effect.
  ///   `nil` when this replica does not lead.
  public mutating func propose(_ payloads: [[UInt8]]) -> EntryID? {
    let first = EntryID(lastIndex + 1, term: hardState.term)
    append(payloads)
    return first
  }

  private mutating func append(_ payloads: [[UInt8]]) {
    fresh.reserveCapacity(fresh.count + payloads.count)
    for payload in payloads {
      precondition(payload.count <= Limits.commandBytes, "a command of \(payload.count) bytes")
      lastIndex = lastIndex + 1
      fresh.append(LogEntry(index: lastIndex, term: hardState.term, payload: payload))
    }
  }

  /// - Returns: `nil` when there is nothing to do.
  public mutating func takeReady() -> Ready? {
    var ready = Ready()
    if hardStateIsNew {
      ready.hardState = hardState
      hardStateIsNew = false
    }
    if !fresh.isEmpty {
      swap(&ready.entries, &fresh)
      handedOut = lastIndex
    }
    if released < hardState.commit {
      ready.committed = (released + 1)...hardState.commit
      released = hardState.commit
    }
    return ready.isEmpty ? nil : ready
  }

  /// All of the log up to `index`, and the hard state handed out before it, are durable. That is a
  /// majority here.
  public mutating func persisted(through index: LogIndex) {
    precondition(index <= handedOut, "persisted \(index) of which \(handedOut) was handed out")
    hardState.commit = max(hardState.commit, index)
  }
}
