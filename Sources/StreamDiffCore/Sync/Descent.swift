/// The sender's way down two Merkle trees: gaps in key order, the lowest first to be resolved. Whole
/// groups of gaps descend with one question; the rest waits, so that memory stays bounded.
struct Descent: Sendable {
  enum Next {
    /// Put this question to the receiver, bring the answer to `receive`.
    case ask(Expand)
    /// These gaps, the lowest, have come down to leaves: compare their entries.
    case compare([Gap])
    case finished
  }

  private enum Question: Sendable {
    case parts([Gap], Expand)
    case bounds(Gap, [Int], Expand)
  }

  let salt: UInt64
  /// The lowest last.
  private var gaps: [Gap] = []
  private var question: Question?
  /// Entry counts of the answers that gaps refer to, and how many do.
  private var answers: [UInt64: (counts: [Int], uses: Int)] = [:]
  private var keptParts = 0
  private var releases: [UInt64] = []
  private var lastRequest: UInt64 = 0

  /// - Parameter peerEntries: what the receiver has in all, under its root.
  init(own tree: MerkleTree, peerEntries: Int, salt: UInt64) {
    self.salt = salt
    let places = 0..<(peerEntries == 0 ? 0 : 1)
    keep(counts: [peerEntries], of: 0)
    push(Gap(range: .all, own: [tree.rootPart], source: 0, places: places, counts: [peerEntries]))
  }

  /// - Parameter window: entries of both sides that may be compared at once.
  mutating func next(window: Int) -> Next {
    precondition(question == nil, "request \(lastRequest) is not answered")
    while let lowest = gaps.last, lowest.isNothing { _ = pop() }
    guard let lowest = gaps.last else { return .finished }
    if lowest.places.isEmpty { return .compare(takeLeaves(window: window)) }

    let most = mostParts
    let isTooWide =
      lowest.peerHasLeavesOnly
      ? lowest.peerEntries > window && lowest.places.count > 1 : lowest.places.count > most
    if isTooWide { return .ask(askBounds(mostParts: most, window: window)) }
    return askParts(most) ?? .compare(takeLeaves(window: window))
  }

  /// How many parts the next question may name, with room left for those further down.
  private var mostParts: Int {
    let free = SyncLimits.keptParts - keptParts
    return max(1, min(SyncLimits.partsPerRequest, free >> (SyncLimits.levels + 1)))
  }

  /// Expands the lowest gaps as long as they share their source, unless all have leaves alone. Leaves
  /// among them come again: then the entries of the whole group can be asked for at once.
  private mutating func askParts(_ most: Int) -> Next? {
    let source = gaps[gaps.count - 1].source
    var (first, count, hasInner) = (gaps.count, 0, false)
    while first > 0 {
      let gap = gaps[first - 1]
      if !gap.places.isEmpty {
        guard gap.source == source, count + gap.places.count <= most else { break }
        count += gap.places.count
        hasInner = hasInner || !gap.peerHasLeavesOnly
      }
      first -= 1
    }
    guard hasInner else { return nil }
    var group: [Gap] = []
    while gaps.count > first { group.append(pop()) }
    let runs = group.filter { !$0.places.isEmpty }.map(\.places)
    let expand = expand(source, .tree, runs)
    question = .parts(group, expand)
    return .ask(expand)
  }

  /// Asks for keys at which to cut the lowest gap into pieces of bearable size.
  private mutating func askBounds(mostParts: Int, window: Int) -> Expand {
    retain(gaps[gaps.count - 1].source)  // its places are named again, by the pieces
    let gap = pop()
    let counts = answers[gap.source, default: ([], 0)].counts
    var starts: [Int] = []
    var (entries, parts) = (0, 0)
    for place in gap.places {
      if parts > 0, entries + counts[place] > window / 2 || parts >= mostParts {
        starts.append(place)
        if starts.count == SyncLimits.boundsPerRequest { break }
        (entries, parts) = (0, 0)
      }
      entries += counts[place]
      parts += 1
    }
    let expand = expand(gap.source, .keys, starts.map { $0..<$0 + 1 })
    question = .bounds(gap, starts, expand)
    return expand
  }

  /// Takes the lowest gaps whose entries fit the window; the first in any case.
  private mutating func takeLeaves(window: Int) -> [Gap] {
    var taken: [Gap] = []
    var (entries, source) = (0, UInt64?.none)
    while let gap = gaps.last, gap.places.isEmpty || gap.peerHasLeavesOnly {
      entries += gap.peerEntries + gap.ownEntries
      if !gap.places.isEmpty {
        guard source == nil || source == gap.source else { break }
        source = gap.source
      }
      guard taken.isEmpty || entries <= window else { break }
      taken.append(pop())
    }
    return taken
  }

