import StreamDiffCore

/// The bytes of RocksDB's files that its own reading passes over: `CURRENT`, the end of a `MANIFEST`, which
/// it drops when the checksum does not hold, and the footers of its table files, which have none.
struct EngineFiles {
  let directory: String
  let fileSystem: any FileSystem
  let findings: Findings

  /// Whether a start that ended before its database existed left this: RocksDB makes `CURRENT` second, after
  /// the first MANIFEST, and logs and tables only in a database that has it. The log then has everything.
  func isUnborn() throws(StorageError) -> Bool {
    let names = try fileSystem.names(in: directory)
    return !names.contains { $0 == "CURRENT" || $0.hasSuffix(".sst") || $0.hasSuffix(".log") }
  }

  /// The MANIFEST that counts, without which no file here says what it is.
  /// - Throws: `.damaged`, naming the file that is missing or wrong.
  func manifest() throws(StorageError) -> (path: String, bytes: [UInt8]) {
    let current = directory + "/CURRENT"
    guard let bytes = try read(current) else {
      throw StorageError(
        .damaged, path: current,
        "this file is missing, and nothing else says which MANIFEST counts: put it back")
    }
    let name = String(decoding: bytes.dropLast(), as: UTF8.self)
    guard bytes.last == UInt8(ascii: "\n"), Self.isManifest(name) else {
      throw StorageError(.damaged, path: current, offset: 0, "names no MANIFEST: \(name.debugDescription)")
    }
    guard let manifest = try read(directory + "/" + name) else {
      throw StorageError(
        .damaged, path: directory + "/" + name, "this file is missing, and CURRENT names it: put it back")
    }
    return (directory + "/" + name, manifest)
  }

  /// - Returns: whether the database can be opened with what `CURRENT` names.
  func inspect() throws(StorageError) -> Bool {
    do throws(StorageError) {
      let (path, bytes) = try manifest()
      inspect(manifest: bytes, at: path)
      return true
    } catch  where error.code == .damaged {
      findings.add(error)
      return false
    }
  }

  /// - Parameter live: the table files that belong to the state.
  func inspect(tables live: Set<String>) throws(StorageError) {
    for name in try fileSystem.list(directory).sorted() where name.hasSuffix(".sst") {
      let path = directory + "/" + name
      guard live.contains(name) else {
        findings.add(Finding(.note, path: path, "no part of the state; the next start removes it"))
        continue
      }
      do throws(StorageError) { try inspect(table: path) } catch { findings.add(error) }
    }
  }

  private static func isManifest(_ name: String) -> Bool {
    let prefix = "MANIFEST-"
    return name.hasPrefix(prefix) && name.utf8.count > prefix.utf8.count
      && name.dropFirst(prefix.utf8.count).utf8.allSatisfy { (48...57).contains($0) }
  }

  private func read(_ path: String) throws(StorageError) -> [UInt8]? {
    try fileSystem.readFile(path, limit: 256 << 20)
  }

  private func damage(_ path: String, _ offset: Int?, _ detail: String) {
    findings.add(StorageError(.damaged, path: path, offset: offset.map { UInt64($0) }, detail))
  }
}

// MARK: MANIFEST

extension EngineFiles {
  private static let blockBytes = 32 << 10
  private static let headBytes = 7

  /// Records in blocks of 32 KiB: `masked CRC32C of what follows the length u32 | length u16 | type u8 |
  /// bytes`, little-endian; less than a head at the end of a block is zero.
  private func inspect(manifest bytes: [UInt8], at path: String) {
    func integer(_ place: Int, _ count: Int) -> UInt32 {
      (0..<count).reduce(0) { $0 | UInt32(bytes[place + $1]) << (8 * UInt32($1)) }
    }
    /// Whether the record at `place` is whole when it has so many bytes.
    func holds(_ place: Int, _ length: Int) -> Bool {
      let covered = bytes.span.extracting(place + 6..<place + Self.headBytes + length)
      return CRC32C(covered.bytes) == CRC32C(masked: integer(place, 4))
    }
    var place = 0
    while place < bytes.count {
      let left = Self.blockBytes - place % Self.blockBytes
      guard left >= Self.headBytes else {
        let end = min(place + left, bytes.count)
        if bytes[place..<end].contains(where: { $0 != 0 }) {
          damage(path, place, "the end of a block is not blank")
        }
        place = end
        continue
      }
      let torn = Finding(
        .note, path: path, offset: UInt64(place),
        "a record was under way when the process ended; it does not count")
      guard place + Self.headBytes <= bytes.count else { return findings.add(torn) }
      let length = Int(integer(place + 4, 2))
      let end = place + Self.headBytes + length
      guard end <= bytes.count else {
        let isWhole = holds(place, bytes.count - place - Self.headBytes)
        return isWhole ? damage(path, place, "the length of a record is wrong") : findings.add(torn)
      }
      guard end - place <= left, holds(place, length) else {
        return damage(path, place, "a record fails its checksum; what follows was not read")
      }
      place = end
    }
  }
}

// MARK: Table files

extension EngineFiles {
  private static let footerBytes = 53
  private static let trailerBytes = 5
  private static let magic: UInt64 = 0x88e2_41b7_85f4_cff7

  /// `checksum type u8 | place of the meta index | place of the index | zeros to byte 41 | format u32 |
  /// magic u64`; a place is offset and length as varints, and the meta index is the last block.
  private func inspect(table path: String) throws(StorageError) {
    let file = try fileSystem.open(path, .read)
    let size = try file.size()
    guard size > UInt64(Self.footerBytes) else {
      throw StorageError(.damaged, path: path, offset: 0, "a file of \(size) bytes is no table")
    }
    let start = size - UInt64(Self.footerBytes)
    var bytes = [UInt8](repeating: 0, count: Self.footerBytes)
    let count = try bytes.withMutableBytes { (buffer) throws(StorageError) in
      try file.read(into: buffer, at: start)
    }
    var place = 1
    func varint() -> UInt64 {
      var value: UInt64 = 0
      for shift in stride(from: UInt64(0), to: 64, by: 7) where place < 41 {
        let byte = bytes[place]
        place += 1
        value |= UInt64(byte & 127) << shift
        if byte < 128 { break }
      }
      return value
    }
    let (metaOffset, metaBytes) = (varint(), varint())
    let (indexOffset, indexBytes) = (varint(), varint())
    let (end, _) = metaOffset.addingReportingOverflow(metaBytes &+ UInt64(Self.trailerBytes))
    let magic: UInt64 = bytes[45..<53].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    guard count == bytes.count, end == start, indexOffset &+ indexBytes <= metaOffset, magic == Self.magic,
      bytes[41] == 5, bytes[42..<45] == [0, 0, 0], [1, 4].contains(bytes[0]),
      bytes[place..<41].allSatisfy({ $0 == 0 })
    else {
      throw StorageError(.damaged, path: path, offset: start, "the file's footer is not what was written")
    }
  }
}
