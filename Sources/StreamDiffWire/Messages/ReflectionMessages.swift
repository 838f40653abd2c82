import CStreamDiffProtos
public import NIOCore

/// A question about the server's contract. grpc.reflection.v1 and v1alpha have the same bytes: these
/// messages serve both.
public struct ReflectionRequest: WireMessage {
  public enum Query: Hashable, Sendable {
    case file(named: String)
    case fileContaining(symbol: String)
    case fileContainingExtension(of: String, number: Int32)
    case extensionNumbers(of: String)
    case services
  }

  public var host: String
  /// `nil` when the client asked nothing that this version knows.
  public var query: Query?

  public init(host: String = "", query: Query?) {
    (self.host, self.query) = (host, query)
  }

  public init(decoding bytes: ByteBuffer) throws(WireError) {
    self = try ProtoCoding.decode(
      bytes, grpc__reflection__v1__server_reflection_request__unpack
    ) { message throws(WireError) in
      try Self(message)
    }
  }

  public func encode(into buffer: inout ByteBuffer) {
    ProtoCoding.encode(
      into: &buffer, Grpc__Reflection__V1__ServerReflectionRequest(),
      grpc__reflection__v1__server_reflection_request__init
    ) { fill(&$0, &$1) }
  }
}

extension ReflectionRequest {
  fileprivate init(_ message: borrowing Grpc__Reflection__V1__ServerReflectionRequest) throws(WireError) {
    host = try ProtoCoding.string(message.host, "host")
    switch message.message_request_case.rawValue {
    case 3:
      query = .file(named: try ProtoCoding.string(message.file_by_filename, "file_by_filename"))
    case 4:
      query = .fileContaining(
        symbol: try ProtoCoding.string(message.file_containing_symbol, "file_containing_symbol"))
    case 5:
      let type = message.file_containing_extension.pointee
      query = .fileContainingExtension(
        of: try ProtoCoding.string(type.containing_type, "containing_type"), number: type.extension_number)
    case 6:
      query = .extensionNumbers(
        of: try ProtoCoding.string(message.all_extension_numbers_of_type, "all_extension_numbers_of_type"))
    case 7: query = .services
    default: query = nil
    }
  }

  fileprivate func fill(
    _ message: inout Grpc__Reflection__V1__ServerReflectionRequest, _ arena: inout MessageArena
  ) {
    message.host = arena.string(host)
    guard let query else { return }
    switch query {
    case .file(let name):
      message.message_request_case = .init(3)
      message.file_by_filename = arena.string(name)
    case .fileContaining(let symbol):
      message.message_request_case = .init(4)
      message.file_containing_symbol = arena.string(symbol)
    case .fileContainingExtension(let type, let number):
      message.message_request_case = .init(5)
      message.file_containing_extension = arena.message(
        grpc__reflection__v1__extension_request__init
      ) {
        $0.containing_type = $1.string(type)
        $0.extension_number = number
      }
    case .extensionNumbers(let type):
      message.message_request_case = .init(6)
      message.all_extension_numbers_of_type = arena.string(type)
    case .services:
      message.message_request_case = .init(7)
      message.list_services = arena.string("*")
    }
  }
}

public struct ReflectionResponse: WireMessage {
  public enum Answer: Hashable, Sendable {
    /// Serialized google.protobuf.FileDescriptorProto: the file asked for, then what it imports.
    case files([[UInt8]])
    case extensionNumbers(of: String, [Int32])
    /// Full names.
    case services([String])
    /// - Parameter code: a gRPC status code.
    case error(code: Int32, message: String)
  }

  public var original: ReflectionRequest
  public var answer: Answer

  public init(to original: ReflectionRequest, _ answer: Answer) {
    (self.original, self.answer) = (original, answer)
  }

  public init(decoding bytes: ByteBuffer) throws(WireError) {
    self = try ProtoCoding.decode(
      bytes, grpc__reflection__v1__server_reflection_response__unpack
    ) { message throws(WireError) in
      let original =
        if let request = message.original_request { try ReflectionRequest(request.pointee) } else {
          ReflectionRequest(query: nil)
        }
      return Self(to: original, try Self.answer(of: message))
    }
  }

  public func encode(into buffer: inout ByteBuffer) {
    ProtoCoding.encode(
      into: &buffer, Grpc__Reflection__V1__ServerReflectionResponse(),
      grpc__reflection__v1__server_reflection_response__init
    ) { message, arena in
      message.valid_host = arena.string(original.host)
      message.original_request = arena.message(grpc__reflection__v1__server_reflection_request__init) {
        original.fill(&$0, &$1)
      }
      fill(&message, &arena)
    }
  }
}

extension ReflectionResponse {
  private static func answer(
    of message: borrowing Grpc__Reflection__V1__ServerReflectionResponse
  ) throws(WireError) -> Answer {
    switch message.message_response_case.rawValue {
    case 4:
      let files = message.file_descriptor_response.pointee
      return .files((0..<files.n_file_descriptor_proto).map { [UInt8](files.file_descriptor_proto[$0]) })
    case 5:
      let numbers = message.all_extension_numbers_response.pointee
      return .extensionNumbers(
        of: try ProtoCoding.string(numbers.base_type_name, "base_type_name"),
        Array(numbers.extension_number, count: numbers.n_extension_number))
    case 6:
      let services = message.list_services_response.pointee
      var names: [String] = []
      for place in 0..<services.n_service {
        names.append(try ProtoCoding.string(services.service[place]!.pointee.name, "name"))
      }
      return .services(names)
    case 7:
      let error = message.error_response.pointee
      return .error(
        code: error.error_code, message: try ProtoCoding.string(error.error_message, "error_message"))
    default: throw WireError(.malformed, "a reflection answer of no known kind")
    }
  }

  private func fill(
    _ message: inout Grpc__Reflection__V1__ServerReflectionResponse, _ arena: inout MessageArena
  ) {
    switch answer {
    case .files(let files):
      message.message_response_case = .init(4)
      message.file_descriptor_response = arena.message(grpc__reflection__v1__file_descriptor_response__init) {
        message, arena in
        message.n_file_descriptor_proto = files.count
        message.file_descriptor_proto = arena.array(copying: files.map { arena.bytes($0) })
      }
    case .extensionNumbers(let type, let numbers):
      message.message_response_case = .init(5)
      message.all_extension_numbers_response = arena.message(
        grpc__reflection__v1__extension_number_response__init
      ) {
        $0.base_type_name = $1.string(type)
        $0.n_extension_number = numbers.count
        $0.extension_number = $1.array(copying: numbers)
      }
    case .services(let names):
      message.message_response_case = .init(6)
      message.list_services_response = arena.message(grpc__reflection__v1__list_service_response__init) {
        $0.n_service = names.count
        $0.service = $1.messages(names, grpc__reflection__v1__service_response__init) {
          $0.name = $2.string($1)
        }
      }
    case .error(let code, let text):
      message.message_response_case = .init(7)
      message.error_response = arena.message(grpc__reflection__v1__error_response__init) {
        $0.error_code = code
        $0.error_message = $1.string(text)
      }
    }
  }
}
