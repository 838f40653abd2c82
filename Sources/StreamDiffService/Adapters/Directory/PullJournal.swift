import Glibc
import StreamDiffCore

/// Where a pull writes down which unfinished file is to become what, so that the next one finds again what a
/// kill left behind. It says where each piece belongs; that a piece is there is known when its bytes are read
/// and have its digest. So it needs no sync, and a torn end costs no more than its last file.
///
/// A file of entries, one behind the other:
///
///     body length u32 | CRC-32C of the body u32 | body:
///     path length u32 | path | number of the temporary name u64 | pieces u32 | (SHA-256 | length u32) each
///
/// Integers are little-endian. Reading ends at the first entry that does not hold.
final class PullJournal {
  struct Entry {
    var path: [UInt8]
    var temporary: UInt64
    var pieces: [DirectoryRecord.Item]
  }

  /// Its own names among the temporary ones: as it is, and while it is written anew.
  private static let number: UInt64 = 0
  private static let successor: UInt64 = 1
  /// Beyond, what no longer counts is thrown away when there is an occasion.
  private static let idleBytes: UInt64 = 1 << 20

  private let tree: Beneath
  private var file: OpenFile?
  private var length: UInt64 = 0

  init(_ tree: Beneath) { self.tree = tree }

  static let names = [TemporaryName.make(number), TemporaryName.make(successor)]

  /// What an earlier pull wrote down; nothing where there is none.
  func read() throws(AdapterError) -> [Entry] {
    let name = TemporaryName.make(Self.number)
    let file: OpenFile
    do throws(AdapterError) {
      file = try tree.file(name)
    } catch {
      guard error.code == .changed else { throw error }
      return []
    }
    var entries: [Entry] = []
    var offset: UInt64 = 0
    let size = UInt64(try file.status(path: tree.display(name)).st_size)
    while offset + 8 <= size {
      let head = try bytes(8, at: offset, of: file)
      var reader = LittleEndianReader(head)
      guard let count = reader.u32(), let checksum = reader.u32(), offset + 8 + UInt64(count) <= size else {
        break
      }
      let body = try bytes(Int(count), at: offset + 8, of: file)
      guard CRC32C(body.span.bytes).rawValue == checksum, let entry = Entry(body) else { break }
      entries.append(entry)
      offset += 8 + UInt64(count)
    }
    return entries
  }

  private func bytes(_ count: Int, at offset: UInt64, of file: OpenFile) throws(AdapterError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    let result = bytes.withUnsafeMutableBytes { room -> Result<Int, AdapterError> in
      do throws(AdapterError) {
        return .success(try file.read(into: room, at: offset, path: tree.name))
      } catch {
        return .failure(error)
      }
    }
    bytes.removeLast(count - (try result.get()))
    return bytes
  }

  func append(_ entry: Entry) throws(AdapterError) {
    if file == nil { file = try create(Self.number) }
    try write(entry)
  }

  /// Keeps these entries alone: at once, or when the rest has become much.
  func compact(to entries: [Entry], onlyIfLong: Bool) throws(AdapterError) {
    if onlyIfLong, length < Self.idleBytes { return }
    guard !entries.isEmpty else { return remove() }
    file = try create(Self.successor)
    for entry in entries { try write(entry) }
    let renamed = withCString(TemporaryName.make(Self.successor)) { new in
      withCString(TemporaryName.make(Self.number)) {
        renameat(tree.root.descriptor, new, tree.root.descriptor, $0)
      }
    }
    guard renamed == 0 else { throw .system("rename", path: tree.display(TemporaryName.make(Self.number))) }
  }

  func remove() {
    (file, length) = (nil, 0)
    for number in [Self.number, Self.successor] {
      _ = withCString(TemporaryName.make(number)) { unlinkat(tree.root.descriptor, $0, 0) }
    }
  }

  private func create(_ number: UInt64) throws(AdapterError) -> OpenFile {
    length = 0
    let name = TemporaryName.make(number)
    let descriptor = withCString(name) {
      openat(tree.root.descriptor, $0, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0o600)
    }
    guard descriptor >= 0 else { throw .system("create", path: tree.display(name)) }
    return OpenFile(owning: descriptor)
  }

  private func write(_ entry: Entry) throws(AdapterError) {
    guard let file else { preconditionFailure("the journal is open") }
    let body = entry.encode()
    var bytes: [UInt8] = []
    bytes.reserveCapacity(body.count + 8)
    StreamDiffService.append(UInt32(body.count), to: &bytes)
    StreamDiffService.append(CRC32C(body.span.bytes).rawValue, to: &bytes)
    bytes += body
    let result = bytes.withUnsafeBytes { bytes -> Result<Void, AdapterError> in
      do throws(AdapterError) {
        return .success(try file.write(bytes, at: length, path: tree.name))
      } catch {
        return .failure(error)
      }
    }
    try result.get()
    length += UInt64(bytes.count)
  }
}

extension PullJournal.Entry {
  func encode() -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(16 + path.count + pieces.count * DirectoryRecord.itemBytes)
    append(UInt32(path.count), to: &bytes)
    bytes += path
    append(temporary, to: &bytes)
    append(UInt32(pieces.count), to: &bytes)
    for piece in pieces { piece.append(to: &bytes) }
    return bytes
  }

  /// - Returns: nil for bytes that no `encode` gives.
  init?(_ bytes: [UInt8]) {
    var reader = LittleEndianReader(bytes)
    guard let length = reader.u32(), let path = reader.take(Int(length)), let temporary = reader.u64(),
      let count = reader.u32(), count <= PieceList.maximumPieces,
      Int(count) * DirectoryRecord.itemBytes == reader.remaining,
      (try? DirectoryKey.check(Array(path))) != nil,
      let pieces = PieceList.read(&reader, count: Int(count), atDepth: 0)
    else { return nil }
    self.init(path: Array(path), temporary: temporary, pieces: pieces)
  }
}
