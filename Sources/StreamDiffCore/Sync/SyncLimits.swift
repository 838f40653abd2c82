/// Bounds of one session, each with its reason. Both machines are built from the same numbers, so
/// that a sender that follows them is never refused.
public enum SyncLimits {
  /// Comparisons of one session: other writers may move the target; then the caller decides.
  public static let rounds = 3
  /// Levels that one TREE answer descends at least.
  public static let levels = 6
  /// Parts under each part asked for, at most: where six levels give fewer, an answer descends on. So a path
  /// that somebody made deep costs a round trip for 63 of its levels, not for six.
  public static let partsPerPart = 1 << levels
  /// What the requests of one round may come to: each counts one, and each part and entry that it names one
  /// more. A comparison that names everything once comes to four for each entry; beyond that somebody only
  /// keeps this side busy.
  public static func askedOfRound(entries: Int) -> Int { (64 << 10) + 16 * entries }
  /// Parts that one TREE request may name: its answer has at most 16 Ki parts, about 200 KiB.
  public static let partsPerRequest = 256
  /// Parts of all answers that a receiver keeps for one sender: about 8 MiB.
  public static let keptParts = 64 << 10
  /// Entries that one ENTRIES request may cover as the tree counts them, and their fingerprints that
  /// a receiver keeps; twice as many are taken when the content grows under the comparison.
  public static let keptEntries = 32 << 10
  /// Lower bounds that one KEYS request may ask for: at most 512 KiB of keys.
  public static let boundsPerRequest = 64
  /// Key bytes of one KEYS message, before the key that exceeds it.
  public static let keyBytesPerMessage = 256 << 10
  /// Entries that a sender compares at a time, and plans before it looks how many were taken.
  public static let windowEntries = 8 << 10
  /// Entries planned and not yet taken by the edge on top of which more is planned: a few batches, so that the
  /// edge does not wait.
  public static let plannedRoom = 2 << 10
  /// Entries planned and not yet taken by the edge: a window on top of those.
  public static let plannedEntries = windowEntries + plannedRoom
  /// Key bytes of the above: windows shrink when keys are long.
  public static let windowKeyBytes = 2 << 20
  /// Records of one answer to `readRecords`: a page that costs a reader a millisecond or two.
  public static let recordsPerRead = 2 << 10
  /// Key bytes of one answer to `readRecords`, before the key that exceeds it.
  public static let keyBytesPerRead = 1 << 20
  /// Plain bytes that a receiver takes beyond the last acknowledged operation, until its sink has taken some.
  public static let credit = 4 << 20
  /// The same from then on, in its hints. What is unacknowledged is mostly on its way then: 600 ms at 10 Mbit/s
  /// are 7.5 MB of data that shrinks to a tenth, and ten times that on a faster link of that length. A receiver's
  /// memory does not depend on it: HTTP/2's windows bound what waits encoded, and the sink what it has taken.
  public static let openCredit = 64 << 20
  /// The least credit that moves any operation: it and a chunk, each of full size, fit.
  public static let leastCredit = OperationEncoding.maximumBytes + Limits.chunkBytes
}

extension MerkleTree.Part {
  /// What one TREE answer shows of a part; both sides must see the same.
  func expandedForAnswer() -> [Self] {
    expanded(levels: SyncLimits.levels, most: SyncLimits.partsPerPart)
  }
}
