/// Work that the caller owes, in this order: persist `hardState` and `entries` (one sync for both),
/// report it with `persisted`, apply `committed`. Messages say for themselves when they may leave.
public struct Ready: Hashable, Sendable {
  /// `nil` when term and vote are unchanged.
  public var hardState: HardState?
  /// To append to the log, in order.
  public var entries: [LogEntry] = []
  /// May leave at once: a leader's appends travel while it persists them itself.
  public var messages: [Message] = []
  /// Votes and append answers: only when the above is durable.
  public var messagesAfterPersist: [Message] = []
  /// Now safe to apply; never beyond what was reported persisted.
  public var committed: ClosedRange<LogIndex>?

  public init() {}

  public var isEmpty: Bool {
    hardState == nil && entries.isEmpty && messages.isEmpty && messagesAfterPersist.isEmpty
      && committed == nil
  }
}

/// What replicas say to each other. A group of one voter has nobody to write to.
public enum Message: Hashable, Sendable {}
