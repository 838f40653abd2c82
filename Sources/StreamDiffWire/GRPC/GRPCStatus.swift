/// How a call ended (gRPC status codes, doc/statuscodes.md).
public enum GRPCStatusCode: Int, Hashable, Sendable, CaseIterable, CustomStringConvertible {
  case ok = 0
  case cancelled = 1
  case unknown = 2
  case invalidArgument = 3
  case deadlineExceeded = 4
  case notFound = 5
  case alreadyExists = 6
  case permissionDenied = 7
  case resourceExhausted = 8
  case failedPrecondition = 9
  case aborted = 10
  case outOfRange = 11
  case unimplemented = 12
  case `internal` = 13
  case unavailable = 14
  case dataLoss = 15
  case unauthenticated = 16

  private static let names = [
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
    "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
  ]

  public var description: String { Self.names[rawValue] }
}

/// A status code and one line for people. Thrown by a handler, it ends the call.
public struct GRPCStatus: Error, Hashable, Sendable, CustomStringConvertible {
  public var code: GRPCStatusCode
  public var message: String

  public static let ok = Self(.ok)

  public init(_ code: GRPCStatusCode, _ message: String = "") {
    self.code = code
    self.message = message
  }

  public var description: String { message.isEmpty ? "\(code)" : "\(code): \(message)" }
}

extension GRPCStatus {
  /// What a caller is told about its bytes that we refused.
  public init(_ error: WireError) {
    let code: GRPCStatusCode =
      switch error.code {
      case .malformed: .invalidArgument
      case .flowControl: .internal
      case .tooLarge, .outOfMemory: .resourceExhausted
      case .checksumMismatch: .dataLoss
      case .unsupported: .unimplemented
      case .unavailable: .unavailable
      }
    self.init(code, error.detail)
  }

  /// What a call ended with whose stream was reset before a status came (gRPC over HTTP/2, "Errors").
  public init(streamClosed code: HTTP2ErrorCode) {
    switch code {
    case .refusedStream: self.init(.unavailable, "the peer refused the stream: it was not processed")
    case .cancel: self.init(.cancelled, "the peer cancelled the stream")
    case .enhanceYourCalm: self.init(.resourceExhausted, "the peer asks for less: \(code)")
    case .inadequateSecurity: self.init(.permissionDenied, "\(code)")
    case .noError: self.init(.internal, "the stream ended without a status")
    default: self.init(.internal, "the stream was reset: \(code)")
    }
  }

  /// What an answer means that is not gRPC's (doc/http-grpc-status-mapping.md).
  public init(httpStatus: String) {
    let code: GRPCStatusCode =
      switch httpStatus {
      case "400": .internal
      case "401": .unauthenticated
      case "403": .permissionDenied
      case "404": .unimplemented
      case "429", "502", "503", "504": .unavailable
      default: .unknown
      }
    self.init(code, "HTTP status \(httpStatus)")
  }
}
