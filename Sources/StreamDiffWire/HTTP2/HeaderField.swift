/// One field of a header or trailer section (RFC 9113 §8.2): the name in lower case, pseudo-fields first.
///
/// Values are bytes on the wire; what is not UTF-8 arrives here with U+FFFD in its place. gRPC's are ASCII.
public struct HeaderField: Hashable, Sendable, CustomStringConvertible {
  public var name: String
  public var value: String

  public init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }

  /// What the field counts in a header list (RFC 9113 §6.5.2): name, value, and 32 for the entry itself.
  public var listSize: Int { name.utf8.count + value.utf8.count + Self.entryOverhead }

  static let entryOverhead = 32

  public var description: String { "\(name): \(value)" }
}

extension [HeaderField] {
  /// The first value under `name`.
  public subscript(first name: String) -> String? {
    for field in self where field.name == name { return field.value }
    return nil
  }
}
