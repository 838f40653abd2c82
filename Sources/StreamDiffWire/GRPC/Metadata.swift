/// What an application sends beside its messages: names in lower case with ASCII values, or with bytes when
/// the name ends in `-bin`. Order and repetition are kept. gRPC's own fields are not among them.
public struct Metadata: Hashable, Sendable {
  /// As on the wire: `-bin` values in base64.
  public private(set) var fields: [HeaderField] = []

  public init() {}

  /// The application's part of a header or trailer section.
  public init(fields: some Sequence<HeaderField>) {
    self.fields = fields.filter { !Self.isReserved($0.name) }
  }

  public var isEmpty: Bool { fields.isEmpty }

  /// The first value under `name`.
  public subscript(name: String) -> String? { fields[first: name] }

  /// Every value under `name`, in order.
  public func all(_ name: String) -> [String] { fields.lazy.filter { $0.name == name }.map(\.value) }

  /// The first value under `name`, which ends in `-bin`; `nil` when it is absent or not base64.
  public func binary(_ name: String) -> [UInt8]? {
    // Several values may have been joined with commas on the way.
    self[name].flatMap { Base64.decode($0.prefix { $0 != "," }) }
  }

  /// - Throws: `.malformed` for a name with other characters than `0-9 a-z _ . -`, one that gRPC keeps for
  ///   itself or that ends in `-bin`, and for a value with other characters than printable ASCII.
  public mutating func add(_ name: String, _ value: String) throws(WireError) {
    try Self.check(name)
    guard !name.hasSuffix("-bin") else { throw WireError(.malformed, "metadata \(name) wants bytes") }
    guard value.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) else {
      throw WireError(
        .malformed, "the value of metadata \(name) is not printable ASCII; send it as \(name)-bin")
    }
    // Spaces around a value do not survive (RFC 9113 §8.2.1).
    let trimmed = value.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed()
    fields.append(HeaderField(name, String(trimmed)))
  }

  /// - Throws: `.malformed` as above; the name ends in `-bin`.
  public mutating func add(_ name: String, binary value: [UInt8]) throws(WireError) {
    try Self.check(name)
    guard name.hasSuffix("-bin") else {
      throw WireError(.malformed, "metadata \(name) with bytes must end in -bin")
    }
    fields.append(HeaderField(name, Base64.encode(value)))
  }

  private static func check(_ name: String) throws(WireError) {
    let isName =
      !name.isEmpty
      && name.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."): true
        default: false
        }
      }
    guard isName, !isReserved(name) else {
      throw WireError(.malformed, "metadata cannot be named \"\(name)\"")
    }
  }

  private static func isReserved(_ name: String) -> Bool {
    name.hasPrefix(":") || name.hasPrefix("grpc-") || name == "content-type" || name == "te"
  }
}
