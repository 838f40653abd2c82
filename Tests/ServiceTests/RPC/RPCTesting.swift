import NIOCore
import NIOPosix
import StreamDiffService
import StreamDiffWire
import Synchronization
import Testing

/// A server on a free port and a client of it; both are gone when it returns.
func withRPC(
  _ methods: [String: RPCHandler], limits: RPCLimits = RPCLimits(), clientLimits: RPCLimits = RPCLimits(),
  _ body: (RPCServer, RPCClient) async throws -> Void
) async throws {
  let server = try await RPCServer.bind(
    host: "127.0.0.1", port: 0, router: RPCRouter(methods), limits: limits)
  let client = try await RPCClient.connect(host: server.host, port: server.port, limits: clientLimits)
  let result: Result<Void, any Error>
  do {
    result = .success(try await body(server, client))
  } catch {
    result = .failure(error)
  }
  await client.close()
  await server.drain(grace: .zero)
  return try result.get()
}

/// How `body` fails.
func failure(_ body: () async throws -> Void) async -> RPCError? {
  do {
    try await body()
    return nil
  } catch let error as RPCError {
    return error
  } catch {
    Issue.record("\(error) is no RPCError")
    return nil
  }
}

/// The status that `body` ends with.
func status(_ body: () async throws -> Void) async -> GRPCStatus? { await failure(body)?.status }

extension RPCError {
  var isUnreachable: Bool { if case .unreachable = self { true } else { false } }
  var isLost: Bool { if case .lost = self { true } else { false } }
}

func text(_ string: String) -> ByteBuffer { ByteBuffer(string: string) }

/// Deterministic bytes that differ from place to place.
func pattern(_ count: Int, seed: Int = 0) -> ByteBuffer {
  ByteBuffer(bytes: (0..<count).map { UInt8(truncatingIfNeeded: ($0 &+ seed) &* 31 >> 3) })
}

/// Lets one task wait until another has come somewhere.
final class Signal: Sendable {
  private let stream: AsyncStream<Void>
  private let continuation: AsyncStream<Void>.Continuation

  init() { (stream, continuation) = AsyncStream.makeStream() }

  func give() { continuation.yield() }

  func wait() async {
    for await _ in stream { return }
  }
}

// The compiler (6.3.1) does not take every `try await` within `#expect`, and gives closures there names that
// others in the function have too. So what takes a closure is a function, with the `#expect` inside.

func expect(_ answer: ByteBuffer?, is expected: ByteBuffer, at place: SourceLocation = #_sourceLocation) {
  #expect(answer == expected, sourceLocation: place)
}

func expect(
  _ code: GRPCStatusCode, at place: SourceLocation = #_sourceLocation, _ body: () async throws -> Void
) async {
  let found = await status(body)
  #expect(found?.code == code, "\(found as Any)", sourceLocation: place)
}

func expect(
  _ expected: GRPCStatus, at place: SourceLocation = #_sourceLocation, _ body: () async throws -> Void
) async {
  let found = await status(body)
  #expect(found == expected, sourceLocation: place)
}

func expectUnreachable(at place: SourceLocation = #_sourceLocation, _ body: () async throws -> Void) async {
  let found = await failure(body)
  #expect(found?.isUnreachable == true, "\(found as Any)", sourceLocation: place)
}

/// A value that tasks share.
final class Shared<Value: Sendable>: Sendable {
  private let mutex: Mutex<Value>

  init(_ value: Value) { mutex = Mutex(value) }

  var value: Value { mutex.withLock { $0 } }

  func change(_ body: (inout Value) -> Void) { mutex.withLock { body(&$0) } }
}
