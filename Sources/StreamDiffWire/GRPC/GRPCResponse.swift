/// The header and trailer sections that a server answers with (gRPC over HTTP/2, "Responses").
public enum GRPCResponse {
  private static let start = [
    HeaderField(":status", "200"), HeaderField("content-type", GRPCContentType.value),
    HeaderField("grpc-accept-encoding", "identity"),
  ]

  /// Before the first message.
  public static func head(_ metadata: Metadata = Metadata()) -> [HeaderField] {
    metadata.isEmpty ? start : start + metadata.fields
  }

  /// After the last message.
  public static func trailers(_ status: GRPCStatus, _ metadata: Metadata = Metadata()) -> [HeaderField] {
    metadata.isEmpty ? statusFields(status) : statusFields(status) + metadata.fields
  }

  /// The whole answer, when no message went before.
  public static func trailersOnly(_ status: GRPCStatus, _ metadata: Metadata = Metadata()) -> [HeaderField] {
    start + statusFields(status) + metadata.fields
  }

  static func statusFields(_ status: GRPCStatus) -> [HeaderField] {
    let code = HeaderField("grpc-status", String(status.code.rawValue))
    guard !status.message.isEmpty else { return [code] }
    return [code, HeaderField("grpc-message", PercentEncoding.encode(status.message))]
  }
}

/// How a client reads an answer's header section.
public enum GRPCResponseHead: Hashable, Sendable {
  /// Messages and trailers follow.
  case head(Metadata)
  /// The call is over: a trailers-only answer, or one that is not gRPC's, with the status it stands for.
  case ended(GRPCStatus, Metadata)

  public init(_ headers: [HeaderField]) {
    let status = headers[first: ":status"] ?? ""
    if headers[first: "grpc-status"] != nil {
      let trailers = GRPCTrailers(headers)
      self = .ended(trailers.status, trailers.metadata)
    } else if status != "200" {
      self = .ended(GRPCStatus(httpStatus: status), Metadata(fields: headers))
    } else if let type = headers[first: "content-type"], !GRPCContentType.isAccepted(type) {
      self = .ended(GRPCStatus(.unknown, "content-type \"\(type)\" is not application/grpc"), Metadata())
    } else if let encoding = headers[first: "grpc-encoding"], encoding != "identity" {
      self = .ended(GRPCStatus(.internal, "grpc-encoding \(encoding) was not asked for"), Metadata())
    } else {
      self = .head(Metadata(fields: headers))
    }
  }
}

/// How a client reads a trailer section.
public struct GRPCTrailers: Hashable, Sendable {
  public var status: GRPCStatus
  public var metadata: Metadata

  public init(_ fields: [HeaderField]) {
    metadata = Metadata(fields: fields)
    guard let text = fields[first: "grpc-status"], let number = Int(text) else {
      status = GRPCStatus(.unknown, "the trailers name no grpc-status")
      return
    }
    let message = fields[first: "grpc-message"].map(PercentEncoding.decode) ?? ""
    guard let code = GRPCStatusCode(rawValue: number) else {
      status = GRPCStatus(.unknown, "grpc-status \(number): \(message)")
      return
    }
    status = GRPCStatus(code, message)
  }
}
