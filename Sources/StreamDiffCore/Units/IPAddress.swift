/// An IP address, the same value however it is written; an IPv4 address within IPv6 (`::ffff:10.0.0.7`) is that of IPv4.
public struct IPAddress: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// Of IPv6; one of IPv4 is what stands for it there (RFC 4291 §2.5.5.2).
  private let value: UInt128

  private static let mapped: UInt128 = 0xffff << 32

  /// - Returns: `nil` for names, for addresses with a zone, and for what is none.
  public init?(_ text: some StringProtocol) {
    guard text.utf8.count <= 45 else { return nil }
    guard let value = text.contains(":") ? Self.v6(text) : Self.v4(text).map({ Self.mapped | UInt128($0) })
    else {
      return nil
    }
    self.value = value
  }

  private static func v4(_ text: some StringProtocol) -> UInt32? {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    var value: UInt32 = 0
    for part in parts {
      // A leading zero means octal to some.
      guard isMade(part, of: 1...3, radix: 10), part == "0" || part.first != "0", let byte = UInt8(part)
      else {
        return nil
      }
      value = value << 8 | UInt32(byte)
    }
    return value
  }

  private static func v6(_ text: some StringProtocol) -> UInt128? {
    var parts = text.split(separator: ":", omittingEmptySubsequences: false)[...]
    // "::" in front or at the end leaves one part more that is empty.
    if text.hasPrefix("::") { parts.removeFirst() } else if parts.first?.isEmpty == true { return nil }
    if text.hasSuffix("::") { parts.removeLast() } else if parts.last?.isEmpty == true { return nil }
    var groups: [UInt16] = []
    var gap: Int?
    for (place, part) in zip(parts.indices, parts) {
      if part.isEmpty {
        guard gap == nil else { return nil }
        gap = groups.count
      } else if place == parts.indices.last, part.contains(".") {
        guard let v4 = v4(part) else { return nil }
        groups += [UInt16(v4 >> 16), UInt16(truncatingIfNeeded: v4)]
      } else {
        guard isMade(part, of: 1...4, radix: 16), let group = UInt16(part, radix: 16) else { return nil }
        groups.append(group)
      }
    }
    if let gap {
      guard groups.count < 8 else { return nil }
      groups.insert(contentsOf: repeatElement(0, count: 8 - groups.count), at: gap)
    }
    return groups.count == 8 ? groups.reduce(0) { $0 << 16 | UInt128($1) } : nil
  }

  private static func isMade(_ text: some StringProtocol, of counts: ClosedRange<Int>, radix: Int) -> Bool {
    counts.contains(text.utf8.count) && text.allSatisfy { $0.isASCII && ($0.hexDigitValue ?? 16) < radix }
  }

  public var isIPv4: Bool { value >> 32 == 0xffff }

  /// As RFC 5952 has it.
  public var description: String {
    if isIPv4 {
      return stride(from: 24, through: 0, by: -8).map { "\(value >> $0 & 0xff)" }.joined(separator: ".")
    }
    let groups = stride(from: 112, through: 0, by: -16).map { value >> $0 & 0xffff }
    let runs = groups.indices.map { start in start..<start + groups[start...].prefix { $0 == 0 }.count }
    // Of runs of one length the first.
    guard let gap = runs.max(by: { $0.count < $1.count }), gap.count > 1 else {
      return Self.text(groups[...])
    }
    return "\(Self.text(groups[..<gap.lowerBound]))::\(Self.text(groups[gap.upperBound...]))"
  }

  private static func text(_ groups: ArraySlice<UInt128>) -> String {
    groups.map { String($0, radix: 16) }.joined(separator: ":")
  }

  public static func < (a: Self, b: Self) -> Bool { a.value < b.value }
}
