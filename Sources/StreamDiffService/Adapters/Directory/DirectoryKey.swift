public import StreamDiffCore

/// Keys of a directory keyspace.
///
///     record:  path | 0x00                               what the path is; see DirectoryRecord
///     part:    path | 0x00 | 0x01 | SHA-256 of the part   a part of a long list of pieces; see PieceList
///     piece:   path | 0x00 | 0x02 | SHA-256 of the piece  the bytes of a piece of the file
///
/// A path is relative, its components are separated by "/", and a directory's path ends in "/", so that a key
/// tells a directory from a file. Keys sort so that a directory comes before what it holds, a record before
/// its parts and those before the pieces: a receiver knows what it builds before the first byte arrives.
public struct DirectoryKey: Hashable {
  public enum Tail: Hashable {
    case record
    case part(Digest)
    case piece(Digest)
  }

  static let partTag: UInt8 = 1
  static let pieceTag: UInt8 = 2
  /// The longest path: its pieces' keys must fit `Limits.keyBytes`.
  static let maximumPathBytes = Limits.keyBytes - 2 - Digest.byteCount
  /// NAME_MAX of every file system that matters here.
  static let maximumNameBytes = 255

  public let path: [UInt8]
  public let tail: Tail

  /// Takes a key of the other side apart.
  ///
  /// - Throws: `.refused` for a path that is absolute, empty, too long, or has an empty, "." or ".."
  ///   component; `.malformed` for a key of another shape.
  public init(decoding key: Span<UInt8>) throws(AdapterError) {
    var end = 0
    while end < key.count, key[end] != 0 { end += 1 }
    guard end < key.count else { throw AdapterError(.malformed, "a key without a record or piece mark") }
    let path = key.extracting(0..<end).withUnsafeBufferPointer { Array($0) }
    try Self.check(path)
    self.path = path
    if end + 1 == key.count {
      tail = .record
      return
    }
    guard key.count == end + 2 + Digest.byteCount else {
      throw AdapterError(
        .malformed, path: printable(path), "a key of \(key.count - end - 1) bytes after the path")
    }
    let digest = Digest(copying: key.extracting((end + 2)..<key.count).bytes)
    switch key[end + 1] {
    case Self.partTag: tail = .part(digest)
    case Self.pieceTag: tail = .piece(digest)
    default:
      throw AdapterError(.malformed, path: printable(path), "a key with the unknown mark \(key[end + 1])")
    }
  }

  public var encoded: [UInt8] {
    switch tail {
    case .record: Self.record(path)
    case .part(let digest): Self.part(path, digest)
    case .piece(let digest): Self.piece(path, digest)
    }
  }

  /// - Throws: as `init(decoding:)`.
  static func check(_ path: [UInt8]) throws(AdapterError) {
    guard path.count <= maximumPathBytes else {
      throw AdapterError(.tooLarge, path: printable(path), "a path of over \(maximumPathBytes) bytes")
    }
    let name = isDirectory(path) ? path.dropLast() : path[...]
    for component in name.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
      let reason: String
      if component.isEmpty {
        reason = "an absolute path or an empty name"
      } else if component.elementsEqual([UInt8(ascii: ".")]) || component.elementsEqual("..".utf8) {
        reason = "a \(printable(component)) component"
      } else if component.count > maximumNameBytes {
        reason = "a name of over \(maximumNameBytes) bytes"
      } else if component.contains(0) {
        reason = "a NUL in a name"
      } else if TemporaryName.matches(component) {
        reason = "a name reserved for unfinished files"
      } else {
        continue
      }
      throw AdapterError(.refused, path: printable(path), "refused: \(reason)")
    }
  }

  /// Whether the path is written as a directory's.
  static func isDirectory(_ path: [UInt8]) -> Bool { path.last == UInt8(ascii: "/") }

  public static func record(_ path: [UInt8]) -> [UInt8] {
    var key = path
    key.append(0)
    return key
  }

  public static func part(_ path: [UInt8], _ digest: Digest) -> [UInt8] { tagged(path, partTag, digest) }
  public static func piece(_ path: [UInt8], _ digest: Digest) -> [UInt8] { tagged(path, pieceTag, digest) }

  private static func tagged(_ path: [UInt8], _ tag: UInt8, _ digest: Digest) -> [UInt8] {
    var key: [UInt8] = []
    key.reserveCapacity(path.count + 2 + Digest.byteCount)
    key += path
    key.append(0)
    key.append(tag)
    digest.append(to: &key)
    return key
  }

  /// The path that a key belongs to: what stands before its first NUL, or the whole of a foreign key.
  static func path(of key: [UInt8]) -> ArraySlice<UInt8> { key[..<(key.firstIndex(of: 0) ?? key.endIndex)] }

  /// Whether the key is a record's: nothing follows the NUL.
  static func isRecord(_ key: [UInt8]) -> Bool { key.firstIndex(of: 0) == key.count - 1 }
}

/// Names of unfinished files: `.streamdiff-` and 16 hex digits and `.part`. No scan takes them for content,
/// and the next pull into a directory removes those of an interrupted one.
enum TemporaryName {
  private static let prefix = Array(".streamdiff-".utf8)
  private static let suffix = Array(".part".utf8)
  private static let digits = 16

  static func matches(_ name: some Collection<UInt8>) -> Bool {
    guard name.count == prefix.count + digits + suffix.count, name.starts(with: prefix) else { return false }
    let rest = name.dropFirst(prefix.count)
    let isHex = { (byte: UInt8) in (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte) }
    return rest.prefix(digits).allSatisfy(isHex) && rest.dropFirst(digits).elementsEqual(suffix)
  }

  /// - Parameter number: unique among the files that are unfinished at one time.
  static func make(_ number: UInt64) -> [UInt8] {
    let hex = Array("0123456789abcdef".utf8)
    let text = (0..<digits).map { hex[Int(number >> (60 - 4 * UInt64($0)) & 15)] }
    return prefix + text + suffix
  }
}
