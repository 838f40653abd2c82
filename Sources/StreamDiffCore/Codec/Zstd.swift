import CZstd

/// What both directions share.
enum Zstd {
  /// - Returns: `result` unless it is an error code.
  @discardableResult
  static func check(_ result: Int, _ action: @autoclosure () -> String) throws(CodecError) -> Int {
    guard ZSTD_isError(result) != 0 else { return result }
    let name = unsafe String(cString: ZSTD_getErrorName(result))
    throw CodecError(code(of: result), "zstd could not \(action()): \(name)")
  }

  /// Numbers of zstd_errors.h, which are fixed.
  private static func code(of result: Int) -> CodecError.Code {
    switch 0 &- result {
    case 64: .outOfMemory
    case 16: .tooLarge
    default: .malformed
    }
  }
}
