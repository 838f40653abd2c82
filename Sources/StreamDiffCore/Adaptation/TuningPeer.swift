/// Whom tunables are set for: one connection as `status` names it, or all of an address.
public struct TuningPeer: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// What connections come from has no other name.
  public let address: IPAddress
  /// `nil`: every port.
  public let port: UInt16?

  /// What it is made from, for people.
  public static let form =
    "an IP address as status shows it (10.0.0.7, 2001:db8::1), or with its port (10.0.0.7:4500, [2001:db8::1]:4500)"

  /// - Returns: `nil` for what is no `V4`, `V4:PORT`, `V6`, `[V6]` or `[V6]:PORT`. Host names are none: what a name
  ///   stands for may change, and a connection has none.
  public init?(_ text: some StringProtocol) {
    var (host, port) = (text[...], UInt16?.none)
    if let colon = text.lastIndex(of: ":"), !text[..<colon].contains(":") || text[..<colon].hasSuffix("]") {
      let digits = text[text.index(after: colon)...]
      guard digits.utf8.allSatisfy({ 0x30...0x39 ~= $0 }), let number = UInt16(digits), number > 0 else {
        return nil
      }
      (host, port) = (text[..<colon], number)
    }
    if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
    guard let address = IPAddress(host) else { return nil }
    (self.address, self.port) = (address, port)
  }

  private init(_ address: IPAddress) { (self.address, port) = (address, nil) }

  /// All of its address; `nil` where it is that.
  public var wholeHost: TuningPeer? { port == nil ? nil : TuningPeer(address) }

  /// Whether what is set for it holds for `other`.
  public func covers(_ other: TuningPeer) -> Bool { self == other || self == other.wholeHost }

  public var description: String {
    let host = address.isIPv4 ? "\(address)" : "[\(address)]"
    return port.map { "\(host):\($0)" } ?? host
  }

  public static func < (a: Self, b: Self) -> Bool { (a.address, a.port ?? 0) < (b.address, b.port ?? 0) }
}
