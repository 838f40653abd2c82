import CZstd

/// Turns payloads back into plain bytes: the other end of `ChunkCompressor`. What arrives may be
/// hostile: output never exceeds the declared length, and memory never a window of 1 MiB.
@safe public struct ChunkDecompressor: ~Copyable, @unchecked Sendable {  // the context has one owner
  /// The longest prefix that a sender may use: ours use half of it.
  static let prefixBytes = 512 << 10

  private let pool: CodecPool
  /// While a frame is open.
  private var lent: Lent<DecompressionContext>?
  private var history = PlainHistory(capacity: prefixBytes)
  /// Whether a chunk may continue the frame of the chunk before.
  private var isOpen = false

  /// - Parameter pool: where contexts come from, which a decompressor has while a frame is open.
  public init(pool: CodecPool = .node) { self.pool = pool }

  /// Appends exactly `plainLength` bytes to `output`. The other parameters are the chunk's header.
  /// - Throws: with `output` as it was. Chunks that continue the frame are refused from then on.
  public mutating func decompress(
    _ payload: RawSpan, codec: Codec, isNewFrame: Bool, prefixLength: Int, plainLength: Int,
    into output: inout [UInt8]
  ) throws(CodecError) {
    guard plainLength <= Limits.chunkBytes else {
      throw CodecError(.tooLarge, "a chunk of \(plainLength) plain bytes exceeds \(Limits.chunkBytes)")
    }
    guard plainLength >= 0 else { throw CodecError(.malformed, "a plain length of \(plainLength)") }
    guard isNewFrame || prefixLength == 0 else {
      throw CodecError(.malformed, "a prefix of \(prefixLength) bytes inside a frame")
    }
    let start = output.count
    let wasOpen = isOpen
    isOpen = false
    defer { if !isOpen { lent = nil } }
    switch codec {
    case .none:
      guard !isNewFrame else { throw CodecError(.malformed, "an uncompressed chunk starts no frame") }
      guard payload.byteCount == plainLength else {
        throw CodecError(.malformed, "\(payload.byteCount) uncompressed bytes declared as \(plainLength)")
      }
      unsafe payload.withUnsafeBytes { unsafe output.append(contentsOf: $0) }
    case .zstd:
      if isNewFrame { try startFrame(prefixLength) }
      guard let lent, isNewFrame || wasOpen else {
        throw CodecError(.malformed, "a chunk continues a frame that is not open")
      }
      do {
        isOpen = try unsafe decode(payload, plainLength, lent.context.pointer, into: &output)
        if isNewFrame { lent.recount() }
      } catch {
        output.removeSubrange(start...)
        throw error
      }
    }
    unsafe history.append(output.span.extracting(start...).bytes)
  }

  private mutating func startFrame(_ prefixLength: Int) throws(CodecError) {
    guard prefixLength >= 0, prefixLength <= history.count else {
      throw CodecError(.malformed, "a prefix of \(prefixLength) bytes where \(history.count) are known")
    }
    if lent == nil { lent = try pool.decompressor() }
    guard let context = unsafe lent?.context.pointer else { preconditionFailure("nothing was lent") }
    try Zstd.check(unsafe ZSTD_DCtx_reset(context, ZSTD_reset_session_only), "start a frame")
    let prefix = unsafe history.freeze(prefixLength)
    if unsafe !prefix.isEmpty {
      try Zstd.check(unsafe ZSTD_DCtx_refPrefix(context, prefix.baseAddress, prefix.count), "take a prefix")
    }
  }

  /// - Returns: whether the frame goes on.
  private func decode(
    _ payload: RawSpan, _ plainLength: Int, _ context: OpaquePointer, into output: inout [UInt8]
  ) throws(CodecError) -> Bool {
    guard payload.byteCount > 0 || plainLength > 0 else { return true }
    var isEnded = false
    try output.append(addingCapacity: plainLength) { target throws(CodecError) in
      try unsafe target.withUnsafeMutableBufferPointer { target, count throws(CodecError) in
        try unsafe payload.withUnsafeBytes { payload throws(CodecError) in
          var input = unsafe ZSTD_inBuffer(src: payload.baseAddress, size: payload.count, pos: 0)
          var sink = unsafe ZSTD_outBuffer(
            dst: target.baseAddress.map { unsafe $0 + count }, size: plainLength, pos: 0)
          while unsafe !isEnded && (input.pos < input.size || sink.pos < sink.size) {
            let before = unsafe (input.pos, sink.pos)
            let result = unsafe ZSTD_decompressStream(context, &sink, &input)
            isEnded = try Zstd.check(result, "decompress") == 0
            if unsafe (input.pos, sink.pos) == before { break }
          }
          guard unsafe input.pos == input.size, unsafe sink.pos == plainLength else {
            throw unsafe CodecError(
              .malformed,
              "\(input.pos) of \(input.size) bytes gave \(sink.pos) plain bytes of \(plainLength)")
          }
          if !isEnded { try unsafe expectNothingMore(context, &input, plainLength) }
          count += plainLength
        }
      }
    }
    return !isEnded
  }

  /// All input is taken and the output is full: does the decoder hold back more?
  private func expectNothingMore(
    _ context: OpaquePointer, _ input: inout ZSTD_inBuffer, _ plainLength: Int
  ) throws(CodecError) {
    var extra: UInt8 = 0
    try unsafe withUnsafeMutableBytes(of: &extra) { extra throws(CodecError) in
      var sink = unsafe ZSTD_outBuffer(dst: extra.baseAddress, size: 1, pos: 0)
      try Zstd.check(unsafe ZSTD_decompressStream(context, &sink, &input), "decompress")
      guard unsafe sink.pos == 0 else {
        throw CodecError(.malformed, "a chunk expands beyond its \(plainLength) plain bytes")
      }
    }
  }
}
