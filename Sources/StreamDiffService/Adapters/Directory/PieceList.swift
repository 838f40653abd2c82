import StreamDiffCore

/// The ordered pieces of a file, and how a long list is stored.
///
/// A list of up to `inlineItems` pieces stands in the file's record. A longer one is cut into parts, each
/// stored as a value of its own under its SHA-256, and the record names the parts: so a change in a large
/// file sends one part of the list and not the list. Parts are cut by content, so that an insertion moves
/// nearby cuts only: after a piece the last nine bits of whose digest are zero (byte 31, then the low bit
/// of byte 30), but not before `minimumPart` pieces and always at `maximumPart`.
public enum PieceList {
  static let inlineItems = 1024
  static let minimumPart = 256
  public static let maximumPart = 2048
  /// A file of about 128 GiB: what is kept of it in memory is then some 450 MB.
  static let maximumPieces = 8 << 20

  /// Ranges of places, in order, that are the parts of a list; none is empty.
  static func parts(of pieces: [DirectoryRecord.Item]) -> [Range<Int>] {
    var parts: [Range<Int>] = []
    var start = 0
    for place in pieces.indices {
      let count = place + 1 - start
      guard count >= minimumPart else { continue }
      if count == maximumPart || endsPart(pieces[place].digest) {
        parts.append(start..<place + 1)
        start = place + 1
      }
    }
    if start < pieces.count { parts.append(start..<pieces.count) }
    return parts
  }

  private static func endsPart(_ digest: Digest) -> Bool {
    let bytes = digest.bytes
    return bytes[31] == 0 && bytes[30] & 1 == 0
  }

  public static func encode(_ pieces: ArraySlice<DirectoryRecord.Item>) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(pieces.count * DirectoryRecord.itemBytes)
    for piece in pieces { piece.append(to: &bytes) }
    return bytes
  }

  /// - Returns: nil when the bytes are no list of pieces.
  public static func decode(part bytes: [UInt8]) -> [DirectoryRecord.Item]? {
    guard !bytes.isEmpty, bytes.count % DirectoryRecord.itemBytes == 0 else { return nil }
    let count = bytes.count / DirectoryRecord.itemBytes
    guard count <= maximumPart else { return nil }
    var reader = LittleEndianReader(bytes)
    return read(&reader, count: count, atDepth: 0)
  }

  /// Reads `count` items, which the caller knows to be there.
  ///
  /// - Returns: nil when an item's length cannot be a piece's (depth 0) or a part's (depth 1).
  static func read(
    _ reader: inout LittleEndianReader, count: Int, atDepth depth: UInt8
  ) -> [DirectoryRecord.Item]? {
    let longest = depth == 0 ? FastCDC.maximum : maximumPart * DirectoryRecord.itemBytes
    var items: [DirectoryRecord.Item] = []
    items.reserveCapacity(count)
    for _ in 0..<count {
      guard let digest = reader.digest(), let length = reader.u32(), length > 0, Int(length) <= longest else {
        return nil
      }
      items.append(DirectoryRecord.Item(digest: digest, length: Int(length)))
    }
    return items
  }
}
