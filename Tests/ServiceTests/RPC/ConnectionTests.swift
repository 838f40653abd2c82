import NIOCore
import NIOPosix
import StreamDiffService
import StreamDiffWire
import Testing

@Suite struct ConnectionTests {
  static let methods: [String: RPCHandler] = [
    "/test.Test/Echo": .unary { $0.respond($0.request) },
    "/test.Test/EchoStream": .stream { call in
      while let message = try await call.next() { try await call.send(message) }
    },
    "/test.Test/Wait": .stream { call in _ = try await call.next() },
  ]

  /// Checks that `server` still serves, however short its patience with a slow connection.
  static func serves(_ server: RPCServer) async {
    for _ in 0..<100 {
      let problem = await failure {
        let client = try await RPCClient.connect(host: server.host, port: server.port)
        let answer = try await client.unary("/test.Test/Echo", text("alive"))
        #expect(answer == text("alive"))
        await client.close()
      }
      if problem == nil { return }
    }
    Issue.record("the server does not serve any more")
  }

  // MARK: What is no gRPC

  @Test(
    "an HTTP/1 request is told what to do, and the connection closes",
    arguments: [
      "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "POST /test.Test/Echo HTTP/1.1\r\n\r\n",
      "OPTIONS * HTTP/1.0\r\n\r\n",
      "PATCH / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
    ])
  func http1(request: String) async throws {
    try await withRPC(Self.methods) { server, _ in
      let peer = try await RawPeer(to: server)
      await peer.send(request)
      let answer = String(decoding: await peer.untilClosed(), as: UTF8.self)
      #expect(answer.hasPrefix("HTTP/1.1 400 Bad Request\r\n"))
      #expect(answer.contains("prior knowledge"))
      #expect(server.counters().connectionsRefused == 1)
      await Self.serves(server)
    }
  }

  @Test(
    "a wrong preface is answered with GOAWAY, and the connection closes",
    arguments: [
      Array("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".utf8), Array("PRI / HTTP/1.1\r\n\r\n".utf8),
      [0x16, 3, 1, 2, 0, 1, 0],
      Array("hello\n".utf8), [0], Array(repeating: 0x41, count: 64),
    ])
  func wrongPreface(bytes: [UInt8]) async throws {
    try await withRPC(Self.methods) { server, _ in
      let peer = try await RawPeer(to: server)
      await peer.send(bytes)
      let frames = Frame.all(in: await peer.untilClosed())
      #expect(frames.last?.goAwayCode == .protocolError)
      await Self.serves(server)
    }
  }

  @Test("bytes that are no frames end the connection with GOAWAY")
  func noFrames() async throws {
    try await withRPC(Self.methods) { server, _ in
      let peer = try await RawPeer(to: server)
      await peer.send(
        Frame.preface + Frame.settings.bytes + Frame(type: 0, stream: 1, payload: [1, 2, 3]).bytes)
      #expect(Frame.goAways(in: await peer.untilClosed()) == [.protocolError])
      await Self.serves(server)
    }
  }

  @Test("a preface may come in pieces")
  func preface() async throws {
    try await withRPC(Self.methods) { server, _ in
      let peer = try await RawPeer(to: server)
      for byte in Frame.preface { await peer.send([byte]) }
      await peer.send(Frame.settings.bytes + Frame(type: 7, payload: Array(repeating: 0, count: 8)).bytes)
      #expect(Frame.all(in: await peer.untilClosed()).first?.type == 4)
    }
  }

  @Test(
    "a request that is not gRPC's is answered in HTTP",
    arguments: [
      (RawRequest.grpc("/test.Test/Echo", method: "GET"), "405"),
      (RawRequest.grpc("/test.Test/Echo", method: "PUT"), "405"),
      (RawRequest.grpc("/test.Test/Echo", contentType: "application/json"), "415"),
      (RawRequest.grpc("/test.Test/Echo", contentType: nil), "415"),
      (
        RawRequest.grpc("/test.Test/Echo") + [HeaderField("x", String(repeating: "y", count: 17 << 10))],
        "431"
      ),
    ])
  func notGRPC(fields: [HeaderField], expected: String) async throws {
    try await withRPC(Self.methods) { server, _ in
      let answer = try await RawRequest.send(fields, body: [0, 0, 0, 0, 0], to: server)
      #expect(answer[":status"] == expected)
      await Self.serves(server)
    }
  }

