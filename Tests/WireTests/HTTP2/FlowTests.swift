import NIOCore
import StreamDiffWire
import Testing

@Suite struct FlowTests {
  @Test("A sender gets no further than the window until bytes are consumed")
  func creditWhenConsumed() throws {
    var settings = HTTP2Settings()
    settings.streamWindow = 100_000
    let pair = try SessionPair(server: settings)
    let id = try pair.client.submitRequest(SessionPair.request)
    try pair.settle()
    pair.client.write(ByteBuffer(repeating: 1, count: 250_000), on: id)
    pair.client.finish(id)
    var received = payload(try pair.exchange().server, of: id).count
    #expect(received == 100_000 && pair.client.queuedBytes(on: id) == 150_000)
    pair.server.consumed(60_000, on: id)
    received += payload(try pair.exchange().server, of: id).count
    #expect(received == 160_000)
    pair.server.consumed(100_000, on: id)
    let last = try pair.exchange().server
    received += payload(last, of: id).count
    #expect(received == 250_000 && words(last).last == "ended 1")
  }

  @Test("A buffer that was sent in part is held whole, and let go with its last byte or its stream")
  func retained() throws {
    var settings = HTTP2Settings()
    settings.streamWindow = 100_000
    let pair = try SessionPair(server: settings)
    let id = try pair.client.submitRequest(SessionPair.request)
    try pair.settle()
    for _ in 0..<2 { pair.client.write(ByteBuffer(repeating: 1, count: 150_000), on: id) }
    #expect(pair.client.retainedBytes == 300_000)
    _ = try pair.exchange()
    #expect(pair.client.queuedBytes == 200_000 && pair.client.retainedBytes == 300_000)
    pair.server.consumed(100_000, on: id)
    _ = try pair.exchange()
    #expect(pair.client.queuedBytes == 100_000 && pair.client.retainedBytes == 150_000)
    pair.client.reset(id, .cancel)
    _ = try pair.exchange()
    #expect(pair.client.queuedBytes == 0 && pair.client.retainedBytes == 0)
  }

  enum Ending: CaseIterable { case cancelled, answered, resetByServer, refused }

  @Test("A stream that closes gives the connection its unconsumed bytes back", arguments: Ending.allCases)
  func creditAtClose(ending: Ending) throws {
    var settings = HTTP2Settings()
    settings.streamWindow = 100_000
    settings.connectionWindow = 150_000
    let pair = try SessionPair(server: settings)
    let long = HeaderField("x", String(repeating: "y", count: 17_000))
    for round in 0..<20 {
      let id = try pair.client.submitRequest(SessionPair.request + (ending == .refused ? [long] : []))
      pair.client.write(ByteBuffer(repeating: 1, count: 100_000), on: id)
      let events = try pair.exchange().server
      switch ending {
      case .cancelled: pair.client.reset(id, .cancel)
      case .answered: try pair.server.submitResponse(GRPCResponse.trailersOnly(.ok), on: id, endStream: true)
      case .resetByServer: pair.server.reset(id, .cancel)
      case .refused: continue
      }
      #expect(payload(events, of: id).count == 100_000, "round \(round)")
      try pair.settle()
    }
    let last = try pair.client.submitRequest(SessionPair.request)
    pair.client.write(ByteBuffer(repeating: 1, count: 100_000), on: last)
    #expect(payload(try pair.exchange().server, of: last).count == 100_000)
    #expect(pair.server.openStreams == 1)
  }

  @Test("A message larger than the window passes, and the peer gets one message ahead, not more")
  func largeMessage() throws {
    var settings = HTTP2Settings()
    settings.streamWindow = 70_000
    let pair = try SessionPair(server: settings)
    let id = try pair.client.submitRequest(SessionPair.request)
    for _ in 0..<5 { pair.client.writeMessage(ByteBuffer(repeating: 9, count: 300_000), on: id) }
    var deframer = MessageDeframer(limit: 300_000)
    var messages = 0
    func run() throws {
      var isQuiet = false
      while !isQuiet {
        isQuiet = true
        for case .data(_, let bytes) in try pair.exchange().server {
          isQuiet = false
          deframer.append(bytes)
          while let message = try deframer.next() {
            #expect(message.readableBytes == 300_000)
            messages += 1
          }
          pair.server.consumed(deframer.takeCredit(), on: id)
        }
      }
    }
    try run()
    #expect(messages < 3, "nothing was released")
    for _ in 0..<5 {
      deframer.release(messageBytes: 300_000)
      pair.server.consumed(deframer.takeCredit(), on: id)
      try run()
    }
    #expect(messages == 5 && !deframer.isMidMessage)
  }

  @Test("One output is about as long as asked, and says whether there is more")
  func outputLimit() throws {
    let pair = try SessionPair()
    let id = try pair.client.submitRequest(SessionPair.request)
    try pair.settle()
    pair.client.setMaximumFrame(16 << 10, on: id)
    pair.client.write(ByteBuffer(repeating: 1, count: 1 << 20), on: id)
    var sizes: [Int] = []
    while let output = try pair.client.takeOutput(limit: 200_000) {
      #expect(output.byteCount == output.buffers.reduce(0) { $0 + $1.readableBytes })
      sizes.append(output.byteCount)
      if !output.hasMore { break }
    }
    #expect(sizes.count == 5 && sizes.allSatisfy { $0 < 200_000 + (16 << 10) + 9 })
    #expect(sizes.reduce(0, +) == 1 << 20 + 64 * 9)
  }

