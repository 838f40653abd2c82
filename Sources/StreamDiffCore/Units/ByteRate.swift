/// Bytes per second as people write them: `12MB`, `500KiB/s`, or in bits `100Mbit`.
public struct ByteRate: Hashable, Sendable, CustomStringConvertible {
  public let bytesPerSecond: UInt64

  public init(bytesPerSecond: UInt64) { self.bytesPerSecond = bytesPerSecond }

  /// - Returns: `nil` also for `100Mb`, which some take for bits and others for bytes.
  public init?(_ text: some StringProtocol) {
    guard Self.clearSpellings(of: text) == nil else { return nil }
    let size = text.hasSuffix("/s") ? text.dropLast(2) : text[...]
    let lowered = size.lowercased()
    guard lowered.hasSuffix("bit") else {
      guard let bytes = ByteSize(size) else { return nil }
      bytesPerSecond = bytes.bytes
      return
    }
    // kbit, Mbit, Gbit, as ByteSize counts kB, MB, GB.
    guard let bits = ByteSize("\(lowered.dropLast(3))B") else { return nil }
    bytesPerSecond = bits.bytes / 8
  }

  /// What `100Mb` may mean, as this type reads it: `100Mbit` and `100MB`.
  /// - Returns: `nil` for what is clear, or no rate at all.
  public static func clearSpellings(of text: some StringProtocol) -> (bits: String, bytes: String)? {
    let name = ["/s", "ps"].first { text.hasSuffix($0) }.map { text.dropLast($0.count) } ?? text[...]
    let stem = name.dropLast()
    guard name.hasSuffix("b"), ByteSize("\(stem)B") != nil else { return nil }
    return ("\(stem)bit", "\(stem)B")
  }

  /// In the largest unit that leaves a whole number.
  public var description: String {
    let units: [(String, UInt64)] = [
      ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000), ("GiB", 1 << 30), ("MiB", 1 << 20),
      ("KiB", 1 << 10),
    ]
    let fitting = units.filter { bytesPerSecond > 0 && bytesPerSecond.isMultiple(of: $0.1) }
    guard let (unit, size) = fitting.max(by: { $0.1 < $1.1 }) else { return "\(bytesPerSecond)B/s" }
    return "\(bytesPerSecond / size)\(unit)/s"
  }
}
