/// An entry's place in the log and the term that wrote it. Two logs that share an ID share
/// everything up to it (Raft §5.3).
public struct EntryID: Hashable, Sendable {
  public var index: LogIndex
  public var term: Term

  public init(_ index: LogIndex, term: Term) {
    self.index = index
    self.term = term
  }

  /// Before the first entry.
  public static let zero = EntryID(.zero, term: .zero)
}

/// One entry of the replicated log.
public struct LogEntry: Hashable, Sendable {
  public var index: LogIndex
  public var term: Term
  /// A command (`Command.encode`), at most `Limits.commandBytes`.
  public var payload: [UInt8]

  public init(index: LogIndex, term: Term, payload: [UInt8]) {
    self.index = index
    self.term = term
    self.payload = payload
  }

  public var id: EntryID { EntryID(index, term: term) }
}

/// What a replica must have on disk before it answers anybody (Raft, Figure 2). `commit` is a hint:
/// a lost one is found again.
public struct HardState: Hashable, Sendable {
  public var term: Term
  public var vote: NodeID
  public var commit: LogIndex

  public init(term: Term = .zero, vote: NodeID = .none, commit: LogIndex = .zero) {
    self.term = term
    self.vote = vote
    self.commit = commit
  }
}
