import CISAL

/// The Castagnoli checksum (RFC 3720 §12.1; check value of "123456789": e3069283). It finds accidents,
/// not adversaries, and is never a digest.
public struct CRC32C: Hashable, Sendable {
  public let rawValue: UInt32

  /// Of no bytes.
  public static let empty = CRC32C(rawValue: 0)

  public init(rawValue: UInt32) { self.rawValue = rawValue }
  public init(_ bytes: RawSpan) { self = Self.empty.extended(over: bytes) }
  public init(_ bytes: [UInt8]) { self = unsafe Self.empty.extended(over: bytes.span.bytes) }

  /// The checksum of what came before with `bytes` behind it.
  public func extended(over bytes: RawSpan) -> CRC32C {
    unsafe bytes.withUnsafeBytes { buffer in
      guard let base = buffer.baseAddress else { return self }
      // The library takes a mutable pointer and an Int32 length, and only reads.
      var pointer = unsafe UnsafeMutablePointer(mutating: base.assumingMemoryBound(to: UInt8.self))
      var crc = ~rawValue
      var left = buffer.count
      while left > 0 {
        let piece = min(left, 1 << 30)
        crc = unsafe crc32_iscsi(pointer, Int32(piece), crc)
        unsafe pointer += piece
        left -= piece
      }
      return CRC32C(rawValue: ~crc)
    }
  }

  public func extended(over bytes: [UInt8]) -> CRC32C { unsafe extended(over: bytes.span.bytes) }

  /// The checksum of what came before with other bytes behind it, of which only theirs is known: appending bytes
  /// multiplies by x to the power of their bits, modulo the polynomial, and adds.
  ///
  /// - Parameter count: of the bytes that `checksum` is over.
  public func extended(by checksum: CRC32C, of count: Int) -> CRC32C {
    var shifted = rawValue
    var (rest, power) = (count, 3)  // 8 bits each
    while rest > 0 {
      if rest & 1 != 0 { shifted = Self.product(shifted, Self.powers[power % Self.powers.count]) }
      (rest, power) = (rest >> 1, power + 1)
    }
    return CRC32C(rawValue: shifted ^ checksum.rawValue)
  }

  /// x to the power of 1, 2, 4, … modulo the polynomial; after 31 of them they begin again.
  private static let powers: [UInt32] = {
    var powers: [UInt32] = [1 << 30]
    while powers.count < 31 { powers.append(product(powers[powers.count - 1], powers[powers.count - 1])) }
    return powers
  }()

  /// Of two polynomials, the coefficient of the lowest power in the highest bit.
  private static func product(_ a: UInt32, _ b: UInt32) -> UInt32 {
    var (product, b) = (UInt32(0), b)
    for place in (0..<32).reversed() {
      product ^= b & (0 &- (a >> UInt32(place) & 1))
      b = b >> 1 ^ (0x82f6_3b78 & (0 &- (b & 1)))
    }
    return product
  }

  /// The form to store beside the bytes it covers: a checksum over bytes that hold their own plain
  /// checksum would say little. Rotated right by 15 and shifted by a constant, as LevelDB does.
  public var masked: UInt32 { (rawValue >> 15 | rawValue << 17) &+ 0xa282_ead8 }

  public init(masked: UInt32) {
    let rotated = masked &- 0xa282_ead8
    self.init(rawValue: rotated >> 17 | rotated << 15)
  }
}
