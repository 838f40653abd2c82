/// Builds a tree from a keyspace's entries in one pass, with memory for one leaf and one path.
///
/// The inner nodes whose right side is still open form the spine, the strongest cut first; the
/// entries behind its last cut form the tail, which becomes a leaf. A key stronger than the last cut
/// closes it; a tail of 65 entries is cut at its strongest key. Either way every node is made once.
public struct MerkleTreeBuilder: ~Copyable {
  private struct Entry {
    let priority: UInt64
    let keyStart: Int
    let bytes: Int
  }

  private var spine: [MerkleCut] = []
  private var tail: [Entry] = []
  private var tailKeys: [UInt8] = []
  /// The leaf's tag and the digests of `tail`.
  private var tailDigests: [UInt8] = [MerkleHash.leafTag]
  /// The place in `tail` of its strongest key, the first excepted; 0 while there is no other.
  private var strongest = 0
  private var first: (key: [UInt8], priority: UInt64)?
  private var hash = SHA256()
  /// Leaves and inner nodes made so far.
  private(set) var nodesMade = 0

  public init() {
    tail.reserveCapacity(MerkleTree.leafCapacity + 1)
    tailDigests.reserveCapacity(1 + (MerkleTree.leafCapacity + 1) * Digest.byteCount)
  }

  /// - Parameter key: greater than the key before it.
  public mutating func append(key: [UInt8], digest: Digest, valueBytes: Int) {
    append(key: key.span, digest: digest, valueBytes: valueBytes)
  }

  /// - Parameter key: greater than the key before it.
  public mutating func append(key: Span<UInt8>, digest: Digest, valueBytes: Int) {
    let priority = unsafe MerkleHash.priority(key.bytes, using: &hash)
    if first == nil {
      first = (unsafe key.withUnsafeBytes { unsafe Array($0) }, priority)
    } else {
      let isRising = unsafe key.withUnsafeBytes { key in
        unsafe tailKeys.withUnsafeBytes { keys in
          let last = unsafe UnsafeRawBufferPointer(rebasing: keys[tail[tail.count - 1].keyStart...])
          return unsafe KeyOrder.precedes(last, key)
        }
      }
      precondition(isRising, "keys must rise to build a tree")
    }
    if let last = spine.last, priority < last.priority { closeSpine(before: key, priority) }
    let entry = Entry(priority: priority, keyStart: tailKeys.count, bytes: key.count + valueBytes)
    unsafe key.withUnsafeBytes { unsafe tailKeys.append(contentsOf: $0) }
    digest.append(to: &tailDigests)
    let place = tail.count
    tail.append(entry)
    if place > 0, strongest == 0 || priority < tail[strongest].priority { strongest = place }
    if tail.count > MerkleTree.leafCapacity { cutTail() }
  }

  public consuming func finish() -> MerkleTree { MerkleTree(root: take().node) }

  /// The subtree of everything appended since the last `take`, with its first key. The builder
  /// starts again.
  mutating func take() -> MerklePiece {
    guard let first else { return .empty }
    self.first = nil
    return MerklePiece(node: fold { _ in false }, lower: first.key, lowerPriority: first.priority)
  }

  private mutating func closeSpine(before key: Span<UInt8>, _ priority: UInt64) {
    let left = fold { $0.priority <= priority }
    let key = unsafe key.withUnsafeBytes { unsafe Array($0) }
    spine.append(MerkleCut(key: key, priority: priority, left: left))
  }

  /// Closes the tail, and the cuts above it up to the first that stays open.
  private mutating func fold(until staysOpen: (MerkleCut) -> Bool) -> MerkleNode {
    var node = leaf(tail.count)
    drop(tail.count)
    while let last = spine.last, !staysOpen(last) {
      spine.removeLast()
      nodesMade += 1
      node = .inner(
        digest: MerkleHash.inner(last.left.digest, node.digest, using: &hash),
        cut: last.key, priority: last.priority, left: last.left, right: node)
    }
    return node
  }

  private mutating func cutTail() {
    let entry = tail[strongest]
    let end = strongest + 1 < tail.count ? tail[strongest + 1].keyStart : tailKeys.count
    let key = Array(tailKeys[entry.keyStart..<end])
    spine.append(MerkleCut(key: key, priority: entry.priority, left: leaf(strongest)))
    drop(strongest)
  }

  /// A leaf of the first `count` entries of the tail.
  private mutating func leaf(_ count: Int) -> MerkleNode {
    var best = UInt64.max
    var bytes = 0
    for place in 0..<count {
      if place > 0 { best = min(best, tail[place].priority) }
      bytes += tail[place].bytes
    }
    nodesMade += 1
    let digests = tailDigests  // a second reference: `self` is changed while they are lent
    let lent = digests.span.extracting(first: 1 + count * Digest.byteCount)
    return .leaf(digest: MerkleHash.leaf(lent, using: &hash), best: best, count: count, bytes: bytes)
  }

  /// Takes the first `count` entries off the tail.
  private mutating func drop(_ count: Int) {
    let start = count < tail.count ? tail[count].keyStart : tailKeys.count
    tailKeys.removeSubrange(..<start)
    tailDigests.removeSubrange(1..<(1 + count * Digest.byteCount))
    tail.removeSubrange(..<count)
    strongest = 0
    for place in tail.indices {
      let entry = tail[place]
      tail[place] = Entry(priority: entry.priority, keyStart: entry.keyStart - start, bytes: entry.bytes)
      if place > 0, strongest == 0 || entry.priority < tail[strongest].priority { strongest = place }
    }
  }
}

/// An inner node whose right side is still open.
struct MerkleCut {
  let key: [UInt8]
  let priority: UInt64
  let left: MerkleNode
}

/// A subtree of consecutive entries and the key it starts at.
struct MerklePiece {
  let node: MerkleNode
  /// The first key; the lower bound where nothing can come before it. Meaningless when empty.
  let lower: [UInt8]
  /// Of `lower`.
  let lowerPriority: UInt64

  static var empty: Self { Self(node: MerkleTree.empty.top, lower: [], lowerPriority: .max) }
}
