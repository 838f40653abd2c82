public import StreamDiffCore

/// What a caller wants of a session.
public struct SyncOptions: Sendable {
  /// What a sender does with keys that only the receiver has.
  public enum Deletions: Hashable, Sendable {
    /// Refuses to delete over half of what the receiver has (`DeletionGuard`).
    case guarded
    case allowed
    /// Leaves them: the receiver then ends with more than the source has.
    case none
  }

  /// In what order a sender brings the operations of a round.
  public enum Order: Hashable, Sendable {
    /// For a keyspace: content before the record that names it, deletions last (`OperationSorter`).
    case contentFirst
    /// For a receiver that builds files: a record first. Deletions are sent as they are found.
    case byKey
  }

  public var keyspace: KeyspaceName
  /// `nil`: whatever the other side has.
  public var kind: KeyspaceKind?
  /// Sender: the session, and what its connections so far came to. Kept for the next attempt.
  public private(set) var course: SessionCourse
  public var session: SessionID {
    get { course.id }
    set { course = SessionCourse(newValue) }
  }
  /// Sender: only find what differs; it arrives through `onPlan`.
  public var isCompareOnly = false
  public var deletions = Deletions.guarded
  /// Sender: one for all sessions of a push.
  public var deletionGuard = DeletionGuard()
  public var order = Order.contentFirst
  /// Sender: what is left as it is at the receiver; the source lacks it.
  public var exclusions = Exclusions.none
  /// Sender: replace what the receiver has, whoever wrote it meanwhile.
  public var overwrites = false
  /// Sender: the operations about to be sent, or the differences found, as they are found. A key may
  /// come again in a later round: there it was changed by somebody else meanwhile.
  public var onPlan: (@Sendable (_ round: Int, _ operations: [PlannedOperation]) -> Void)?
  /// Sender: the receiver's log index at which a round compares. What it plans replaces what was there then.
  public var onCompare: (@Sendable (LogIndex) -> Void)?
  /// How it adapts; the same over all its connections.
  public var tuning = SessionTuning()
  /// Sender: shares what is sent, with all that have the same one.
  public var governor = SendGovernor()
  /// Sender: where it is told that the system refuses a congestion control that was set for this side.
  public var refusals: CongestionRefusals?
  /// Sender: where every decision is written.
  public var trace: AdaptationTrace?
  /// Counted into as the session goes on: read it for progress.
  public var meter = SyncMeter()

  public init(keyspace: KeyspaceName, kind: KeyspaceKind?, session: SessionID) {
    (self.keyspace, self.kind) = (keyspace, kind)
    course = SessionCourse(session)
  }
}

/// How a session ended.
public struct SyncReport: Sendable {
  public var outcome: SyncOutcome
  /// Operations sent or received.
  public var operations: Int
  public var conflicts: Int
  /// Operation bytes before and after compression.
  public var plainBytes: Int
  public var payloadBytes: Int
}

/// One StreamDiff session from hello to the end, over any transport: the code of the server's handler
/// and of the client alike.
public enum SyncSession {
  /// Makes the receiver equal to `source`, or only compares.
  /// - Throws: `SyncError`, `SyncFailure`, what the source throws, or what the transport throws.
  public static func runSender(
    source: some SyncSource, over transport: some SyncTransport, options: SyncOptions, pool: ReadPool
  ) async throws -> SyncReport {
    try await runSender(source: source, over: transport, options: options, pool: pool, opening: nil)
  }

  /// Brings operations without comparison, those that the receiver has not had yet.
  /// - Throws: as above.
  public static func runSender(
    operations: some OperationSource, over transport: some SyncTransport, options: SyncOptions, pool: ReadPool
  ) async throws -> SyncReport {
    let session = SenderSession(operations: operations, transport: transport, options: options, pool: pool)
    let before = SyncReport(counting: options.meter)
    return SyncReport(try await session.run(opening: nil), counted: options.meter, since: before)
  }

  /// Takes what the sender brings into `sink`.
  /// - Throws: `SyncError`, `SyncFailure`, what the sink throws, or what the transport throws.
  public static func runReceiver(
    sink: some SyncSink, over transport: some SyncTransport, options: SyncOptions, pool: ReadPool
  ) async throws -> SyncReport {
    try await runReceiver(sink: sink, over: transport, options: options, pool: pool, opening: nil)
  }

  /// - Parameter opening: the peer's hello, where it has been read already.
  static func runSender(
    source: some SyncSource, over transport: some SyncTransport, options: SyncOptions, pool: ReadPool,
    opening: SyncMessage?
  ) async throws -> SyncReport {
    let session = SenderSession(source: source, transport: transport, options: options, pool: pool)
    let before = SyncReport(counting: options.meter)
    return SyncReport(try await session.run(opening: opening), counted: options.meter, since: before)
  }

  static func runReceiver(
    sink: some SyncSink, over transport: some SyncTransport, options: SyncOptions, pool: ReadPool,
    opening: SyncMessage?
  ) async throws -> SyncReport {
    var sender: Hello?
    if case .hello(let hello) = opening { sender = hello }
    let session = ReceiverSession(
      sink: sink, opening: try await sink.open(for: sender), transport: transport, options: options,
      pool: pool)
    let before = SyncReport(counting: options.meter)
    return SyncReport(try await session.run(opening: opening), counted: options.meter, since: before)
  }
}

extension SyncReport {
  /// What a meter shows; it may have counted earlier sessions too.
  fileprivate init(counting meter: SyncMeter) {
    let nowhere = SyncPosition(index: .zero, content: .empty)
    outcome = .equal(nowhere)
    operations = Int(meter.operations.value)
    conflicts = 0
    plainBytes = Int(meter.plainBytes.value)
    payloadBytes = Int(meter.payloadBytes.value)
  }

  fileprivate init(_ outcome: SyncOutcome, counted meter: SyncMeter, since before: SyncReport) {
    self.init(counting: meter)
    self.outcome = outcome
    operations -= before.operations
    plainBytes -= before.plainBytes
    payloadBytes -= before.payloadBytes
    switch outcome {
    case .sealed(_, _, let conflicts), .differs(_, _, let conflicts):
      self.conflicts = Int(clamping: conflicts)
    case .equal, .compared: break
    }
  }
}
