/// 32 bytes of SHA-256, kept inline. Order is bytewise; the description is lower-case hex.
public struct Digest: Hashable, Comparable, Sendable, CustomStringConvertible {
  public static let byteCount = 32

  // The bytes as they lie in memory, eight to a word.
  private var first: UInt64 = 0
  private var second: UInt64 = 0
  private var third: UInt64 = 0
  private var fourth: UInt64 = 0

  /// - Returns: `nil` unless there are exactly 32 bytes.
  public init?(bytes: [UInt8]) {
    guard bytes.count == Self.byteCount else { return nil }
    unsafe self.init(copying: bytes.span.bytes)
  }

  /// - Parameter bytes: exactly 32.
  public init(copying bytes: RawSpan) {
    precondition(bytes.byteCount == Self.byteCount, "a digest has 32 bytes, not \(bytes.byteCount)")
    (first, second) = (word(bytes, at: 0), word(bytes, at: 8))
    (third, fourth) = (word(bytes, at: 16), word(bytes, at: 24))
    func word(_ bytes: RawSpan, at offset: Int) -> UInt64 {
      unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)
    }
  }

  /// - Returns: `nil` unless the text is 64 hex digits, of either case.
  public init?(hex: some StringProtocol) {
    var nibbles = [UInt8]()
    for character in hex.utf8 {
      switch character {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): nibbles.append(character - UInt8(ascii: "0"))
      case UInt8(ascii: "a")...UInt8(ascii: "f"): nibbles.append(character - UInt8(ascii: "a") + 10)
      case UInt8(ascii: "A")...UInt8(ascii: "F"): nibbles.append(character - UInt8(ascii: "A") + 10)
      default: return nil
      }
      guard nibbles.count <= 2 * Self.byteCount else { return nil }
    }
    guard nibbles.count == 2 * Self.byteCount else { return nil }
    self.init(bytes: (0..<Self.byteCount).map { nibbles[2 * $0] << 4 | nibbles[2 * $0 + 1] })
  }

  public var bytes: [UInt8] { withBytes { span in unsafe span.withUnsafeBytes { unsafe Array($0) } } }

  public func append(to output: inout [UInt8]) {
    unsafe withUnsafeBytes(of: self) { unsafe output.append(contentsOf: $0) }
  }

  /// Lends the 32 bytes for the length of `body`.
  public func withBytes<Result, Failure: Error>(
    _ body: (RawSpan) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try unsafe withUnsafeBytes(of: self) { buffer throws(Failure) in try unsafe body(buffer.bytes) }
  }

  /// The first eight bytes as a big-endian integer.
  var leadingWord: UInt64 { UInt64(bigEndian: first) }

  public static func < (lhs: Self, rhs: Self) -> Bool {
    if lhs.first != rhs.first { return UInt64(bigEndian: lhs.first) < UInt64(bigEndian: rhs.first) }
    if lhs.second != rhs.second { return UInt64(bigEndian: lhs.second) < UInt64(bigEndian: rhs.second) }
    if lhs.third != rhs.third { return UInt64(bigEndian: lhs.third) < UInt64(bigEndian: rhs.third) }
    return UInt64(bigEndian: lhs.fourth) < UInt64(bigEndian: rhs.fourth)
  }

  /// A digest is uniform already: one word of it tells digests apart in a hash table.
  public func hash(into hasher: inout Hasher) { hasher.combine(first) }

  public var description: String {
    let digits = Array("0123456789abcdef".utf8)
    return String(
      decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }
}
