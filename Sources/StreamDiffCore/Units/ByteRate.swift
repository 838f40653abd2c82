/// Bytes per second as people write them: `12MB`, `500KiB/s`, or in bits `100Mbit`.
public struct ByteRate: Hashable, Sendable, CustomStringConvertible {
  public let bytesPerSecond: UInt64

  public init(bytesPerSecond: UInt64) { self.bytesPerSecond = bytesPerSecond }

  public init?(_ text: some StringProtocol) {
    let size = text.hasSuffix("/s") ? text.dropLast(2) : text[...]
    let lowered = size.lowercased()
    guard lowered.hasSuffix("bit") else {
      guard let bytes = ByteSize(size) else { return nil }
      bytesPerSecond = bytes.bytes
      return
    }
    // kbit, Mbit, Gbit, as ByteSize counts kB, MB, GB.
    guard let bits = ByteSize(lowered.dropLast(2)) else { return nil }
    bytesPerSecond = bits.bytes / 8
  }

  public var description: String { "\(ByteSize(bytesPerSecond))/s" }
}
