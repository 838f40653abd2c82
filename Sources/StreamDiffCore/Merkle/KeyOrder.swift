/// Bytewise order of keys, eight bytes a step; a prefix comes first.
enum KeyOrder {
  static func precedes(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
    let shared = min(left.count, right.count)
    var offset = 0
    while offset + 8 <= shared {
      let (a, b) = unsafe (word(left, offset), word(right, offset))
      if a != b { return a < b }
      offset += 8
    }
    while offset < shared {
      let (a, b) = unsafe (left[offset], right[offset])
      if a != b { return a < b }
      offset += 1
    }
    return left.count < right.count
  }

  static func precedes(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    unsafe left.withUnsafeBytes { left in unsafe right.withUnsafeBytes { unsafe precedes(left, $0) } }
  }

  private static func word(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UInt64 {
    unsafe UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }
}
