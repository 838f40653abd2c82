import Glibc
import StreamDiffCore

/// Opens what stands under a root directory, one component at a time and never through a symbolic link, so
/// that neither a hostile record nor a race can lead outside. The directories on the way to the last path
/// stay open, because paths come in order. For one thread.
final class Beneath {
  /// Open directories kept beside the root: deeper trees open some again.
  private static let maximumKept = 64

  let root: OpenFile
  /// As the user wrote it: for messages.
  let name: String
  private var chain: [(name: ArraySlice<UInt8>, directory: OpenFile)] = []

  init(root: OpenFile, name: String) {
    self.root = root
    self.name = name
  }

  /// Opens the root directory itself; the last component of `path` may be a link, as a user would expect.
  convenience init(opening path: String) throws(AdapterError) {
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .system("open", path: path) }
    self.init(root: OpenFile(owning: descriptor), name: path)
  }

  /// For messages.
  func display(_ path: some Sequence<UInt8>) -> String { "\(name)/\(printable(path))" }

  /// The directory that holds `path`, and the last component of `path` (without a directory's "/").
  ///
  /// - Throws: `.refused` where a directory on the way is something else (a link included); `.changed`
  ///   where it is gone; `.io`.
  func parent(of path: [UInt8]) throws(AdapterError) -> (directory: OpenFile, name: ArraySlice<UInt8>) {
    let trimmed = DirectoryKey.isDirectory(path) ? path.dropLast() : path[...]
    guard let slash = trimmed.lastIndex(of: UInt8(ascii: "/")) else { return (root, trimmed) }
    return (try directory(trimmed[..<slash], of: path), trimmed[(slash + 1)...])
  }

  /// Opens the file at `path` for reading.
  ///
  /// - Throws: `.changed` when it is gone or is a link; else as `parent(of:)`.
  func file(_ path: [UInt8]) throws(AdapterError) -> OpenFile {
    let (parent, name) = try parent(of: path)
    // Not blocking: what was a file may have become a pipe meanwhile.
    let descriptor = withCString(name) {
      openat(parent.descriptor, $0, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
    }
    guard descriptor >= 0 else {
      if errno == ENOENT || errno == ELOOP { throw changed(path) }
      throw .system("open", path: display(path))
    }
    return OpenFile(owning: descriptor)
  }

  func changed(_ path: [UInt8]) -> AdapterError {
    AdapterError(.changed, path: display(path), "changed while it was read; try again when it rests")
  }

  /// Forgets open directories: those that were renamed or replaced must be opened anew.
  func forget() { chain.removeAll() }

  private func directory(_ path: ArraySlice<UInt8>, of whole: [UInt8]) throws(AdapterError) -> OpenFile {
    let components = path.split(separator: UInt8(ascii: "/"))
    var shared = 0
    while shared < chain.count, shared < components.count,
      chain[shared].name.elementsEqual(components[shared])
    {
      shared += 1
    }
    chain.removeSubrange(shared...)
    var current = chain.last?.directory ?? root
    for component in components[shared...] {
      let descriptor = withCString(component) {
        openat(current.descriptor, $0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
      }
      guard descriptor >= 0 else {
        if errno == ENOTDIR || errno == ELOOP {
          throw AdapterError(
            .refused, path: display(whole), "refused: \(printable(component)) on its way is no directory")
        }
        if errno == ENOENT { throw AdapterError(.changed, path: display(whole), "its directory is gone") }
        throw .system("open \(printable(component)) on the way", path: display(whole))
      }
      current = OpenFile(owning: descriptor)
      // Past the bound a directory is open only while it is walked through.
      if chain.count < Self.maximumKept { chain.append((component, current)) }
    }
    return current
  }
}
