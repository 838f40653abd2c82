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

  /// What is left of this gap once both sides show the next levels: parts with equal fingerprints are
  /// equal, range and content, and what lies between two of them is a gap.
  /// - Parameter places: of `peer` that lie in this gap's range.
  func divided(
    by peer: PeerParts, places: Range<Int>, salt: UInt64, using hasher: inout SHA256
  ) throws(SyncError) -> [Gap] {
    let own =
      own.count < Self.mostOwnParts
      ? own.flatMap { $0.expandedForAnswer() }.filter(range.overlaps) : own
    var place: [UInt64: Int] = [:]
    place.reserveCapacity(own.count)
    for (index, part) in own.enumerated() where range.covers(part) {
      place[part.fingerprint(salt: salt, using: &hasher)] = index
    }

    var gaps: [Gap] = []
    var (lower, nextOwn, nextPeer) = (range.lower, 0, places.lowerBound)
    for index in places {
      guard let anchor = place[peer.fingerprints[index]], anchor >= nextOwn else { continue }
      let between = KeyRange(from: lower, to: own[anchor].lower)
      try Self.add(between, own[nextOwn..<anchor], peer, nextPeer..<index, to: &gaps)
      guard let upper = own[anchor].upper else {
        guard index + 1 == places.upperBound else { throw .violation("a part lies beyond the last key") }
        return gaps
      }
      (lower, nextOwn, nextPeer) = (upper, anchor + 1, index + 1)
    }
    let rest = KeyRange(from: lower, to: range.upper)
    try Self.add(rest, own[nextOwn...], peer, nextPeer..<places.upperBound, to: &gaps)
    return gaps
  }

  private static func add(
    _ range: KeyRange, _ own: ArraySlice<MerkleTree.Part>, _ peer: PeerParts, _ places: Range<Int>,
    to gaps: inout [Gap]
  ) throws(SyncError) {
    guard !range.isEmpty else {
      guard places.isEmpty else { throw .violation("the frontier has parts between two neighbours") }
      return
    }
    let gap = Gap(
      range: range, own: Array(own), source: peer.source, places: places, counts: peer.counts)
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
