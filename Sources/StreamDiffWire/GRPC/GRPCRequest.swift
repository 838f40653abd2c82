/// What a gRPC request says before its messages (gRPC over HTTP/2, "Requests").
public struct GRPCRequestHead: Hashable, Sendable {
  /// `/package.Service/Method`.
  public var path: String
  public var authority: String
  public var scheme: String
  public var timeout: Duration?
  public var metadata: Metadata

  public init(
    path: String, authority: String, scheme: String = "http", timeout: Duration? = nil,
    metadata: Metadata = Metadata()
  ) {
    self.path = path
    self.authority = authority
    self.scheme = scheme
    self.timeout = timeout
    self.metadata = metadata
  }

  /// Reads a request's header section. `te: trailers` is not asked for: proxies drop it, and nothing here
  /// needs it.
  ///
  /// - Throws: the answer to give instead of a call.
  public init(_ headers: [HeaderField]) throws(GRPCRejection) {
    var (method, contentType, encoding, timeout) = ("", "", "identity", String?.none)
    self.init(path: "", authority: "", scheme: "")
    for field in headers {
      switch field.name {
      case ":method": method = field.value
      case ":path": path = field.value
      case ":authority": authority = field.value
      case ":scheme": scheme = field.value
      case "content-type": contentType = field.value
      case "grpc-encoding": encoding = field.value
      case "grpc-timeout": timeout = field.value
      default: break
      }
    }
    guard method == "POST" else { throw .http(status: 405, "\(method) is not POST") }
    guard GRPCContentType.isAccepted(contentType) else {
      throw .http(status: 415, "content-type \"\(contentType)\" is not application/grpc")
    }
    guard encoding == "identity" else {
      throw .grpc(GRPCStatus(.unimplemented, "grpc-encoding \(encoding): only identity is understood"))
    }
    if let timeout {
      guard let parsed = GRPCTimeout.parse(timeout) else {
        throw .grpc(GRPCStatus(.internal, "grpc-timeout \"\(timeout)\" is malformed"))
      }
      self.timeout = parsed
    }
    metadata = Metadata(fields: headers)
  }

  /// The header section of a client's request.
  public var fields: [HeaderField] {
    var fields = [
      HeaderField(":method", "POST"), HeaderField(":scheme", scheme), HeaderField(":path", path),
      HeaderField(":authority", authority), HeaderField("te", "trailers"),
      HeaderField("content-type", GRPCContentType.value),
    ]
    if let timeout { fields.append(HeaderField("grpc-timeout", GRPCTimeout.format(timeout))) }
    fields += metadata.fields
    return fields
  }
}

/// A request that becomes no call, and the whole answer that it gets (`endStream: true`).
public enum GRPCRejection: Error, Hashable, Sendable {
  /// Not gRPC at all: a plain HTTP answer.
  case http(status: Int, String)
  case grpc(GRPCStatus)

  public var fields: [HeaderField] {
    switch self {
    case .http(let status, let detail):
      var fields = [HeaderField(":status", String(status))]
      if status == 405 { fields.append(HeaderField("allow", "POST")) }
      return fields
        + GRPCResponse.statusFields(GRPCStatus(GRPCStatus(httpStatus: String(status)).code, detail))
    case .grpc(let status): return GRPCResponse.trailersOnly(status)
    }
  }
}

enum GRPCContentType {
  static let value = "application/grpc"

  /// `application/grpc`, with `+proto` or the like or parameters behind it; `application/grpc-web` is
  /// another protocol.
  static func isAccepted(_ type: String) -> Bool {
    guard type.utf8.count > value.utf8.count else { return type == value }
    return type.hasPrefix(value)
      && (type.utf8.dropFirst(value.utf8.count).first.map { "+;".utf8.contains($0) } ?? false)
  }
}
