import Glibc

/// A file by its descriptor, read and written by offset.
final class PosixFile: File {
  let path: String
  private let descriptor: Descriptor

  init(opening path: String, _ mode: FileMode) throws(StorageError) {
    let flags: CInt
    switch mode {
    case .read: flags = O_RDONLY | O_NONBLOCK
    case .write: flags = O_RDWR | O_NONBLOCK
    case .replace: flags = O_RDWR | O_NONBLOCK | O_CREAT | O_TRUNC
    }
    self.path = path
    // Before it is opened, for a device may do something then, and after, for it may be another by then. (Nothing waits:
    // O_NONBLOCK, which regular files do not heed.)
    var status = stat()
    if stat(path, &status) == 0 { try Self.requireRegular(status, path) }
    guard let descriptor = Descriptor(path, flags) else {
      throw StorageError(errno: errno, creating: flags & O_CREAT != 0, path: path, "open")
    }
    self.descriptor = descriptor
    guard fstat(self.descriptor.number, &status) == 0 else {
      throw StorageError(errno: errno, path: path, "fstat")
    }
    try Self.requireRegular(status, path)
  }

  private static func requireRegular(_ status: stat, _ path: String) throws(StorageError) {
    let kind: String
    switch status.st_mode & S_IFMT {
    case S_IFREG: return
    case S_IFDIR: kind = "directory"
    case S_IFIFO: kind = "FIFO"
    case S_IFSOCK: kind = "socket"
    default: kind = "device"
    }
    throw StorageError(.io, path: path, "is a \(kind), and must be a regular file")
  }

  func size() throws(StorageError) -> UInt64 {
    var status = stat()
    guard fstat(descriptor.number, &status) == 0 else {
      throw StorageError(errno: errno, path: path, "fstat")
    }
    return UInt64(status.st_size)
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(StorageError) -> Int {
    var done = 0
    while done < buffer.count {
      let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
      let count = pread(descriptor.number, rest.baseAddress, rest.count, off_t(offset) + off_t(done))
      if count == 0 { break }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else {
        throw StorageError(errno: errno, path: path, offset: offset + UInt64(done), "read")
      }
      done += count
    }
    return done
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64, _ point: ChangePoint) throws(StorageError) {
    var done = 0
    while done < bytes.count {
      let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
      let count = pwrite(descriptor.number, rest.baseAddress, rest.count, off_t(offset) + off_t(done))
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else {
        throw StorageError(
          errno: errno, path: path, offset: offset + UInt64(done), "write (\(point.rawValue))")
      }
      done += count
    }
  }

  func allocate(_ bytes: UInt64, _ point: ChangePoint) throws(StorageError) {
    var code: CInt
    repeat { code = posix_fallocate(descriptor.number, 0, off_t(bytes)) } while code == EINTR
    guard code == 0 else {
      throw StorageError(errno: code, path: path, "allocate \(bytes) bytes (\(point.rawValue))")
    }
  }

  func sync(_ point: SyncPoint) throws(StorageError) {
    // Never again after a failure, EINTR apart: the kernel forgets what it could not write.
    while fdatasync(descriptor.number) != 0 {
      guard errno == EINTR else { throw StorageError(errno: errno, path: path, "sync (\(point.rawValue))") }
    }
  }
}
