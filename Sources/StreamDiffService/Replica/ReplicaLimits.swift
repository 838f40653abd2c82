/// What a replica holds in memory at most, and when it writes its state out.
public struct ReplicaLimits: Hashable, Sendable {
  /// Proposals that wait for the log thread: one group of it, more only adds delay.
  public var queuedProposals = 16_384
  /// Their payload bytes: about a tenth of a second of a good disk.
  public var queuedProposalBytes = 16 << 20
  /// Committed payload bytes that wait for the apply thread; beyond, the log thread waits.
  public var queuedApplyBytes = 32 << 20
  /// Entries of one state batch: its completions leave together, so it also bounds their delay.
  public var batchEntries = 4096
  /// Payload bytes of one state batch.
  public var batchBytes = 4 << 20
  /// Logged bytes that no flush covers yet: what a restart replays, and what the log keeps on disk.
  public var unflushedBytes = 128 << 20
  /// Size of a log segment; a part of `unflushedBytes`, so that whole ones can be dropped.
  public var segmentBytes = 64 << 20
  /// Bytes of one read of the log while it is replayed.
  public var replayBytes = 4 << 20
  /// Reads that wait for the read pool; more are refused.
  public var queuedReads = 8192
  /// Threads that read state and hash.
  public var readThreads = 2

  public init() {}

  /// What a disk of `total` bytes has room for: segments of at most a sixteenth of it, down to the least
  /// that holds a command.
  public mutating func fit(disk total: UInt64) {
    guard total > 0 else { return }
    let unit = 4 << 20
    let fitting = max(unit, Int(clamping: total / 16) / unit * unit)
    guard fitting < segmentBytes else { return }
    segmentBytes = fitting
    unflushedBytes = min(unflushedBytes, 2 * fitting)
    queuedProposalBytes = min(queuedProposalBytes, fitting)
    queuedApplyBytes = min(queuedApplyBytes, fitting)
  }
}
