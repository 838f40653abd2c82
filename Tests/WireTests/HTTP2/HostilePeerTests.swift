import NIOCore
import StreamDiffWire
import Testing

@Suite struct HostilePeerTests {
  private func server(_ change: (inout HTTP2Settings) -> Void = { _ in }) throws -> HTTP2Session {
    var settings = HTTP2Settings()
    change(&settings)
    let server = try HTTP2Session(.server, settings: settings)
    try server.receive(ByteBuffer(bytes: RawFrame.preface + RawFrame.settings + RawFrame.settingsAck))
    _ = try server.takeOutput()
    _ = server.takeEvents()
    return server
  }

  private func output(of session: HTTP2Session) throws -> [UInt8] {
    var bytes: [UInt8] = []
    while let output = try session.takeOutput() {
      for buffer in output.buffers { bytes += buffer.readableBytesView }
    }
    return bytes
  }

  /// Frames of some bytes: type, flags, stream.
  private func frames(_ bytes: [UInt8]) -> [[Int]] {
    var (frames, index) = ([[Int]](), 0)
    while index + 9 <= bytes.count {
      let count = Int(bytes[index]) << 16 | Int(bytes[index + 1]) << 8 | Int(bytes[index + 2])
      frames.append([Int(bytes[index + 3]), Int(bytes[index + 4]), Int(bytes[index + 8])])
      index += 9 + count
    }
    return frames
  }

  @Test("Header fields over the limit are answered 431, and other requests are not troubled")
  func longHeaders() throws {
    let pair = try SessionPair()
    try pair.settle()
    let long = SessionPair.request + [HeaderField("x", String(repeating: "y", count: 17_000))]
    let refused = try pair.client.submitRequest(long)
    pair.client.write(ByteBuffer(repeating: 1, count: 100_000), on: refused)
    let fine = try pair.client.submitRequest(SessionPair.request, endStream: true)
    let (client, server) = try pair.exchange()
    #expect(words(server).filter { $0 != "settings" } == ["headers 3 /test.Service/Method", "ended 3"])
    #expect(words(client).contains("headers 1 431") && words(client).contains("closed 1 NO_ERROR"))
    #expect(pair.server.openStreams == 1 && pair.server.isOpen(fine))
  }

  @Test("Header fields exactly at the limit pass")
  func headersAtLimit() throws {
    var settings = HTTP2Settings()
    settings.headerListBytes = SessionPair.request.reduce(0) { $0 + $1.listSize } + 1 + 100 + 32
    let pair = try SessionPair(server: settings)
    _ = try pair.client.submitRequest(
      SessionPair.request + [HeaderField("x", String(repeating: "y", count: 100))])
    _ = try pair.client.submitRequest(
      SessionPair.request + [HeaderField("x", String(repeating: "y", count: 101))])
    let (client, server) = try pair.exchange()
    #expect(words(server) == ["settings", "headers 1 /test.Service/Method"])
    #expect(words(client).contains("headers 3 431"))
  }

  @Test("Trailers over the limit reset the stream")
  func longTrailers() throws {
    let pair = try SessionPair()
    let id = try pair.client.submitRequest(SessionPair.request, endStream: true)
    try pair.settle()
    try pair.server.submitResponse(GRPCResponse.head(), on: id)
    pair.server.finish(id, trailers: [HeaderField("x", String(repeating: "y", count: 17_000))])
    let client = words(try pair.exchange().client)
    #expect(client.last == "closed 1 ENHANCE_YOUR_CALM" && !client.contains { $0.hasPrefix("trailers") })
  }

