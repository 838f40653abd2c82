/// Protobuf's unsigned variable-length integers (LEB128): seven bits a byte, low bits first, the
/// eighth bit set on all but the last.
enum Varint {
  /// What a read found: lengths here are below 2³⁵, so a sixth byte is refused.
  enum Reading {
    case value(Int, end: Int)
    case incomplete
    case tooLong
  }

  static let maximumBytes = 5

  static func append(_ value: Int, to bytes: inout [UInt8]) {
    var rest = UInt64(value)
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(truncatingIfNeeded: rest))
  }

  @inline(__always)
  static func read(_ bytes: Span<UInt8>, at start: Int) -> Reading {
    var value = 0
    var position = start
    while position < bytes.count {
      guard position - start < maximumBytes else { return .tooLong }
      let byte = Int(bytes[position])
      value |= (byte & 0x7f) << (7 * (position - start))
      position += 1
      if byte < 0x80 { return .value(value, end: position) }
    }
    return position - start < maximumBytes ? .incomplete : .tooLong
  }
}
