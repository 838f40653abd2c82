import Glibc
import StreamDiffCore

/// One file of the log: a page with the header, then records, then sectors not written in this life.
struct SegmentFile {
  let file: any File
  let generation: UInt64
  let header: SegmentHeader

  static let headerSectors: UInt32 = UInt32(Sector.perPage)
  /// Names beyond are no log's: counting on from here never overflows.
  static let maximumGeneration: UInt64 = 1 << 62

  var path: String { file.path }

  /// `log-` and the generation as sixteen hex digits: names sort as generations do.
  static func name(of generation: UInt64) -> String {
    let digits = String(generation, radix: 16)
    return "log-" + String(repeating: "0", count: 16 - digits.count) + digits
  }

  static func generation(ofName name: String) -> UInt64? {
    guard name.hasPrefix("log-"), name.utf8.count == 20 else { return nil }
    guard let generation = UInt64(name.dropFirst(4), radix: 16), self.name(of: generation) == name else {
      return nil
    }
    return generation
  }

  /// Opens a segment and checks its header.
  /// - Parameters:
  ///   - scratch: at least a page.
  ///   - mode: `.read` for one that only looks.
  /// - Returns: the segment, and the hard state as it was when the segment began.
  static func open(
    _ path: String, generation: UInt64, in fileSystem: any FileSystem, scratch: ScratchBuffer,
    mode: FileMode = .write
  ) throws(StorageError) -> (SegmentFile, HardState) {
    let file = try fileSystem.open(path, mode)
    let size = try file.size()
    let header = try readHeader(of: file, generation: generation, scratch: scratch)
    guard size == UInt64(header.0.sectors) * UInt64(Sector.bytes) else {
      throw StorageError(
        .damaged, path: path, offset: min(size, UInt64(header.0.sectors) * UInt64(Sector.bytes)),
        "segment has \(size) bytes, its header says \(header.0.sectors) sectors of \(Sector.bytes)")
    }
    return (SegmentFile(file: file, generation: generation, header: header.0), header.1)
  }

  private static func readHeader(
    of file: any File, generation: UInt64, scratch: ScratchBuffer
  ) throws(StorageError) -> (SegmentHeader, HardState) {
    let page = scratch.bytes(Sector.perPage * Sector.bytes)
    guard try file.read(into: page, at: 0) == page.count, let base = page.baseAddress else {
      throw StorageError(.damaged, path: file.path, offset: 0, "segment is shorter than its header")
    }
    for number in 1..<headerSectors {
      let offset = Int(number) * Sector.bytes
      guard Sector.state(of: base + offset, number: number, generation: generation) == .blank else {
        throw StorageError(.damaged, path: file.path, offset: UInt64(offset), "header page is not blank here")
      }
    }
    guard Sector.state(of: base, number: 0, generation: generation) == .written(record: 0) else {
      throw StorageError(
        .damaged, path: file.path, offset: 0, "segment header fails its checksum or is of another generation")
    }
    let length = Int(UInt32(littleEndian: base.loadUnaligned(as: UInt32.self)))
    let items = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
    let head = RecordItem.recordHeadBytes
    do throws(RecordParser.Malformed) {
      guard length <= Sector.payloadBytes - head else { throw RecordParser.Malformed() }
      var parser = RecordParser(UnsafeRawBufferPointer(rebasing: page[head..<head + length]), items: items)
      guard case .header(let header)? = try parser.next(), case .hardState(let state)? = try parser.next(),
        header.sectors % headerSectors == 0, header.sectors > headerSectors
      else { throw RecordParser.Malformed() }
      return (header, state)
    } catch {
      if let format = error.newerFormat {
        throw StorageError(
          .newerFormat, path: file.path,
          "log format \(format), this release knows \(SegmentHeader.format)")
      }
      throw StorageError(.damaged, path: file.path, offset: 0, "segment header holds no header")
    }
  }

  func damaged(_ sector: UInt32, _ detail: String) -> StorageError {
    StorageError(.damaged, path: path, offset: UInt64(sector) * UInt64(Sector.bytes), detail)
  }

  /// Reads one record, checking every sector, and lends its body.
  func readRecord<R>(
    _ place: RecordPlace, scratch: ScratchBuffer,
    _ body: (_ body: UnsafeRawBufferPointer, _ items: UInt32) throws(StorageError) -> R
  ) throws(StorageError) -> R {
    let buffer = scratch.bytes(Int(place.sectors) * Sector.bytes)
    let count = try file.read(into: buffer, at: UInt64(place.sector) * UInt64(Sector.bytes))
    guard count == buffer.count, let base = buffer.baseAddress else {
      throw damaged(place.sector, "file ends within record \(place.number)")
    }
    for index in 0..<Int(place.sectors) {
      let number = place.sector + UInt32(index)
      let state = Sector.state(of: base + index * Sector.bytes, number: number, generation: generation)
      guard state == .written(record: place.number) else {
        throw damaged(number, "sector of record \(place.number) fails its checksum")
      }
      // Payloads move down to lie end to end; the first is there already.
      memmove(base + index * Sector.payloadBytes, base + index * Sector.bytes, Sector.payloadBytes)
    }
    let length = Int(UInt32(littleEndian: base.loadUnaligned(as: UInt32.self)))
    let items = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
    guard RecordBuffer.sectors(forBody: length) == Int(place.sectors) else {
      throw damaged(place.sector, "record \(place.number) says \(length) bytes, which is not its size")
    }
    let start = UnsafeRawPointer(base) + RecordItem.recordHeadBytes
    return try body(UnsafeRawBufferPointer(start: start, count: length), items)
  }
}

/// Where a record lies in its segment.
struct RecordPlace: Hashable {
  /// 1 for the first record of a segment.
  var number: UInt32
  var sector: UInt32
  var sectors: UInt32
}

/// Memory that reads of the log share; grows to the largest record and stays.
final class ScratchBuffer {
  private var memory = UnsafeMutableRawBufferPointer(start: nil, count: 0)

  deinit { memory.deallocate() }

  /// The first `count` bytes; what earlier calls lent is void.
  func bytes(_ count: Int) -> UnsafeMutableRawBufferPointer {
    if memory.count < count {
      memory.deallocate()
      memory = .allocate(byteCount: count, alignment: Sector.perPage * Sector.bytes)
    }
    return UnsafeMutableRawBufferPointer(rebasing: memory[..<count])
  }
}
