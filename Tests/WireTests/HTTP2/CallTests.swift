import NIOCore
import StreamDiffWire
import Testing

@Suite struct CallTests {
  @Test("A call goes head, message, end one way and head, message, trailers the other")
  func unary() throws {
    let pair = try SessionPair()
    let id = try pair.client.submitRequest(SessionPair.request)
    pair.client.writeMessage(ByteBuffer(string: "question"), on: id)
    pair.client.finish(id)
    #expect(
      words(try pair.exchange().server) == [
        "settings", "headers 1 /test.Service/Method", "data 1 13", "ended 1",
      ])
    try pair.server.submitResponse(GRPCResponse.head(), on: id)
    pair.server.writeMessage(ByteBuffer(string: "answer"), on: id)
    pair.server.finish(id, trailers: GRPCResponse.trailers(.ok))
    let (client, server) = try pair.exchange()
    #expect(words(client) == ["headers 1 200", "data 1 11", "trailers 1 0", "ended 1", "closed 1 NO_ERROR"])
    #expect(words(server) == ["closed 1 NO_ERROR"])
    #expect(payload(client, of: id) == [0, 0, 0, 0, 6] + Array("answer".utf8))
    #expect(pair.client.openStreams == 0 && pair.server.openStreams == 0)
  }

  @Test("Headers leave before the first message is there")
  func earlyHead() throws {
    let pair = try SessionPair()
    let id = try pair.client.submitRequest(SessionPair.request)
    #expect(words(try pair.exchange().server).last == "headers 1 /test.Service/Method")
    try pair.server.submitResponse(GRPCResponse.head(), on: id)
    #expect(words(try pair.exchange().client) == ["headers 1 200"])
    pair.server.writeMessage(ByteBuffer(string: "late"), on: id)
    #expect(words(try pair.exchange().client) == ["data 1 9"])
    pair.client.writeMessage(ByteBuffer(), on: id)
    #expect(words(try pair.exchange().server) == ["data 1 5"])
  }

  @Test("A request without payload ends with its head")
  func headOnly() throws {
    let pair = try SessionPair()
    let id = try pair.client.submitRequest(SessionPair.request, endStream: true)
    #expect(words(try pair.exchange().server).suffix(2) == ["headers 1 /test.Service/Method", "ended 1"])
    try pair.server.submitResponse(
      GRPCResponse.trailersOnly(GRPCStatus(.notFound, "café")), on: id, endStream: true)
    guard case .headers(_, let fields) = try pair.exchange().client.first else { return #expect(Bool(false)) }
    #expect(GRPCResponseHead(fields) == .ended(GRPCStatus(.notFound, "café"), Metadata()))
  }

  @Test("A server that ends first asks the client to stop with NO_ERROR, and the status arrives")
  func earlyEnd() throws {
    let pair = try SessionPair()
    let id = try pair.client.submitRequest(SessionPair.request)
    pair.client.writeMessage(ByteBuffer(string: "one of many"), on: id)
    try pair.settle()
    try pair.server.submitResponse(
      GRPCResponse.trailersOnly(GRPCStatus(.resourceExhausted)), on: id, endStream: true)
    let (client, server) = try pair.exchange()
    #expect(words(client) == ["settings", "headers 1 200", "ended 1", "closed 1 NO_ERROR"])
    #expect(words(server).last == "closed 1 NO_ERROR")
    pair.client.writeMessage(ByteBuffer(string: "nobody listens"), on: id)
    #expect(try pair.client.takeOutput() == nil)
  }

  @Test("A reset reaches the other side with its code, and nothing queued follows it")
  func cancel() throws {
    let pair = try SessionPair()
    let id = try pair.client.submitRequest(SessionPair.request)
    _ = try pair.exchange()
    pair.client.write(ByteBuffer(repeating: 7, count: 100_000), on: id)
    pair.client.reset(id, .cancel)
    let (client, server) = try pair.exchange()
    #expect(words(client) == ["closed 1 CANCEL"])
    #expect(words(server) == ["closed 1 CANCEL"])
    #expect(!pair.server.isOpen(id))
  }

  @Test("A request that was reset before it left never reaches the server")
  func cancelEarly() throws {
    let pair = try SessionPair()
    _ = try pair.exchange()
    let id = try pair.client.submitRequest(SessionPair.request)
    pair.client.reset(id, .cancel)
    let (client, server) = try pair.exchange()
    #expect(words(client) == ["closed 1 CANCEL"])
    #expect(words(server).isEmpty)
    #expect(pair.client.openStreams == 0)
  }

  @Test("Interim responses are skipped")
  func interim() throws {
    let client = try HTTP2Session(.client)
    _ = try client.submitRequest(SessionPair.request)
    _ = try client.takeOutput()
    let bytes =
      RawFrame.settings + RawFrame.headers([(":status", "103")], stream: 1, endStream: false)
      + RawFrame.headers(
        [(":status", "200"), ("content-type", "application/grpc")], stream: 1, endStream: false)
      + RawFrame.headers([("grpc-status", "0")], stream: 1)
    try client.receive(ByteBuffer(bytes: bytes))
    #expect(words(client.takeEvents()) == ["settings", "headers 1 200", "trailers 1 0", "ended 1"])
  }

  @Test("Requests beyond the peer's limit wait for a stream to end, and all complete")
  func queueing() throws {
    var settings = HTTP2Settings()
    settings.maxConcurrentStreams = 10
    let pair = try SessionPair(server: settings)
    _ = try pair.exchange()
    #expect(pair.client.peerMaxConcurrentStreams == 10)
    for _ in 0..<95 { _ = try pair.client.submitRequest(SessionPair.request, endStream: true) }
    var done = 0
    while done < 95 {
      let arrived = try pair.exchange().server.compactMap { event in
        if case .headers(let id, _) = event { id } else { nil }
      }
      #expect(arrived.count <= 10 && !arrived.isEmpty)
      guard !arrived.isEmpty else { break }
      for id in arrived {
        try pair.server.submitResponse(GRPCResponse.trailersOnly(.ok), on: id, endStream: true)
      }
      done += arrived.count
    }
    try pair.settle()
    #expect(pair.client.openStreams == 0)
  }

  @Test("GOAWAY lets open streams finish and refuses new ones; then the session is over")
  func drain() throws {
    let pair = try SessionPair()
    let id = try pair.client.submitRequest(SessionPair.request, endStream: true)
    try pair.settle()
    pair.server.shutdownNotice()
    _ = try pair.exchange()
    pair.server.goAway(.noError, "maintenance")
    #expect(words(try pair.exchange().client).contains("goaway 1 NO_ERROR maintenance"))
    #expect(!pair.client.acceptsRequests)
    #expect(throws: WireError(.unavailable, "the connection takes no more requests")) {
      try pair.client.submitRequest(SessionPair.request)
    }
    #expect(!pair.server.isFinished)
    try pair.server.submitResponse(GRPCResponse.trailersOnly(.ok), on: id, endStream: true)
    try pair.settle()
    #expect(pair.server.isFinished && pair.client.openStreams == 0)
  }

  @Test("A ping comes back with its payload")
  func ping() throws {
    let pair = try SessionPair()
    pair.client.ping(0x0123_4567_89AB_CDEF)
    #expect(words(try pair.exchange().client).last == "ping \(0x0123_4567_89AB_CDEF)")
  }
}
