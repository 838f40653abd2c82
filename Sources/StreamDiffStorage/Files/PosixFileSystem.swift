import Glibc

/// The file system of this machine. Paths may be relative to the working directory.
public struct PosixFileSystem: FileSystem {
  public init() {}

  public func open(_ path: String, _ mode: FileMode) throws(StorageError) -> any File {
    try PosixFile(opening: path, mode)
  }

  public func makeDirectory(_ path: String) throws(StorageError) {
    guard mkdir(path, 0o777) != 0 else { return }
    let code = errno
    // One that is there may refuse us all the same (EROFS, EACCES): only what is missing counts.
    guard !isDirectory(path) else { return }
    guard code != EEXIST else { throw StorageError(.unwritable, path: path, "is not a directory") }
    throw StorageError(errno: code, creating: true, path: path, "create directory")
  }

  public func list(_ directory: String) throws(StorageError) -> [String] {
    guard let stream = opendir(directory) else { throw StorageError(errno: errno, path: directory, "list") }
    defer { closedir(stream) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = readdir(stream) else {
        guard errno == 0 else { throw StorageError(errno: errno, path: directory, "list") }
        return names
      }
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
  }

  public func rename(_ old: String, to new: String, _ point: ChangePoint) throws(StorageError) {
    guard Glibc.rename(old, new) == 0 else {
      throw StorageError(errno: errno, path: old, "rename to \(new) (\(point.rawValue))")
    }
  }

  public func target(of path: String) throws(StorageError) -> String {
    var place = path
    // As many as the kernel follows.
    for _ in 0..<40 {
      guard let link = try linkText(place) else { return place }
      let directory = place.utf8.lastIndex(of: UInt8(ascii: "/")).map { place[...$0] } ?? ""
      place = link.hasPrefix("/") ? link : directory + link
    }
    throw StorageError(errno: ELOOP, path: path, "follow links")
  }

  /// - Returns: `nil` for what is no link, or not there.
  private func linkText(_ path: String) throws(StorageError) -> String? {
    var bytes = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = readlink(path, &bytes, bytes.count)
    guard count < 0 else {
      return String(decoding: bytes.prefix(count).map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
    guard errno == EINVAL || errno == ENOENT else {
      throw StorageError(errno: errno, path: path, "read link")
    }
    return nil
  }

  public func copyPermissions(of old: String, to path: String) throws(StorageError) {
    var status = stat()
    guard stat(old, &status) == 0 else {
      guard errno == ENOENT else { throw StorageError(errno: errno, path: old, "stat") }
      return
    }
    _ = chown(path, status.st_uid, status.st_gid)
    // After it: a change of the owner may take bits away.
    guard chmod(path, status.st_mode & 0o7777) == 0 else {
      throw StorageError(errno: errno, path: path, "change mode")
    }
  }

  public func remove(_ path: String, _ point: ChangePoint) throws(StorageError) {
    guard unlink(path) == 0 else {
      throw StorageError(errno: errno, path: path, "remove (\(point.rawValue))")
    }
  }

  public func syncDirectory(_ path: String, _ point: SyncPoint) throws(StorageError) {
    guard let descriptor = Descriptor(path, O_RDONLY | O_DIRECTORY) else {
      throw StorageError(errno: errno, path: path, "open directory")
    }
    guard fsync(descriptor.number) == 0 else {
      throw StorageError(errno: errno, path: path, "sync directory (\(point.rawValue))")
    }
  }

  public func lock(_ path: String) throws(StorageError) -> any FileLock { try PosixFileLock(path) }

  /// Takes the lock of a directory that is only looked at, without writing anything.
  /// - Returns: `nil` when there is no such file: then nobody uses the directory.
  public func lockExisting(_ path: String) throws(StorageError) -> (any FileLock)? {
    do throws(StorageError) {
      return try PosixFileLock(path, O_RDONLY)
    } catch  where error.code == .notFound {
      return nil
    }
  }

  public func space(at path: String) throws(StorageError) -> DiskSpace {
    var status = statvfs()
    guard statvfs(path, &status) == 0 else { throw StorageError(errno: errno, path: path, "statvfs") }
    let unit = UInt64(status.f_frsize)
    return DiskSpace(total: UInt64(status.f_blocks) * unit, available: UInt64(status.f_bavail) * unit)
  }

  private func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }
}

/// `flock` on a file: gone with the process, however that ends.
final class PosixFileLock: FileLock {
  private let descriptor: Descriptor

  init(_ path: String, _ flags: CInt = O_RDWR | O_CREAT) throws(StorageError) {
    guard let descriptor = Descriptor(path, flags) else {
      throw StorageError(errno: errno, creating: flags & O_CREAT != 0, path: path, "open lock")
    }
    self.descriptor = descriptor
    guard flock(self.descriptor.number, LOCK_EX | LOCK_NB) == 0 else {
      let code = errno
      guard code == EWOULDBLOCK else { throw StorageError(errno: code, path: path, "lock") }
      throw StorageError(.locked, path: path, "another process uses this directory; stop it first")
    }
  }
}

extension StorageError {
  /// A failed system call. `creating`: the failure means that the place cannot be written at all.
  init(errno code: CInt, creating: Bool = false, path: String, offset: UInt64? = nil, _ call: String) {
    let detail = "\(call): \(String(cString: strerror(code)))"
    switch code {
    case ENOSPC, EDQUOT: self.init(.noSpace, path: path, offset: offset, detail)
    case ENOENT where !creating: self.init(.notFound, path: path, offset: offset, detail)
    case EROFS, EACCES, EPERM, ENOTDIR: self.init(.unwritable, path: path, offset: offset, detail)
    default: self.init(creating ? .unwritable : .io, path: path, offset: offset, detail)
    }
  }
}
