import StreamDiffCore

/// Appends an integer, least significant byte first.
func append<Number: FixedWidthInteger>(_ number: Number, to bytes: inout [UInt8]) {
  withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
}

/// Takes little-endian integers from the front of bytes; nil once they run out.
struct LittleEndianReader {
  private var bytes: ArraySlice<UInt8>

  init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }
  init(_ bytes: [UInt8]) { self.bytes = bytes[...] }

  var remaining: Int { bytes.count }

  mutating func u8() -> UInt8? { integer() }
  mutating func u16() -> UInt16? { integer() }
  mutating func u32() -> UInt32? { integer() }
  mutating func u64() -> UInt64? { integer() }

  mutating func digest() -> Digest? {
    take(Digest.byteCount).map { $0.withUnsafeBytes { Digest(copying: $0.bytes) } }
  }

  mutating func take(_ count: Int) -> ArraySlice<UInt8>? {
    guard bytes.count >= count else { return nil }
    defer { bytes = bytes.dropFirst(count) }
    return bytes.prefix(count)
  }

  private mutating func integer<Number: FixedWidthInteger & UnsignedInteger>() -> Number? {
    take(MemoryLayout<Number>.size).map { $0.reversed().reduce(0) { $0 << 8 | Number($1) } }
  }
}
