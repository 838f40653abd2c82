public import StreamDiffCore

/// What a path is: the value under its record key.
///
///     format u8 = 1 | kind u8 (1 file, 2 directory, 3 link) | flags u8 = 0 | mode u16 (07777) | then by kind
///     file:       depth u8 | size u64 | count u32 | count times (SHA-256, 32 bytes | length u32)
///     directory:  nothing
///     link:       target length u16 | target
///
/// Integers are little-endian. At depth 0 the list names the file's pieces in order; at depth 1 it names
/// parts, each of which is such a list of pieces (see PieceList). A link's mode is 0777. Flags are for what
/// may be added beside the mode (times); a record with an unknown flag is refused.
public struct DirectoryRecord: Hashable, Sendable {
  public struct Item: Hashable, Sendable {
    /// SHA-256 of the piece, or of the part's bytes.
    public var digest: Digest
    /// Bytes of the piece, or of the part.
    public var length: Int

    func append(to bytes: inout [UInt8]) {
      digest.append(to: &bytes)
      StreamDiffService.append(UInt32(length), to: &bytes)
    }
  }

  public enum Content: Hashable, Sendable {
    case file(depth: UInt8, size: UInt64, items: [Item])
    case directory
    case link(target: [UInt8])
  }

  static let itemBytes = Digest.byteCount + 4
  /// As many items as fit one value.
  static let maximumItems = (Limits.valueBytes - 18) / itemBytes
  /// PATH_MAX: no system keeps a longer target.
  static let maximumTargetBytes = 4096
  static let linkMode: UInt16 = 0o777

  public var mode: UInt16
  public var content: Content

  public func encode() -> [UInt8] {
    var bytes: [UInt8] = []
    switch content {
    case .file(let depth, let size, let items):
      bytes.reserveCapacity(18 + items.count * Self.itemBytes)
      appendHead(1, to: &bytes)
      bytes.append(depth)
      append(size, to: &bytes)
      append(UInt32(items.count), to: &bytes)
      for item in items { item.append(to: &bytes) }
    case .directory:
      appendHead(2, to: &bytes)
    case .link(let target):
      appendHead(3, to: &bytes)
      append(UInt16(target.count), to: &bytes)
      bytes += target
    }
    return bytes
  }

  private func appendHead(_ kind: UInt8, to bytes: inout [UInt8]) {
    bytes += [1, kind, 0]
    append(mode, to: &bytes)
  }

  /// - Throws: `.malformed` for bytes that no `encode` gives, a list whose lengths do not add up included.
  public init(decoding bytes: [UInt8], path: [UInt8]) throws(AdapterError) {
    func malformed(_ what: String) -> AdapterError {
      AdapterError(.malformed, path: printable(path), "its record: \(what)")
    }
    var reader = LittleEndianReader(bytes)
    guard let format = reader.u8(), let kind = reader.u8(), let flags = reader.u8(), let mode = reader.u16()
    else { throw malformed("\(bytes.count) bytes are too few") }
    guard format == 1, flags == 0 else {
      throw malformed("format \(format), flags \(flags) are unknown here; a newer version may read it")
    }
    guard mode <= 0o7777 else { throw malformed("mode \(mode)") }
    self.mode = mode
    guard (kind == 2) == DirectoryKey.isDirectory(path) else {
      throw malformed("kind \(kind) under this path")
    }
    switch kind {
    case 1:
      guard let depth = reader.u8(), let size = reader.u64(), let count = reader.u32(), depth <= 1,
        Int(count) * Self.itemBytes == reader.remaining
      else { throw malformed("a list that does not fit its count") }
      guard let items = PieceList.read(&reader, count: Int(count), atDepth: depth) else {
        throw malformed("an item of no valid length")
      }
      let listed = items.reduce(UInt64(0)) { $0 + UInt64($1.length) }
      guard depth == 1 || listed == size else { throw malformed("\(listed) bytes listed, \(size) stated") }
      content = .file(depth: depth, size: size, items: items)
    case 2:
      guard reader.remaining == 0 else { throw malformed("bytes left over") }
      content = .directory
    case 3:
      guard let length = reader.u16(), Int(length) == reader.remaining, length > 0,
        length < Self.maximumTargetBytes
      else { throw malformed("a link target that does not fit its length") }
      guard let target = reader.take(Int(length)), !target.contains(0) else {
        throw malformed("a NUL in a link target")
      }
      content = .link(target: Array(target))
    default:
      throw malformed("kind \(kind)")
    }
  }

  init(mode: UInt16, content: Content) {
    self.mode = mode
    self.content = content
  }
}
