import NIOCore
import StreamDiffService
import StreamDiffWire
import Testing

@Suite struct StreamingTests {
  static func echo(_ call: ServerStream) async throws {
    while let message = try await call.next() { try await call.send(message) }
  }

  static let methods: [String: RPCHandler] = [
    "/test.Test/Echo": .stream(echo),
    "/test.Test/LoopEcho": .loopStream(echo),
    "/test.Test/Count": .loopStream { call in
      var (messages, bytes) = (0, 0)
      while let message = try await call.next() {
        messages += 1
        bytes += message.readableBytes
      }
      try await call.send(text("\(messages) \(bytes)"))
    },
    "/test.Test/Source": .stream { call in
      let count = try await call.next().flatMap { Int(String(buffer: $0)) } ?? 0
      for number in 0..<count { try await call.send(pattern(number % 5000, seed: number)) }
    },
    "/test.Test/Refuse": .stream { call in
      _ = try await call.next()
      try await call.send(text("one"))
      throw GRPCStatus(.dataLoss, "chunk 3: checksum")
    },
    "/test.Test/Broken": .stream { _ in throw Broken() },
    "/test.Test/Headers": .stream { call in
      call.sendInitialMetadata(call.metadata)
      _ = try await call.next()
      call.setTrailers(call.metadata)
    },
  ]

  struct Broken: Error {}

  @Test("messages go back and forth in order", arguments: ["Echo", "LoopEcho"])
  func pingPong(method: String) async throws {
    try await withRPC(Self.methods) { server, client in
      let call = try await client.open("/test.Test/\(method)")
      for number in 0..<100 {
        try await call.send(pattern(number * 50, seed: number))
        expect(try await call.next(), is: pattern(number * 50, seed: number))
      }
      call.halfClose()
      #expect(try await call.next() == nil)
      #expect(try await call.next() == nil)
      #expect(server.counters().callsOK == 1)
    }
  }

  @Test(
    "a client's stream of many messages arrives whole", arguments: [(0, 20_000), (64, 20_000), (65_536, 300)])
  func upload(size: Int, count: Int) async throws {
    try await withRPC(Self.methods) { _, client in
      let call = try await client.open("/test.Test/Count")
      for _ in 0..<count { try await call.send(pattern(size)) }
      call.halfClose()
      expect(try await call.next(), is: text("\(count) \(size * count)"))
      #expect(try await call.next() == nil)
    }
  }

  @Test("a server's stream of many messages arrives whole and in order, also when taken late")
  func download() async throws {
    try await withRPC(Self.methods) { _, client in
      let call = try await client.open("/test.Test/Source")
      try await call.send(text("6000"))
      call.halfClose()
      for number in 0..<6000 { expect(try await call.next(), is: pattern(number % 5000, seed: number)) }
      #expect(try await call.next() == nil)
    }
  }

  @Test("a task on the connection's loop sends and takes like any other")
  func onTheLoop() async throws {
    try await withRPC(Self.methods) { _, client in
      try await withTaskExecutorPreference(client.executor) {
        let call = try await client.open("/test.Test/LoopEcho")
        async let received = {
          var count = 0
          while try await call.next() != nil { count += 1 }
          return count
        }()
        for _ in 0..<1000 { try await call.send(pattern(10_000)) }
        call.halfClose()
        #expect(try await received == 1000)
      }
    }
  }

  @Test("a sender waits while nobody takes its messages, and goes on when somebody does")
  func backPressure() async throws {
    var limits = RPCLimits()
    limits.messageBytes = 64 << 10
    limits.streamWindow = 128 << 10
    limits.sendQueueBytes = 64 << 10
    let (mayRead, hasAll) = (Signal(), Signal())
    let taken = Shared(0)
    let methods: [String: RPCHandler] = [
      "/test.Test/Late": .stream { call in
        await mayRead.wait()
        while let message = try await call.next() { taken.change { $0 += message.readableBytes } }
        hasAll.give()
      }
    ]
    try await withRPC(methods, limits: limits, clientLimits: limits) { server, client in
      let call = try await client.open("/test.Test/Late")
      let sent = Shared(0)
      let total = 64 << 20
      try await withThrowingTaskGroup { group in
        group.addTask {
          for _ in 0..<(total >> 10) {
            try await call.send(pattern(1024))
            sent.change { $0 += 1024 }
          }
          call.halfClose()
        }
        // The window is full when the server has received that much; round trips later no more has come.
        try await eventually("a full window") { server.counters().bytesReceived >= 128 << 10 }
        for _ in 0..<20 { _ = await status { _ = try await client.unary("/none/None", ByteBuffer()) } }
        #expect(taken.value == 0)
        // What the server's window, its session's early credit and the client's two queues hold.
        #expect(sent.value < 128 << 10 + 64 << 10 + 4 * (64 << 10))
        mayRead.give()
        try await group.waitForAll()
      }
      await hasAll.wait()
      #expect(taken.value == total)
    }
  }

  @Test("a handler's status follows the messages before it")
  func refuse() async throws {
    try await withRPC(Self.methods) { server, client in
      let call = try await client.open("/test.Test/Refuse")
      try await call.send(text("begin"))
      expect(try await call.next(), is: text("one"))
      await expect(GRPCStatus(.dataLoss, "chunk 3: checksum")) { _ = try await call.next() }
      await expect(.dataLoss) { for _ in 0..<100_000 { try await call.send(text("more")) } }
      #expect(server.counters().callsByStatus[15] == 1)
    }
  }

