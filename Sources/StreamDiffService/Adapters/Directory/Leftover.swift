import StreamDiffCore

/// What an interrupted pull, or a session that broke off, had put together of a file: some of its pieces, at
/// their places in an unfinished file.
struct Leftover: Sendable {
  let path: [UInt8]
  /// Of the unfinished file's name, in the directory of `path`.
  let temporary: UInt64
  /// The whole file as it was to become.
  let layout: FileContent
  /// By place in the layout: whether the piece is there.
  var present: [Bool]

  init(path: [UInt8], temporary: UInt64, pieces: [DirectoryRecord.Item], present: [Bool]) {
    self.path = path
    self.temporary = temporary
    self.present = present
    var offset: UInt64 = 0
    layout = FileContent(
      pieces: pieces.map { item in
        defer { offset += UInt64(item.length) }
        return FileContent.Piece(digest: item.digest, offset: offset, length: item.length)
      })
  }

  /// Reads what is there.
  ///
  /// - Returns: nil when there is no such file or nothing of it can be used.
  init?(_ entry: PullJournal.Entry, in tree: Beneath) {
    self.init(
      path: entry.path, temporary: entry.temporary, pieces: entry.pieces,
      present: Array(repeating: false, count: entry.pieces.count))
    var reader = PieceReader(tree)
    guard (try? tree.file(temporaryPath)) != nil else { return nil }
    for (place, piece) in layout.pieces.enumerated() {
      present[place] = (try? reader.read(piece, of: temporaryPath) { _ in }) != nil
    }
    guard present.contains(true) else { return nil }
  }

  var items: [DirectoryRecord.Item] { layout.pieces.map(\.item) }
  var entry: PullJournal.Entry { PullJournal.Entry(path: path, temporary: temporary, pieces: items) }

  var temporaryPath: [UInt8] {
    let directory = path.lastIndex(of: UInt8(ascii: "/")).map { path[...$0] } ?? []
    return Array(directory) + TemporaryName.make(temporary)
  }

  /// A piece with this digest that is there.
  func piece(_ digest: Digest) -> FileContent.Piece? {
    // Any of several places will do.
    layout.pieces.indices.first { present[$0] && layout.pieces[$0].digest == digest }.map {
      layout.pieces[$0]
    }
  }

  /// Digest records of its parts and of the pieces that are there, not in order.
  func forEachRecord(using hash: inout SHA256, _ body: (DigestRecord) -> Void) {
    for part in layout.parts {
      let key = DirectoryKey.part(path, part.digest)
      let value = layout.bytes(of: part)
      let digest = EntryDigest.of(key: key, value: value, using: &hash)
      body(DigestRecord(key: key, digest: digest, valueBytes: value.count))
    }
    for (place, piece) in layout.pieces.enumerated() where present[place] {
      let key = DirectoryKey.piece(path, piece.digest)
      let digest = EntryDigest.of(
        key: key.span.bytes, valueDigest: piece.digest, valueBytes: piece.length, using: &hash)
      body(DigestRecord(key: key, digest: digest, valueBytes: piece.length))
    }
  }
}
