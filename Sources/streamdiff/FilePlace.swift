import Glibc

/// Where files are, whatever names lead to them.
enum FilePlace {
  /// Whether `path`, which may not exist yet, is `other` or lies somewhere beneath it.
  static func isWithin(_ path: String, _ other: String) -> Bool {
    guard let place = identity(other) else { return false }
    if identity(path) == place { return true }
    let parent = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
    return isBeneath(parent, place)
  }

  private struct Identity: Equatable {
    var device: dev_t
    var inode: ino_t
  }

  private static func identity(_ path: String) -> Identity? {
    var status = stat()
    return stat(path, &status) == 0 ? Identity(device: status.st_dev, inode: status.st_ino) : nil
  }

  /// Upwards to the root, which is its own parent.
  private static func isBeneath(_ directory: String, _ place: Identity) -> Bool {
    var (path, last) = (directory, Identity?.none)
    while let here = identity(path), here != last {
      if here == place { return true }
      (path, last) = (path + "/..", here)
    }
    return false
  }
}
