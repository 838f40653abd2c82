/// Compares the entries of some neighbouring gaps and plans what differs. Where both sides have few,
/// the receiver's fingerprints come first and only keys without a match are asked for. Where we have
/// many and the receiver few, its keys come at once and our records stream past them in pages.
struct EntryComparison: Sendable {
  private enum Stage: Sendable {
    case fetchingFingerprints(Expand)
    case matching(source: UInt64)
    case fetchingKeys(Expand)
    case merging(EntryMerge)
    /// Between two pages, until what is planned is taken.
    case paused(EntryMerge)
    case done
  }

  private let gaps: [Gap]
  private let streams: Bool
  private let salt: UInt64
  private var stage = Stage.done
  private var cursor: RecordCursor
  /// The receiver's entries that none of our records has matched: fingerprint to place. (Beside the
  /// stage, not in it, so that taking one out copies nothing.)
  private var places: [UInt64: Int] = [:]
  /// Own records without a match.
  private var unmatched: [DigestRecord] = []
  private var keys: [KeyDigest] = []

  /// - Parameters:
  ///   - window: beyond so many own entries the records stream.
  ///   - firstRead: the number of the first request for records; `lastRead` tells how far they went.
  init(_ gaps: [Gap], window: Int, salt: UInt64, firstRead: UInt64) {
    self.gaps = gaps
    self.salt = salt
    streams =
      gaps.allSatisfy { $0.places.isEmpty } || gaps.reduce(0) { $0 + $1.ownEntries } > window
    cursor = RecordCursor(gaps.map(\.range), id: firstRead)
  }

  var isDone: Bool { if case .done = stage { true } else { false } }
  var lastRead: UInt64 { cursor.request.id }

  mutating func start(asking descent: inout Descent) -> [SyncAction] {
    let filled = gaps.filter { !$0.places.isEmpty }
    guard let first = filled.first else { return startMerging() }
    let expand = descent.expand(first.source, .entries, filled.map(\.places))
    stage = .fetchingFingerprints(expand)
    return [.send(.expand(expand))]
  }

  /// What is planned has been taken: go on if that was all that was waited for.
  mutating func resume() -> [SyncAction] {
    guard case .paused(let merge) = stage else { return [] }
    stage = .merging(merge)
    return [.readRecords(cursor.request)]
  }

  private mutating func startMerging() -> [SyncAction] {
    stage = .merging(EntryMerge(against: exchange(&keys, with: [])))
    return [.readRecords(cursor.request)]
  }

  // MARK: What the receiver has

  mutating func receive(
    _ frontier: Frontier, asking descent: inout Descent
  ) throws(SyncError) -> [SyncAction] {
    switch stage {
    case .fetchingFingerprints(let expand):
      return try receiveFingerprints(frontier, expand, asking: &descent)
    case .fetchingKeys(let expand):
      return try receiveKeys(frontier, expand)
    default:
      throw .violation("frontier \(frontier.request) was not asked for")
    }
  }

  private mutating func receiveFingerprints(
    _ frontier: Frontier, _ expand: Expand, asking descent: inout Descent
  ) throws(SyncError) -> [SyncAction] {
    try frontier.check(answers: expand)
    let fingerprints = frontier.fingerprints
    guard fingerprints.count <= 2 * SyncLimits.keptEntries else {
      throw SyncError(
        .limit, "\(fingerprints.count) entries where at most \(SyncLimits.keptEntries) were asked for")
    }
    guard !streams else {
      return askKeys(fingerprints.isEmpty ? [] : [0..<fingerprints.count], of: expand.request, &descent)
    }
    places.reserveCapacity(fingerprints.count)
    for (place, fingerprint) in fingerprints.enumerated() { places[fingerprint] = place }
    stage = .matching(source: expand.request)
    return [.readRecords(cursor.request)]
  }

  private mutating func askKeys(
    _ runs: [Range<Int>], of source: UInt64, _ descent: inout Descent
  ) -> [SyncAction] {
    descent.release(source)
    guard !runs.isEmpty else { return haveKeys() }
    let expand = descent.expand(source, .keys, runs)
    stage = .fetchingKeys(expand)
    return [.send(.expand(expand))]
  }

  /// An answer of keys: any number of messages, the last with sizes. An entry that changed since its
  /// fingerprint was sent is left out.
  private mutating func receiveKeys(_ frontier: Frontier, _ expand: Expand) throws(SyncError) -> [SyncAction]
  {
    guard frontier.request == expand.request else {
      throw .violation("frontier \(frontier.request) out of turn")
    }
    let most = expand.runs.reduce(0) { $0 + $1.count }
    guard keys.count + frontier.keys.count <= most else { throw .violation("more keys than were asked for") }
    for entry in frontier.keys {
      let isNext = keys.last.map { KeyOrder.precedes($0.key, entry.key) } ?? true
      guard isNext, 1...Limits.keyBytes ~= entry.key.count, isWithinGaps(entry.key) else {
        throw .violation("frontier \(frontier.request) names keys out of order or out of its range")
      }
      keys.append(entry)
    }
    guard !frontier.sizes.isEmpty else { return [] }
    try Frontier(request: frontier.request, sizes: frontier.sizes, keys: keys).check(answers: expand)
    return haveKeys()
  }

  private func isWithinGaps(_ key: [UInt8]) -> Bool {
    guard let first = gaps.first, let last = gaps.last else { return false }
    return KeyRange(from: first.range.lower, to: last.range.upper).contains(key)
  }

  private mutating func haveKeys() -> [SyncAction] {
    guard !streams else { return startMerging() }
    var merge = EntryMerge(against: exchange(&keys, with: []))
    stage = .done
    return planned(merge.plan(exchange(&unmatched, with: []), isEnd: true))
  }

  // MARK: What we have

  mutating func recordsRead(
    _ records: [DigestRecord], isEnd: Bool, asking descent: inout Descent, using hasher: inout SHA256
  ) -> [SyncAction] {
    switch stage {
    case .matching(let source):
      for record in records {
        let fingerprint = Fingerprint.entry(digest: record.digest, salt: salt, using: &hasher)
        if places.removeValue(forKey: fingerprint) == nil { unmatched.append(record) }
      }
      if cursor.advance(past: records, isEnd: isEnd) { return [.readRecords(cursor.request)] }
      return askKeys(runs(of: places.values.sorted()), of: source, &descent)
    case .merging(var merge):
      let hasMore = cursor.advance(past: records, isEnd: isEnd)
      let plan = merge.plan(records, isEnd: !hasMore)
      stage = hasMore ? .paused(merge) : .done
      return planned(plan)
    default:
      return []
    }
  }

  private func planned(_ plan: [PlannedOperation]) -> [SyncAction] { plan.isEmpty ? [] : [.plan(plan)] }

  private func runs(of places: [Int]) -> [Range<Int>] {
    var runs: [Range<Int>] = []
    for place in places {
      if let last = runs.last, last.upperBound == place {
        runs[runs.count - 1] = last.lowerBound..<place + 1
      } else {
        runs.append(place..<place + 1)
      }
    }
    return runs
  }
}
