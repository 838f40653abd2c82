import NIOCore
import StreamDiffCore
import StreamDiffWire
import Testing

@Suite("Messages of Protos/ as plain values")
struct MessageCodingTests {
  @Test("what is encoded decodes to itself", arguments: 0..<Samples.all.count)
  func roundTrip(at place: Int) throws {
    func check<M: WireMessage>(_ message: M) throws {
      #expect(try M(decoding: message.encode()) == message)
      // After other bytes of the same buffer, and read from its middle.
      var buffer = ByteBuffer(bytes: [1, 2, 3])
      message.encode(into: &buffer)
      buffer.moveReaderIndex(forwardBy: 3)
      #expect(try M(decoding: buffer) == message)
    }
    try check(Samples.all[place])
  }

  @Test(
    "the bytes are those that any protobuf encoder writes",
    arguments: [
      (GetRequest(keyspace: "a", key: [1, 2]) as any WireMessage, [0x0a, 1, 0x61, 0x12, 2, 1, 2]),
      (GetRequest(key: [1]), [0x12, 1, 1]),
      (
        GetResponse(value: [5], index: LogIndex(300), kind: .plain),
        [8, 1, 0x12, 1, 5, 0x18, 0xac, 2, 0x20, 1]
      ),
      (GetResponse(value: nil, index: LogIndex(0), kind: nil), []),
      (PutRequest(key: [1], value: [2], expectation: .absent), [0x12, 1, 1, 0x1a, 1, 2, 0x3a, 0]),
      (DeleteRequest(key: [1], ordinal: Ordinal(3)), [0x12, 1, 1, 0x48, 3]),
      (HealthCheckResponse(status: .serving), [8, 1]),
      (ReflectionRequest(query: .services), [0x3a, 1, 0x2a]),
      (
        SyncMessage.ack(Ack(ordinal: Ordinal(1), index: LogIndex(2), conflicts: 0)), [0x4a, 4, 8, 1, 0x10, 2]
      ),
      (
        SyncMessage.frontier(Frontier(request: 1, fingerprints: [0x0102_0304_0506_0708], counts: [1, 300])),
        [0x42, 17, 8, 1, 0x12, 8, 8, 7, 6, 5, 4, 3, 2, 1, 0x1a, 3, 1, 0xac, 2]
      ),
      (
        Samples.chunk(payload: [9, 9], isLast: true),
        [
          0x0a, 2, 9, 9, 0x10, 0xac, 2, 0x18, 20, 0x20, 1, 0x2a, 23, 8, 77, 0x10, 0xa0, 0x8d, 6, 0x18, 1,
          0x20, 1,
          0x28, 0x80, 4, 0x35, 0xef, 0xbe, 0xad, 0xde, 0x3d, 1, 0, 0, 0,
        ]
      ),
    ])
  func golden(message: any WireMessage, bytes: [UInt8]) {
    #expect(Array(message.encode().readableBytesView) == bytes)
  }

  @Test("fields of a newer version are skipped")
  func unknownFields() throws {
    let bytes: [UInt8] = [0x12, 1, 1, 0x98, 6, 1, 0xa2, 6, 2, 7, 7]
    #expect(try GetRequest(decoding: Samples.buffer(bytes)) == GetRequest(key: [1]))
  }

  @Test("an expectation of absence is not the lack of one")
  func emptyExpectation() throws {
    let absent: [UInt8] = [0x12, 1, 1, 0x3a, 0]
    #expect(try PutRequest(decoding: Samples.buffer(absent)).expectation == .absent)
    #expect(try PutRequest(decoding: Samples.buffer([0x12, 1, 1])).expectation == .any)
  }

  @Test("a chunk's payload may stand behind its header, and the last one given counts")
  func payloadOutOfPlace() throws {
    var chunk = ByteBuffer()
    Samples.chunk(payload: [1, 2]).encode(into: &chunk)
    let encoded = Array(chunk.readableBytesView)
    let moved = encoded[4...] + encoded[..<4]
    #expect(try SyncMessage(decoding: ByteBuffer(bytes: moved)) == Samples.chunk(payload: [1, 2]))
    #expect(
      try SyncMessage(decoding: ByteBuffer(bytes: encoded + [0x0a, 1, 3])) == Samples.chunk(payload: [3]))
  }

  @Test("a string keeps its NUL and is no shorter for it")
  func embeddedNUL() throws {
    let bytes: [UInt8] = [0x0a, 3, 0x61, 0, 0x62]
    #expect(try GetRequest(decoding: Samples.buffer(bytes)).keyspace == "a\0b")
    #expect(try GetRequest(decoding: Samples.buffer([0x0a, 1, 0])).keyspace == "\0")
  }
}
