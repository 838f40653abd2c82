/// What stands beside an entry so that comparing never reads values.
public struct DigestRecord: Hashable, Sendable {
  public var key: [UInt8]
  public var digest: Digest
  public var valueBytes: Int

  public init(key: [UInt8], digest: Digest, valueBytes: Int) {
    (self.key, self.digest, self.valueBytes) = (key, digest, valueBytes)
  }
}

/// Reads the digest records of one keyspace.
public protocol DigestReader {
  associatedtype ReadError: Error

  /// Calls `body` for every record with `lower <= key < upper` (`nil`: no bound), in key order, each
  /// key once. The key is lent for the length of the call.
  mutating func forEachRecord(
    from lower: [UInt8], to upper: [UInt8]?,
    _ body: (_ key: Span<UInt8>, _ digest: Digest, _ valueBytes: Int) -> Void
  ) throws(ReadError)

  /// What to throw where the records do not agree with a leaf that says it is up to date.
  func disagreement(from lower: [UInt8]) -> ReadError
}
