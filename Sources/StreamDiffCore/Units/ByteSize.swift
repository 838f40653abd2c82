/// Bytes as people write them: a number, with kB, MB, GB, TB (thousands) or KiB, MiB, GiB, TiB behind it, in any case
/// but for the B.
public struct ByteSize: Hashable, Sendable, CustomStringConvertible {
  public let bytes: UInt64

  /// How it may be written, for people.
  public static let units = "bytes, kB, MB, GB, TB (thousands), KiB, MiB, GiB or TiB (B: bytes, not bits)"

  public init(_ bytes: UInt64) { self.bytes = bytes }

  public init?(_ text: some StringProtocol) {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    let written = text.dropFirst(digits.count)
    // A small b may mean bits.
    guard written.last != "b" else { return nil }
    let unit = written.lowercased()
    guard let number = UInt64(digits), let scale = Self.scales.first(where: { $0.unit == unit })?.bytes else {
      return nil
    }
    let (bytes, isTooLarge) = number.multipliedReportingOverflow(by: scale)
    guard !isTooLarge else { return nil }
    self.bytes = bytes
  }

  /// In the largest binary unit that leaves a whole number.
  public var description: String {
    for (unit, size) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)] as [(String, UInt64)]
    where bytes > 0 && bytes % (1 << size) == 0 {
      return "\(bytes >> size)\(unit)"
    }
    return "\(bytes)"
  }

  private static let scales: [(unit: String, bytes: UInt64)] = [
    ("", 1), ("b", 1), ("kb", 1000), ("mb", 1_000_000), ("gb", 1_000_000_000), ("tb", 1_000_000_000_000),
    ("kib", 1 << 10), ("mib", 1 << 20), ("gib", 1 << 30), ("tib", 1 << 40),
  ]
}
