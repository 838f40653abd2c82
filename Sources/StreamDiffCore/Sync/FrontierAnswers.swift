/// A receiver's answers to one round of Expands: from its tree as it stood at the round's start, and
/// from its present content. What an answer named is kept until the sender releases it.
struct FrontierAnswers: Sendable {
  private enum Kept: Sendable {
    case parts([MerkleTree.Part])
    case entries(EntryAnswer)

    var partCount: Int { if case .parts(let parts) = self { parts.count } else { 0 } }
    var entryCount: Int { if case .entries(let entries) = self { entries.fingerprints.count } else { 0 } }
  }

  private enum Reading: Sendable {
    case none
    case fingerprints
    case keys
  }

  private let salt: UInt64
  private var kept: [UInt64: Kept]
  private var keptParts = 1
  private var keptEntries = 0
  private var lastRequest: UInt64 = 0
  /// What may still be asked in this round.
  private var mayAsk: Int

  /// What the present reading is for. (Beside `reading`, not in it, so that a page copies nothing.)
  private var reading = Reading.none
  private var entries = EntryAnswer(request: 0, runs: [])
  private var keys = KeyAnswer(request: 0, runs: 0)
  private var cursor: RecordCursor

  init(tree: MerkleTree, salt: UInt64, firstRead: UInt64) {
    self.salt = salt
    kept = [0: .parts([tree.rootPart])]
    cursor = RecordCursor([], id: firstRead - 1)
    mayAsk = SyncLimits.askedOfRound(entries: tree.count)
  }

  var firstReadOfNextRound: UInt64 { cursor.request.id + 1 }

  /// The round is over.
  mutating func forget() {
    kept = [:]
    reading = .none
  }

  mutating func answer(_ expand: Expand) throws(SyncError) -> [SyncAction] {
    guard case .none = reading else {
      throw .violation("request \(expand.request) came before request \(lastRequest) was answered")
    }
    guard expand.request == lastRequest + 1 else {
      throw .violation("request \(expand.request) after request \(lastRequest)")
    }
    lastRequest = expand.request
    guard let source = kept[expand.source] else {
      throw .violation("request \(expand.request) names answer \(expand.source), which is not kept")
    }
    let runs = try Self.runs(of: expand)
    for request in expand.release { try release(request) }
    let actions = try actions(source, runs, expand)
    mayAsk -= 1 + runs.reduce(0) { $0 + $1.count }
    guard mayAsk >= 0 else {
      throw SyncError(.limit, "request \(expand.request) asks for what has been answered many times over")
    }
    return actions
  }

  private mutating func actions(
    _ source: Kept, _ runs: [Range<Int>], _ expand: Expand
  ) throws(SyncError) -> [SyncAction] {
    switch (source, expand.mode) {
    case (.parts(let parts), .tree): return [try expandParts(try Self.pick(runs, of: parts), expand)]
    case (.parts(let parts), .keys): return [try answerBounds(try Self.pick(runs, of: parts), expand)]
    case (.parts(let parts), .entries): return try readEntries(try Self.pick(runs, of: parts), expand)
    case (.entries(let entries), .keys): return try readKeys(of: entries, runs, expand)
    case (.entries, _):
      throw .violation("request \(expand.request) expands answer \(expand.source), which holds entries")
    }
  }

  private mutating func release(_ request: UInt64) throws(SyncError) {
    guard let old = kept.removeValue(forKey: request) else {
      throw .violation("answer \(request) is released, but not kept")
    }
    keptParts -= old.partCount
    keptEntries -= old.entryCount
  }

  /// Rising runs that do not overlap: so they name each place once.
  private static func runs(of expand: Expand) throws(SyncError) -> [Range<Int>] {
    var end: UInt32 = 0
    for run in expand.runs {
      guard run.lowerBound >= end, !run.isEmpty else {
        throw .violation("request \(expand.request) names places out of order")
      }
      end = run.upperBound
    }
    guard !expand.runs.isEmpty else { throw .violation("request \(expand.request) names nothing") }
    return expand.runs.map { Int($0.lowerBound)..<Int($0.upperBound) }
  }

  private static func pick(
    _ runs: [Range<Int>], of parts: [MerkleTree.Part]
  ) throws(SyncError) -> [ArraySlice<MerkleTree.Part>] {
    guard let last = runs.last, last.upperBound <= parts.count else {
      throw .violation("place \(runs.last?.upperBound ?? 0) of an answer with \(parts.count) parts")
    }
    return runs.map { parts[$0] }
  }

  // MARK: From the tree

