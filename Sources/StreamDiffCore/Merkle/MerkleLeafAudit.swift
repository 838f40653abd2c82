/// Holds a stored leaf against the digest records of its range, in one pass and without keeping them.
public struct MerkleLeafAudit: ~Copyable {
  private var digests = SHA256()
  private var priorities = SHA256()
  private var count = 0
  private var bytes = 0
  private var best = UInt64.max

  public init() { begin() }

  /// Starts with the next leaf.
  public mutating func begin() {
    digests = SHA256()
    digests.update([MerkleHash.leafTag])
    (count, bytes, best) = (0, 0, .max)
  }

  /// - Parameter key: greater than the key before it.
  public mutating func add(key: Span<UInt8>, digest: Digest, valueBytes: Int) {
    if count > 0 { best = min(best, unsafe MerkleHash.priority(key.bytes, using: &priorities)) }
    digest.withBytes { digests.update($0) }
    count += 1
    bytes += key.count + valueBytes
  }

  /// Ends a leaf.
  /// - Returns: in what the stored one, a clean one, differs from its records; `nil` if in nothing.
  public mutating func difference(from leaf: MerkleTree.LeafRecord) -> String? {
    let digest = digests.finish()
    if count != leaf.count { return "it says \(leaf.count) entries, its range has \(count)" }
    if digest != leaf.digest { return "its digest is not that of its entries" }
    if bytes != leaf.bytes { return "it says \(leaf.bytes) bytes, its entries have \(bytes)" }
    if best != leaf.best { return "its strongest priority is not that of its keys" }
    return nil
  }
}