  @Test("A header section that grows on and on ends the connection before it is complete")
  func endlessHeaders() throws {
    let server = try server()
    var block = RawFrame.request.flatMap { RawFrame.literal($0.0, $0.1) }
    // One field of 4 000 bytes goes to the table; each further byte repeats it.
    block += [0x40] + RawFrame.literal("a", String(repeating: "b", count: 4_000)).dropFirst()
    try server.receive(ByteBuffer(bytes: RawFrame.frame(1, flags: 0, stream: 1, block)))
    #expect(server.isReceivingHeaders)
    let bomb = RawFrame.frame(9, stream: 1, [UInt8](repeating: 0x80 | 62, count: 10_000))
    #expect {
      try server.receive(ByteBuffer(bytes: bomb))
    } throws: { error in
      (error as? WireError)?.code == .tooLarge
    }
    #expect(server.takeEvents().isEmpty)
    #expect(frames(try output(of: server)).last?.first == 7, "a GOAWAY says why")
    #expect(server.isFinished)
  }

  @Test("CONTINUATION without end is cut")
  func continuations() throws {
    let server = try server()
    let start = RawFrame.frame(1, stream: 1, RawFrame.request.flatMap { RawFrame.literal($0.0, $0.1) })
    #expect(throws: WireError.self) {
      try server.receive(ByteBuffer(bytes: start))
      for _ in 0..<100 { try server.receive(ByteBuffer(bytes: RawFrame.frame(9, stream: 1))) }
    }
  }

  @Test("1 500 quick cancels are honest")
  func quickCancels() throws {
    let pair = try SessionPair()
    try pair.settle()
    for _ in 0..<1_500 {
      let id = try pair.client.submitRequest(SessionPair.request)
      try pair.settle()
      pair.client.reset(id, .cancel)
      try pair.settle()
    }
    #expect(!pair.server.isFinished && pair.server.openStreams == 0)
    _ = try pair.client.submitRequest(SessionPair.request)
    #expect(words(try pair.exchange().server).last == "headers 3001 /test.Service/Method")
  }

  @Test("Frames that bring nothing are counted, each kind of them")
  func frameCounts() throws {
    let server = try server()
    _ = server.takeFrameCounts()
    func counted(_ bytes: [UInt8]) throws -> [Int] {
      try server.receive(ByteBuffer(bytes: bytes))
      let counts = server.takeFrameCounts()
      return [counts.resets, counts.idle]
    }
    #expect(try counted(RawFrame.headers(RawFrame.request, stream: 1, endStream: false)) == [0, 0])
    #expect(try counted(RawFrame.frame(0, stream: 1, [7])) == [0, 0])
    #expect(try counted(RawFrame.frame(0, stream: 1)) == [0, 1])
    #expect(
      try counted(RawFrame.frame(0, flags: 8, stream: 1, [3, 0, 0, 0])) == [0, 1], "nothing but padding")
    #expect(try counted(RawFrame.frame(8, stream: 1, [0, 0, 0, 1])) == [0, 1])
    #expect(try counted(RawFrame.frame(8, [0, 0, 0, 1])) == [0, 1])
    #expect(try counted(RawFrame.frame(2, stream: 1, [0, 0, 0, 0, 16])) == [0, 1])
    #expect(try counted(RawFrame.frame(6, [UInt8](repeating: 0, count: 8))) == [0, 1])
    #expect(try counted(RawFrame.settings) == [0, 1])
    #expect(try counted(RawFrame.reset(1)) == [1, 0])
    let next = RawFrame.headers(RawFrame.request, stream: 3, endStream: false)
    #expect(try counted(next + RawFrame.frame(0, flags: 1, stream: 3)) == [0, 0], "an end is something")
  }

  @Test("Frames that make us reset streams, again and again, end the connection")
  func madeReset() throws {
    let server = try server { $0.invalidFrames = 100 }
    #expect(throws: WireError(.malformed, "over 100 invalid frames")) {
      for stream in 0..<200 {
        let id = UInt32(stream * 2 + 1)
        // A window over 2^31 - 1 is an error of the stream (RFC 9113 §6.9.1).
        let update = RawFrame.frame(8, stream: id, [127, 255, 255, 255])
        let request = RawFrame.headers(RawFrame.request, stream: id, endStream: false)
        try server.receive(ByteBuffer(bytes: request + update))
        _ = try output(of: server)
      }
    }
  }

  @Test("Streams over the limit are refused, and end the connection of a peer that knows the limit")
  func tooManyStreams() throws {
    let server = try server { $0.maxConcurrentStreams = 5 }
    for stream in 0..<7 {
      try server.receive(
        ByteBuffer(bytes: RawFrame.headers(RawFrame.request, stream: UInt32(stream * 2 + 1))))
    }
    #expect(server.openStreams <= 5)
    _ = try output(of: server)
    #expect(words(server.takeEvents()).filter { $0.hasPrefix("headers") }.count == 5)
  }

  @Test(
    "A peer that makes us answer and never reads is cut", arguments: ["ping", "settings", "refused streams"])
  func neverReads(_ kind: String) throws {
    var settings = HTTP2Settings()
    settings.maxConcurrentStreams = 5
    let server = try HTTP2Session(.server, settings: settings)
    try server.receive(ByteBuffer(bytes: RawFrame.preface + RawFrame.settings))
    #expect(throws: WireError.self) {
      for turn in 0..<100_000 {
        let bytes: [UInt8] =
          switch kind {
          case "ping": RawFrame.frame(6, [UInt8](repeating: 0, count: 8))
          case "settings": RawFrame.settings
          default: RawFrame.headers(RawFrame.request, stream: UInt32(turn * 2 + 1))
          }
        try server.receive(ByteBuffer(bytes: bytes))
      }
    }
  }

  @Test("More payload than the window is a flow-control error")
  func overWindow() throws {
    let server = try server { $0.streamWindow = 1_000 }
    try server.receive(ByteBuffer(bytes: RawFrame.headers(RawFrame.request, stream: 1, endStream: false)))
    try server.receive(ByteBuffer(bytes: RawFrame.frame(0, stream: 1, [UInt8](repeating: 0, count: 1_001))))
    _ = try output(of: server)
    #expect(
      words(server.takeEvents()).last { $0.hasPrefix("closed") || $0.hasPrefix("failed") }?
        .hasSuffix("FLOW_CONTROL_ERROR") == true)
  }

  @Test(
    "What is no HTTP/2 is refused at once",
    arguments: ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\u{16}\u{03}\u{01}"])
  func otherProtocols(text: String) throws {
    let server = try HTTP2Session(.server)
    #expect {
      try server.receive(ByteBuffer(string: text))
      try server.receive(ByteBuffer(string: String(repeating: "x", count: 24)))
    } throws: { error in
      (error as? WireError)?.code == .malformed
    }
  }

  @Test(
    "Requests that break HTTP are reset and never shown",
    arguments: [
      [(":method", "POST"), (":scheme", "http")],
      [(":method", "POST"), (":scheme", "http"), (":path", "/x"), ("Upper", "case")],
      [(":method", "POST"), (":scheme", "http"), (":path", "/x"), ("connection", "close")],
      [(":method", "POST"), (":scheme", "http"), (":path", "/x"), (":path", "/y")],
      [("x", "y"), (":method", "POST"), (":scheme", "http"), (":path", "/x")],
    ])
  func brokenRequests(fields: [(String, String)]) throws {
    let server = try server()
    try server.receive(ByteBuffer(bytes: RawFrame.headers(fields, stream: 1)))
    #expect(words(server.takeEvents()).isEmpty)
    #expect(frames(try output(of: server)).contains([3, 0, 1]))
    #expect(server.openStreams == 0)
    #expect(!server.isFinished)
  }

  @Test("Random frames never crash a server", arguments: 0..<200)
  func fuzzServer(seed: Int) throws {
    var random = Seeded(UInt64(seed))
    let server = try server { ($0.streamWindow, $0.connectionWindow) = (70_000, 100_000) }
    for _ in 0..<300 where !server.isFinished {
      do {
        try server.receive(ByteBuffer(bytes: randomFrame(&random)))
        for event in server.takeEvents() { try answer(event, by: server, &random) }
        _ = try output(of: server)
      } catch is WireError {
        _ = try? output(of: server)
        return
      }
    }
  }

  @Test("A server's bytes with some of them changed never crash a client", arguments: 0..<200)
  func fuzzClient(seed: Int) throws {
    var random = Seeded(UInt64(seed))
    let pair = try SessionPair()
    var bytes: [UInt8] = []
    pair.cut = { buffer in
      bytes += buffer.readableBytesView
      return [buffer]
    }
    let id = try pair.client.submitRequest(SessionPair.request, endStream: true)
    try pair.settle()
    bytes = []
    try pair.server.submitResponse(GRPCResponse.head(), on: id)
    pair.server.writeMessage(ByteBuffer(string: "twenty bytes of data"), on: id)
    pair.server.finish(id, trailers: GRPCResponse.trailers(.ok))
    try pair.settle()
    let client = try HTTP2Session(.client)
    _ = try client.submitRequest(SessionPair.request)
    _ = try output(of: client)
    for _ in 0..<Int.random(in: 1...4, using: &random) {
      bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
    }
    do {
      try client.receive(ByteBuffer(bytes: RawFrame.settings + bytes))
      _ = client.takeEvents()
      _ = try output(of: client)
    } catch is WireError {}
  }

  private func randomFrame(_ random: inout Seeded) -> [UInt8] {
    let stream = UInt32.random(in: 0...12, using: &random)
    switch Int.random(in: 0..<10, using: &random) {
    case 0, 1:
      return RawFrame.headers(RawFrame.request, stream: stream | 1, endStream: Bool.random(using: &random))
    case 2:
      return RawFrame.reset(stream, UInt8.random(in: 0...15, using: &random))
    case 3:
      return RawFrame.frame(
        0, flags: UInt8.random(in: 0...15, using: &random), stream: stream | 1,
        Array(random.bytes(Int.random(in: 0...2_000, using: &random)).readableBytesView))
    case 4:
      return RawFrame.frame(8, stream: stream, [0, 0, UInt8.random(in: 0...255, using: &random), 1])
    case 5:
      return Array(random.bytes(Int.random(in: 1...40, using: &random)).readableBytesView)
    default:
      return RawFrame.frame(
        UInt8.random(in: 0...12, using: &random), flags: UInt8.random(in: 0...255, using: &random),
        stream: stream,
        Array(random.bytes(Int.random(in: 0...60, using: &random)).readableBytesView))
    }
  }

  private func answer(_ event: HTTP2Event, by server: HTTP2Session, _ random: inout Seeded) throws {
    switch event {
    case .headers(let id, _):
      if Bool.random(using: &random) {
        try server.submitResponse(GRPCResponse.trailersOnly(.ok), on: id, endStream: true)
      } else {
        try server.submitResponse(GRPCResponse.head(), on: id)
        server.writeMessage(random.bytes(Int.random(in: 0...9_000, using: &random)), on: id)
        if Bool.random(using: &random) { server.finish(id, trailers: GRPCResponse.trailers(.ok)) }
      }
    case .data(let id, let bytes):
      if Bool.random(using: &random) { server.consumed(bytes.readableBytes, on: id) }
      if Int.random(in: 0..<5, using: &random) == 0 { server.reset(id, .cancel) }
    default: break
    }
  }
}