  @Test("an error of a handler that is no status is UNKNOWN")
  func broken() async throws {
    try await withRPC(Self.methods) { _, client in
      let call = try await client.open("/test.Test/Broken")
      await expect(.unknown) { _ = try await call.next() }
    }
  }

  @Test("initial metadata arrives before any message, trailers with the status")
  func headers() async throws {
    try await withRPC(Self.methods) { _, client in
      var metadata = Metadata()
      try metadata.add("answer", "42")
      let call = try await client.open("/test.Test/Headers", metadata: metadata)
      try await eventually("initial metadata") { !call.initialMetadata.isEmpty }
      #expect(call.initialMetadata["answer"] == "42")
      #expect(call.trailers.isEmpty)
      call.halfClose()
      #expect(try await call.next() == nil)
      #expect(call.trailers["answer"] == "42")
    }
  }

  enum Leaving: CaseIterable { case cancel, letGo, disconnect }

  @Test("a handler learns that its client has gone", arguments: Leaving.allCases, [true, false])
  func clientGone(how: Leaving, onLoop: Bool) async throws {
    let (begun, ended) = (Signal(), Signal())
    let end = Shared<GRPCStatus?>(nil)
    let handler: @Sendable (ServerStream) async throws -> Void = { call in
      begun.give()
      let result = await status { _ = try await call.next() }
      end.change { $0 = result }
      #expect(Task.isCancelled)
      ended.give()
    }
    try await withRPC(["/test.Test/Wait": onLoop ? .loopStream(handler) : .stream(handler)]) {
      server, client in
      var call: ClientStream? = try await client.open("/test.Test/Wait")
      await begun.wait()
      switch how {
      case .cancel:
        call?.cancel()
        await expect(.cancelled) { _ = try await call?.next() }
      case .letGo: call = nil
      case .disconnect: await server.drain(grace: .zero)
      }
      await ended.wait()
      #expect(end.value?.code == (how == .disconnect ? .unavailable : .cancelled))
      _ = call
    }
  }

  @Test("a deadline ends a stream at both ends")
  func deadline() async throws {
    let ended = Signal()
    let methods: [String: RPCHandler] = [
      "/test.Test/Wait": .stream { call in
        _ = await status { _ = try await call.next() }
        ended.give()
      }
    ]
    try await withRPC(methods) { _, client in
      let call = try await client.open("/test.Test/Wait", timeout: .milliseconds(30))
      await expect(.deadlineExceeded) { _ = try await call.next() }
      await ended.wait()
    }
  }

  @Test("a task that is cancelled stops waiting, and its call goes on")
  func cancelledReader() async throws {
    try await withRPC(Self.methods) { _, client in
      let call = try await client.open("/test.Test/Echo")
      let reader = Task { await status { _ = try await call.next() } }
      reader.cancel()
      #expect(await reader.value?.code == .cancelled)
      try await call.send(text("still here"))
      expect(try await call.next(), is: text("still here"))
    }
  }

  @Test("a cancelled task that goes on sending queues no more than the limit")
  func cancelledSender() async throws {
    var limits = RPCLimits()
    limits.messageBytes = 64 << 10
    limits.streamWindow = 64 << 10
    limits.sendQueueBytes = 64 << 10
    // Takes nothing and ends when it is cancelled; nobody waits for the time to pass.
    let methods: [String: RPCHandler] = [
      "/test.Test/Deaf": .stream { _ in try await Task.sleep(for: .seconds(60)) }
    ]
    try await withRPC(methods, limits: limits, clientLimits: limits) { _, client in
      let call = try await client.open("/test.Test/Deaf")
      let sender = Task {
        while true { try await call.send(pattern(1024)) }
      }
      sender.cancel()
      let end = await sender.result
      #expect(throws: RPCError.self) { try end.get() }
      call.cancel()
    }
  }

  @Test("more calls than the server takes at once wait for their turn; more than the client allows fail")
  func concurrency() async throws {
    var (few, fewer) = (RPCLimits(), RPCLimits())
    few.concurrentCalls = 4
    fewer.concurrentCalls = 2
    try await withRPC(Self.methods, limits: few) { _, client in
      // Until the server's SETTINGS are here, a call too many is refused.
      await expect(.unimplemented) { _ = try await client.unary("/none/None", ByteBuffer()) }
      try await withThrowingTaskGroup { group in
        for _ in 0..<64 {
          group.addTask {
            let call = try await client.open("/test.Test/Echo")
            try await call.send(text("hello"))
            expect(try await call.next(), is: text("hello"))
            call.halfClose()
            #expect(try await call.next() == nil)
          }
        }
        try await group.waitForAll()
      }
    }
    try await withRPC(Self.methods, clientLimits: fewer) { _, client in
      let held = [try await client.open("/test.Test/Echo"), try await client.open("/test.Test/Echo")]
      let third = try await client.open("/test.Test/Echo")
      await expect(.resourceExhausted) { _ = try await third.next() }
      for call in held { call.halfClose() }
      for call in held { #expect(try await call.next() == nil) }
    }
  }
}
