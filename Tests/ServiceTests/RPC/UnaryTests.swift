import NIOCore
import NIOPosix
import StreamDiffService
import StreamDiffWire
import Testing

@Suite struct UnaryTests {
  static let methods: [String: RPCHandler] = [
    "/test.Test/Echo": .unary { $0.respond($0.request) },
    "/test.Test/Pool": .unary { call in
      NIOThreadPool.singleton.submit { _ in call.respond(call.request) }
    },
    "/test.Test/Never": .unary { _ in },
    "/test.Test/Twice": .unary { call in
      call.respond(text("first"))
      call.respond(text("second"))
      call.fail(GRPCStatus(.internal, "third"))
    },
    "/test.Test/Fail": .unary { call in
      var trailers = Metadata()
      try? trailers.add("streamdiff-leader", "10.0.0.1:7400")
      call.fail(GRPCStatus(.failedPrecondition, "pas le café\n100%"), trailers: trailers)
    },
    "/test.Test/Metadata": .unary { call in
      call.respond(
        text("\(call.metadata["plain"] ?? "-") \(call.metadata.binary("raw-bin") ?? [])"),
        trailers: call.metadata)
    },
    "/test.Test/Deadline": .unary { call in call.respond(text(call.deadline == nil ? "none" : "some")) },
  ]

  @Test(
    "a unary call answers with one message, of any size up to the limit",
    arguments: [0, 1, 2047, 2048, 70_000, 4 << 20])
  func echo(size: Int) async throws {
    try await withRPC(Self.methods) { server, client in
      let message = pattern(size)
      let answer = try await client.unary("/test.Test/Echo", message)
      #expect(answer == message)
      #expect(server.counters().callsOK == 1)
    }
  }

  @Test("answers from other threads reach the calls that asked, whatever their order")
  func concurrent() async throws {
    try await withRPC(Self.methods) { server, client in
      try await withThrowingTaskGroup { group in
        for number in 0..<400 {
          group.addTask {
            let message = pattern(number * 7, seed: number)
            let answer = try await client.unary("/test.Test/\(number % 2 == 0 ? "Pool" : "Echo")", message)
            #expect(answer == message)
          }
        }
        try await group.waitForAll()
      }
      #expect(server.counters().callsOK == 400)
    }
  }

  @Test("of several answers to one call the first stands")
  func answeredTwice() async throws {
    try await withRPC(Self.methods) { server, client in
      expect(try await client.unary("/test.Test/Twice", ByteBuffer()), is: text("first"))
      expect(try await client.unary("/test.Test/Echo", text("next")), is: text("next"))
      #expect(server.counters().callsTotal == 2)
    }
  }

  @Test("a status arrives with its message and trailers as they were given")
  func failure() async throws {
    try await withRPC(Self.methods) { server, client in
      do throws(RPCError) {
        _ = try await client.unary("/test.Test/Fail", ByteBuffer())
        Issue.record("the call must fail")
      } catch {
        #expect(error.status == GRPCStatus(.failedPrecondition, "pas le café\n100%"))
        #expect(error.trailers["streamdiff-leader"] == "10.0.0.1:7400")
      }
      #expect(server.counters().callsByStatus[GRPCStatusCode.failedPrecondition.rawValue] == 1)
    }
  }

  @Test("metadata of both kinds arrives unchanged")
  func metadata() async throws {
    try await withRPC(Self.methods) { _, client in
      var metadata = Metadata()
      try metadata.add("plain", "some value")
      try metadata.add("raw-bin", binary: [0, 255, 7])
      let answer = try await client.unary("/test.Test/Metadata", ByteBuffer(), metadata: metadata)
      #expect(String(buffer: answer) == "some value [0, 255, 7]")
    }
  }

  @Test("a method that is not there is UNIMPLEMENTED", arguments: ["/test.Test/None", "/none/Echo", "/"])
  func unknown(path: String) async throws {
    try await withRPC(Self.methods) { _, client in
      await expect(.unimplemented) { _ = try await client.unary(path, ByteBuffer()) }
    }
  }

  @Test("a deadline ends a call at both ends, and is not there unless asked for")
  func deadline() async throws {
    try await withRPC(Self.methods) { server, client in
      let ended = await status {
        _ = try await client.unary("/test.Test/Never", ByteBuffer(), timeout: .milliseconds(30))
      }
      #expect(ended?.code == .deadlineExceeded)
      expect(try await client.unary("/test.Test/Deadline", ByteBuffer()), is: text("none"))
      expect(
        try await client.unary("/test.Test/Deadline", ByteBuffer(), timeout: .seconds(60)), is: text("some"))
      #expect(server.counters().callsOK == 2)
    }
  }

