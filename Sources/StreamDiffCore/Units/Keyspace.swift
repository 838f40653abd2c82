/// What a keyspace holds. Chosen when it is created, kept for ever.
public enum KeyspaceKind: UInt8, Hashable, Sendable {
  /// Keys and values as they are.
  case plain = 1
  /// Files as records and pieces; written by sync sessions only.
  case directory = 2
}

/// A keyspace's name: 1 to 128 of `A-Z a-z 0-9 . _ -`.
public struct KeyspaceName: Hashable, Comparable, Sendable, CustomStringConvertible {
  public static let maximumBytes = 128
  public static let `default` = KeyspaceName(checked: "default")
  public let description: String

  private init(checked: String) { description = checked }

  /// - Parameter text: "" stands for "default", as everywhere in the contract.
  /// - Returns: `nil` for a name outside the alphabet or too long.
  public init?(_ text: String) {
    guard !text.isEmpty else {
      self = .default
      return
    }
    guard text.utf8.count <= Self.maximumBytes else { return nil }
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
        continue
      default: return nil
      }
    }
    description = text
  }

  public static func < (lhs: Self, rhs: Self) -> Bool { lhs.description < rhs.description }
}
