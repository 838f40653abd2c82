/// Why bytes were refused: a code to act on, how far it reaches, and one line that names what was wrong.
public struct WireError: Error, Hashable, Sendable, CustomStringConvertible {
  public enum Code: Hashable, Sendable {
    /// The bytes break their format.
    case malformed
    /// Over a limit of ours.
    case tooLarge
    case checksumMismatch
    /// The peer sent beyond its window.
    case flowControl
    case outOfMemory
    /// Well formed, and asks for what we do not have (an encoding, a field value).
    case unsupported
    /// This connection takes no more requests: GOAWAY, or its stream numbers are used up. Open another.
    case unavailable
  }

  public var code: Code
  /// Reset this stream; `nil` closes the connection (RFC 9113 §5.4), or there is no stream about.
  public var stream: StreamID?
  public var detail: String

  public init(_ code: Code, _ detail: String, stream: StreamID? = nil) {
    self.code = code
    self.stream = stream
    self.detail = detail
  }

  public var description: String {
    stream.map { "\($0): \(code): \(detail)" } ?? "\(code): \(detail)"
  }
}
