/// Tells what a client speaks from its first bytes, before any of them reach the HTTP/2 session.
///
/// HTTP/2 with prior knowledge begins with `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n` (RFC 9113 §3.4). An
/// HTTP/1 request begins with a method of capital letters and a space (RFC 9112 §3).
public struct PrefaceCheck: Sendable {
  public enum Verdict: Sendable, Hashable { case needsMore, http2, http1, unknown }

  static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
  /// Longer than any registered method and its space: what is longer is not a method.
  static let methodBytes = 20

  private var seen: [UInt8] = []

  public init() {}

  /// Once it is not `.needsMore`, the verdict stands.
  public mutating func receive(_ bytes: some Sequence<UInt8>) -> Verdict {
    seen += bytes.prefix(Self.preface.count - seen.count)
    if seen.elementsEqual(Self.preface.prefix(seen.count)) {
      return seen.count == Self.preface.count ? .http2 : .needsMore
    }
    let method = seen.prefix { UInt8(ascii: "A")...UInt8(ascii: "Z") ~= $0 }
    if method.count == seen.count { return seen.count < Self.methodBytes ? .needsMore : .unknown }
    guard method.count >= 3, method.count < Self.methodBytes, seen[method.count] == UInt8(ascii: " ") else {
      return .unknown
    }
    // "PRI " and then something else is a broken HTTP/2 client, not an HTTP/1 one.
    return method.elementsEqual("PRI".utf8) ? .unknown : .http1
  }
}
