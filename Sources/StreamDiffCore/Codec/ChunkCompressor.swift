import CZstd

/// Turns a stream of chunks into payloads. Chunks are flushes of one zstd frame, so that each finds
/// what came before it; a change of codec or level ends the frame (inside one zstd ignores it), and
/// the next starts with the last plain bytes, at most `prefixBytes`, as its prefix.
@safe public struct ChunkCompressor: ~Copyable, @unchecked Sendable {  // the context has one owner
  /// Twice as many would cost twice the time, which is what a new frame costs (60 us at level 1, 370 at 12, 15 ms
  /// at 19), and gain at most 2 % where levels change every 64 KiB.
  static let prefixBytes = 256 << 10

  private let context: OpaquePointer
  private var history = PlainHistory(capacity: prefixBytes)
  /// Of the open frame; `nil` when the next zstd chunk starts one.
  private var current: ChunkEncoding?

  public init() throws(CodecError) {
    guard let context = unsafe ZSTD_createCCtx() else {
      throw CodecError(.outOfMemory, "no memory for a zstd compressor")
    }
    unsafe self.context = context
  }

  deinit { unsafe ZSTD_freeCCtx(context) }

  /// Appends the payload of one chunk to `output`.
  /// - Parameter plain: at most `Limits.chunkBytes`.
  /// - Throws: with `output` as it was; the chunk may be tried again.
  public mutating func compress(
    _ plain: RawSpan, as encoding: ChunkEncoding, into output: inout [UInt8]
  ) throws(CodecError) -> EncodedFrame {
    guard plain.byteCount <= Limits.chunkBytes else {
      throw CodecError(.tooLarge, "a chunk of \(plain.byteCount) bytes exceeds \(Limits.chunkBytes)")
    }
    var frame = EncodedFrame(isNewFrame: false, prefixLength: 0)
    switch encoding.codec {
    case .none:
      current = nil
      unsafe plain.withUnsafeBytes { unsafe output.append(contentsOf: $0) }
    case .zstd:
      let start = output.count
      do {
        if current != encoding { frame = try startFrame(level: encoding.level) }
        try flush(plain, into: &output)
      } catch {
        current = nil
        output.removeSubrange(start...)
        throw error
      }
      current = encoding
    }
    history.append(plain)
    return frame
  }

  private mutating func startFrame(level: Int32) throws(CodecError) -> EncodedFrame {
    try Zstd.check(unsafe ZSTD_CCtx_reset(context, ZSTD_reset_session_and_parameters), "start a frame")
    try unsafe FrameParameters(level: level).set(context)
    let prefix = unsafe history.freeze(history.count)
    if unsafe !prefix.isEmpty {
      try Zstd.check(unsafe ZSTD_CCtx_refPrefix(context, prefix.baseAddress, prefix.count), "take a prefix")
    }
    return EncodedFrame(isNewFrame: true, prefixLength: prefix.count)
  }

  private func flush(_ plain: RawSpan, into output: inout [UInt8]) throws(CodecError) {
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
