/// Whom tunables are set for: one connection as `status` names it, `HOST:PORT`, or all of a host.
public struct TuningPeer: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// An address as text: what connections come from has no other name.
  public let host: String
  /// `nil`: every port.
  public let port: UInt16?

  /// Longer than any address with its zone.
  private static let hostBytes = 64

  /// - Returns: `nil` for what is no `HOST`, `HOST:PORT`, `V6`, `[V6]` or `[V6]:PORT`.
  public init?(_ text: some StringProtocol) {
    var (host, port) = (text[...], UInt16?.none)
    if let colon = text.lastIndex(of: ":"), !text[..<colon].contains(":") || text[..<colon].hasSuffix("]") {
      guard let number = UInt16(text[text.index(after: colon)...]), number > 0 else { return nil }
      (host, port) = (text[..<colon], number)
    }
    if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
    guard 1...Self.hostBytes ~= host.utf8.count, host.utf8.allSatisfy(Self.isOfHost) else { return nil }
    (self.host, self.port) = (host.lowercased(), port)
  }

  private init(host: String) { (self.host, port) = (host, nil) }

  /// All of its host; `nil` where it is that.
  public var wholeHost: TuningPeer? { port == nil ? nil : TuningPeer(host: host) }

  /// Whether what is set for it holds for `other`.
  public func covers(_ other: TuningPeer) -> Bool { self == other || self == other.wholeHost }

  public var description: String {
    let host = host.contains(":") ? "[\(host)]" : host
    return port.map { "\(host):\($0)" } ?? host
  }

  public static func < (a: Self, b: Self) -> Bool { (a.host, a.port ?? 0) < (b.host, b.port ?? 0) }

  private static func isOfHost(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
      UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "."), UInt8(ascii: ":"), UInt8(ascii: "-"),
      UInt8(ascii: "_"), UInt8(ascii: "%"):
      true
    default: false
    }
  }
}
