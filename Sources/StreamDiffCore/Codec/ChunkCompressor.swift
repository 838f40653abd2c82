import CZstd

/// Turns a stream of chunks into payloads. Chunks are flushes of one zstd frame, so that each finds
/// what came before it; a change of codec or level ends the frame (inside one zstd ignores it), and
/// the next starts with the last plain bytes, at most `prefixBytes`, as its prefix.
@safe public struct ChunkCompressor: ~Copyable, @unchecked Sendable {  // the context has one owner
  /// Twice as many would cost twice the time, which is what a new frame costs (60 us at level 1, 370 at 12, 15 ms
  /// at 19), and gain at most 2 % where levels change every 64 KiB.
  static let prefixBytes = 256 << 10

  /// Between chunks: the next ones continue it.
  private struct OpenFrame {
    let lent: Lent<CompressionContext>
    let parameters: FrameParameters
    /// What was asked for.
    let wanted: Int32
    var plainBytes = 0
  }

  private let pool: CodecPool
  private var history = PlainHistory(capacity: prefixBytes)
  private var frame: OpenFrame?

  /// How the last chunk was encoded: not at the level that was asked for where the pool had no room for it.
  public private(set) var encoding = ChunkEncoding.plain

  /// - Parameter pool: where contexts come from, which a compressor has while a frame is open.
  public init(pool: CodecPool = .node) { self.pool = pool }

  /// The last plain bytes, compressed or not, at most 256 KiB: a sample for a `CodecProbe`.
  public func recentPlain(_ most: Int) -> [UInt8] { history.last(most) }

  /// Appends the payload of one chunk to `output`.
  /// - Parameter plain: at most `Limits.chunkBytes`.
  /// - Throws: with `output` as it was; the chunk may be tried again.
  public mutating func compress(
    _ plain: RawSpan, as wanted: ChunkEncoding, into output: inout [UInt8]
  ) throws(CodecError) -> EncodedFrame {
    guard plain.byteCount <= Limits.chunkBytes else {
      throw CodecError(.tooLarge, "a chunk of \(plain.byteCount) bytes exceeds \(Limits.chunkBytes)")
    }
    var encoded = EncodedFrame(isNewFrame: false, prefixLength: 0)
    switch wanted.codec {
    case .none:
      frame = nil
      encoding = .plain
      unsafe plain.withUnsafeBytes { unsafe output.append(contentsOf: $0) }
    case .zstd:
      let start = output.count
      do {
        var open: OpenFrame
        if let frame, goesOn(frame, as: wanted.level) {
          open = frame
        } else {
          (open, encoded) = try startFrame(level: wanted.level)
        }
        try unsafe flush(plain, open.lent.context.pointer, into: &output)
        if encoded.isNewFrame { open.lent.recount() }
        open.plainBytes += plain.byteCount
        (frame, encoding) = (open, ChunkEncoding(codec: .zstd, level: open.parameters.level))
      } catch {
        frame = nil
        output.removeSubrange(start...)
        throw error
      }
    }
    history.append(plain)
    return encoded
  }

  private func goesOn(_ frame: OpenFrame, as level: Int32) -> Bool {
    frame.wanted == level
      && !pool.isDue(
        frame.parameters, wanted: level, plainBytes: frame.plainBytes, bytes: frame.lent.bytes)
  }

  private mutating func startFrame(level: Int32) throws(CodecError) -> (OpenFrame, EncodedFrame) {
    frame = nil  // what it had may serve
    let (lent, parameters) = try pool.compressor(level)
    let context = unsafe lent.context.pointer
    try unsafe parameters.set(context)
    let prefix = unsafe history.freeze(history.count)
    if unsafe !prefix.isEmpty {
      try Zstd.check(unsafe ZSTD_CCtx_refPrefix(context, prefix.baseAddress, prefix.count), "take a prefix")
    }
    return (
      OpenFrame(lent: lent, parameters: parameters, wanted: level),
      EncodedFrame(isNewFrame: true, prefixLength: prefix.count)
    )
  }

  private func flush(
    _ plain: RawSpan, _ context: OpaquePointer, into output: inout [UInt8]
  ) throws(CodecError) {
    var consumed = 0
    var remaining = 1
    while remaining > 0 || consumed < plain.byteCount {
      let room = ZSTD_compressBound(plain.byteCount - consumed) + 64
      try output.append(addingCapacity: room) { target throws(CodecError) in
        try unsafe target.withUnsafeMutableBufferPointer { target, count throws(CodecError) in
          try unsafe plain.withUnsafeBytes { plain throws(CodecError) in
            var input = unsafe ZSTD_inBuffer(src: plain.baseAddress, size: plain.count, pos: consumed)
            var sink = unsafe ZSTD_outBuffer(
              dst: target.baseAddress.map { unsafe $0 + count }, size: room, pos: 0)
            let result = unsafe ZSTD_compressStream2(context, &sink, &input, ZSTD_e_flush)
            remaining = try Zstd.check(result, "compress")
            consumed = unsafe input.pos
            unsafe count += sink.pos
          }
        }
      }
    }
  }
}
