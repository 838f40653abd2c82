import StreamDiffCore

/// A path with what its record says and where its bytes are: what a scan keeps of a file. No content.
struct DirectoryEntry: Sendable {
  /// A directory's ends in "/".
  let path: [UInt8]
  var mode: UInt16
  var content: Content

  enum Content: Sendable {
    case file(FileContent)
    case directory
    case link(target: [UInt8])
  }

  var record: DirectoryRecord {
    switch content {
    case .file(let file): DirectoryRecord(mode: mode, content: file.listing)
    case .directory: DirectoryRecord(mode: mode, content: .directory)
    case .link(let target): DirectoryRecord(mode: mode, content: .link(target: target))
    }
  }

  var file: FileContent? {
    if case .file(let file) = content { file } else { nil }
  }
}

/// A file's pieces in order, and what lies under its piece keys.
struct FileContent: Sendable {
  struct Piece: Sendable {
    /// SHA-256 of the bytes.
    let digest: Digest
    let offset: UInt64
    let length: Int
  }

  struct Part: Sendable {
    let digest: Digest
    /// The pieces it lists, by place.
    let pieces: Range<Int>
  }

  /// In the order of the file.
  let pieces: [Piece]
  /// Places in `pieces` in the order of their keys, each digest once.
  let order: [UInt32]
  /// In the order of the file; empty for a list that stands in the record.
  let parts: [Part]

  var size: UInt64 { pieces.last.map { $0.offset + UInt64($0.length) } ?? 0 }

  init(pieces: [Piece]) {
    self.pieces = pieces
    order = Self.keyOrder(of: pieces)
    parts =
      pieces.count <= PieceList.inlineItems
      ? []
      : PieceList.parts(of: pieces.map(\.item)).map { range in
        Part(digest: SHA256.digest(PieceList.encode(pieces[range].map(\.item)[...])), pieces: range)
      }
  }

  private static func keyOrder(of pieces: [Piece]) -> [UInt32] {
    guard pieces.count > 1 else { return pieces.isEmpty ? [] : [0] }
    let sorted = pieces.indices.sorted { pieces[$0].digest < pieces[$1].digest }
    var order: [UInt32] = []
    order.reserveCapacity(sorted.count)
    for place in sorted
    where order.isEmpty || pieces[Int(order[order.count - 1])].digest != pieces[place].digest {
      order.append(UInt32(place))
    }
    return order
  }

  /// What the record says of the file.
  var listing: DirectoryRecord.Content {
    if parts.isEmpty { return .file(depth: 0, size: size, items: pieces.map(\.item)) }
    let items = parts.map {
      DirectoryRecord.Item(digest: $0.digest, length: $0.pieces.count * DirectoryRecord.itemBytes)
    }
    return .file(depth: 1, size: size, items: items)
  }

  /// Parts in the order of their keys, each digest once.
  var partsInKeyOrder: [Part] {
    let sorted = parts.sorted { $0.digest < $1.digest }
    return sorted.enumerated().filter { $0 == 0 || sorted[$0 - 1].digest != $1.digest }.map(\.element)
  }

  /// The bytes of a part, as its value.
  func bytes(of part: Part) -> [UInt8] { PieceList.encode(pieces[part.pieces].map(\.item)[...]) }

  func piece(_ digest: Digest) -> Piece? {
    let place = order.partitioningIndex { pieces[Int($0)].digest >= digest }
    guard place < order.count else { return nil }
    let piece = pieces[Int(order[place])]
    return piece.digest == digest ? piece : nil
  }

  func part(_ digest: Digest) -> Part? { parts.first { $0.digest == digest } }
}

extension FileContent.Piece {
  var item: DirectoryRecord.Item { DirectoryRecord.Item(digest: digest, length: length) }
}
