extension MerkleTree {
  /// Reads the records of dirty leaves and makes the tree what its definition says, at a cost of the
  /// leaves that changed and the paths above them. Where two thirds of a subtree's leaves are dirty,
  /// its range is read in one go.
  /// - Parameter reader: what the keyspace holds now. If it throws, the tree stays as it was.
  /// - Returns: what to change in storage, the end of dirty marks included.
  public mutating func refresh<Reader: DigestReader>(
    reading reader: inout Reader
  ) throws(Reader.ReadError) -> LeafChanges {
    guard !isClean else { return LeafChanges(from: self, to: self) }
    var joiner = MerkleJoiner(reader)
    defer { reader = joiner.reader }
    let fresh = MerkleTree(root: try joiner.refreshed(top))
    let (records, nodes) = joiner.work
    defer { self = fresh }
    return LeafChanges(from: self, to: fresh, recordsRead: records, nodesHashed: nodes)
  }
}

/// An inner node whose other child is still to come.
private enum Half {
  case left(MerkleNode, cut: MerklePiece)
  case right(MerklePiece)
}

/// A leaf's records, kept while it is taken apart.
private struct HeldLeaf {
  let lower: [UInt8]
  let upper: [UInt8]?
  let records: [DigestRecord]

  func covers(from lower: [UInt8], to upper: [UInt8]?) -> Bool {
    guard !KeyOrder.precedes(lower, self.lower) else { return false }
    guard let end = self.upper else { return true }
    return upper.map { !KeyOrder.precedes(end, $0) } ?? false
  }
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
  private var recordsRead = 0
  private var nodesJoined = 0
  /// The records of the leaf that was split last: its parts are made from here.
  private var held: HeldLeaf?

  init(_ reader: Reader) { self.reader = reader }

  var work: (recordsRead: Int, nodesHashed: Int) { (recordsRead, nodesJoined + builder.nodesMade) }

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
    if let held, held.covers(from: lower, to: upper) {
      for record in held.records where !KeyOrder.precedes(record.key, lower) {
        if let upper, !KeyOrder.precedes(record.key, upper) { break }
        builder.append(key: record.key, digest: record.digest, valueBytes: record.valueBytes)
      }
      return builder.take()
    }
    try reader.forEachRecord(from: lower, to: upper) { key, digest, valueBytes in
      builder.append(key: key, digest: digest, valueBytes: valueBytes)
      recordsRead += 1
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
      } else if b.lowerPriority < a.strongest, b.lowerPriority <= b.strongest {
        node = inner(a.node, b)
      } else if a.node.isLeaf, b.node.isLeaf {
        // At most two leaves of records, read once, however many cuts they make.
        node = try read(from: a.lower, to: upper).node
      } else if a.hasCandidate, a.strongest <= b.lowerPriority, a.strongest <= b.strongest {
        let (below, above) = try split(a, upper: b.lower)
        halves.append(.left(below.node, cut: above))
        a = above
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
    let records = try hold(from: piece.lower, to: upper)
    let cut = records.dropFirst().first {
      unsafe MerkleHash.priority($0.key.span.bytes, using: &hash) == piece.node.best
    }?.key
    guard let cut else { throw reader.disagreement(from: piece.lower) }
    return (try read(from: piece.lower, to: cut), try read(from: cut, to: upper))
  }

  /// Reads a leaf, unless it is part of the one read last.
  private mutating func hold(
    from lower: [UInt8], to upper: [UInt8]?
  ) throws(Reader.ReadError) -> ArraySlice<DigestRecord> {
    if held?.covers(from: lower, to: upper) != true {
      var records: [DigestRecord] = []
      try reader.forEachRecord(from: lower, to: upper) { key, digest, valueBytes in
        let key = unsafe key.withUnsafeBytes { unsafe Array($0) }
        records.append(DigestRecord(key: key, digest: digest, valueBytes: valueBytes))
      }
      recordsRead += records.count
      held = HeldLeaf(lower: lower, upper: upper, records: records)
    }
    guard let held else { preconditionFailure("a leaf was just read") }
    return held.records.drop { KeyOrder.precedes($0.key, lower) }
  }

  private mutating func inner(_ left: MerkleNode, _ right: MerklePiece) -> MerkleNode {
    nodesJoined += 1
    return .inner(
      digest: MerkleHash.inner(left.digest, right.node.digest, using: &hash),
      cut: right.lower, priority: right.lowerPriority, left: left, right: right.node)
  }
}

extension MerklePiece {
  /// Whether there is a key besides the first.
  fileprivate var hasCandidate: Bool { node.count > 1 }

  /// The strongest priority of the keys besides the first; the weakest there is where there are none.
  fileprivate var strongest: UInt64 { hasCandidate ? node.best : .max }

  fileprivate var children: (MerklePiece, MerklePiece) {
    let (left, right) = node.children
    return (
      MerklePiece(node: left, lower: lower, lowerPriority: lowerPriority),
      MerklePiece(node: right, lower: node.cut, lowerPriority: node.best)
    )
  }
}
