import Glibc
import StreamDiffCore

/// Reads, cuts and hashes files one after another with one buffer. For one thread.
struct FileReader: ~Copyable {
  /// Larger than the largest piece, small enough to stay in the cache of a core between reading and hashing.
  private static let bufferBytes = 4 * FastCDC.maximum

  private let tree: Beneath
  private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.bufferBytes, alignment: 64)
  private var hash = SHA256()

  init(_ tree: Beneath) { self.tree = tree }
  deinit { buffer.deallocate() }

  /// The mode and the pieces of the file at `path`.
  ///
  /// - Throws: `.changed` when it is no file, or not the same after reading as before; `.tooLarge` when its
  ///   list would not fit a record; `.io`.
  mutating func read(_ path: [UInt8]) throws(AdapterError) -> (mode: UInt16, content: FileContent) {
    let file = try tree.file(path)
    let status = try file.status(path: tree.display(path))
    guard status.st_mode & S_IFMT == S_IFREG else { throw tree.changed(path) }
    let before = FileStamp(status)
    var pieces: [FileContent.Piece] = []
    var offset: UInt64 = 0
    var filled = 0
    var isWhole = false
    repeat {
      let rest = before.size - offset - UInt64(filled)
      let room = UnsafeMutableRawBufferPointer(rebasing: buffer[filled...].prefix(Int(clamping: rest)))
      let count = try file.read(into: room, at: offset + UInt64(filled), path: tree.display(path))
      guard count == room.count else { throw tree.changed(path) }
      filled += count
      isWhole = UInt64(count) == rest
      var start = 0
      while start < filled, isWhole || filled - start >= FastCDC.maximum {
        let bytes = UnsafeRawBufferPointer(rebasing: buffer[start..<filled]).bytes
        let length = FastCDC.cut(bytes)
        hash.update(bytes.extracting(first: length))
        pieces.append(FileContent.Piece(digest: hash.finish(), offset: offset, length: length))
        start += length
        offset += UInt64(length)
      }
      buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[start..<filled]))
      filled -= start
    } while !isWhole
    let after = FileStamp(try file.status(path: tree.display(path)))
    guard before == after else { throw tree.changed(path) }
    return (UInt16(status.st_mode & 0o7777), try content(pieces, of: path))
  }

  /// The target of the link at `path`.
  func target(of path: [UInt8]) throws(AdapterError) -> [UInt8] {
    let (parent, name) = try tree.parent(of: path)
    return try withUnsafeTemporaryAllocation(of: CChar.self, capacity: DirectoryRecord.maximumTargetBytes) {
      (room) throws(AdapterError) in
      let count = withCString(name) { readlinkat(parent.descriptor, $0, room.baseAddress!, room.count) }
      guard count >= 0 else {
        if errno == EINVAL || errno == ENOENT { throw tree.changed(path) }
        throw .system("readlink", path: tree.display(path))
      }
      guard count > 0, count < room.count else {
        throw AdapterError(
          .tooLarge, path: tree.display(path), "a link target of over \(room.count - 1) bytes")
      }
      return room[..<count].map { UInt8(bitPattern: $0) }
    }
  }

  private func content(_ pieces: [FileContent.Piece], of path: [UInt8]) throws(AdapterError) -> FileContent {
    let content = FileContent(pieces: pieces)
    guard pieces.count <= PieceList.maximumPieces, content.parts.count <= DirectoryRecord.maximumItems else {
      throw AdapterError(
        .tooLarge, path: tree.display(path), "its \(pieces.count) pieces are more than a record lists")
    }
    return content
  }
}
