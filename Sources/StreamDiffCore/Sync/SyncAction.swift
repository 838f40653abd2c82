/// What a sync machine wants done, in this order.
public enum SyncAction: Hashable, Sendable {
  case send(SyncMessage)
  /// Read digest records of this side's content; answer with `recordsRead`.
  case readRecords(RecordRequest)
  /// Sender: these change the receiver's content into ours, keys rising within a round. The edge
  /// fetches the values, writes the operations, and says so with `operationsTaken`.
  case plan([PlannedOperation])
  /// Sender: when all that was planned is written, flush, and end the patch with a last chunk.
  /// Receiver: seal behind the operations of the patch; answer with `sealed`.
  case seal
  /// Nothing more will come from the machine. A sender half-closes.
  case finish(SyncOutcome)
}

extension SyncAction {
  public var isFinish: Bool { if case .finish = self { true } else { false } }
}

/// One operation of a patch, before its value is fetched.
public struct PlannedOperation: Hashable, Sendable {
  public enum Change: Hashable, Sendable {
    case put(valueBytes: Int)
    case delete
  }

  public var key: [UInt8]
  public var change: Change
  /// What the receiver held when the two sides were compared.
  public var expectation: Expectation

  public init(key: [UInt8], change: Change, expectation: Expectation) {
    self.key = key
    self.change = change
    self.expectation = expectation
  }
}

/// What a keyspace contains at a log index.
public struct SyncPosition: Hashable, Sendable {
  public var index: LogIndex
  public var content: KeyspacePosition

  public init(index: LogIndex, content: KeyspacePosition) {
    self.index = index
    self.content = content
  }
}

/// How a session ended. Positions are the receiver's, and for a session that found equal roots at
/// once the one of the side that has a log.
public enum SyncOutcome: Hashable, Sendable {
  /// The roots were equal at once; nothing travelled.
  case equal(SyncPosition)
  /// The seal found what the sender has (or, without comparison, whatever it found).
  case sealed(SyncPosition, rounds: Int, conflicts: UInt64)
  /// Other writers moved the target in each of `SyncLimits.rounds` rounds.
  case differs(SyncPosition, rounds: Int, conflicts: UInt64)
  /// Compare only: so many operations would make the receiver's content equal.
  case compared(SyncPosition, differences: Int)
}
