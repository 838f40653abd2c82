import CStreamDiffProtos
public import NIOCore

/// grpc.health.v1.HealthCheckRequest.
public struct HealthCheckRequest: WireMessage {
  /// A service's full name; "" is the server as a whole.
  public var service: String

  public init(service: String = "") {
    self.service = service
  }

  public init(decoding bytes: ByteBuffer) throws(WireError) {
    self = try ProtoCoding.decode(bytes, grpc__health__v1__health_check_request__unpack) {
      message throws(WireError) in
      Self(service: try ProtoCoding.string(message.service, "service"))
    }
  }

  public func encode(into buffer: inout ByteBuffer) {
    ProtoCoding.encode(
      into: &buffer, Grpc__Health__V1__HealthCheckRequest(), grpc__health__v1__health_check_request__init
    ) { $0.service = $1.string(service) }
  }
}

/// grpc.health.v1.HealthCheckResponse.
public struct HealthCheckResponse: WireMessage {
  public enum ServingStatus: UInt32, Sendable {
    case unknown = 0
    case serving = 1
    case notServing = 2
    /// Only Watch answers it; Check answers NOT_FOUND.
    case serviceUnknown = 3
  }

  public var status: ServingStatus

  public init(status: ServingStatus) {
    self.status = status
  }

  /// A status that a newer peer may know reads as `unknown`.
  public init(decoding bytes: ByteBuffer) throws(WireError) {
    self = try ProtoCoding.decode(bytes, grpc__health__v1__health_check_response__unpack) { message in
      Self(status: ServingStatus(rawValue: message.status.rawValue) ?? .unknown)
    }
  }

  public func encode(into buffer: inout ByteBuffer) {
    ProtoCoding.encode(
      into: &buffer, Grpc__Health__V1__HealthCheckResponse(), grpc__health__v1__health_check_response__init
    ) { message, _ in message.status = .init(rawValue: status.rawValue) }
  }
}
