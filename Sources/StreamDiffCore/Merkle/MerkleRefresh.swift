extension MerkleTree {
  /// Reads the records of dirty leaves and makes the tree what its definition says, at a cost of the
  /// leaves that changed and the paths above them. Where two thirds of a subtree's leaves are dirty,
  /// its range is read in one go.
  /// - Parameter reader: what the keyspace holds now. If it throws, the tree stays as it was.
  /// - Returns: what to change in storage, the end of dirty marks included.
  public mutating func refresh<Reader: DigestReader>(
    reading reader: inout Reader
  ) throws(Reader.ReadError) -> LeafChanges {
    guard !isClean else { return LeafChanges() }
    var joiner = MerkleJoiner(reader)
    defer { reader = joiner.reader }
    let fresh = try joiner.refreshed(top)
    let changes = LeafChanges(from: top, to: fresh)
    top = fresh
    return changes
  }
}

/// An inner node whose other child is still to come.
private enum Half {
  case left(MerkleNode, cut: MerklePiece)
  case right(MerklePiece)
}

private enum RefreshTask {
  case visit(MerklePiece, upper: [UInt8]?)
  /// Joins the last two results.
  case join(upper: [UInt8]?)
}

/// Restores the canonical shape: dirty ranges are read and built anew, and all pieces joined in order.
private struct MerkleJoiner<Reader: DigestReader>: ~Copyable {
  var reader: Reader
  private var builder = MerkleTreeBuilder()
  private var hash = SHA256()

  init(_ reader: Reader) { self.reader = reader }

  mutating func refreshed(_ root: MerkleNode) throws(Reader.ReadError) -> MerkleNode {
    var tasks = [RefreshTask.visit(MerklePiece(node: root, lower: [], lowerPriority: .max), upper: nil)]
    var results: [MerklePiece] = []
    while let task = tasks.popLast() {
      switch task {
      case .visit(let piece, let upper):
        let node = piece.node
        if !node.isDirty {
          results.append(piece)
        } else if 3 * Int(node.header.dirtyLeaves) >= 2 * Int(node.header.leaves) {
          results.append(try read(from: piece.lower, to: upper))
        } else {
          let (left, right) = piece.children
          tasks.append(.join(upper: upper))
          tasks.append(.visit(right, upper: upper))
          tasks.append(.visit(left, upper: node.cut))
        }
      case .join(let upper):
        let right = results.removeLast()
        results.append(try join(results.removeLast(), right, upper: upper))
      }
    }
    return results[0].node
  }

  private mutating func read(
    from lower: [UInt8], to upper: [UInt8]?
  ) throws(Reader.ReadError) -> MerklePiece {
    try reader.forEachRecord(from: lower, to: upper) { key, digest, valueBytes in
      builder.append(key: key, digest: digest, valueBytes: valueBytes)
    }
    return builder.take()
  }

  /// The tree of two neighbours' entries together. The strongest key of both decides: it is the best
  /// of the left, the first key of the right (no candidate until something came before it), or the
  /// best of the right; of equals the leftmost. What it does not cut stays as it is.
  private mutating func join(
    _ left: MerklePiece, _ right: MerklePiece, upper: [UInt8]?
  ) throws(Reader.ReadError) -> MerklePiece {
    var (a, b, upper) = (left, right, upper)
    var halves: [Half] = []
    var node: MerkleNode?
    while node == nil {
      if a.node.isEmpty {
        node = b.node
      } else if b.node.isEmpty {
        node = a.node
      } else if a.node.count + b.node.count <= MerkleTree.leafCapacity {
        node = try read(from: a.lower, to: upper).node
      } else if a.hasCandidate, a.node.best <= b.lowerPriority, !b.hasCandidate || a.node.best <= b.node.best
      {
        let (below, above) = try split(a, upper: b.lower)
        halves.append(.left(below.node, cut: above))
        a = above
      } else if !b.hasCandidate || b.lowerPriority <= b.node.best {
        node = inner(a.node, b)
      } else {
        let (below, above) = try split(b, upper: upper)
        halves.append(.right(above))
        (b, upper) = (below, above.lower)
      }
    }
    guard var whole = node else { preconditionFailure("the loop ends with a node") }
    while let half = halves.popLast() {
      switch half {
      case .left(let below, let cut):
        whole = inner(below, MerklePiece(node: whole, lower: cut.lower, lowerPriority: cut.lowerPriority))
      case .right(let above): whole = inner(whole, above)
      }
    }
    return left.node.isEmpty
      ? MerklePiece(node: whole, lower: right.lower, lowerPriority: right.lowerPriority)
      : MerklePiece(node: whole, lower: left.lower, lowerPriority: left.lowerPriority)
  }

