/// A key range in which two contents differ, or may: own parts that overlap it, and the peer's parts
/// that fill it, which are places in one of its answers.
struct Gap: Sendable {
  let range: KeyRange
  /// In key order. The first and the last may reach beyond the range.
  let own: [MerkleTree.Part]
  let source: UInt64
  let places: Range<Int>
  /// What the peer has in `places`.
  let peerEntries: Int
  let peerHasLeavesOnly: Bool

  init(range: KeyRange, own: [MerkleTree.Part], source: UInt64, places: Range<Int>, counts: [Int]) {
    (self.range, self.own, self.source, self.places) = (range, own, source, places)
    peerEntries = counts[places].reduce(0, +)
    peerHasLeavesOnly = counts[places].allSatisfy { $0 <= MerkleTree.leafCapacity }
  }

  /// At most so many of ours lie in the range.
  var ownEntries: Int { own.reduce(0) { $0 + $1.count } }

  var isNothing: Bool { places.isEmpty && ownEntries == 0 }
}

/// A TREE answer's parts, as far as a sender knows them.
struct PeerParts {
  let source: UInt64
  let fingerprints: [UInt64]
  let counts: [Int]
}

extension Gap {
  /// Own parts expand only while there are fewer: beyond, the peer has little in the range, and its
  /// keys are cheaper than our tree.
  private static let mostOwnParts = 4096
  /// Own parts of one gap that are looked at: each costs a hash.
  private static let mostAnchors = 1 << 16

  /// What is left of this gap once both sides show the next levels: parts with equal fingerprints are
  /// equal, range and content, and what lies between two of them is a gap.
  /// - Parameter places: of `peer` that lie in this gap's range.
  func divided(
    by peer: PeerParts, places: Range<Int>, salt: UInt64, using hasher: inout SHA256
  ) throws(SyncError) -> [Gap] {
    let own =
      own.count < Self.mostOwnParts
      ? own.flatMap { $0.expandedForAnswer() }.filter(range.overlaps) : own
    let anchors = anchors(least: peer.counts[places].min() ?? 1, salt: salt, using: &hasher)

    var gaps: [Gap] = []
    var (lower, nextPeer) = (range.lower, places.lowerBound)
    for index in places {
      guard let anchor = anchors[peer.fingerprints[index]], !KeyOrder.precedes(anchor.lower, lower) else {
        continue
      }
      let between = KeyRange(from: lower, to: anchor.lower)
      try Self.add(between, own, peer, nextPeer..<index, to: &gaps)
      guard let upper = anchor.upper else {
        guard index + 1 == places.upperBound else { throw .violation("a part lies beyond the last key") }
        return gaps
      }
      (lower, nextPeer) = (upper, index + 1)
    }
    let rest = KeyRange(from: lower, to: range.upper)
    try Self.add(rest, own, peer, nextPeer..<places.upperBound, to: &gaps)
    return gaps
  }

  /// Our parts in the range by fingerprint, on every level from `own` down to those of `least` entries: one that
  /// the peer shows stands higher or lower with us when one side has much that the other lacks.
  private func anchors(
    least: Int, salt: UInt64, using hasher: inout SHA256
  ) -> [UInt64: MerkleTree.Part] {
    var anchors: [UInt64: MerkleTree.Part] = [:]
    var level = own
    while !level.isEmpty {
      for part in level where range.covers(part) {
        anchors[part.fingerprint(salt: salt, using: &hasher)] = part
      }
      guard anchors.count + 2 * level.count <= Self.mostAnchors else { break }
      level = level.flatMap { $0.isLeaf || $0.count <= least ? [] : $0.expanded(levels: 1) }
        .filter { $0.count >= least && range.overlaps($0) }
    }
    return anchors
  }

  private static func add(
    _ range: KeyRange, _ own: [MerkleTree.Part], _ peer: PeerParts, _ places: Range<Int>,
    to gaps: inout [Gap]
  ) throws(SyncError) {
    guard !range.isEmpty else {
      guard places.isEmpty else { throw .violation("the frontier has parts between two neighbours") }
      return
    }
    let first = own.partitioningIndex { part in part.upper.map { KeyOrder.precedes(range.lower, $0) } ?? true
    }
    let overlapping = own[first...].prefix { part in
      range.upper.map { KeyOrder.precedes(part.lower, $0) } ?? true
    }
    let gap = Gap(
      range: range, own: Array(overlapping), source: peer.source, places: places, counts: peer.counts)
    if !gap.isNothing { gaps.append(gap) }
  }

  /// Cuts the gap where the peer's parts `starts` begin, at the keys that the peer gave for them.
  func divided(at starts: [Int], keys: [KeyDigest], counts: [Int]) throws(SyncError) -> [Gap] {
    var gaps: [Gap] = []
    var (lower, first) = (range.lower, places.lowerBound)
    for (start, bound) in zip(starts, keys) {
      guard KeyOrder.precedes(lower, bound.key), range.contains(bound.key) else {
        throw .violation("the lower bound of a part lies outside its range")
      }
      gaps.append(cut(KeyRange(from: lower, to: bound.key), first..<start, counts))
      (lower, first) = (bound.key, start)
    }
    gaps.append(cut(KeyRange(from: lower, to: range.upper), first..<places.upperBound, counts))
    return gaps
  }

  private func cut(_ range: KeyRange, _ places: Range<Int>, _ counts: [Int]) -> Gap {
    Gap(range: range, own: own.filter(range.overlaps), source: source, places: places, counts: counts)
  }
}
