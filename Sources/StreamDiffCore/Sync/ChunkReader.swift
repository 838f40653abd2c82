/// Whole operations of a session, in order.
public struct OperationRun: Hashable, Sendable {
  public var firstOrdinal: Ordinal
  public var operations: EncodedOperations

  public init(firstOrdinal: Ordinal, operations: EncodedOperations) {
    self.firstOrdinal = firstOrdinal
    self.operations = operations
  }

  public var count: Int { operations.count }
  public var lastOrdinal: Ordinal { Ordinal(firstOrdinal.rawValue + UInt64(count) - 1) }
}

/// Chunks in, whole operations out. Nothing is decoded before its checksum holds, nothing comes out
/// before the plain checksum holds, and memory stays below two chunks and an operation of full size.
public struct ChunkReader: ~Copyable {
  /// Bytes of operations in one run, so that a command around them stays within its limit.
  public static let runBytes = Limits.commandBytes - Command.overheadBytes

  private var decompressor: ChunkDecompressor
  /// Plain bytes from the start of an operation that has not come whole.
  private var pending: [UInt8] = []
  /// `nil` before the first chunk, which may have any number: a sender goes on counting over a reconnect.
  private var lastSequence: UInt64?

  /// The number of the last operation that came whole.
  public private(set) var lastOrdinal: Ordinal

  /// - Parameters:
  ///   - firstOrdinal: number of the first operation expected: the one after the last that the receiver's hello
  ///     names.
  ///   - pool: where the decompressor's contexts come from.
  public init(firstOrdinal: Ordinal = Ordinal(1), pool: CodecPool = .node) {
    precondition(firstOrdinal > .zero, "ordinals start at 1")
    lastOrdinal = Ordinal(firstOrdinal.rawValue - 1)
    decompressor = ChunkDecompressor(pool: pool)
  }

  /// Bytes that wait for the rest of their operation.
  public var pendingBytes: Int { pending.count }

  /// - Returns: the operations that are whole now, as runs of at most `runBytes`; mostly one.
  /// - Throws: `SyncError`; the reader is then of no more use.
  public mutating func receive(_ chunk: borrowing Chunk) throws(SyncError) -> [OperationRun] {
    let payloadCRC = CRC32C(chunk.payload)
    try check(chunk.header, sequence: chunk.sequence, wireCRC: chunk.wireCRC(payload: payloadCRC))
    var plain = exchange(&pending, with: [])
    let start = plain.count
    if chunk.header.plainLength > 0 {
      try decode(chunk, into: &plain)
    } else if !chunk.isLast {
      throw .violation("chunk \(chunk.sequence) brings nothing and ends nothing")
    } else if !chunk.payload.isEmpty {
      throw .violation("chunk \(chunk.sequence) has a payload of \(chunk.payload.count) bytes for nothing")
    }
    // Uncompressed, the plain bytes are the payload, which has been read once.
    let plainCRC =
      chunk.header.codec == .none
      ? payloadCRC : unsafe CRC32C(plain.span.extracting(droppingFirst: start).bytes)
    guard plainCRC == chunk.header.plainCRC else {
      throw SyncError(.dataLoss, "chunk \(chunk.sequence) decodes to other bytes than were sent")
    }
    let runs = try split(consume plain, roomForNext: Int(chunk.header.plainLength))
    if chunk.isLast, !pending.isEmpty {
      throw .violation("the patch ends within operation \(lastOrdinal.rawValue + 1)")
    }
    return runs
  }

  private mutating func check(_ header: ChunkHeader, sequence: UInt64, wireCRC: CRC32C) throws(SyncError) {
    guard wireCRC == header.wireCRC else {
      throw SyncError(.dataLoss, "chunk \(sequence) was damaged on the way: its checksum does not hold")
    }
    guard sequence > 0, sequence < .max else { throw .violation("chunk \(sequence): numbers start at 1") }
    if let lastSequence, sequence != lastSequence + 1 {
      throw .violation("chunk \(sequence) after chunk \(lastSequence)")
    }
    guard header.plainLength <= Limits.chunkBytes else {
      throw SyncError(
        .limit, "chunk \(sequence) has \(header.plainLength) bytes; the limit is \(Limits.chunkBytes)")
    }
    let expected = lastOrdinal + (pending.isEmpty ? 1 : 2)
    guard header.firstOrdinal == expected else {
      throw .violation(
        "chunk \(sequence) starts at operation \(header.firstOrdinal.rawValue), not \(expected.rawValue)")
    }
    lastSequence = sequence
  }

  private mutating func decode(_ chunk: borrowing Chunk, into plain: inout [UInt8]) throws(SyncError) {
    let header = chunk.header
    plain.reserveRoom(for: Int(header.plainLength))
    do throws(CodecError) {
      unsafe try decompressor.decompress(
        chunk.payload.span.bytes, codec: header.codec, isNewFrame: header.isNewFrame,
        prefixLength: Int(header.prefixLength), plainLength: Int(header.plainLength), into: &plain)
    } catch {
      if error.code == .outOfMemory { throw SyncError(.resources, error.detail) }
      throw SyncError(.dataLoss, "chunk \(chunk.sequence) cannot be decoded: \(error.detail)")
    }
  }

  /// What is whole comes out, the rest becomes `pending`. The common case hands the buffer over and
  /// copies the short rest, to where the next chunk has room behind it.
  private mutating func split(
    _ plain: consuming [UInt8], roomForNext room: Int
  ) throws(SyncError) -> [OperationRun] {
    let parts = try Self.parts(of: plain.span, after: lastOrdinal)
    guard let last = parts.last else {
      pending = plain
      return []
    }
    let rest = plain.count - last.bytes.upperBound
    pending.reserveCapacity(rest > 0 ? rest + room : 0)
    pending.append(copying: plain.span.extracting(droppingFirst: last.bytes.upperBound))
    if parts.count == 1 {
      plain.removeSubrange(last.bytes.upperBound...)
      return [run(of: plain, count: last.count)]
    }
    return parts.map { part in
      run(of: [UInt8](copying: plain.span.extracting(part.bytes)), count: part.count)
    }
  }

  /// Whole operations from the start of `plain`, grouped to at most `runBytes`.
  private static func parts(
    of plain: Span<UInt8>, after last: Ordinal
  ) throws(SyncError) -> [(bytes: Range<Int>, count: Int)] {
    var parts: [(bytes: Range<Int>, count: Int)] = []
    var (start, end, count, total) = (0, 0, 0, UInt64(0))
    do throws(OperationError) {
      while let operation = try OperationLayout(parsing: plain, at: end) {
        if operation.end - start > runBytes {
          parts.append((start..<end, count))
          (start, count) = (end, 0)
        }
        end = operation.end
        count += 1
        total += 1
      }
    } catch {
      let ordinal = last.rawValue + total + 1
      throw SyncError(
        error.code == .tooLarge ? .limit : .protocolViolation, "operation \(ordinal): \(error.detail)")
    }
    if count > 0 { parts.append((start..<end, count)) }
    return parts
  }

  private mutating func run(of bytes: [UInt8], count: Int) -> OperationRun {
    let first = lastOrdinal + 1
    lastOrdinal = lastOrdinal + UInt64(count)
    return OperationRun(firstOrdinal: first, operations: EncodedOperations(checked: bytes, count: count))
  }
}
