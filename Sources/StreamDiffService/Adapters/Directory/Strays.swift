import StreamDiffCore

/// Pieces and parts that came and that no record lists. A push sends a file's content before its record, so that
/// one that is under way, or was broken off or refused, leaves them; the next one that ends well removes them.
/// They count in the root that a pull compares, and are written nowhere.
struct Strays {
  /// Of as many small files, a broken push leaves no more; a hostile sender costs no more memory.
  private static let most = 1 << 22

  private(set) var records: [DigestRecord] = []

  /// - Throws: `.tooLarge` where there are too many.
  mutating func add(
    _ key: DirectoryKey, _ value: Span<UInt8>, using hash: inout SHA256
  ) throws(AdapterError) {
    guard records.count < Self.most else {
      throw AdapterError(
        .tooLarge, path: printable(key.path),
        "over \(Self.most) pieces belong to no file there; a push that ends well removes them")
    }
    let bytes = key.encoded
    let digest = EntryDigest.of(key: bytes.span.bytes, value: value.bytes, using: &hash)
    records.append(DigestRecord(key: bytes, digest: digest, valueBytes: value.count))
  }
}
