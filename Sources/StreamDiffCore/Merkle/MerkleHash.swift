/// The hashes that make up a tree; see `MerkleTree` for the definition.
enum MerkleHash {
  static let leafTag: UInt8 = 0
  static let innerTag: UInt8 = 1

  /// - Parameter digests: `leafTag`, then the entries' digests in key order.
  static func leaf(_ digests: Span<UInt8>, using hash: inout SHA256) -> Digest {
    unsafe hash.update(digests.bytes)
    return hash.finish()
  }

  static func inner(_ left: Digest, _ right: Digest, using hash: inout SHA256) -> Digest {
    unsafe withUnsafeTemporaryAllocation(byteCount: 1 + 2 * Digest.byteCount, alignment: 1) { buffer in
      unsafe buffer[0] = innerTag
      unsafe buffer.storeBytes(of: left, toByteOffset: 1, as: Digest.self)
      unsafe buffer.storeBytes(of: right, toByteOffset: 1 + Digest.byteCount, as: Digest.self)
      unsafe hash.update(buffer.bytes)
      return hash.finish()
    }
  }

  /// How strong a cut a key is: the smaller the stronger.
  static func priority(_ key: RawSpan, using hash: inout SHA256) -> UInt64 {
    hash.update(key)
    return hash.finish().leadingWord
  }
}
