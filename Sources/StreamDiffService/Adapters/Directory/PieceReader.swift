import Glibc
import StreamDiffCore

/// Reads single pieces of files and checks each against its digest. Keeps the last file open. For one thread.
struct PieceReader: ~Copyable {
  private let tree: Beneath
  private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: FastCDC.maximum, alignment: 64)
  private var hash = SHA256()
  private var last: (path: [UInt8], file: OpenFile)?

  init(_ tree: Beneath) { self.tree = tree }
  deinit { buffer.deallocate() }

  /// Lends the piece's bytes to `body`.
  ///
  /// - Throws: `AdapterError` `.changed` when the file is gone or holds other bytes there; what `body`
  ///   throws.
  mutating func read(
    _ piece: FileContent.Piece, of path: [UInt8], _ body: (UnsafeRawBufferPointer) throws -> Void
  ) throws {
    let file = try self.file(path)
    let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer[..<piece.length])
    let count = try file.read(into: bytes, at: piece.offset, path: tree.display(path))
    hash.update(UnsafeRawBufferPointer(bytes).bytes)
    guard hash.finish() == piece.digest, count == piece.length else { throw tree.changed(path) }
    try body(UnsafeRawBufferPointer(bytes))
  }

  private mutating func file(_ path: [UInt8]) throws(AdapterError) -> OpenFile {
    if let last, last.path == path { return last.file }
    last = nil
    let file = try tree.file(path)
    last = (path, file)
    return file
  }
}
