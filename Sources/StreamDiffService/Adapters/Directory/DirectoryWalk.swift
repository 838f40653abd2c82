import Glibc
import StreamDiffCore

/// What stands in a directory tree, before any file is read: names, kinds, modes, sizes.
///
/// Links are not followed, the root's own mode is not kept. Sockets, pipes and devices are left out and
/// named in `skipped`; unfinished files of an interrupted pull are named in `unfinished`. A directory that
/// cannot be read is an error: what it holds would look deleted.
struct DirectoryWalk {
  struct Found {
    /// Relative; a directory's ends in "/".
    let path: [UInt8]
    let mode: UInt16
    let kind: Kind
    enum Kind {
      case file(size: UInt64)
      case directory
      case link
    }
  }

  private(set) var found: [Found] = []
  private(set) var skipped: [[UInt8]] = []
  private(set) var unfinished: [[UInt8]] = []
  private let exclusions: Exclusions

  /// Walks everything under `tree` but what is excluded, and puts `found` in key order.
  init(_ tree: Beneath, exclusions: Exclusions = .none) throws(AdapterError) {
    self.exclusions = exclusions
    var directories: [[UInt8]] = [[]]
    while let directory = directories.popLast() {
      let first = found.count
      try list(directory, of: tree)
      // The last found is listed next, so that its parents are still open.
      for place in found[first...] where DirectoryKey.isDirectory(place.path) {
        directories.append(place.path)
      }
    }
    found.sort { precedes($0.path, $1.path) }
  }

  private mutating func list(_ directory: [UInt8], of tree: Beneath) throws(AdapterError) {
    for name in try names(in: directory, of: tree) {
      // Any path inside tells the directory to look in.
      let path = directory + name
      guard path.count < DirectoryKey.maximumPathBytes else {
        throw AdapterError(
          .tooLarge, path: tree.display(path), "a path of over \(DirectoryKey.maximumPathBytes) bytes")
      }
      if TemporaryName.matches(name) {
        unfinished.append(path)
        continue
      }
      if exclusions.contains(path) { continue }
      let (parent, name) = try tree.parent(of: path)
      var status = stat()
      guard withCString(name, { fstatat(parent.descriptor, $0, &status, AT_SYMLINK_NOFOLLOW) }) == 0 else {
        throw .system("stat", path: tree.display(path))
      }
      let mode = UInt16(status.st_mode & 0o7777)
      switch status.st_mode & S_IFMT {
      case S_IFREG:
        found.append(Found(path: path, mode: mode, kind: .file(size: UInt64(status.st_size))))
      case S_IFDIR:
        let path = path + [UInt8(ascii: "/")]
        if exclusions.contains(path) { continue }
        found.append(Found(path: path, mode: mode, kind: .directory))
      case S_IFLNK:
        found.append(Found(path: path, mode: DirectoryRecord.linkMode, kind: .link))
      default:
        skipped.append(path)
      }
    }
  }

  /// The names in `directory` ("" or ending in "/"), "." and ".." excepted.
  private func names(in directory: [UInt8], of tree: Beneath) throws(AdapterError) -> [[UInt8]] {
    let (parent, name) = try tree.parent(of: directory)
    let descriptor = withCString(directory.isEmpty ? [UInt8(ascii: ".")] : name) {
      openat(parent.descriptor, $0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    }
    guard descriptor >= 0 else { throw .system("open", path: tree.display(directory)) }
    guard let stream = fdopendir(descriptor) else {
      defer { close(descriptor) }
      throw .system("open", path: tree.display(directory))
    }
    defer { closedir(stream) }
    var names: [[UInt8]] = []
    while true {
      errno = 0
      guard let entry = readdir(stream) else {
        guard errno == 0 else { throw .system("list", path: tree.display(directory)) }
        return names
      }
      let start = MemoryLayout<dirent>.offset(of: \.d_name)!
      let text = (UnsafeRawPointer(entry) + start).assumingMemoryBound(to: UInt8.self)
      let name = Array(UnsafeBufferPointer(start: text, count: strlen(UnsafePointer(OpaquePointer(text)))))
      if name != [UInt8(ascii: ".")] && name != Array("..".utf8) { names.append(name) }
    }
  }
}

/// Bytewise order: that of keys.
func precedes(_ lhs: [UInt8], _ rhs: [UInt8]) -> Bool {
  lhs.withUnsafeBytes { left in
    rhs.withUnsafeBytes { right in
      let common = min(left.count, right.count)
      let order = common == 0 ? 0 : memcmp(left.baseAddress!, right.baseAddress!, common)
      return order == 0 ? left.count < right.count : order < 0
    }
  }
}
