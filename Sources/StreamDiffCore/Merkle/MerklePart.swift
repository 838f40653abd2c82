extension MerkleTree {
  /// The whole tree as one part. The tree must be clean.
  public var rootPart: Part {
    precondition(isClean, "\(dirtyLeafCount) leaves changed since the last refresh")
    return Part(lower: [], upper: nil, node: top)
  }

  /// A subtree with its key range: what two trees compare.
  public struct Part: @unchecked Sendable {  // as the tree
    public let lower: [UInt8]
    /// The first key beyond; `nil` when there is no bound.
    public let upper: [UInt8]?
    let node: MerkleNode

    public var count: Int { node.count }
    public var digest: Digest { node.digest }
    public var isLeaf: Bool { node.isLeaf }

    /// The descendants that stand `levels` below, and leaves that end above that, in key order. A leaf
    /// expands to itself. Where these are few, because the subtree is small or a path in it is long, all go
    /// on down together, level by level, while they stay within `most`.
    public func expanded(levels: Int, most: Int = 0) -> [Part] {
      var parts = descendants(levels)
      while true {
        let inner = parts.count { !$0.isLeaf }
        guard inner > 0, parts.count + inner <= most else { return parts }
        parts = parts.flatMap { $0.descendants(1) }
      }
    }

    private func descendants(_ levels: Int) -> [Part] {
      var output: [Part] = []
      var stack = [(part: self, levels: levels)]
      while let (part, levels) = stack.popLast() {
        guard levels > 0, !part.isLeaf else {
          output.append(part)
          continue
        }
        let (left, right) = part.node.children
        let cut = part.node.cut
        stack.append((Part(lower: cut, upper: part.upper, node: right), levels - 1))
        stack.append((Part(lower: part.lower, upper: cut, node: left), levels - 1))
      }
      return output
    }

    /// Eight bytes that stand for the part's range and digest in one round of a comparison.
    public func fingerprint(salt: UInt64, using hash: inout SHA256) -> UInt64 {
      Fingerprint.part(lower: lower, upper: upper, digest: digest, salt: salt, using: &hash)
    }
  }
}

/// Fingerprints as a comparison sends them: the first 8 bytes of a SHA-256, as a little-endian integer.
/// A salt per round keeps a chance collision from lasting, and makes one hard to prepare.
public enum Fingerprint {
  /// Over `salt u64 LE | 0x00 | entry digest`.
  public static func entry(digest: Digest, salt: UInt64, using hash: inout SHA256) -> UInt64 {
    unsafe withUnsafeTemporaryAllocation(byteCount: 9 + Digest.byteCount, alignment: 8) { buffer in
      unsafe buffer.storeBytes(of: salt.littleEndian, as: UInt64.self)
      unsafe buffer[8] = 0
      unsafe buffer.storeBytes(of: digest, toByteOffset: 9, as: Digest.self)
      unsafe hash.update(buffer.bytes)
      return hash.finish().leadingWord.byteSwapped
    }
  }

  /// Over `salt u64 LE | 0x01 | lower bound length u32 LE | lower bound |` then `0x00`, or
  /// `0x01 | upper bound length u32 LE | upper bound`, then `| part digest`.
  public static func part(
    lower: [UInt8], upper: [UInt8]?, digest: Digest, salt: UInt64, using hash: inout SHA256
  ) -> UInt64 {
    var input: [UInt8] = []
    input.reserveCapacity(50 + lower.count + (upper?.count ?? 0))
    appendLittleEndian(salt, to: &input)
    input.append(1)
    appendLittleEndian(UInt32(lower.count), to: &input)
    input.append(contentsOf: lower)
    if let upper {
      input.append(1)
      appendLittleEndian(UInt32(upper.count), to: &input)
      input.append(contentsOf: upper)
    } else {
      input.append(0)
    }
    digest.append(to: &input)
    hash.update(input)
    return hash.finish().leadingWord.byteSwapped
  }
}
