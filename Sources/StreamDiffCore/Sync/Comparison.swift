/// One round of finding what differs between our tree and the receiver's: down the trees by gaps
/// (`Descent`), then entry by entry (`EntryComparison`), from the lowest key to the highest.
struct Comparison: Sendable {
  private var descent: Descent
  private var entries: EntryComparison?
  private var isDescending = false
  private(set) var isDone = false
  private var nextRead: UInt64

  /// Entries compared at once: few at first, since keys may be long, then what the keys seen allow.
  private var window = SyncLimits.windowEntries / 8
  private var keysSeen = 0
  private var keyBytesSeen = 0

  /// - Parameters:
  ///   - peerEntries: what the receiver has under its root.
  ///   - firstRead: number of the first request for records.
  init(own tree: MerkleTree, peerEntries: Int, salt: UInt64, firstRead: UInt64) {
    descent = Descent(own: tree, peerEntries: peerEntries, salt: salt)
    nextRead = firstRead
  }

  var firstReadOfNextRound: UInt64 { nextRead }

  /// Goes on to what is to be waited for next.
  /// - Parameter hasRoom: what is planned has been taken up to a window, so that more may be planned.
  mutating func advance(hasRoom: Bool) -> [SyncAction] {
    guard !isDone, !isDescending, hasRoom else { return [] }
    guard entries == nil else { return entries?.resume() ?? [] }
    switch descent.next(window: window) {
    case .finished:
      isDone = true
      return []
    case .ask(let expand):
      isDescending = true
      return [.send(.expand(expand))]
    case .compare(let gaps):
      var next = EntryComparison(gaps, window: window, salt: descent.salt, firstRead: nextRead)
      let actions = next.start(asking: &descent)
      entries = next
      return actions
    }
  }

  mutating func receive(_ frontier: Frontier) throws(SyncError) -> [SyncAction] {
    guard var current = exchange(&entries, with: nil) else {
      var hasher = SHA256()
      try descent.receive(frontier, using: &hasher)
      isDescending = false
      return []
    }
    for entry in frontier.keys { saw(entry.key) }
    let actions = try current.receive(frontier, asking: &descent)
    keep(current)
    return actions
  }

  /// An answer to a request of an earlier round is passed over.
  mutating func recordsRead(_ id: UInt64, _ records: [DigestRecord], isEnd: Bool) -> [SyncAction] {
    guard entries?.lastRead == id, var current = exchange(&entries, with: nil) else { return [] }
    for record in records { saw(record.key) }
    var hasher = SHA256()
    let actions = current.recordsRead(records, isEnd: isEnd, asking: &descent, using: &hasher)
    keep(current)
    return actions
  }

  private mutating func keep(_ current: consuming EntryComparison) {
    guard current.isDone else {
      entries = current
      return
    }
    nextRead = current.lastRead + 1
    let affordable = SyncLimits.windowKeyBytes / max(1, keyBytesSeen / max(1, keysSeen))
    window = max(4 * MerkleTree.leafCapacity, min(2 * window, SyncLimits.windowEntries, affordable))
  }

  private mutating func saw(_ key: [UInt8]) {
    keysSeen += 1
    keyBytesSeen += key.count
  }
}
