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
      guard let bytes = Int(exactly: integer(at: 2)) else { return nil }
      self.lower = lower
      (isDirty, count, self.bytes) = (encoded[0] == 1, Int(encoded[1]), bytes)
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

  /// What a refresh did to the leaves: `removed` and `written` together bring a stored list of leaf
  /// records from the tree before to the tree after. No bound stands in both.
  public struct LeafChanges: Hashable, Sendable {
    /// Lower bounds.
    public internal(set) var removed: [[UInt8]] = []
    public internal(set) var written: [LeafRecord] = []

    public init() {}
    public var isEmpty: Bool { removed.isEmpty && written.isEmpty }
  }
}
