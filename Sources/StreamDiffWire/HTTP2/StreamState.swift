import DequeModule
import NIOCore

/// One open stream: what waits to be sent, and what was received without being consumed yet.
///
/// It lives at one address from opening to closing, so that nghttp2's data source can point at it.
struct StreamState {
  let id: StreamID
  /// Bytes to send, oldest first.
  private var queue = Deque<ByteBuffer>()
  private(set) var queuedBytes = 0
  /// Bytes of the queue's first buffer that have left: they are held until the rest has.
  private var leftBytes = 0
  /// What the queue holds in memory.
  var retainedBytes: Int { queuedBytes + leftBytes }
  /// The queue's last buffer was made here and nobody else refers to it: small writes extend it.
  private var isTailOurs = false
  /// The writer was told to wait.
  private var isFull = false
  /// Nothing follows the queue but `trailers`, or the end of the stream.
  var isFinishing = false
  var trailers: [HeaderField]?
  /// The response, or the request, was handed to nghttp2.
  var hasHead = false
  /// The data source said "nothing now" and waits for `nghttp2_session_resume_data`.
  var isDeferred = false
  /// The largest DATA frame of this stream.
  var maximumFrame: Int
  /// Bytes handed out as events whose credit has not been returned.
  var unconsumed = 0
  /// Payload that has left so far.
  private(set) var sentBytes: UInt64 = 0
  /// The application knows the stream, and wants to hear of it.
  var isAnnounced: Bool
  var hasRemoteEnded = false
  var isReset = false
  /// Its header section went over the limit.
  var hasLongHeaders = false

  /// Below this, bytes are copied: a buffer of its own costs more.
  static let referenceBytes = 2 << 10
  /// A gathering buffer takes no more small writes from here on, so that it never outgrows 64 KiB.
  private static let gatherBytes = 62 << 10 - MessagePrefix.size

  init(_ id: StreamID, isAnnounced: Bool, maximumFrame: Int) {
    self.id = id
    self.isAnnounced = isAnnounced
    self.maximumFrame = maximumFrame
  }

  /// Events about what the peer sends are still wanted.
  var isHeard: Bool { isAnnounced && !isReset }

  /// Queues `bytes`, after the message prefix they need if they are a message.
  mutating func enqueue(_ bytes: ByteBuffer, prefix: MessagePrefix?, highWater: Int) {
    let count = bytes.readableBytes
    if count >= Self.referenceBytes {
      if let prefix { gather(prefix, ByteBuffer()) }
      queue.append(bytes)
      queuedBytes += count
      isTailOurs = false
    } else if count > 0 || prefix != nil {
      gather(prefix, bytes)
    }
    if queuedBytes >= highWater { isFull = true }
  }

  /// Copies a few bytes to the end of the queue.
  private mutating func gather(_ prefix: MessagePrefix?, _ bytes: ByteBuffer) {
    if !isTailOurs || queue[queue.count - 1].readableBytes >= Self.gatherBytes {
      // The first buffer grows as needed; where one was filled, the next will be.
      let capacity = isTailOurs ? Self.gatherBytes + Self.referenceBytes : bytes.readableBytes + 256
      queue.append(ByteBufferAllocator().buffer(capacity: capacity))
      isTailOurs = true
    }
    let most = MessagePrefix.size + bytes.readableBytes
    queuedBytes += queue[queue.count - 1].writeWithUnsafeMutableBytes(minimumWritableBytes: most) { room in
      let start = prefix?.store(to: room) ?? 0
      return bytes.withUnsafeReadableBytes { bytes in
        if let from = bytes.baseAddress {
          (room.baseAddress! + start).copyMemory(from: from, byteCount: bytes.count)
        }
        return start + bytes.count
      }
    }
  }

  /// Takes `count` queued bytes off, in order: long runs as slices, short ones as bytes to copy.
  ///
  /// - Returns: true when the writer was waiting and may go on.
  mutating func dequeue(
    _ count: Int, lowWater: Int, slice: (ByteBuffer) -> Void, copy: (ByteBuffer) -> Void
  ) -> Bool {
    var left = count
    while left > 0 {
      let size = min(left, queue[0].readableBytes)
      guard let piece = queue[0].readSlice(length: size) else { break }
      let isDrained = queue[0].readableBytes == 0
      if size >= Self.referenceBytes {
        slice(piece)
        // The slice shares the tail's storage: appending to it now would copy all of it.
        if queue.count == 1 { isTailOurs = false }
      } else {
        copy(piece)
      }
      leftBytes += size
      if isDrained {
        if queue.count == 1 { isTailOurs = false }
        queue.removeFirst()
        leftBytes = 0
      }
      left -= size
    }
    queuedBytes -= count
    sentBytes += UInt64(count)
    guard isFull, queuedBytes <= lowWater else { return false }
    isFull = false
    return true
  }

  /// Forgets what was not sent.
  mutating func discardQueue() {
    queue.removeAll()
    (queuedBytes, leftBytes, isTailOurs) = (0, 0, false)
  }
}
