import NIOCore
import StreamDiffWire
import Testing

@Suite struct FramingTests {
  private func framed(_ messages: [[UInt8]]) -> [UInt8] {
    messages.flatMap { message in
      let count = UInt32(message.count)
      return [0] + (0..<4).map { UInt8(truncatingIfNeeded: count >> (24 - 8 * $0)) } + message
    }
  }

  @Test("Messages come out whole, wherever the chunks are cut", arguments: 1...40)
  func cuts(size: Int) throws {
    let messages: [[UInt8]] = [[], [1], Array(0..<30), [], Array(repeating: 7, count: 100), [9, 9]]
    let bytes = framed(messages)
    var deframer = MessageDeframer(limit: 100)
    var found: [[UInt8]] = []
    for start in stride(from: 0, to: bytes.count, by: size) {
      deframer.append(ByteBuffer(bytes: bytes[start..<min(start + size, bytes.count)]))
      while let message = try deframer.next() { found.append(Array(message.readableBytesView)) }
    }
    #expect(found == messages)
    #expect(!deframer.isMidMessage)
  }

  @Test("Chunks may wait before any is read")
  func waiting() throws {
    let messages: [[UInt8]] = (0..<50).map { [UInt8](repeating: $0, count: Int($0)) }
    var deframer = MessageDeframer(limit: 100)
    for byte in framed(messages) { deframer.append(ByteBuffer(bytes: [byte])) }
    var found: [[UInt8]] = []
    while let message = try deframer.next() { found.append(Array(message.readableBytesView)) }
    #expect(found == messages)
  }

  @Test("A message inside one chunk is a slice of it")
  func slice() throws {
    let chunk = ByteBuffer(bytes: framed([[UInt8](repeating: 1, count: 5_000)]))
    var deframer = MessageDeframer(limit: 5_000)
    deframer.append(chunk)
    let message = try #require(try deframer.next())
    #expect(
      message.withUnsafeReadableBytes { $0.baseAddress! }
        == chunk.withUnsafeReadableBytes { $0.baseAddress! + 5 })
  }

  @Test("A prefix that promises much makes no room before bytes come")
  func promises() throws {
    var deframer = MessageDeframer(limit: 4 << 20)
    deframer.append(ByteBuffer(bytes: [0, 0, 64, 0, 0, 1]))
    #expect(try deframer.next() == nil)
    #expect(deframer.isMidMessage)
    #expect(deframer.takeCredit() == 6)
  }

  @Test(
    "Bad prefixes are named",
    arguments: [
      ([2, 0, 0, 0, 0], WireError.Code.malformed), ([1, 0, 0, 0, 0], .unsupported),
      ([0, 0, 0, 0, 101], .tooLarge),
      ([0, 255, 255, 255, 255], .tooLarge),
    ] as [([UInt8], WireError.Code)])
  func badPrefixes(bytes: [UInt8], code: WireError.Code) {
    var deframer = MessageDeframer(limit: 100)
    deframer.append(ByteBuffer(bytes: bytes))
    #expect { try deframer.next() } throws: { ($0 as? WireError)?.code == code }
    #expect { try MessagePrefix(reading: bytes.span, limit: 100) } throws: {
      ($0 as? WireError)?.code == code
    }
  }

  @Test("Credit is what was released, and the part of a message that is not whole", arguments: 0..<20)
  func credit(seed: Int) throws {
    var random = Seeded(UInt64(seed))
    var deframer = MessageDeframer(limit: 5_000)
    var (received, credited, releasedBytes, inbox) = (0, 0, 0, [Int]())
    for _ in 0..<500 {
      let bytes = framed([Array(random.bytes(Int.random(in: 0...5_000, using: &random)).readableBytesView)])
      var rest = bytes[...]
      while !rest.isEmpty {
        let piece = rest.prefix(Int.random(in: 1...3_000, using: &random))
        rest = rest.dropFirst(piece.count)
        received += piece.count
        deframer.append(ByteBuffer(bytes: piece))
        while let message = try deframer.next() { inbox.append(message.readableBytes) }
        credited += deframer.takeCredit()
        #expect(credited <= received && credited >= releasedBytes && credited - releasedBytes <= 5_005)
        if Bool.random(using: &random), !inbox.isEmpty {
          let taken = inbox.removeFirst()
          releasedBytes += taken + 5
          deframer.release(messageBytes: taken)
          credited += deframer.takeCredit()
        }
      }
    }
    for left in inbox { deframer.release(messageBytes: left) }
    credited += deframer.takeCredit()
    #expect(credited == received)
  }
}
