import Glibc
import StreamDiffService

/// Where `--trace` writes: a line for each decision, out as soon as it is made.
enum TraceFile {
  /// - Throws: `.failed` naming the file and why it cannot be written.
  static func open(_ path: String) throws(ClientFailure) -> AdaptationTrace {
    let descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      throw ClientFailure(.failed, "--trace \(path): \(String(cString: strerror(errno)))")
    }
    return AdaptationTrace { line in
      let bytes = Array((line + "\n").utf8)
      _ = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    }
  }
}
