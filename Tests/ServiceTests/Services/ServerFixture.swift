import Logging
import NIOCore
import StreamDiffCore
import StreamDiffService
import StreamDiffStorage
import StreamDiffWire

/// Runs `body` against a server on a free port with an empty directory, and stops it.
func withServer<R>(
  _ change: (inout ServerConfiguration) -> Void = { _ in },
  _ body: (StreamDiffServer, RPCClient) async throws -> R
) async throws -> R {
  let directory = ReplicaDirectory()
  var configuration = ServerConfiguration(
    directory: directory.path + "/data", host: "127.0.0.1", port: 0, version: "test")
  configuration.replica = .test(directory)
  change(&configuration)
  let server = try await StreamDiffServer.start(configuration, logger: .quiet)
  let client = try await RPCClient.connect(host: server.host, port: server.port)
  do {
    let result = try await body(server, client)
    await client.close()
    try await server.stop(grace: .seconds(5))
    return result
  } catch {
    await client.close()
    try? await server.stop(grace: .seconds(5))
    throw error
  }
}

extension RPCClient {
  func call<Request: WireMessage, Response: WireMessage>(
    _ path: String, _ request: Request, as: Response.Type = Response.self
  ) async throws -> Response {
    try Response(decoding: try await unary("/streamdiff.v1." + path, request.encode()))
  }

  @discardableResult
  func put(
    _ key: String, _ value: String, in keyspace: String = "", expecting expectation: Expectation = .any
  ) async throws -> PutResponse {
    try await call(
      "KeyValue/Put",
      PutRequest(
        keyspace: keyspace, key: Array(key.utf8), value: Array(value.utf8), expectation: expectation))
  }

  @discardableResult
  func delete(_ key: String, expecting expectation: Expectation = .any) async throws -> DeleteResponse {
    try await call("KeyValue/Delete", DeleteRequest(key: Array(key.utf8), expectation: expectation))
  }

  func get(_ key: String, in keyspace: String = "") async throws -> GetResponse {
    try await call("KeyValue/Get", GetRequest(keyspace: keyspace, key: Array(key.utf8)))
  }

  func scan(_ request: ScanRequest) async throws -> [ScanResponse] {
    let stream = try await open("/streamdiff.v1.KeyValue/Scan")
    try await stream.send(request.encode())
    stream.halfClose()
    var pages: [ScanResponse] = []
    while let page = try await stream.next() { pages.append(try ScanResponse(decoding: page)) }
    return pages
  }

  func status() async throws -> StatusResponse { try await call("Group/Status", StatusRequest()) }
}

extension StatusResponse {
  subscript(_ counter: String) -> UInt64? { counters.first { $0.name == counter }?.value }
}
