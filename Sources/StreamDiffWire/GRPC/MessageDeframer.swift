import DequeModule
public import NIOCore

/// Cuts a stream's payload into messages, and counts the credit that goes back for it.
///
/// A message within one chunk is a slice of it; one that spans chunks is copied together once. Memory:
/// what the stream's window let in, and one message of `limit` bytes.
public struct MessageDeframer: Sendable {
  private let limit: Int
  private var chunk = ByteBuffer()
  private var waiting = Deque<ByteBuffer>()
  /// The current message's prefix, so far: big-endian in the low bytes.
  private var prefix: UInt64 = 0
  private var prefixCount = 0
  /// The current message: its prefix is complete, and `missing` bytes of it are not here yet.
  private var assembly = ByteBuffer()
  private var length = 0
  private var missing = 0

  private var released = 0
  private var credited = 0

  /// - Parameter limit: bytes of the largest message to accept.
  public init(limit: Int) { self.limit = limit }

  public mutating func append(_ bytes: ByteBuffer) {
    if chunk.readableBytes == 0 {
      chunk = bytes
    } else if bytes.readableBytes > 0 {
      waiting.append(bytes)
    }
  }

  /// The next whole message, without its prefix; `nil` until it has arrived.
  ///
  /// - Throws: as `MessagePrefix` does. Nothing can be read after that: end the call.
  public mutating func next() throws(WireError) -> ByteBuffer? {
    while true {
      if prefixCount < MessagePrefix.size {
        guard try readPrefix() else { return nil }
        if chunk.readableBytes >= length, let whole = chunk.readSlice(length: length) {
          prefixCount = 0
          return whole
        }
        missing = length
      }
      if chunk.readableBytes == 0 {
        guard let next = waiting.popFirst() else { return nil }
        chunk = next
      }
      assemble()
      if missing == 0 {
        let whole = assembly
        assembly = ByteBuffer()
        prefixCount = 0
        return whole
      }
    }
  }

  private mutating func readPrefix() throws(WireError) -> Bool {
    if prefixCount == 0, let (flag, count) = chunk.readMultipleIntegers(as: (UInt8, UInt32).self) {
      prefixCount = MessagePrefix.size
      length = try MessagePrefix(flag: flag, length: count, limit: limit).length
      return true
    }
    while prefixCount < MessagePrefix.size {
      guard let byte = chunk.readInteger(as: UInt8.self) else {
        guard let next = waiting.popFirst() else { return false }
        chunk = next
        continue
      }
      prefix = prefix << 8 | UInt64(byte)
      prefixCount += 1
    }
    let (flag, count) = (UInt8(truncatingIfNeeded: prefix >> 32), UInt32(truncatingIfNeeded: prefix))
    length = try MessagePrefix(flag: flag, length: count, limit: limit).length
    return true
  }

  /// Moves what the chunk has of the current message. The room grows with what has arrived, not with
  /// what the prefix promises.
  private mutating func assemble() {
    let count = min(missing, chunk.readableBytes)
    let arrived = length - missing + count
    if assembly.writableBytes < count {
      let room = min(length, max(arrived * 8, 64 << 10))
      if assembly.storageCapacity == 0 {
        assembly = ByteBufferAllocator().buffer(capacity: room)
      } else {
        assembly.reserveCapacity(room)
      }
    }
    if var piece = chunk.readSlice(length: count) { assembly.writeBuffer(&piece) }
    missing -= count
  }

  /// Bytes of a message have arrived and the rest has not: the end of the stream here is an error.
  public var isMidMessage: Bool {
    prefixCount > 0 || chunk.readableBytes > 0 || !waiting.isEmpty
  }

  // MARK: Credit

  /// Bytes of the current message that have been taken out of their chunks.
  private var partial: Int {
    prefixCount < MessagePrefix.size ? prefixCount : MessagePrefix.size + length - missing
  }

  /// The application took a message of so many bytes, its prefix not counted.
  public mutating func release(messageBytes: Int) { released += MessagePrefix.size + messageBytes }

  /// Credit that may go back to the peer now (`HTTP2Session.consumed`): what was released, and the part of
  /// a message that has not come whole, since it could otherwise need more than the window and never
  /// complete. The peer is never more than the window and one message ahead of the application.
  public mutating func takeCredit() -> Int {
    let due = max(0, released + partial - credited)
    credited += due
    return due
  }
}