  private mutating func expandParts(
    _ runs: [ArraySlice<MerkleTree.Part>], _ expand: Expand
  ) throws(SyncError) -> SyncAction {
    let asked = runs.reduce(0) { $0 + $1.count }
    guard asked <= SyncLimits.partsPerRequest else {
      throw SyncError(.limit, "\(asked) parts in a request; the limit is \(SyncLimits.partsPerRequest)")
    }
    var frontier = Frontier(request: expand.request)
    var parts: [MerkleTree.Part] = []
    var hasher = SHA256()
    for run in runs {
      let before = parts.count
      for part in run { parts += part.expandedForAnswer() }
      frontier.sizes.append(UInt32(parts.count - before))
    }
    guard keptParts + parts.count <= SyncLimits.keptParts else {
      throw SyncError(.limit, "\(keptParts + parts.count) parts; the limit is \(SyncLimits.keptParts)")
    }
    frontier.fingerprints = parts.map { $0.fingerprint(salt: salt, using: &hasher) }
    frontier.counts = parts.map { UInt32(clamping: $0.count) }
    keptParts += parts.count
    kept[expand.request] = .parts(parts)
    return .send(.frontier(frontier))
  }

  /// Where parts begin. Nothing is kept of such an answer.
  private func answerBounds(
    _ runs: [ArraySlice<MerkleTree.Part>], _ expand: Expand
  ) throws(SyncError) -> SyncAction {
    let sizes = runs.map { UInt32($0.count) }
    let keys = runs.joined().prefix(SyncLimits.boundsPerRequest + 1).map {
      KeyDigest(key: $0.lower, digest: $0.digest)
    }
    guard keys.count <= SyncLimits.boundsPerRequest else {
      throw SyncError(.limit, "more bounds in a request than \(SyncLimits.boundsPerRequest)")
    }
    return .send(.frontier(Frontier(request: expand.request, sizes: sizes, keys: keys)))
  }

  // MARK: From the content

  private mutating func readEntries(
    _ runs: [ArraySlice<MerkleTree.Part>], _ expand: Expand
  ) throws(SyncError) -> [SyncAction] {
    let asked = runs.reduce(0) { $1.reduce($0) { $0 + $1.count } }
    guard keptEntries + asked <= SyncLimits.keptEntries else {
      throw SyncError(.limit, "\(keptEntries + asked) entries; the limit is \(SyncLimits.keptEntries)")
    }
    entries = EntryAnswer(request: expand.request, runs: runs)
    reading = .fingerprints
    return read(entries.ranges)
  }

  private mutating func readKeys(
    of entries: EntryAnswer, _ runs: [Range<Int>], _ expand: Expand
  ) throws(SyncError) -> [SyncAction] {
    guard let last = runs.last, last.upperBound <= entries.fingerprints.count else {
      throw .violation("place \(runs.last?.upperBound ?? 0) of \(entries.fingerprints.count) entries")
    }
    keys = KeyAnswer(request: expand.request, runs: runs.count)
    for (run, places) in runs.enumerated() { keys.want(entries.fingerprints[places], run: run) }
    reading = .keys
    return read(entries.ranges(holding: runs))
  }

  private mutating func read(_ ranges: [KeyRange]) -> [SyncAction] {
    cursor = RecordCursor(ranges, id: cursor.request.id + 1)
    return [.readRecords(cursor.request)]
  }

  /// An answer to a request of an earlier round is passed over.
  mutating func recordsRead(
    _ id: UInt64, _ records: [DigestRecord], isEnd: Bool
  ) throws(SyncError) -> [SyncAction] {
    guard id == cursor.request.id else { return [] }
    var hasher = SHA256()
    var actions: [SyncAction] = []
    switch reading {
    case .none:
      return []
    case .fingerprints:
      for record in records {
        entries.add(record.key, Fingerprint.entry(digest: record.digest, salt: salt, using: &hasher))
      }
      guard entries.fingerprints.count <= 2 * SyncLimits.keptEntries else {
        throw SyncError(.limit, "the content grew under the comparison; compare again")
      }
    case .keys:
      for record in records {
        keys.add(record, Fingerprint.entry(digest: record.digest, salt: salt, using: &hasher))
        if keys.isFull { actions.append(.send(.frontier(keys.takeMessage(isLast: false)))) }
      }
    }
    if cursor.advance(past: records, isEnd: isEnd) { return actions + [.readRecords(cursor.request)] }
    return actions + [.send(.frontier(finishReading()))]
  }

  private mutating func finishReading() -> Frontier {
    defer { reading = .none }
    if case .keys = reading { return keys.takeMessage(isLast: true) }
    let answer = exchange(&entries, with: EntryAnswer(request: 0, runs: []))
    keptEntries += answer.fingerprints.count
    kept[answer.request] = .entries(answer)
    return Frontier(request: answer.request, fingerprints: answer.fingerprints, sizes: answer.sizes)
  }
}