  @Test(
    "a request that breaks gRPC's rules is answered with its status",
    arguments: [
      ("/test.Test/None", [0, 0, 0, 0, 0], "12", "no method"),
      ("/test.Test/Echo", [0, 0x80, 0, 0, 0], "8", "2147483648 bytes exceeds"),
      ("/test.Test/Echo", [1, 0, 0, 0, 1, 7], "12", "compressed"),
      ("/test.Test/Echo", [9, 0, 0, 0, 0], "3", "flag 9"),
      ("/test.Test/Echo", [0, 0, 0, 0, 9, 1], "13", "within a message"),
      ("/test.Test/Echo", [0, 0], "13", "within a message"),
      ("/test.Test/Echo", [], "12", "none"),
      ("/test.Test/Echo", [0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "12", "one message"),
      ("/test.Test/EchoStream", [0, 0, 0, 0, 9, 1], "13", "within a message"),
      ("/test.Test/EchoStream", [1, 0, 0, 0, 1, 7], "12", "compressed"),
    ] as [(String, [UInt8], String, String)])
  func brokenCall(path: String, body: [UInt8], code: String, words: String) async throws {
    try await withRPC(Self.methods) { server, _ in
      let answer = try await RawRequest.send(RawRequest.grpc(path), body: body, to: server)
      #expect(answer[":status"] == "200")
      #expect(answer["content-type"] == "application/grpc")
      #expect(answer["grpc-status"] == code)
      #expect(answer["grpc-accept-encoding"] == "identity")
      let message = try #require(answer["grpc-message"])
      #expect(message.contains(words), "\(message)")
      #expect(server.counters().callsByStatus[try #require(Int(code))] == 1)
      await Self.serves(server)
    }
  }

  @Test("an answer given before the request ends does not wait for it")
  func earlyAnswer() async throws {
    try await withRPC(Self.methods) { server, _ in
      let answer = try await RawRequest.send(
        RawRequest.grpc("/test.Test/None"), body: [0, 0, 0], endStream: false, to: server)
      #expect(answer["grpc-status"] == "12")
      #expect(answer.closed == .noError)
    }
  }

  @Test("random frames never take the server down", arguments: 0..<40)
  func randomFrames(seed: UInt64) async throws {
    try await withRPC(Self.methods) { server, _ in
      var state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1
      func random(_ bound: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(state >> 33) % bound
      }
      var bytes = Frame.preface + Frame.settings.bytes
      for _ in 0..<30 {
        let payload = (0..<random(40)).map { _ in UInt8(random(256)) }
        bytes +=
          Frame(
            type: UInt8(random(11)), flags: UInt8(random(64)), stream: UInt32(random(6)), payload: payload
          )
          .bytes
      }
      let peer = try await RawPeer(to: server)
      await peer.send(bytes)
      await peer.close()
      await Self.serves(server)
    }
  }

  // MARK: Time

  @Test("a connection that does not begin in time is closed", arguments: ["", "PRI * HT", "GE"])
  func slowPreface(begin: String) async throws {
    var limits = RPCLimits()
    limits.prefaceTimeout = .milliseconds(30)
    try await withRPC(Self.methods, limits: limits) { server, _ in
      let peer = try await RawPeer(to: server)
      if !begin.isEmpty { await peer.send(begin) }
      #expect(await peer.untilClosed() == [])
      await Self.serves(server)
    }
  }

  @Test("headers that come too slowly end the connection")
  func slowHeaders() async throws {
    var limits = RPCLimits()
    limits.prefaceTimeout = .milliseconds(30)
    try await withRPC(Self.methods, limits: limits) { server, _ in
      var frames: [Frame] = []
      try await eventually("a preface that was not too slow itself") {
        let peer = try await RawPeer(to: server)
        // HEADERS without END_HEADERS: a CONTINUATION should follow.
        await peer.send(
          Frame.preface + Frame.settings.bytes + Frame(type: 1, stream: 1, payload: [0x83]).bytes)
        frames = Frame.all(in: await peer.untilClosed())
        return !frames.isEmpty
      }
      #expect(frames.last?.goAwayCode == .enhanceYourCalm)
      await Self.serves(server)
    }
  }

  /// A client with a call that has been answered once. (Before, its connection counts as idle.)
  static func busyClient(of server: RPCServer) async throws -> (RPCClient, ClientStream) {
    var busy: (RPCClient, ClientStream)?
    try await eventually("a call that was not too slow") {
      let client = try await RPCClient.connect(host: server.host, port: server.port)
      let call = try await client.open("/test.Test/EchoStream")
      let problem = await failure {
        try await call.send(text("busy"))
        let answer = try await call.next()
        #expect(answer == text("busy"))
      }
      if problem == nil { busy = (client, call) }
      return problem == nil
    }
    return try #require(busy)
  }

  @Test("a connection without calls is closed after its idle time, one with a call is not")
  func idle() async throws {
    var limits = RPCLimits()
    limits.idleTimeout = .milliseconds(40)
    try await withRPC(Self.methods, limits: limits) { server, _ in
      let (client, call) = try await Self.busyClient(of: server)
      var bytes: [UInt8] = []
      try await eventually("a preface that was not too slow itself") {
        let peer = try await RawPeer(to: server)
        await peer.send(Frame.preface + Frame.settings.bytes)
        bytes = await peer.untilClosed()
        return !bytes.isEmpty
      }
      #expect(Frame.goAways(in: bytes) == [.noError])
      try await call.send(text("still"))
      expect(try await call.next(), is: text("still"))
      call.halfClose()
      #expect(try await call.next() == nil)
      await client.close()
    }
  }

  @Test("a peer that does not answer a keepalive PING counts as gone")
  func keepalive() async throws {
    var limits = RPCLimits()
    limits.keepaliveInterval = .milliseconds(20)
    limits.keepaliveTimeout = .milliseconds(40)
    // The server's side: a client that sends its preface and then nothing.
    try await withRPC(Self.methods, limits: limits) { server, _ in
      let peer = try await RawPeer(to: server)
      await peer.send(Frame.preface + Frame.settings.bytes)
      #expect(Frame.all(in: await peer.untilClosed()).map(\.type).contains(Frame.pingType))
      await Self.serves(server)
    }
    // The client's side: a server that accepts and says nothing.
    let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .bind(host: "127.0.0.1", port: 0).get()
    let client = try await RPCClient.connect(
      host: "127.0.0.1", port: try #require(listener.localAddress?.port), limits: limits)
    let lost = await failure { _ = try await client.unary("/test.Test/Echo", text("anyone?")) }
    #expect(lost?.isLost == true)
    try await listener.close()
  }

  // MARK: Limits

  @Test("one connection too many is told to come back later")
  func connections() async throws {
    var limits = RPCLimits()
    limits.connections = 1
    limits.idleGrace = .hours(1)  // on a slow machine too
    try await withRPC(Self.methods, limits: limits) { server, client in
      expect(try await client.unary("/test.Test/Echo", text("first")), is: text("first"))
      let peer = try await RawPeer(to: server)
      #expect(Frame.goAways(in: await peer.untilClosed()) == [.enhanceYourCalm])
      let second = try await RPCClient.connect(host: server.host, port: server.port)
      await expectUnreachable { _ = try await second.unary("/test.Test/Echo", ByteBuffer()) }
      await second.close()
      expect(try await client.unary("/test.Test/Echo", text("again")), is: text("again"))
    }
  }

  @Test("a silent connection gives way to a new one")
  func silentGivesWay() async throws {
    var limits = RPCLimits()
    limits.connections = 2
    limits.prefaceTimeout = .hours(1)  // not before, on a slow machine
    try await withRPC(Self.methods, limits: limits) { server, client in
      expect(try await client.unary("/test.Test/Echo", text("first")), is: text("first"))
      let silent = try await RawPeer(to: server)
      await silent.send("PRI * HT")
      // Two loops may take in two connections in either order: this one has to be there before the next.
      try await eventually("two connections") { server.counters().connectionsOpen == 2 }
      let second = try await RPCClient.connect(host: server.host, port: server.port)
      expect(try await second.unary("/test.Test/Echo", text("second")), is: text("second"))
      #expect(await silent.untilClosed() == [])
      #expect(server.counters().connectionsEvicted == 1)
      expect(try await client.unary("/test.Test/Echo", text("still")), is: text("still"))
      await second.close()
    }
  }

  @Test("one that has had no call for a while gives way too, and is told so")
  func idleGivesWay() async throws {
    var limits = RPCLimits()
    limits.connections = 1
    limits.idleGrace = .zero
    try await withRPC(Self.methods, limits: limits) { server, client in
      expect(try await client.unary("/test.Test/Echo", text("first")), is: text("first"))
      let second = try await RPCClient.connect(host: server.host, port: server.port)
      let call = try await second.open("/test.Test/EchoStream")
      try await call.send(text("second"))
      expect(try await call.next(), is: text("second"))
      // A call is open there: nobody else gives way.
      let third = try await RPCClient.connect(host: server.host, port: server.port)
      await expectUnreachable { _ = try await third.unary("/test.Test/Echo", ByteBuffer()) }
      await expectUnreachable { _ = try await client.unary("/test.Test/Echo", ByteBuffer()) }
      await third.close()
      call.halfClose()
      #expect(try await call.next() == nil)
      await second.close()
    }
  }

  @Test("resets beyond an honest rate end the connection, and so do frames of nothing")
  func floods() async throws {
    var limits = RPCLimits()
    (limits.resetBurst, limits.idleFrameBurst) = (100, 100)
    (limits.resetsPerSecond, limits.idleFramesPerSecond) = (0, 0)
    let ping = Frame(type: Frame.pingType, payload: Array(repeating: 0, count: 8)).bytes
    let update = Frame(type: 8, payload: [0, 0, 0, 1]).bytes
    for flood in [ping, update, Frame.settings.bytes] {
      try await withRPC(Self.methods, limits: limits) { server, _ in
        let peer = try await RawPeer(to: server)
        await peer.send(
          Frame.preface + Frame.settings.bytes + Array(repeatElement(flood, count: 200).joined()))
        #expect(Frame.goAways(in: await peer.untilClosed()) == [.enhanceYourCalm])
        await Self.serves(server)
      }
    }
  }

  @Test("a request that never comes whole, and an answer that is never read, end their call")
  func noPart() async throws {
    var limits = RPCLimits()
    limits.lookInterval = .milliseconds(10)
    limits.messageTimeout = .milliseconds(50)
    try await withRPC(Self.methods, limits: limits) { server, _ in
      for body in [[], [0, 0, 0, 0, 9, 1]] as [[UInt8]] {
        let slow = try await RawRequest.send(
          RawRequest.grpc("/test.Test/Echo"), body: body, endStream: false, to: server)
        #expect(slow["grpc-status"] == "4", "\(slow)")
      }
      #expect(server.counters().callsCut == 2)
    }
    limits = RPCLimits()
    limits.lookInterval = .milliseconds(10)
    limits.unreadTimeout = .milliseconds(50)
    var narrow = RPCLimits()
    narrow.streamWindow = 100
    narrow.messageBytes = 100
    try await withRPC(Self.methods, limits: limits, clientLimits: narrow) { server, client in
      let call = try await client.open("/test.Test/EchoStream")
      // Answers that fill the window, of which none is taken.
      for _ in 0..<100 { try await call.send(pattern(90)) }
      try await eventually("a call that is cut") { server.counters().callsCut > 0 }
      let cut = await failure { while try await call.next() != nil {} }
      #expect(cut?.status.code == .cancelled, "\(cut as Any)")
      #expect(server.counters().callsCut == 1)
    }
  }

  // MARK: Ends

  @Test("draining lets open calls end, refuses new ones, and returns when all is closed")
  func drain() async throws {
    let server = try await RPCServer.bind(host: "127.0.0.1", port: 0, router: RPCRouter(Self.methods))
    let client = try await RPCClient.connect(host: server.host, port: server.port)
    let call = try await client.open("/test.Test/EchoStream")
    try await call.send(text("one"))
    expect(try await call.next(), is: text("one"))
    async let drained: Void = server.drain(grace: .seconds(60))
    // Calls go through until the GOAWAY is here.
    var refusal: RPCError?
    try await eventually("a call that is refused") {
      refusal = await failure { _ = try await client.unary("/test.Test/Echo", ByteBuffer()) }
      return refusal != nil
    }
    #expect(refusal?.isUnreachable == true)
    try await call.send(text("two"))
    expect(try await call.next(), is: text("two"))
    call.halfClose()
    #expect(try await call.next() == nil)
    await drained
    #expect(server.counters().connectionsOpen == 0)
    await client.close()
    await expectUnreachable { _ = try await RPCClient.connect(host: server.host, port: server.port) }
  }

  @Test("after the grace of a drain, calls end with UNAVAILABLE and their handlers are cancelled")
  func drainWithoutGrace() async throws {
    let server = try await RPCServer.bind(host: "127.0.0.1", port: 0, router: RPCRouter(Self.methods))
    let client = try await RPCClient.connect(host: server.host, port: server.port)
    let call = try await client.open("/test.Test/Wait")
    expect(try await client.unary("/test.Test/Echo", text("first")), is: text("first"))
    await server.drain(grace: .milliseconds(10))
    await expect(GRPCStatus(.unavailable, "the server is shutting down")) { _ = try await call.next() }
    #expect(server.counters().connectionsOpen == 0)
    await client.close()
  }

  @Test("a port where nobody listens is unreachable")
  func unreachable() async throws {
    let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .bind(host: "127.0.0.1", port: 0).get()
    let port = try #require(listener.localAddress?.port)
    try await listener.close()
    await expectUnreachable { _ = try await RPCClient.connect(host: "127.0.0.1", port: port) }
  }

  @Test("a call on a closed client is unreachable")
  func closedClient() async throws {
    try await withRPC(Self.methods) { _, client in
      await client.close()
      await expectUnreachable { _ = try await client.unary("/test.Test/Echo", ByteBuffer()) }
    }
  }
}
