import Glibc
import StreamDiffCore

/// A file that is being put together beside its old version: new pieces go to their places as they arrive,
/// the others come from the old version in the end. Every piece is checked against its digest before it is
/// written.
final class FileAssembly {
  let path: [UInt8]
  let mode: UInt16
  /// The unfinished file, once it is known what belongs where.
  private(set) var target: Target?
  /// Other unfinished versions of it, which have what this one needs.
  let leftovers: [Leftover]
  private let open: ([DirectoryRecord.Item]) throws(AdapterError) -> Target
  private let tree: Beneath
  private let size: UInt64
  private let old: FileContent?
  private var stage: Stage

  /// An unfinished file, in the directory of the path.
  struct Target {
    /// Of its name.
    let temporary: UInt64
    let file: OpenFile
    /// By place: pieces that are there already; empty for a new file.
    var written: [Bool] = []
  }

  private enum Stage {
    /// The record named parts: those that the old version lacks are on their way.
    case listing(items: [DirectoryRecord.Item], received: [Digest: [DirectoryRecord.Item]])
    case placing(Layout)
  }

  /// Where each piece goes and which are written.
  private struct Layout {
    var pieces: [(item: DirectoryRecord.Item, offset: UInt64, isWritten: Bool)]
    /// Places in `pieces` by digest.
    var order: [Int]

    init(_ items: [DirectoryRecord.Item], written: [Bool]) {
      var offset: UInt64 = 0
      pieces = items.map { item in
        defer { offset += UInt64(item.length) }
        return (item, offset, false)
      }
      for place in written.indices where written[place] { pieces[place].isWritten = true }
      order = items.indices.sorted { items[$0].digest < items[$1].digest }
    }

    func places(of digest: Digest) -> ArraySlice<Int> {
      let first = order.partitioningIndex { pieces[$0].item.digest >= digest }
      return order[first...].prefix { pieces[$0].item.digest == digest }
    }
  }

  /// - Parameters:
  ///   - leftovers: unfinished files of the same path.
  ///   - open: makes the unfinished file for these pieces, or finds one of `leftovers` that is to hold the same.
  init(
    _ path: [UInt8], record: DirectoryRecord, old: FileContent?, leftovers: [Leftover], tree: Beneath,
    open: @escaping ([DirectoryRecord.Item]) throws(AdapterError) -> Target
  ) throws(AdapterError) {
    guard case .file(let depth, let size, let items) = record.content else {
      preconditionFailure("the record of a file is assembled")
    }
    (self.path, mode, self.size, self.old) = (path, record.mode, size, old)
    (self.leftovers, self.tree, self.open) = (leftovers, tree, open)
    stage = .listing(items: items, received: [:])
    if depth == 0 { try place(items) }
  }

  private func place(_ items: [DirectoryRecord.Item]) throws(AdapterError) {
    let target = try open(items)
    self.target = target
    stage = .placing(Layout(items, written: target.written))
  }

  /// What there is of it, for another session.
  var leftover: Leftover? {
    guard case .placing(let layout) = stage, let target else { return nil }
    return Leftover(
      path: path, temporary: target.temporary, pieces: layout.pieces.map(\.item),
      present: layout.pieces.map(\.isWritten))
  }

  /// - Parameter bytes: what `digest` is of.
  /// - Returns: whether the record lists it.
  func add(part digest: Digest, _ bytes: [UInt8]) throws(AdapterError) -> Bool {
    guard case .listing(let items, var received) = stage, items.contains(where: { $0.digest == digest })
    else { return false }
    guard let list = PieceList.decode(part: bytes) else {
      throw refused("a part that is no list of pieces")
    }
    stage = .listing(items: [], received: [:])
    received[digest] = list
    stage = .listing(items: items, received: received)
    return true
  }

