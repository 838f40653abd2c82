private import DequeModule

/// Operations in, chunks out. Where chunks are cut has nothing to do with where operations end.
///
/// Append operations until `bufferedBytes` reaches the chunk size, then take chunks until there is
/// none; the buffer then stays below one operation and one chunk.
public struct ChunkWriter: ~Copyable {
  private var compressor: ChunkCompressor
  /// Plain bytes; those before `head` have left.
  private var buffer: [UInt8] = []
  private var head = 0
  /// Where in `buffer` the operations that have not left end.
  private var ends: Deque<Int> = []
  /// The last operation that left as a whole.
  private var lastSent: Ordinal
  /// Bytes of the operation after `lastSent` have left.
  private var isWithinOperation = false
  /// The number of the last chunk taken; before the first one, of the last of an earlier connection.
  public private(set) var lastSequence: UInt64

  /// The number of the last operation appended.
  public private(set) var lastOrdinal: Ordinal

  /// - Parameters:
  ///   - firstOrdinal: number of the first operation: the one after the last that the receiver's hello
  ///     names.
  ///   - lastSequence: of the session's connection before.
  ///   - pool: where the compressor's contexts come from.
  public init(firstOrdinal: Ordinal = Ordinal(1), lastSequence: UInt64 = 0, pool: CodecPool = .node) {
    precondition(firstOrdinal > .zero, "ordinals start at 1")
    lastOrdinal = Ordinal(firstOrdinal.rawValue - 1)
    lastSent = lastOrdinal
    self.lastSequence = lastSequence
    compressor = ChunkCompressor(pool: pool)
  }

  /// Plain bytes that wait for a chunk.
  public var bufferedBytes: Int { buffer.count - head }

  /// How the last chunk was encoded: not at the level that was asked for where the node had no memory for it.
  public var encoding: ChunkEncoding { compressor.encoding }

  /// The last plain bytes of the chunks taken, at most 256 KiB: a sample for a `CodecProbe`.
  public func recentPlain(_ most: Int) -> [UInt8] { compressor.recentPlain(most) }

  /// The last operation of which every byte is in a chunk that was taken.
  public var lastOrdinalTaken: Ordinal { lastSent }

  /// - Throws: `OperationError` for an empty key, or a key or value beyond `Limits`; nothing is appended.
  public mutating func append(
    put key: Span<UInt8>, expecting expectation: Expectation, value: Span<UInt8>
  ) throws(OperationError) {
    try OperationEncoding.append(put: key, expecting: expectation, value: value, to: &buffer)
    appended()
  }

  public mutating func append(
    deleting key: Span<UInt8>, expecting expectation: Expectation
  ) throws(OperationError) {
    try OperationEncoding.append(deleting: key, expecting: expectation, to: &buffer)
    appended()
  }

  public mutating func append(
    put key: [UInt8], expecting expectation: Expectation, value: [UInt8]
  ) throws(OperationError) {
    try append(put: key.span, expecting: expectation, value: value.span)
  }

  public mutating func append(deleting key: [UInt8], expecting expectation: Expectation)
    throws(OperationError)
  {
    try append(deleting: key.span, expecting: expectation)
  }

  private mutating func appended() {
    ends.append(buffer.count)
    lastOrdinal = lastOrdinal + 1
  }

  /// Cuts, compresses and numbers the next chunk.
  /// - Parameters:
  ///   - flush: take what there is, also when it is less than a chunk.
  ///   - ending: the patch ends with what is buffered. The chunk that carries the end, an empty one
  ///     where nothing is buffered, has `isLast`; call until it comes.
  /// - Returns: `nil` when less than `settings.bytes` is buffered and neither is asked for, or when
  ///   there is nothing to flush.
  /// - Throws: `SyncError` when the codec fails; the writer is then of no more use.
  public mutating func nextChunk(
    settings: ChunkSettings, flush: Bool = false, ending: Bool = false, rttMilliseconds: UInt32 = 0
  ) throws(SyncError) -> Chunk? {
    let count = min(settings.bytes, bufferedBytes)
    guard count == settings.bytes || ending || flush && count > 0 else { return nil }

    var chunk = try encode(count, as: settings.encoding)
    take(count)
    lastSequence += 1
    chunk.sequence = lastSequence
    chunk.rttMilliseconds = rttMilliseconds
    chunk.isLast = ending && bufferedBytes == 0
    chunk.header.wireCRC =
      chunk.header.codec == .none ? chunk.wireCRC(payload: chunk.header.plainCRC) : chunk.computedWireCRC
    return chunk
  }

  /// The next `count` plain bytes as a chunk that lacks its number and its wire checksum.
  private mutating func encode(_ count: Int, as encoding: ChunkEncoding) throws(SyncError) -> Chunk {
    let firstOrdinal = lastSent + (isWithinOperation ? 2 : 1)
    var payload: [UInt8] = []
    let taken = exchange(&buffer, with: [])
    defer { buffer = taken }
    let plain = unsafe taken.span.extracting(head..<head + count).bytes
    var header = ChunkHeader(
      firstOrdinal: firstOrdinal, plainLength: UInt32(count), plainCRC: CRC32C(plain), wireCRC: .empty)
    if count > 0 {
      do throws(CodecError) {
        let frame = try compressor.compress(plain, as: encoding, into: &payload)
        header.codec = compressor.encoding.codec
        header.isNewFrame = frame.isNewFrame
        header.prefixLength = UInt32(frame.prefixLength)
      } catch {
        throw SyncError(.resources, "compressing a chunk: \(error.detail)")
      }
    }
    return Chunk(header: header, sequence: 0, isLast: false, payload: payload)
  }

  private mutating func take(_ count: Int) {
    head += count
    var end = isWithinOperation ? -1 : head - count
    while let next = ends.first, next <= head {
      ends.removeFirst()
      lastSent = lastSent + 1
      end = next
    }
    if end >= 0 { isWithinOperation = end < head }
    if head == buffer.count {
      buffer.removeAll(keepingCapacity: buffer.capacity <= 4 * Limits.chunkBytes)
    } else if head >= Limits.chunkBytes / 2 && head >= buffer.count / 2 {
      // Each byte moves at most once for each time as many have left.
      buffer.removeSubrange(..<head)
      for place in ends.indices { ends[place] -= head }
    } else {
      return
    }
    head = 0
  }
}
