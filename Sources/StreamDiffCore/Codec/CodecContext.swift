import CZstd

/// zstd's memory for one stream. Used by one at a time, which the pool sees to.
protocol CodecContext: AnyObject, Sendable {
  init() throws(CodecError)
  /// What it takes now.
  var bytes: Int { get }
  /// Forgets stream, prefix and parameters. The memory stays.
  func clear()
}

// It is lent to one owner at a time (`Lent`), and the pool's lock hands it from thread to thread.
@safe final class CompressionContext: CodecContext, @unchecked Sendable {
  let pointer: OpaquePointer

  init() throws(CodecError) {
    guard let context = unsafe ZSTD_createCCtx() else {
      throw CodecError(.outOfMemory, "no memory for a zstd compressor")
    }
    unsafe pointer = context
  }

  deinit { unsafe ZSTD_freeCCtx(pointer) }

  var bytes: Int { unsafe ZSTD_sizeof_CCtx(pointer) }

  func clear() {
    let result = unsafe ZSTD_CCtx_reset(pointer, ZSTD_reset_session_and_parameters)
    precondition(ZSTD_isError(result) == 0, "a zstd compressor cannot be reset")
  }
}

// As above.
@safe final class DecompressionContext: CodecContext, @unchecked Sendable {
  /// 1 MiB, the widest window that a sender may use: ours do at levels from 4 on.
  private static let windowLog: Int32 = 20
  /// For the windows of lower levels, which fast links have. A wider one takes 512 KiB more, and is counted when it comes.
  static let usualBytes = ZSTD_estimateDStreamSize(1 << Int(FrameParameters(level: 1).windowLog))

  let pointer: OpaquePointer

  init() throws(CodecError) {
    guard let context = unsafe ZSTD_createDCtx() else {
      throw CodecError(.outOfMemory, "no memory for a zstd decompressor")
    }
    unsafe pointer = context
    clear()
  }

  deinit { unsafe ZSTD_freeDCtx(pointer) }

  var bytes: Int { unsafe ZSTD_sizeof_DCtx(pointer) }

  func clear() {
    for result in unsafe [
      ZSTD_DCtx_reset(pointer, ZSTD_reset_session_and_parameters),
      ZSTD_DCtx_setParameter(pointer, ZSTD_d_windowLogMax, Self.windowLog),
    ] {
      precondition(ZSTD_isError(result) == 0, "zstd knows no window of 2^\(Self.windowLog) bytes")
    }
  }
}