  /// - Parameter bytes: what `digest` is of.
  /// - Returns: whether the record lists it.
  func add(piece digest: Digest, _ bytes: UnsafeRawBufferPointer) throws(AdapterError) -> Bool {
    try listPieces()
    guard case .placing(var layout) = stage, let file = target?.file else {
      preconditionFailure("a list of pieces is known")
    }
    let places = layout.places(of: digest)
    guard let first = places.first else { return false }
    guard layout.pieces[first].item.length == bytes.count else {
      throw refused("a record that names another length of a piece")
    }
    stage = .listing(items: [], received: [:])  // so that `layout` is changed in place
    defer { stage = .placing(layout) }
    for place in places {
      try file.write(bytes, at: layout.pieces[place].offset, path: tree.display(path))
      layout.pieces[place].isWritten = true
    }
    return true
  }

  /// Fetches what did not arrive from the old version or from an unfinished one, and sets the mode. The file
  /// is whole then.
  func finish() throws -> FileContent {
    try listPieces()
    guard case .placing(let layout) = stage, let file = target?.file else {
      preconditionFailure("a list of pieces is known")
    }
    var reader = PieceReader(tree)
    let own = layout.pieces.allSatisfy(\.isWritten) ? nil : leftover
    for place in layout.pieces.indices where !layout.pieces[place].isWritten {
      let (item, offset, _) = layout.pieces[place]
      guard let (piece, owner) = find(item, own) else {
        throw refused("a record that lists a piece which did not come")
      }
      try reader.read(piece, of: owner) { try file.write($0, at: offset, path: tree.display(path)) }
    }
    // An unfinished file that was found may have bytes behind its last piece.
    let size = layout.pieces.last.map { $0.offset + UInt64($0.item.length) } ?? 0
    guard ftruncate(file.descriptor, off_t(size)) == 0 else {
      throw AdapterError.system("truncate", path: tree.display(path))
    }
    guard fchmod(file.descriptor, mode_t(mode)) == 0 else {
      throw AdapterError.system("chmod", path: tree.display(path))
    }
    return FileContent(
      pieces: layout.pieces.map {
        FileContent.Piece(digest: $0.item.digest, offset: $0.offset, length: $0.item.length)
      })
  }

  /// A piece that did not arrive, and the file that has it.
  private func find(
    _ item: DirectoryRecord.Item, _ own: Leftover?
  ) -> (piece: FileContent.Piece, owner: [UInt8])? {
    if let piece = old?.piece(item.digest), piece.length == item.length { return (piece, path) }
    for leftover in leftovers + (own.map { [$0] } ?? []) {
      if let piece = leftover.piece(item.digest), piece.length == item.length {
        return (piece, leftover.temporaryPath)
      }
    }
    return nil
  }

  /// Leaves `.listing`: every part is here or in the old version, or an unfinished one knows it.
  private func listPieces() throws(AdapterError) {
    guard case .listing(let items, let received) = stage else { return }
    var pieces: [DirectoryRecord.Item] = []
    for item in items {
      var list = received[item.digest]
      if list == nil, let old, let part = old.part(item.digest) { list = old.pieces[part.pieces].map(\.item) }
      for leftover in leftovers where list == nil {
        if let part = leftover.layout.part(item.digest) {
          list = leftover.layout.pieces[part.pieces].map(\.item)
        }
      }
      guard let list else { throw refused("a record that lists a part which did not come") }
      guard list.count * DirectoryRecord.itemBytes == item.length,
        pieces.count + list.count <= PieceList.maximumPieces
      else { throw refused("a part of \(list.count) pieces under a length of \(item.length)") }
      pieces += list
    }
    let listed = pieces.reduce(UInt64(0)) { $0 + UInt64($1.length) }
    guard listed == size else { throw refused("\(listed) bytes listed under a size of \(size)") }
    try place(pieces)
  }

  private func refused(_ what: String) -> AdapterError {
    AdapterError(.refused, path: tree.display(path), "refused: \(what); its source is damaged")
  }
}
