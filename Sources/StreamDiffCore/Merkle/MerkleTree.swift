/// The digest tree over one keyspace.
///
/// # Definition
/// Let S be the entries of a keyspace in bytewise order of their keys, an entry digest be what
/// `EntryDigest` says, and the priority of a key be the first 8 bytes of SHA-256(key) as a big-endian
/// integer: the smaller the stronger, and of equals the smaller key is the stronger. Then
///
/// ```text
/// root(S) = SHA-256(0x00 | entry digests in key order)           if S has at most 64 entries
/// root(S) = SHA-256(0x01 | root(S below m) | root(S from m on))  otherwise,
///           where m is the strongest key of S, its first key excepted
/// ```
///
/// # What follows
/// - The tree is a treap of cut keys over leaves of 1 to 64 entries (33 on average). It depends on
///   the content alone: not on the order of changes, not on who made them. `Tests/CoreTests/Merkle/
///   golden.txt` has vectors for other implementations.
/// - A changed value never moves a boundary. A key that comes or goes changes a few leaves and the
///   paths above them; the expected depth is O(log n).
/// - A leaf cannot be grown beyond 64 entries. Whoever chooses keys can make a deep path: d levels
///   cost about d² hashes, and make each change on that path cost d steps. Nothing here recurses
///   by depth.
/// - Equal roots mean equal content as surely as SHA-256 has no collision.
///
/// # Upkeep
/// A change marks its leaf dirty and reads nothing. `refresh` reads the digest records of the dirty
/// leaves again and restores the shape above. Copying a tree is O(1); a copy is a frozen view.
public struct MerkleTree: @unchecked Sendable {  // nodes that two threads can see do not change
  /// Entries in a leaf, at most.
  public static let leafCapacity = 64

  /// Digest records that a refresh reads at most for one key that came, went or changed, whoever chose the
  /// keys and however many there are: its leaf and the neighbour that this may be joined with or parted from,
  /// and what is left of both while it grows past neighbours of one entry each, on either side.
  public static let recordsPerChange = leafCapacity * (leafCapacity + 1) + 4 * leafCapacity

  static let empty: MerkleTree = {
    var hash = SHA256()
    hash.update([MerkleHash.leafTag])
    return MerkleTree(root: .leaf(digest: hash.finish(), best: .max, count: 0, bytes: 0))
  }()

  var top: MerkleNode

  /// The tree of the empty keyspace.
  public init() { top = Self.empty.top }

  init(root: MerkleNode) { top = root }

  /// The tree whose leaves storage holds, dirty ones included; inner nodes are computed.
  /// - Parameter leaves: in order of their bounds, the first bound empty; none for the empty keyspace.
  public init(leaves: some Sequence<LeafRecord>) {
    var hash = SHA256()
    var spine: [MerkleCut] = []
    var last: (lower: [UInt8], node: MerkleNode)?

    /// Closes the cuts that are weaker than `priority`, the strongest first in `spine`.
    func fold(_ leaf: MerkleNode, until priority: UInt64?) -> MerkleNode {
      var node = leaf
      while let cut = spine.last {
        if let priority, cut.priority <= priority { break }
        spine.removeLast()
        let digest = MerkleHash.inner(cut.left.digest, node.digest, using: &hash)
        node = .inner(digest: digest, cut: cut.key, priority: cut.priority, left: cut.left, right: node)
      }
      return node
    }

    for leaf in leaves {
      let node = MerkleNode.leaf(
        digest: leaf.digest, best: leaf.best, count: leaf.count, bytes: leaf.bytes, isDirty: leaf.isDirty)
      if let last {
        precondition(KeyOrder.precedes(last.lower, leaf.lower), "leaves must rise by their lower bounds")
        let priority = unsafe MerkleHash.priority(leaf.lower.span.bytes, using: &hash)
        spine.append(MerkleCut(key: leaf.lower, priority: priority, left: fold(last.node, until: priority)))
      } else {
        precondition(leaf.lower.isEmpty, "the first leaf has no lower bound")
      }
      last = (leaf.lower, node)
    }
    top = last.map { fold($0.node, until: nil) } ?? Self.empty.top
  }

  /// Whether `root` says what the keyspace holds now.
  public var isClean: Bool { !top.isDirty }

  /// The tree must be clean.
  public var root: Digest {
    precondition(isClean, "\(dirtyLeafCount) leaves changed since the last refresh")
    return top.digest
  }

  /// Entries, as of the last refresh.
  public var count: Int { top.count }

  /// Bytes of keys and values, as of the last refresh.
  public var bytes: Int { top.header.bytes }

  /// Inner nodes on the longest way down: what a change costs in steps, and a refresh in hashes.
  public var depth: Int { Int(top.header.depth) }
  public var leafCount: Int { Int(top.header.leaves) }
  public var dirtyLeafCount: Int { Int(top.header.dirtyLeaves) }

  /// Says that the entry of `key` changed, came or went.
  /// - Returns: the lower bound of its leaf if that was clean until now (empty: the first leaf).
  public mutating func touch(_ key: Span<UInt8>) -> [UInt8]? {
    unsafe key.withUnsafeBytes { key in
      guard unsafe !MerkleNode.find(key, in: top, { leaf, _ in leaf.isDirty }) else { return nil }
      return unsafe MerkleNode.markDirty(&top, key)
    }
  }

  public mutating func touch(_ key: [UInt8]) -> [UInt8]? { touch(key.span) }

  /// The leaf that covers `key`, as storage should keep it.
  public func leaf(covering key: Span<UInt8>) -> LeafRecord {
    unsafe key.withUnsafeBytes { key in
      unsafe MerkleNode.find(key, in: top) { leaf, bound in
        LeafRecord(lower: unsafe bound?._withUnsafeGuaranteedRef { $0.cut } ?? [], of: leaf)
      }
    }
  }

  /// Every leaf, in order of its lower bound.
  public func forEachLeaf<Failure: Error>(_ body: (LeafRecord) throws(Failure) -> Void) throws(Failure) {
    var cursor = MerkleCursor(top)
    while let (node, lower) = cursor.top {
      if node.isLeaf {
        try body(LeafRecord(lower: lower, of: node))
        cursor.skip()
      } else {
        cursor.descend()
      }
    }
  }
}

/// Walks a tree in key order, skipping whole subtrees where the caller likes.
struct MerkleCursor {
  private var stack: [(node: MerkleNode, lower: [UInt8])]

  init(_ root: MerkleNode) { stack = [(root, [])] }

  /// The subtree that comes next, with its lower bound.
  var top: (node: MerkleNode, lower: [UInt8])? { stack.last }

  mutating func skip() { stack.removeLast() }

  /// Puts the two children in the place of an inner node.
  mutating func descend() {
    let (node, lower) = stack.removeLast()
    let (left, right) = node.children
    stack.append((right, node.cut))
    stack.append((left, lower))
  }
}
