public import StreamDiffWire

/// How a call ended when it did not end well. What a caller may do next differs by case.
public enum RPCError: Error, Sendable, CustomStringConvertible {
  /// The call was certainly not processed: no connection, refused, or cut off by GOAWAY. Try again.
  case unreachable(String)
  /// The connection ended after the call had been sent: whether it took effect is unknown.
  case lost(String)
  /// The peer's answer, or a limit, deadline or cancellation at this end.
  case status(GRPCStatus, trailers: Metadata)

  public init(_ code: GRPCStatusCode, _ message: String) {
    self = .status(GRPCStatus(code, message), trailers: Metadata())
  }

  public var description: String {
    switch self {
    case .unreachable(let reason): "unreachable: \(reason)"
    case .lost(let reason): "connection lost: \(reason)"
    case .status(let status, _): "\(status)"
    }
  }

  /// The status a caller sees: an ended connection is UNAVAILABLE.
  public var status: GRPCStatus {
    switch self {
    case .unreachable(let reason), .lost(let reason): GRPCStatus(.unavailable, reason)
    case .status(let status, _): status
    }
  }

  /// Another server may do better: this one cannot be reached, does not answer, or is not able to.
  var isOfServer: Bool {
    switch status.code {
    case .unavailable, .deadlineExceeded: true
    default: false
    }
  }

  public var trailers: Metadata {
    if case .status(_, let trailers) = self { trailers } else { Metadata() }
  }
}
