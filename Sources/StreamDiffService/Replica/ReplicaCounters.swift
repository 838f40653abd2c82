import Synchronization

/// A number that only rises, read and written from any thread.
public final class Count: Sendable {
  private let total = Atomic<UInt64>(0)
  public init() {}
  public func add(_ amount: Int) { total.wrappingAdd(UInt64(truncatingIfNeeded: amount), ordering: .relaxed) }
  /// Never falls.
  public func raise(to amount: UInt64) { total.max(amount, ordering: .relaxed) }
  public var value: UInt64 { total.load(ordering: .relaxed) }
}

/// What a replica has done since it started.
public final class ReplicaCounters: Sendable {
  public let proposals = Count()
  public let refusedProposals = Count()
  /// `fdatasync`s of the log, and the payload bytes they made durable.
  public let syncs = Count()
  public let loggedBytes = Count()
  public let appliedEntries = Count()
  public let appliedOperations = Count()
  public let conflicts = Count()
  /// Operations that came again and were not applied again.
  public let skippedOperations = Count()
  /// Times that a connection opened a session, whether new or taken up again.
  public let openedSessions = Count()
  public let forgottenSessions = Count()
  /// Commands refused: of sessions that are expired or unknown, and of older connections or with a gap.
  public let expiredRefusals = Count()
  public let supersededRefusals = Count()
  /// State batches, and waits until they were in files.
  public let batches = Count()
  public let flushes = Count()
  /// What bringing Merkle trees up to date took: digest records read, and nodes whose digest was computed.
  public let merkleRecords = Count()
  public let merkleNodes = Count()
  /// Reads that met damaged data.
  public let damagedReads = Count()

  public init() {}

  /// By the names that `Group.Status` reports.
  public var snapshot: [(name: String, value: UInt64)] {
    [
      ("proposals", proposals.value), ("proposals_refused", refusedProposals.value),
      ("log_syncs", syncs.value), ("log_bytes", loggedBytes.value),
      ("entries_applied", appliedEntries.value), ("operations_applied", appliedOperations.value),
      ("operations_conflicting", conflicts.value), ("operations_skipped", skippedOperations.value),
      ("sessions_opened", openedSessions.value), ("sessions_forgotten", forgottenSessions.value),
      ("sessions_refused_expired", expiredRefusals.value),
      ("sessions_refused_superseded", supersededRefusals.value),
      ("state_batches", batches.value),
      ("state_flushes", flushes.value), ("reads_damaged", damagedReads.value),
      ("merkle_records_read", merkleRecords.value), ("merkle_nodes_hashed", merkleNodes.value),
    ]
  }
}
