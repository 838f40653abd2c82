import StreamDiffCore

/// A record that was under way when the machine stopped; nobody was told that it was there.
public struct TornTail: Hashable, Sendable {
  public var path: String
  /// Where the record began. It was removed from here on.
  public var offset: UInt64
  /// Bytes of it that had arrived, and were removed.
  public var bytes: UInt64
}

/// What a segment holds, after every sector of it was checked.
///
/// Each record is synced before the next is written, so when the machine stops at most one record, the
/// last of the last segment, can lack sectors. That record is *torn* and may be cut: it was never
/// acknowledged. A sector missing from any other, or one that fails its checksum anywhere in the file,
/// is *damage*: an error that names the file and the offset.
struct SegmentScan {
  /// Whole records, in order.
  var records: [RecordPlace] = []
  /// The first sector after them.
  var end: UInt32
  /// Sectors from `end` to the last that was written of a torn record; 0 when there is none.
  var tornSectors: UInt32 = 0

  var nextRecord: UInt32 { UInt32(records.count) + 1 }

  init(_ segment: SegmentFile, isLast: Bool, scratch: ScratchBuffer) throws(StorageError) {
    let owners = try Self.owners(of: segment, scratch: scratch)
    let first = SegmentFile.headerSectors
    let count = UInt32(owners.count)
    end = first
    var promised: UInt32 = 0  // sectors of the record at `end`, if its first is there
    while end < count, owners[Int(end)] == nextRecord {
      var run: UInt32 = 1
      while end + run < count, owners[Int(end + run)] == nextRecord { run += 1 }
      promised = try Self.promisedSectors(of: segment, at: end)
      guard run == promised else { break }
      records.append(RecordPlace(number: nextRecord, sector: end, sectors: run))
      end += run
      promised = 0
    }
    guard let last = owners.lastIndex(where: { $0 != 0 }), last >= Int(end) else { return }

    let number = nextRecord
    let missing = (end..<count).first { owners[Int($0)] != number } ?? count
    guard isLast else {
      throw segment.damaged(missing, "record \(number) lacks this sector, and a later segment exists")
    }
    for sector in end...UInt32(last) where owners[Int(sector)] != 0 && owners[Int(sector)] != number {
      throw segment.damaged(missing, "record \(number) lacks this sector, and a later record exists")
    }
    guard promised == 0 || UInt32(last) < end + promised else {
      throw segment.damaged(end + promised, "sector of record \(number) lies behind its end")
    }
    tornSectors = UInt32(last) + 1 - end
  }

  /// The record that each sector belongs to; 0 for blank and former ones. Header sectors are 0 too.
  private static func owners(
    of segment: SegmentFile, scratch: ScratchBuffer
  ) throws(StorageError) -> [UInt32] {
    var owners = [UInt32](repeating: 0, count: Int(segment.header.sectors))
    let block = UInt32(blockBytes / Sector.bytes)
    var start = SegmentFile.headerSectors
    while start < segment.header.sectors {
      let count = min(block, segment.header.sectors - start)
      let buffer = scratch.bytes(Int(count) * Sector.bytes)
      let read = try segment.file.read(into: buffer, at: UInt64(start) * UInt64(Sector.bytes))
      guard read == buffer.count, let base = buffer.baseAddress else {
        throw segment.damaged(start, "file is shorter than its header says")
      }
      for index in 0..<count {
        let number = start + index
        let sector = base + Int(index) * Sector.bytes
        switch Sector.state(of: sector, number: number, generation: segment.generation) {
        case .blank, .former: continue
        case .written(let record) where record > 0: owners[Int(number)] = record
        case .written, .damaged: throw segment.damaged(number, "sector fails its checksum")
        }
      }
      start += count
    }
    return owners
  }

  private static let blockBytes = 1 << 20

  private static func promisedSectors(of segment: SegmentFile, at sector: UInt32) throws(StorageError)
    -> UInt32
  {
    var length: UInt32 = 0
    try withUnsafeMutableBytes(of: &length) { (buffer) throws(StorageError) in
      _ = try segment.file.read(into: buffer, at: UInt64(sector) * UInt64(Sector.bytes))
    }
    return UInt32(RecordBuffer.sectors(forBody: Int(UInt32(littleEndian: length))))
  }
}
