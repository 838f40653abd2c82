import NIOCore
import StreamDiffService
import StreamDiffWire
import Testing

@Suite struct StandardServicesTests {
  static func check(_ client: RPCClient, _ service: String) async throws -> HealthCheckResponse.ServingStatus
  {
    let answer = try await client.unary(
      "/grpc.health.v1.Health/Check", HealthCheckRequest(service: service).encode())
    return try HealthCheckResponse(decoding: answer).status
  }

  static func expectHealth(
    _ expected: HealthCheckResponse.ServingStatus, of service: String, _ client: RPCClient,
    at place: SourceLocation = #_sourceLocation
  ) async throws {
    let found = try await check(client, service)
    #expect(found == expected, sourceLocation: place)
  }

  static func withServices(_ body: (HealthService, RPCClient) async throws -> Void) async throws {
    let health = HealthService(services: ["streamdiff.v1.KeyValue"])
    var router = health.router
    router.merge(ReflectionService(services: ["streamdiff.v1.KeyValue", "grpc.health.v1.Health"]).router)
    let server = try await RPCServer.bind(host: "127.0.0.1", port: 0, router: router)
    let client = try await RPCClient.connect(host: server.host, port: server.port)
    try await body(health, client)
    await client.close()
    await server.drain(grace: .zero)
  }

  @Test("health is told for the server and for each service, and an unknown one is NOT_FOUND")
  func health() async throws {
    try await Self.withServices { health, client in
      try await Self.expectHealth(.serving, of: "", client)
      try await Self.expectHealth(.serving, of: "streamdiff.v1.KeyValue", client)
      await expect(.notFound) { _ = try await Self.check(client, "none") }
      health.set("streamdiff.v1.KeyValue", isServing: false)
      try await Self.expectHealth(.notServing, of: "streamdiff.v1.KeyValue", client)
      try await Self.expectHealth(.serving, of: "", client)
      health.set(isServing: false)
      try await Self.expectHealth(.notServing, of: "", client)
      await expect(.invalidArgument) {
        _ = try await client.unary("/grpc.health.v1.Health/Check", ByteBuffer(bytes: [0x0a, 0xff]))
      }
    }
  }

  @Test("a watcher hears the status now and each change")
  func watch() async throws {
    try await Self.withServices { health, client in
      let call = try await client.open("/grpc.health.v1.Health/Watch")
      try await call.send(HealthCheckRequest(service: "").encode())
      call.halfClose()
      for isServing in [true, false, true] {
        health.set(isServing: isServing)
        let answer = try #require(try await call.next())
        #expect(try HealthCheckResponse(decoding: answer).status == (isServing ? .serving : .notServing))
      }
      let unknown = try await client.open("/grpc.health.v1.Health/Watch")
      try await unknown.send(HealthCheckRequest(service: "none").encode())
      let answer = try #require(try await unknown.next())
      #expect(try HealthCheckResponse(decoding: answer).status == .serviceUnknown)
    }
  }

  @Test("reflection lists the services and gives their files", arguments: ["v1", "v1alpha"])
  func reflection(version: String) async throws {
    try await Self.withServices { _, client in
      let call = try await client.open("/grpc.reflection.\(version).ServerReflection/ServerReflectionInfo")
      func ask(_ query: ReflectionRequest.Query) async throws -> ReflectionResponse.Answer? {
        try await call.send(ReflectionRequest(query: query).encode())
        let answer = try #require(try await call.next())
        return try ReflectionResponse(decoding: answer).answer
      }
      let services = [
        "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "streamdiff.v1.KeyValue",
      ]
      #expect(try await ask(.services) == .services(services))
      for service in services {
        guard case .files(let files) = try await ask(.fileContaining(symbol: service)) else {
          Issue.record("no file for \(service)")
          continue
        }
        #expect(!files.isEmpty)
      }
      let none = try await ask(.fileContaining(symbol: "none.None"))
      #expect(none == .error(code: 5, message: "no symbol none.None"))
      call.halfClose()
      #expect(try await call.next() == nil)
    }
  }
}
