import NIOCore
import StreamDiffWire

/// Server reflection, v1 and v1alpha (their messages have the same bytes): clients learn the contract
/// from the server, with no files of their own.
public struct ReflectionService: Sendable {
  private let services: [String]

  /// - Parameter services: full names of what the server offers besides reflection.
  public init(services: [String]) {
    self.services = Set(services + Self.names).sorted()
  }

  static let names = ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"]

  public var router: RPCRouter {
    RPCRouter(
      Dictionary(
        uniqueKeysWithValues: Self.names.map { name in
          ("/\(name)/ServerReflectionInfo", .loopStream { try await self.serve($0) })
        }))
  }

  private func serve(_ call: ServerStream) async throws {
    while let message = try await call.next() {
      let request: ReflectionRequest
      do throws(WireError) {
        request = try ReflectionRequest(decoding: message)
      } catch {
        throw GRPCStatus(error)
      }
      try await call.send(ReflectionCatalog.embedded.answer(request, offering: services).encode())
    }
  }
}
