/// A node of a tree: a leaf of at most 64 entries, or an inner node with two children. A node is
/// changed only while one tree alone holds it and everything above it; what two trees share stays.
///
/// The cut's bytes stand behind the header in the same allocation: the way down a tree is one memory
/// access a level, and a leaf with its share of inner nodes takes about 240 bytes.
final class MerkleNode: ManagedBuffer<MerkleNode.Header, UInt8> {
  struct Header {
    /// Stale while a leaf beneath is dirty, like `best`, `count` and `bytes`.
    let digest: Digest
    /// The strongest priority in the subtree, its first key excepted; `.max` when there is no other
    /// key. In an inner node it is the priority of the cut.
    let best: UInt64
    let count: Int
    /// Of keys and values.
    let bytes: Int
    fileprivate(set) var left: MerkleNode?
    fileprivate(set) var right: MerkleNode?
    let leaves: Int32
    fileprivate(set) var dirtyLeaves: Int32
    /// Inner nodes on the longest way down.
    let depth: Int32
    fileprivate let cutBytes: Int32
  }

  static func leaf(digest: Digest, best: UInt64, count: Int, bytes: Int, isDirty: Bool = false) -> MerkleNode
  {
    let header = Header(
      digest: digest, best: best, count: count, bytes: bytes, left: nil, right: nil,
      leaves: 1, dirtyLeaves: isDirty ? 1 : 0, depth: 0, cutBytes: 0)
    return unsafe make(header, cut: nil)
  }

  /// - Parameters:
  ///   - digest: of the two children; anything when one of them is dirty.
  ///   - cut: the first key of `right`.
  static func inner(
    digest: Digest, cut: [UInt8], priority: UInt64, left: MerkleNode, right: MerkleNode
  ) -> MerkleNode {
    let (a, b) = (left.header, right.header)
    let header = Header(
      digest: digest, best: priority, count: a.count + b.count, bytes: a.bytes + b.bytes,
      left: left, right: right, leaves: a.leaves + b.leaves, dirtyLeaves: a.dirtyLeaves + b.dirtyLeaves,
      depth: max(a.depth, b.depth) + 1, cutBytes: Int32(cut.count))
    return unsafe cut.withUnsafeBytes { unsafe make(header, cut: $0) }
  }

  private static func make(_ header: Header, cut: UnsafeRawBufferPointer?) -> MerkleNode {
    let buffer = create(minimumCapacity: Int(header.cutBytes)) { _ in header }
    if let cut = unsafe cut {
      unsafe buffer.withUnsafeMutablePointerToElements {
        unsafe UnsafeMutableRawBufferPointer(start: $0, count: cut.count).copyMemory(from: cut)
      }
    }
    return unsafe unsafeDowncast(buffer, to: MerkleNode.self)
  }

  var isLeaf: Bool { header.depth == 0 }
  var isDirty: Bool { header.dirtyLeaves != 0 }
  var isEmpty: Bool { header.count == 0 }
  var count: Int { header.count }
  var best: UInt64 { header.best }
  var digest: Digest { header.digest }

  /// Of an inner node.
  var children: (left: MerkleNode, right: MerkleNode) {
    guard let left = header.left, let right = header.right else {
      preconditionFailure("a leaf has no children")
    }
    return (left, right)
  }

  /// The first key of the right child; empty in a leaf.
  var cut: [UInt8] { unsafe withCut { unsafe Array($0) } }

  @inline(__always)
  private func withCut<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    unsafe withUnsafeMutablePointers { header, bytes in
      unsafe body(UnsafeRawBufferPointer(start: bytes, count: Int(header.pointee.cutBytes)))
    }
  }

  /// Whoever grinds keys can make a path of any depth, and freeing it node inside node would use up
  /// the stack. Deep trees are taken apart in a loop instead.
  deinit {
    guard header.depth > 500 else { return }
    var orphans = [header.left, header.right]
    (header.left, header.right) = (nil, nil)
    while var node = orphans.popLast() {
      guard isKnownUniquelyReferenced(&node), let owned = node, !owned.isLeaf else { continue }
      orphans.append(owned.header.left)
      orphans.append(owned.header.right)
      (owned.header.left, owned.header.right) = (nil, nil)
    }
  }
}

extension MerkleNode {
  /// Lends the leaf under `root` that covers `key`, and the inner node whose cut is its lower bound
  /// (`nil`: the first leaf). The way down counts no references: `root` keeps alive what is passed.
  static func find<Result>(
    _ key: UnsafeRawBufferPointer, in root: MerkleNode,
    _ body: (_ leaf: borrowing MerkleNode, _ bound: Unmanaged<MerkleNode>?) -> Result
  ) -> Result {
    var node = unsafe Unmanaged.passUnretained(root)
    var bound: Unmanaged<MerkleNode>?
    while true {
      let (next, isLeft) = unsafe node._withUnsafeGuaranteedRef { unsafe $0.child(covering: key) }
      guard let next = unsafe next else { break }
      if !isLeft { unsafe bound = node }
      unsafe node = next
    }
    return unsafe node._withUnsafeGuaranteedRef { unsafe body($0, bound) }
  }

  @inline(__always)
  private func child(covering key: UnsafeRawBufferPointer) -> (Unmanaged<MerkleNode>?, isLeft: Bool) {
    guard !isLeaf else { return (nil, false) }
    let isLeft = unsafe withCut { unsafe KeyOrder.precedes(key, $0) }
    return unsafe ((isLeft ? header.left : header.right).map { unsafe Unmanaged.passUnretained($0) }, isLeft)
  }

  /// Marks the leaf that covers `key`, copying what another tree holds too. The leaf must be clean.
  /// - Returns: its lower bound.
  static func markDirty(_ root: inout MerkleNode, _ key: UnsafeRawBufferPointer) -> [UInt8] {
    if !isKnownUniquelyReferenced(&root) { root = root.copied() }
    var node = unsafe Unmanaged.passUnretained(root)
    var bound: Unmanaged<MerkleNode>?
    while true {
      let (next, isLeft) = unsafe node._withUnsafeGuaranteedRef { node in
        unsafe node.markDirtyAndOwnChild(covering: key)
      }
      guard let next = unsafe next else { break }
      if !isLeft { unsafe bound = node }
      unsafe node = next
    }
    return unsafe bound?._withUnsafeGuaranteedRef { $0.cut } ?? []
  }

  @inline(__always)
  private func markDirtyAndOwnChild(
    covering key: UnsafeRawBufferPointer
  ) -> (Unmanaged<MerkleNode>?, isLeft: Bool) {
    unsafe withUnsafeMutablePointerToHeader { header in
      unsafe header.pointee.dirtyLeaves += 1
      guard !isLeaf else { return (nil, false) }
      let isLeft = unsafe withCut { unsafe KeyOrder.precedes(key, $0) }
      return unsafe (isLeft ? Self.own(&header.pointee.left) : Self.own(&header.pointee.right), isLeft)
    }
  }

  private static func own(_ child: inout MerkleNode?) -> Unmanaged<MerkleNode>? {
    if !isKnownUniquelyReferenced(&child) { child = child?.copied() }
    return unsafe child.map { unsafe Unmanaged.passUnretained($0) }
  }

  private func copied() -> MerkleNode { unsafe withCut { unsafe Self.make(header, cut: $0) } }
}
