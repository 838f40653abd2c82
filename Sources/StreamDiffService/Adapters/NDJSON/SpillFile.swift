import Glibc
import StreamDiffCore

/// A file for what does not fit in memory: without a name, gone with its last owner.
struct SpillFile: Sendable {
  let file: OpenFile
  let path: String

  /// Created in `TMPDIR`, else in /var/tmp, which is made for what is large.
  init() throws(AdapterError) {
    let directory = getenv("TMPDIR").map { String(cString: $0) } ?? "/var/tmp"
    path = "\(directory)/streamdiff-sort"
    var template = Array("\(path)-XXXXXX".utf8CString)
    let descriptor = mkstemp(&template)
    guard descriptor >= 0 else { throw .system("create", path: directory) }
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    unlink(template)
    file = OpenFile(owning: descriptor)
  }

  /// A file that is written the same way but has a name.
  init(_ file: OpenFile, path: String) { (self.file, self.path) = (file, path) }
}

/// Appends to a spill file through a buffer.
struct SpillWriter {
  private static let bufferBytes = 1 << 20

  let spill: SpillFile
  private(set) var buffer: [UInt8] = []
  private var flushed: UInt64 = 0

  init(_ spill: SpillFile) {
    self.spill = spill
    buffer.reserveCapacity(Self.bufferBytes + Limits.valueBytes)
  }

  /// Where the next byte goes.
  var offset: UInt64 { flushed + UInt64(buffer.count) }

  mutating func append(_ body: (inout [UInt8]) -> Void) throws(AdapterError) {
    body(&buffer)
    if buffer.count >= Self.bufferBytes { try flush() }
  }

  mutating func flush() throws(AdapterError) {
    let result: Result<Void, AdapterError> = buffer.withUnsafeBytes { bytes in
      do throws(AdapterError) {
        return .success(try spill.file.write(bytes, at: flushed, path: spill.path))
      } catch {
        return .failure(error)
      }
    }
    try result.get()
    flushed += UInt64(buffer.count)
    buffer.removeAll(keepingCapacity: true)
  }
}
