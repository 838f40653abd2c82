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

  /// The form to store beside the bytes it covers: a checksum over bytes that hold their own plain
  /// checksum would say little. Rotated right by 15 and shifted by a constant, as LevelDB does.
  public var masked: UInt32 { (rawValue >> 15 | rawValue << 17) &+ 0xa282_ead8 }

  public init(masked: UInt32) {
    let rotated = masked &- 0xa282_ead8
    self.init(rawValue: rotated >> 17 | rotated << 15)
  }
}
