import Glibc
import StreamDiffCore

/// An open file descriptor, closed when its last owner goes.
final class OpenFile: Sendable {
  let descriptor: Int32
  init(owning descriptor: Int32) { self.descriptor = descriptor }
  deinit { close(descriptor) }

  /// What fstat says.
  func status(path: @autoclosure () -> String) throws(AdapterError) -> stat {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw .system("fstat", path: path()) }
    return status
  }

  /// Reads until `buffer` is full or the file ends.
  /// - Returns: bytes read; fewer than asked for only at the end of the file.
  func read(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64, path: @autoclosure () -> String
  ) throws(AdapterError) -> Int {
    var done = 0
    while done < buffer.count {
      let count = pread(
        descriptor, buffer.baseAddress! + done, buffer.count - done, off_t(offset) + off_t(done))
      if count < 0 {
        if errno == EINTR { continue }
        throw .system("read", path: path())
      }
      if count == 0 { break }
      done += count
    }
    return done
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64, path: @autoclosure () -> String)
    throws(AdapterError)
  {
    var done = 0
    while done < bytes.count {
      let count = pwrite(
        descriptor, bytes.baseAddress! + done, bytes.count - done, off_t(offset) + off_t(done))
      if count < 0 {
        if errno == EINTR { continue }
        throw .system("write", path: path())
      }
      done += count
    }
  }
}

/// Tells whether a file is still the one that was looked at: any write or replacement changes it.
struct FileStamp: Equatable {
  private let device: dev_t
  private let inode: ino_t
  let size: UInt64
  private let modified: (Int, Int)
  private let changed: (Int, Int)

  init(_ status: stat) {
    device = status.st_dev
    inode = status.st_ino
    size = UInt64(status.st_size)
    modified = (status.st_mtim.tv_sec, status.st_mtim.tv_nsec)
    changed = (status.st_ctim.tv_sec, status.st_ctim.tv_nsec)
  }

  static func == (lhs: FileStamp, rhs: FileStamp) -> Bool {
    lhs.device == rhs.device && lhs.inode == rhs.inode && lhs.size == rhs.size
      && lhs.modified == rhs.modified && lhs.changed == rhs.changed
  }
}

/// A path or name as C wants it.
func withCString<Result>(
  _ bytes: some Collection<UInt8>, _ body: (UnsafePointer<CChar>) -> Result
) -> Result {
  withUnsafeTemporaryAllocation(of: CChar.self, capacity: bytes.count + 1) { buffer in
    var end = 0
    for byte in bytes {
      buffer.initializeElement(at: end, to: CChar(bitPattern: byte))
      end += 1
    }
    buffer.initializeElement(at: end, to: 0)
    return body(UnsafePointer(buffer.baseAddress!))
  }
}