  /// Parts a piece at its strongest candidate. Only a leaf must be read for it.
  private mutating func split(
    _ piece: MerklePiece, upper: [UInt8]?
  ) throws(Reader.ReadError) -> (MerklePiece, MerklePiece) {
    guard piece.node.isLeaf else { return piece.children }
    var cut: [UInt8]?
    var isFirst = true
    try reader.forEachRecord(from: piece.lower, to: upper) { key, _, _ in
      if !isFirst, cut == nil, unsafe MerkleHash.priority(key.bytes, using: &hash) == piece.node.best {
        cut = unsafe key.withUnsafeBytes { unsafe Array($0) }
      }
      isFirst = false
    }
    guard let cut else { preconditionFailure("a leaf's records changed, and it was not touched") }
    return (try read(from: piece.lower, to: cut), try read(from: cut, to: upper))
  }

  private mutating func inner(_ left: MerkleNode, _ right: MerklePiece) -> MerkleNode {
    .inner(
      digest: MerkleHash.inner(left.digest, right.node.digest, using: &hash),
      cut: right.lower, priority: right.lowerPriority, left: left, right: right.node)
  }
}

extension MerklePiece {
  /// Whether there is a key besides the first.
  fileprivate var hasCandidate: Bool { node.count > 1 }

  fileprivate var children: (MerklePiece, MerklePiece) {
    let (left, right) = node.children
    return (
      MerklePiece(node: left, lower: lower, lowerPriority: lowerPriority),
      MerklePiece(node: right, lower: node.cut, lowerPriority: node.best)
    )
  }
}

extension MerkleTree.LeafChanges {
  /// Walks both trees side by side. A subtree that both hold at the same bound is skipped whole.
  fileprivate init(from old: MerkleNode, to new: MerkleNode) {
    self.init()
    var (before, after) = (MerkleCursor(old), MerkleCursor(new))
    while let (oldNode, oldLower) = before.top {
      guard let (newNode, newLower) = after.top else {
        retire(&before)
        continue
      }
      if oldLower != newLower {
        if KeyOrder.precedes(oldLower, newLower) { retire(&before) } else { write(&after) }
      } else if oldNode === newNode {
        before.skip()
        after.skip()
      } else if !oldNode.isLeaf, newNode.isLeaf || oldNode.count >= newNode.count {
        before.descend()
      } else if !newNode.isLeaf {
        after.descend()
      } else {
        let record = MerkleTree.LeafRecord(lower: newLower, of: newNode)
        if record != MerkleTree.LeafRecord(lower: oldLower, of: oldNode) { written.append(record) }
        before.skip()
        after.skip()
      }
    }
    while after.top != nil { write(&after) }
  }

  private mutating func retire(_ cursor: inout MerkleCursor) {
    guard let (node, lower) = cursor.top else { return }
    guard node.isLeaf else { return cursor.descend() }
    removed.append(lower)
    cursor.skip()
  }

  private mutating func write(_ cursor: inout MerkleCursor) {
    guard let (node, lower) = cursor.top else { return }
    guard node.isLeaf else { return cursor.descend() }
    written.append(MerkleTree.LeafRecord(lower: lower, of: node))
    cursor.skip()
  }
}