  @Test("a server answers DEADLINE_EXCEEDED by itself")
  func serverDeadline() async throws {
    try await withRPC(Self.methods) { server, _ in
      let fields = RawRequest.grpc("/test.Test/Never") + [HeaderField("grpc-timeout", "20m")]
      let answer = try await RawRequest.send(fields, body: [0, 0, 0, 0, 0], to: server)
      #expect(answer["grpc-status"] == "4")
      #expect(server.counters().callsByStatus[4] == 1)
    }
  }

  @Test(
    "a deadline may be a moment or ten thousand years away",
    arguments: [("1u", "Never", "4"), ("1n", "Never", "4"), ("99999999H", "Echo", "0")])
  func extremeDeadline(timeout: String, method: String, code: String) async throws {
    try await withRPC(Self.methods) { server, _ in
      let fields = RawRequest.grpc("/test.Test/\(method)") + [HeaderField("grpc-timeout", timeout)]
      let answer = try await RawRequest.send(fields, body: [0, 0, 0, 0, 0], to: server)
      #expect(answer["grpc-status"] == code)
    }
  }

  @Test("cancelling the task that calls cancels the call")
  func cancelled() async throws {
    let called = Signal()
    let methods: [String: RPCHandler] = ["/test.Test/Never": .unary { _ in called.give() }]
    try await withRPC(methods) { server, client in
      let task = Task { await status { _ = try await client.unary("/test.Test/Never", ByteBuffer()) } }
      await called.wait()
      task.cancel()
      #expect(await task.value?.code == .cancelled)
    }
  }

  @Test("a message over the limit is RESOURCE_EXHAUSTED, at the server and at the client")
  func tooLarge() async throws {
    var small = RPCLimits()
    small.messageBytes = 1000
    try await withRPC(Self.methods, limits: small) { _, client in
      expect(try await client.unary("/test.Test/Echo", pattern(1000)), is: pattern(1000))
      let ended = await status { _ = try await client.unary("/test.Test/Echo", pattern(1001)) }
      #expect(ended?.code == .resourceExhausted)
      #expect(ended?.message == "a message of 1001 bytes exceeds 1000")
    }
    try await withRPC(Self.methods, clientLimits: small) { _, client in
      let ended = await status { _ = try await client.unary("/test.Test/Echo", pattern(1001)) }
      #expect(ended?.code == .resourceExhausted)
      expect(try await client.unary("/test.Test/Echo", pattern(9)), is: pattern(9))
    }
  }

  @Test("many long messages at once pass through a window that holds few of them")
  func narrowWindow() async throws {
    var narrow = RPCLimits()
    narrow.messageBytes = 100_000
    narrow.streamWindow = 1000
    narrow.connectionWindow = 1000
    try await withRPC(Self.methods, limits: narrow, clientLimits: narrow) { _, client in
      try await withThrowingTaskGroup { group in
        for number in 0..<50 {
          group.addTask {
            let message = pattern(100_000, seed: number)
            expect(try await client.unary("/test.Test/Pool", message), is: message)
          }
        }
        try await group.waitForAll()
      }
    }
  }

  @Test("incomplete messages are bounded over a connection")
  func incomplete() async throws {
    var limits = RPCLimits()
    limits.heldBytes = 1000
    try await withRPC(Self.methods, limits: limits) { server, _ in
      let answer = try await RawRequest.send(
        RawRequest.grpc("/test.Test/Echo"), body: [0, 0, 0, 8, 0] + Array(repeating: 1, count: 1500),
        endStream: false,
        to: server)
      #expect(answer["grpc-status"] == "8")
    }
  }

  @Test("socket bytes are counted alike at both ends")
  func bytes() async throws {
    try await withRPC(Self.methods) { server, client in
      _ = try await client.unary("/test.Test/Echo", pattern(100_000))
      #expect(client.bytesSent > 100_000)
      #expect(client.bytesReceived > 100_000)
      #expect(client.bytesSent < 101_000)
      #expect(client.bytesReceived < 101_000)
      #expect(server.counters().bytesSent >= client.bytesReceived)
      #expect(server.counters().connectionsOpen == 1)
    }
  }
}
