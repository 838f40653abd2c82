extension MerkleTree {
  /// A leaf as it is kept in storage, under its lower bound.
  ///
  /// Encoded, the lower bound apart, in 50 bytes:
  /// `flags u8 (bit 0: dirty) | count u8 | bytes u64 LE | best u64 LE | digest 32 bytes`.
  public struct LeafRecord: Hashable, Sendable {
    static let encodedBytes = 18 + Digest.byteCount

    /// The leaf covers keys from here to the next leaf's bound. Empty for the first leaf.
    public let lower: [UInt8]
    /// 64 at most; with `bytes`, `digest` and `best` as of the last refresh.
    public let count: Int
    /// Of keys and values.
    public let bytes: Int
    public let digest: Digest
    /// The strongest priority in the leaf, its first key excepted; `.max` if there is no other key.
    public let best: UInt64
    /// An entry may have changed since the last refresh.
    public let isDirty: Bool

    init(lower: [UInt8], of node: MerkleNode) {
      self.lower = lower
      (count, bytes, digest) = (node.count, node.header.bytes, node.digest)
      (best, isDirty) = (node.best, node.isDirty)
    }

    /// - Returns: `nil` if the bytes are not such a record.
    public init?(lower: [UInt8], encoded: Span<UInt8>) {
      guard encoded.count == Self.encodedBytes, encoded[0] <= 1, encoded[1] <= leafCapacity else {
        return nil
      }
      func integer(at offset: Int) -> UInt64 {
        (0..<8).reduce(0) { $0 | UInt64(encoded[offset + $1]) << (8 * UInt64($1)) }
      }
      // As many as so many entries can have: sums over all leaves do not overflow.
      let count = Int(encoded[1])
      guard let bytes = Int(exactly: integer(at: 2)), bytes <= count * (Limits.keyBytes + Limits.valueBytes)
      else { return nil }
      self.lower = lower
      (isDirty, self.count, self.bytes) = (encoded[0] == 1, count, bytes)
      best = integer(at: 10)
      digest = unsafe Digest(copying: encoded.extracting(18...).bytes)
    }

    public func encode() -> [UInt8] {
      var output = [UInt8]()
      output.reserveCapacity(Self.encodedBytes)
      output.append(isDirty ? 1 : 0)
      output.append(UInt8(count))
      appendLittleEndian(UInt64(bytes), to: &output)
      appendLittleEndian(best, to: &output)
      digest.append(to: &output)
      return output
    }
  }

  /// What a refresh did to the leaves, and what it cost. The changes bring a stored list of leaf records
  /// from the tree before to the tree after; they are found as they are visited, so that a refresh of a
  /// whole keyspace makes no second list of its leaves.
  public struct LeafChanges: Sendable {
    private let before: MerkleTree
    private let after: MerkleTree
    /// Digest records that were read.
    public let recordsRead: Int
    /// Nodes whose digest was computed, leaves and inner ones.
    public let nodesHashed: Int

    init(from before: MerkleTree, to after: MerkleTree, recordsRead: Int = 0, nodesHashed: Int = 0) {
      (self.before, self.after) = (before, after)
      (self.recordsRead, self.nodesHashed) = (recordsRead, nodesHashed)
    }

    public enum Change: Hashable, Sendable {
      /// No leaf begins here any more: its lower bound.
      case removed([UInt8])
      case written(LeafRecord)
    }

    /// Visits the changes in order of their bounds, each bound once.
    public func forEach(_ body: (Change) -> Void) {
      guard before.top !== after.top else { return }
      LeafWalk(from: before.top, to: after.top).forEach(body)
    }
  }
}

/// Walks two trees side by side. A subtree that both hold at the same bound is skipped whole.
private struct LeafWalk {
  private var before: MerkleCursor
  private var after: MerkleCursor

  init(from old: MerkleNode, to new: MerkleNode) { (before, after) = (MerkleCursor(old), MerkleCursor(new)) }

  consuming func forEach(_ body: (MerkleTree.LeafChanges.Change) -> Void) {
    while let (oldNode, oldLower) = before.top {
      guard let (newNode, newLower) = after.top else {
        retire(body)
        continue
      }
      if oldLower != newLower {
        if KeyOrder.precedes(oldLower, newLower) { retire(body) } else { write(body) }
      } else if oldNode === newNode {
        before.skip()
        after.skip()
      } else if !oldNode.isLeaf, newNode.isLeaf || oldNode.count >= newNode.count {
        before.descend()
      } else if !newNode.isLeaf {
        after.descend()
      } else {
        let record = MerkleTree.LeafRecord(lower: newLower, of: newNode)
        if record != MerkleTree.LeafRecord(lower: oldLower, of: oldNode) { body(.written(record)) }
        before.skip()
        after.skip()
      }
    }
    while after.top != nil { write(body) }
  }

  private mutating func retire(_ body: (MerkleTree.LeafChanges.Change) -> Void) {
    guard let (node, lower) = before.top else { return }
    guard node.isLeaf else { return before.descend() }
    body(.removed(lower))
    before.skip()
  }

  private mutating func write(_ body: (MerkleTree.LeafChanges.Change) -> Void) {
    guard let (node, lower) = after.top else { return }
    guard node.isLeaf else { return after.descend() }
    body(.written(MerkleTree.LeafRecord(lower: lower, of: node)))
    after.skip()
  }
}