  // MARK: Answers

  /// Takes the answer to the last question; lower bounds come in one message.
  mutating func receive(_ frontier: Frontier, using hasher: inout SHA256) throws(SyncError) {
    guard let asked = question else { throw .violation("frontier \(frontier.request) was not asked for") }
    question = nil
    switch asked {
    case .parts(let group, let expand):
      try frontier.check(answers: expand)
      try divide(group, expand, by: frontier, using: &hasher)
    case .bounds(let gap, let starts, let expand):
      try frontier.check(answers: expand)
      guard frontier.keys.count == starts.count else {
        throw .violation("\(frontier.keys.count) lower bounds for \(starts.count) parts")
      }
      let counts = answers[gap.source, default: ([], 0)].counts
      for piece in try gap.divided(at: starts, keys: frontier.keys, counts: counts).reversed() {
        push(piece)
      }
      letGo(gap.source)
    }
  }

  private mutating func divide(
    _ group: [Gap], _ expand: Expand, by frontier: Frontier, using hasher: inout SHA256
  ) throws(SyncError) {
    let peer = PeerParts(
      source: frontier.request, fingerprints: frontier.fingerprints, counts: frontier.counts.map { Int($0) })
    guard peer.counts.count == peer.fingerprints.count, frontier.keys.isEmpty else {
      throw .violation("frontier \(frontier.request) has \(peer.counts.count) counts for its parts")
    }
    var (parts, first, run) = ([Gap](), 0, 0)
    for gap in group {
      guard !gap.places.isEmpty else {
        parts.append(gap)
        continue
      }
      let places = first..<first + Int(frontier.sizes[run])
      let total = peer.counts[places].reduce(0, +)
      let least = gap.places.count + (gap.peerHasLeavesOnly ? 0 : 1)
      // Sums that hold and parts that multiply: so the descent ends, whatever the receiver says.
      guard total == gap.peerEntries, places.count >= least, !peer.counts[places].contains(0) else {
        throw .violation("\(places.count) parts of \(total) entries cannot be \(gap.peerEntries) entries")
      }
      parts += try gap.divided(by: peer, places: places, salt: salt, using: &hasher)
      (first, run) = (places.upperBound, run + 1)
    }
    keep(counts: peer.counts, of: peer.source)
    retain(peer.source)
    for gap in parts.reversed() { push(gap) }
    letGo(peer.source)
  }

  // MARK: Bookkeeping

  /// Numbers a question and tells the receiver what it may forget.
  mutating func expand(_ source: UInt64, _ mode: Expand.Mode, _ runs: [Range<Int>]) -> Expand {
    lastRequest += 1
    defer { releases = [] }
    return Expand(
      request: lastRequest, source: source, mode: mode,
      runs: runs.map { UInt32($0.lowerBound)..<UInt32($0.upperBound) }, release: releases)
  }

  /// An ENTRIES answer, which no gap refers to, has served.
  mutating func release(_ request: UInt64) { releases.append(request) }

  private mutating func keep(counts: [Int], of source: UInt64) {
    answers[source] = (counts, 0)
    keptParts += counts.count
  }

  private mutating func push(_ gap: Gap) {
    if !gap.places.isEmpty { retain(gap.source) }
    gaps.append(gap)
  }

  private mutating func pop() -> Gap {
    let gap = gaps.removeLast()
    if !gap.places.isEmpty { letGo(gap.source) }
    return gap
  }

  private mutating func retain(_ source: UInt64) { answers[source]?.uses += 1 }

  private mutating func letGo(_ source: UInt64) {
    answers[source]?.uses -= 1
    guard let answer = answers[source], answer.uses == 0 else { return }
    answers[source] = nil
    keptParts -= answer.counts.count
    releases.append(source)
  }
}

extension Frontier {
  /// Whether this can be the answer at all: its number, and sizes for each run that account for what
  /// came. An answer of keys in several messages is checked when the last came.
  func check(answers expand: Expand) throws(SyncError) {
    guard request == expand.request else {
      throw .violation("frontier \(request) answers none of ours; \(expand.request) is open")
    }
    let answers = expand.mode == .keys ? keys.count : fingerprints.count
    guard sizes.count == expand.runs.count, sizes.reduce(0, { $0 + Int($1) }) == answers else {
      throw .violation("frontier \(request): the sizes of \(sizes.count) runs do not fit \(answers) answers")
    }
  }
}
