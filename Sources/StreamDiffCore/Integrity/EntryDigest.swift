/// The digest of one entry of a keyspace, the least thing that roots and comparisons know of:
/// `SHA-256(0x02 | key length u32 LE | key | value length u32 LE | SHA-256(value))`.
///
/// The value's own digest stands inside, so that one who has it already (a file's piece is named by
/// it) does not hash the value again.
public enum EntryDigest {
  public static func of(key: RawSpan, value: RawSpan, using hash: inout SHA256) -> Digest {
    hash.update(value)
    return of(key: key, valueDigest: hash.finish(), valueBytes: value.byteCount, using: &hash)
  }

  public static func of(key: [UInt8], value: [UInt8], using hash: inout SHA256) -> Digest {
    unsafe of(key: key.span.bytes, value: value.span.bytes, using: &hash)
  }

  /// - Parameters:
  ///   - valueDigest: SHA-256 of the value alone.
  ///   - valueBytes: the value's length.
  public static func of(
    key: RawSpan, valueDigest: Digest, valueBytes: Int, using hash: inout SHA256
  ) -> Digest {
    let frame = 1 + 4 + 4 + Digest.byteCount
    // One update with the input laid end to end costs less than four short ones.
    return unsafe withUnsafeTemporaryAllocation(byteCount: frame + key.byteCount, alignment: 1) { buffer in
      unsafe buffer[0] = 2
      unsafe buffer.storeBytes(of: UInt32(key.byteCount).littleEndian, toByteOffset: 1, as: UInt32.self)
      unsafe key.withUnsafeBytes { unsafe copy($0, into: buffer, at: 5) }
      let middle = 5 + key.byteCount
      unsafe buffer.storeBytes(of: UInt32(valueBytes).littleEndian, toByteOffset: middle, as: UInt32.self)
      valueDigest.withBytes { digest in
        unsafe digest.withUnsafeBytes { unsafe copy($0, into: buffer, at: middle + 4) }
      }
      unsafe hash.update(UnsafeRawBufferPointer(buffer).bytes)
      return hash.finish()
    }
  }

  private static func copy(
    _ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer, at offset: Int
  ) {
    unsafe UnsafeMutableRawBufferPointer(rebasing: target[offset...]).copyMemory(from: source)
  }
}

/// Appends an integer's bytes, the least significant first.
func appendLittleEndian(_ value: some FixedWidthInteger, to output: inout [UInt8]) {
  unsafe withUnsafeBytes(of: value.littleEndian) { unsafe output.append(contentsOf: $0) }
}
