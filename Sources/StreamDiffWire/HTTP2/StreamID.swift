/// An HTTP/2 stream (RFC 9113 §5.1.1): odd when the client opened it; 0 is the connection itself.
public struct StreamID: Hashable, Comparable, Sendable, CustomStringConvertible {
  public let rawValue: Int32

  public init(_ rawValue: Int32) { self.rawValue = rawValue }

  public static func < (lhs: Self, rhs: Self) -> Bool { lhs.rawValue < rhs.rawValue }

  public var description: String { "stream \(rawValue)" }
}
