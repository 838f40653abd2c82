/// Where a server listens: `HOST:PORT`, `[V6]:PORT`, or a host alone with the default port.
public struct ServerAddress: Hashable, Sendable, CustomStringConvertible {
  public static let defaultPort = 7400

  public let host: String
  public let port: Int

  public init(host: String, port: Int) { (self.host, self.port) = (host, port) }

  /// - Returns: nil for text that is no address. Hosts are printable ASCII, as resolvers want them; one of IPv6 without
  ///   brackets would not say whether its end is a port.
  public init?(_ text: some StringProtocol) {
    guard text.utf8.allSatisfy({ 0x21...0x7e ~= $0 }) else { return nil }
    var host = text[...]
    var port = Self.defaultPort
    if !text.hasSuffix("]"), let colon = text.lastIndex(of: ":") {
      guard let number = Int(text[text.index(after: colon)...]), (0...65535).contains(number) else {
        return nil
      }
      (host, port) = (text[..<colon], number)
    }
    let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
    if isBracketed { host = host.dropFirst().dropLast() }
    let foreign = isBracketed ? "/[]" : "/[]:"
    guard !host.isEmpty, !host.contains(where: { foreign.contains($0) }) else { return nil }
    self.init(host: String(host), port: port)
  }

  /// What to say of text that is no address.
  public static func fault(of text: some StringProtocol) -> String {
    let isBare = text.count { $0 == ":" } > 1 && !text.contains("[")
    return "'\(text)' is no HOST:PORT\(isBare ? "; an IPv6 address stands in brackets: [::1]:7400" : "")"
  }

  public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

  /// Whether what is said there stays on this machine: 127/8, ::1, or localhost.
  public var isLoopback: Bool {
    if host == "localhost" || host == "::1" { return true }
    let parts = host.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
  }
}