  @Test("A full queue says so once it has room")
  func writable() throws {
    let pair = try SessionPair()
    let id = try pair.client.submitRequest(SessionPair.request)
    _ = try pair.exchange()
    pair.client.write(ByteBuffer(repeating: 1, count: 1 << 20), on: id)
    #expect(words(pair.client.takeEvents()).isEmpty)
    #expect(words(try pair.exchange().client) == ["writable 1"])
    pair.client.write(ByteBuffer(repeating: 1, count: 1_000), on: id)
    #expect(words(try pair.exchange().client).isEmpty)
  }

  @Test("Long payload leaves as slices of what was written, in frames as large as both sides allow")
  func noCopy() throws {
    let pair = try SessionPair()
    let id = try pair.client.submitRequest(SessionPair.request)
    try pair.settle()
    let original = ByteBuffer(repeating: 5, count: 600_000)
    pair.client.write(original, on: id)
    let output = try #require(try pair.client.takeOutput())
    #expect(output.buffers.map(\.readableBytes) == [9, 256 << 10, 9, 256 << 10, 9, 600_000 - 512 << 10])
    let address = original.withUnsafeReadableBytes { $0.baseAddress }
    #expect(output.buffers[1].withUnsafeReadableBytes { $0.baseAddress } == address)
  }

  @Test("Frames are no larger than the receiver asked for", arguments: [16 << 10, 100_000, 1 << 20])
  func frameSizes(size: Int) throws {
    var (client, server) = (HTTP2Settings(), HTTP2Settings())
    (client.maxSentFrame, server.maxReceivedFrame) = (1 << 20, size)
    let pair = try SessionPair(client: client, server: server)
    let id = try pair.client.submitRequest(SessionPair.request)
    try pair.settle()
    pair.client.write(ByteBuffer(repeating: 5, count: 2 << 20), on: id)
    let output = try #require(try pair.client.takeOutput())
    #expect(output.buffers.map(\.readableBytes).max() == size)
  }

  @Test("A small piece of payload does not hold the buffer it came in")
  func smallPieces() throws {
    let pair = try SessionPair()
    let id = try pair.client.submitRequest(SessionPair.request)
    _ = try pair.exchange()
    pair.client.write(ByteBuffer(bytes: [42]), on: id)
    var big = ByteBufferAllocator().buffer(capacity: 64 << 10)
    for buffer in try #require(try pair.client.takeOutput()).buffers { big.writeImmutableBuffer(buffer) }
    try pair.server.receive(big)
    guard case .data(_, let bytes) = pair.server.takeEvents().last else { return #expect(Bool(false)) }
    #expect(bytes.readableBytes == 1 && bytes.storageCapacity < 1_024)
  }

  @Test("Messages of all sizes arrive whole and in order, however the bytes are cut", arguments: 0..<20)
  func anySizes(seed: Int) throws {
    var random = Seeded(UInt64(seed))
    var settings = HTTP2Settings()
    settings.streamWindow = Int.random(in: 70_000...1 << 20, using: &random)
    settings.connectionWindow = Int.random(in: 70_000...1 << 20, using: &random)
    settings.maxSentFrame = [100, 16 << 10, 256 << 10][seed % 3]
    let pair = try SessionPair(client: settings, server: settings)
    var cuts = Seeded(UInt64(seed) + 1_000)
    pair.cut = { buffer in
      var (rest, pieces) = (buffer, [ByteBuffer]())
      while rest.readableBytes > 0 {
        let size = min(rest.readableBytes, Int.random(in: 1...(seed % 2 == 0 ? 100_000 : 900), using: &cuts))
        pieces.append(rest.readSlice(length: size)!)
      }
      return pieces
    }
    let ids = try (0..<3).map { _ in try pair.client.submitRequest(SessionPair.request) }
    var sent: [StreamID: [ByteBuffer]] = [:]
    var received: [StreamID: [ByteBuffer]] = [:]
    var deframers = Dictionary(uniqueKeysWithValues: ids.map { ($0, MessageDeframer(limit: 1 << 20)) })
    for _ in 0..<30 {
      let id = ids.randomElement(using: &random)!
      for _ in 0..<Int.random(in: 1...30, using: &random) {
        let most = [10, 100, 3_000, 100_000].randomElement(using: &random)!
        let message = random.bytes(Int.random(in: 0...most, using: &random))
        if sent[id, default: []].count < 400 {
          sent[id, default: []].append(message)
          pair.client.writeMessage(message, on: id)
        }
      }
      try drain()
    }
    for id in ids { pair.client.finish(id) }
    try drain()
    #expect(sent == received, "seed \(seed)")

    func drain() throws {
      var isQuiet = false
      while !isQuiet {
        isQuiet = true
        for case .data(let id, let bytes) in try pair.exchange().server {
          isQuiet = false
          deframers[id]!.append(bytes)
          while let message = try deframers[id]!.next() {
            received[id, default: []].append(message)
            deframers[id]!.release(messageBytes: message.readableBytes)
          }
          pair.server.consumed(deframers[id]!.takeCredit(), on: id)
        }
      }
    }
  }
}
